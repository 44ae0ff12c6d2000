"""Which study a name stands for: what may change between two runs of it, and what makes it another question."""

import base64
import json
import re
import statistics
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.baselines import found
from ablate.design.kept import FREE as DESIGN_FREE
from ablate.design.plan import refused_changes
from ablate.errors import Mistake
from ablate.records import StudyRecord, now
from ablate.search.events import compact
from ablate.search.plan import Cell, Outcome
from ablate.signature import canonical, leaves, sha256, signature
from ablate.study import Study

if TYPE_CHECKING:
    from ablate.search.result import Result

GIVEN_UP = "ablate.given_up"  # tag of the study's run: contrasts that the budget of sequential seeds ended
MARK = "# --set "  # before each override in the kept study file
FREE = ("tracking", "search.trials", "search.confirm.seeds", *(f"design.{its}" for its in DESIGN_FREE))
FREE_IN_TRIALS = re.compile(r"(base|baselines\..+)\.(resources\..+|train\.wall_limit)")


def design(study: Study) -> dict[str, Any]:
    """Dotted path -> value of everything the study asks."""
    return flatten(study.plain())


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by dotted path; lists are leaves, an empty mapping has none."""
    if not isinstance(values, dict):
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def free(path: str) -> bool:
    """Whether the leaf may change without making another question."""
    return any(path == its or path.startswith(its + ".") for its in FREE) or bool(FREE_IN_TRIALS.fullmatch(path))


def elsewhere(study: Study) -> set[str]:
    """Paths of what says where the data lie, not what they are: the same files in another folder are the same study."""
    trials = {"base": study.base} | {f"baselines.{name}": its for name, its in study.baselines.items()}
    return {
        f"{place}.{leaf.path}"
        for place, trial in trials.items()
        for leaf in leaves(trial)
        if leaf.path.startswith("data.") and not leaf.identity
    }


def digest(study: Study) -> str:
    """SHA-256 of what may not change."""
    moved, its = elsewhere(study), design(study)
    return sha256("".join(f"{path}={canonical(its[path])}\n" for path in sorted(set(its) - moved) if not free(path)))


def tags(study: Study) -> dict[str, str]:
    """What the study's run says of its design: packed, since tags are short, and readable as an artifact."""
    plain = json.dumps(study.plain(), separators=(",", ":"))  # not sorted: tables keep the order of the file
    packed = base64.b85encode(zlib.compress(plain.encode(), 9)).decode()
    return {"ablate.design": packed, "ablate.overrides": json.dumps(list(study.overrides))}


def unpack(packed: str) -> dict[str, Any]:
    """The design in a tag, as `Study.plain` gave it."""
    plain: dict[str, Any] = json.loads(zlib.decompress(base64.b85decode(packed)))
    return plain


def check_same(study: Study, known: StudyRecord) -> None:
    """Raise Mistake, naming each field, if the record's study of this name asks another question."""
    if not known.tags.get("ablate.design"):
        return
    old = unpack(known.tags["ablate.design"])
    sentences = list(changed(study, old)) if known.digest != digest(study) else []
    sentences += grown(study, old)
    if sentences:
        raise Mistake(*sentences)


def changed(study: Study, plain: dict[str, Any]) -> Iterator[str]:
    """A sentence per leaf that differs from the study that the record has."""
    old, new = flatten(plain), design(study)
    for path in sorted((set(old) | set(new)) - elsewhere(study)):
        was, now_ = (canonical(its[path]) if path in its else "absent" for its in (old, new))
        if not free(path) and was != now_:
            name = path.removeprefix("base.").removeprefix("space.")
            yield (
                f"study {study.name!r} is in the record with {name} = {was}, this file has {now_}; another question "
                "needs another name (finished cells are reused), or --fresh to begin anew"
            )


def grown(study: Study, old: dict[str, Any]) -> list[str]:
    """A sentence if the seeds of a design have not just become more."""
    if study.plan is None or "design" not in old or "seeds" not in refused_changes(old["design"], study.plan.plain()):
        return []
    was, now_ = (canonical(its) for its in (old["design"]["seeds"], list(study.plan.seeds)))
    return [
        f"study {study.name!r} is in the record with design.seeds = {was}, this file has {now_}; seeds may only be "
        "added, and not to sequential ones; take another name (finished cells are reused), or --fresh to begin anew"
    ]


def as_planned(study: Study, known: StudyRecord) -> Study:
    """The study decided by the test that its first plan fixed: seeds that were added later do not change it."""
    if study.plan is None or not known.tags.get("ablate.design"):
        return study
    old = unpack(known.tags["ablate.design"])
    decided: Any = old["design"]["decides"] if "design" in old else "lenth"  # of one seed, which decides nothing
    return study if decided == "lenth" else replace(study, plan=replace(study.plan, test=decided))


def design_events(study: Study, folder: Path) -> list[dict[str, Any]]:
    """`design.json`: the resolved design with its arms and contrasts, beside the study file and on the study's run."""
    if study.plan is None:
        return []
    text = json.dumps(study.plan.plain(), indent=1) + "\n"
    write(folder / "design.json", text)
    return [{"event": "text", "text": text, "file": "design.json"}]


def complete(study: Study, known: StudyRecord | None) -> bool:
    """Whether the record says that this very plan has been run to its end."""
    return (
        known is not None
        and known.tags.get("ablate.plan") == plan(study)
        and known.tags.get("ablate.status") == "complete"
    )


def plan(study: Study) -> str:
    """Digest of the question and of how much is run for it."""
    its = design(study)
    budget = {path: value for path, value in its.items() if path.startswith("design.sequential.budget")}
    more = [] if study.plan is None else [its["design.seeds"], budget]
    amount = [its.get("search.trials"), its.get("search.confirm.seeds"), *more]
    return sha256(digest(study) + compact(amount))


def keep_file(study: Study, folder: Path) -> None:
    """`study.yaml` as given, its `--set`s as comments behind it, and the study files it names beside it."""
    given = study.text.removesuffix("\n").split("\n")
    lines = [line for line in given if not line.startswith(MARK)]  # those of an earlier run go
    write(folder / "study.yaml", "".join(f"{line}\n" for line in [*lines, *(MARK + its for its in study.overrides)]))
    for name in study.files:
        source = found(name, study.source)
        copy = (folder / name).resolve()
        if (
            source is not None
            and not Path(name).is_absolute()
            and copy.is_relative_to(folder)
            and copy != source.resolve()
        ):
            copy.parent.mkdir(parents=True, exist_ok=True)
            write(copy, source.read_text())


def write(file: Path, text: str) -> None:
    """Write a file that a later command relies on: a kill in mid-write leaves the one before."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text)
    fresh.replace(file)


def kept_file(folder: Path) -> tuple[Path, list[str]]:
    """The study file of an earlier run and its `--set`s; raises Mistake where there is none."""
    file = folder / "study.yaml"
    if not file.exists():
        raise Mistake(
            f"there is no study in {folder} (no study.yaml); name one of `ablate status`, or give its --folder"
        )
    lines = file.read_text().splitlines()
    return file, [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]


def arm_ends(result: "Result") -> list[dict[str, Any]]:
    """Mean and sd over the seeds of each confirmed configuration, on its run."""
    events = []
    for chosen in result.chosen:
        mine = signature(chosen.trial)
        cells = [(cell, result.confirmed.get(cell.key)) for cell in result.cells if cell.signature == mine]
        events.append(arm_end(mine, chosen.name, chosen.role, cells))
    return events


def design_ends(study: Study, result: "Result") -> list[dict[str, Any]]:
    """The same of each arm of a design."""
    if study.plan is None:
        return []
    arms: dict[str, list[tuple[Cell, Outcome | None]]] = {}
    for cell, out in result.found:
        arms.setdefault(cell.signature, []).append((cell, out))
    return [arm_end(its, cells[0][0].name, "design", cells) for its, cells in arms.items()]


def arm_end(signature: str, name: str, role: str, cells: Sequence[tuple[Cell, Outcome | None]]) -> dict[str, Any]:
    """The event that closes a configuration's run."""
    outs = [out for _, out in cells if out is not None and out.status == "complete"]
    values: dict[str, float] = {}
    for key in sorted({key for out in outs for key in out.values if key.startswith("test/")}):
        numbers = [out.values[key] for out in outs if key in out.values]
        values[f"mean/{key}"] = statistics.fmean(numbers)
        if len(numbers) > 1:
            values[f"sd/{key}"] = statistics.stdev(numbers)
    return {
        "event": "arm_end",
        "arm": signature,
        "name": name,
        "cells": {str(cell.seed): cell.key for cell, _ in cells},
        "values": values,
        "tags": {"ablate.role": role},
        "at": now(),
    }


def closing_tags(study: Study, result: "Result", status: str) -> dict[str, str]:
    """What the study's run says at its end."""
    shown = {"ablate.failed": str(len(result.failed)), "ablate.ran": str(result.ran)}
    if study.plan is not None:
        shown[GIVEN_UP] = json.dumps(result.given_up)
    return shown | ({"ablate.plan": plan(study)} if status == "complete" else {})
