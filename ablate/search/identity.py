"""Which study a name stands for: what may change between two runs of it, and what makes it another question."""

import base64
import json
import statistics
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.errors import Mistake
from ablate.records import StudyRecord, now
from ablate.search.events import compact
from ablate.signature import leaves, sha256
from ablate.study import Study

if TYPE_CHECKING:
    from ablate.search.result import Result

FREE = ("tracking", "base.resources", "base.train.wall_limit", "search.trials", "search.confirm.seeds")


def design(study: Study) -> dict[str, Any]:
    """Dotted path -> value of everything the study asks."""
    return flatten(study.plain())


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by dotted path; lists are leaves."""
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def free(path: str) -> bool:
    """Whether the leaf may change without making another question."""
    return any(path == its or path.startswith(its + ".") for its in FREE)


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
    moved = elsewhere(study)
    return sha256(
        compact({path: value for path, value in design(study).items() if not free(path) and path not in moved})
    )


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
    if known.digest == digest(study) or not known.tags.get("ablate.design"):
        return
    old, new = flatten(unpack(known.tags["ablate.design"])), design(study)
    sentences = []
    for path in sorted((set(old) | set(new)) - elsewhere(study)):
        if free(path) or old.get(path) == new.get(path):
            continue
        name = path.removeprefix("base.").removeprefix("space.")
        was, now_ = (compact(its[path]) if path in its else "absent" for its in (old, new))
        sentences.append(
            f"study {study.name!r} is in the record with {name} = {was}, this file has {now_}; another question needs "
            "another name (finished cells are reused), or --fresh to begin anew"
        )
    if sentences:
        raise Mistake(*sentences)


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
    return sha256(digest(study) + compact([its.get("search.trials"), its.get("search.confirm.seeds")]))


def keep_file(study: Study, folder: Path) -> None:
    """`study.yaml` as given, its `--set`s as comments behind it, and the baseline files it names beside it."""
    overrides = "".join(f"# --set {its}\n" for its in study.overrides)
    text = study.text if study.text.endswith("\n") else study.text + "\n"
    target = folder / "study.yaml"
    if target.resolve() != study.source.resolve():
        target.write_text(text + overrides)
    confirm = study.search.confirm if study.search else None
    for name in confirm.against if confirm else ():
        source = next((its for its in (Path(name), study.source.parent / name) if its.exists()), None)
        copy = (folder / name).resolve()
        if (
            source is not None
            and not Path(name).is_absolute()
            and copy.is_relative_to(folder)
            and copy != source.resolve()
        ):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(source.read_text())


def kept_file(folder: Path) -> tuple[Path, list[str]]:
    """The study file of an earlier run and its `--set`s; raises Mistake where there is none."""
    file = folder / "study.yaml"
    if not file.exists():
        raise Mistake(
            f"there is no study in {folder} (no study.yaml); name one of `ablate status`, or give its --folder"
        )
    marks = [line.removeprefix("# --set ") for line in file.read_text().splitlines() if line.startswith("# --set ")]
    return file, marks


def arm_ends(result: "Result") -> list[dict[str, Any]]:
    """Mean and sd over the seeds of each confirmed configuration, on its run."""
    events = []
    for chosen in result.chosen:
        cells = [cell for cell in result.cells if cell.name == chosen.name]
        outs = [out for cell in cells if (out := result.confirmed.get(cell.key)) and out.status == "complete"]
        values: dict[str, float] = {}
        for key in sorted({key for out in outs for key in out.values if key.startswith("test/")}):
            numbers = [out.values[key] for out in outs if key in out.values]
            values[f"mean/{key}"] = statistics.fmean(numbers)
            if len(numbers) > 1:
                values[f"sd/{key}"] = statistics.stdev(numbers)
        events.append(
            {
                "event": "arm_end",
                "arm": cells[0].signature,
                "name": chosen.name,
                "cells": {str(cell.seed): cell.key for cell in cells},
                "values": values,
                "tags": {"ablate.role": chosen.role},
                "at": now(),
            }
        )
    return events


def closing_tags(study: Study, result: "Result", status: str) -> dict[str, str]:
    """What the study's run says at its end."""
    shown = {"ablate.failed": str(len(result.failed)), "ablate.ran": str(result.ran)}
    return shown | ({"ablate.plan": plan(study)} if status == "complete" else {})
