"""What a sweep says at its end, and what it leaves on the study's run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ablate.data.dataset import Data
from ablate.metrics.evaluate import baselines, evaluate
from ablate.records import LEVELS
from ablate.reporting.ablation import Ablation
from ablate.reporting.cells import CellRow, swept_rows
from ablate.reporting.confirmed import confirmation
from ablate.reporting.effects import BESIDE, levels_from
from ablate.reporting.question import Question
from ablate.reporting.terminal import closing, confirmation_markdown
from ablate.search.result import Result
from ablate.study import Study
from ablate.tracking import CUT
from ablate.training.cell import build_step, likelihood, prepare_process

SHOWN = ("train/total", "valid/elbo", "valid/probe_gap")


def show(study: Study, result: Result, console: Console) -> tuple[str, ...]:
    """Tables, failures, what waits, and how to go on; returns what is wrong with the design itself."""
    faults: tuple[str, ...] = ()
    rows, question = rows_of(study, result), Question.of(study.plain())
    if rows and not result.interrupted and question.plan is not None:
        its = Ablation.of(question, rows, result.given_up)
        its.show(console)
        faults = its.faults
    elif rows and not result.interrupted:
        closing(console, question, rows, levels_from(result.levels))
    for line in result.failed:
        console.print(f"failed  {line}", markup=False, highlight=False, soft_wrap=True)
    if result.backlog:
        console.print(
            f"{result.backlog} records wait in {study.tracking.folder}/{study.name}/spool; any ablate command on this "
            "study delivers them",
            markup=False,
            soft_wrap=True,
        )
    if result.interrupted:
        console.print(f"stopped: {result.interrupted}", markup=False, soft_wrap=True)
        console.print(f"go on with: {command_to_resume(study)}", markup=False, soft_wrap=True)
    elif not result.ran:
        console.print("nothing was left to run: every cell is in the record")
    return faults


def command_to_resume(study: Study) -> str:
    """`ablate resume`, or `ablate sweep` where the study was stopped before anything was written."""
    folder = Path(study.tracking.folder)
    if not (folder / study.name / "study.yaml").exists():
        return f"ablate sweep {study.source}" + "".join(f" --set {its}" for its in study.overrides)
    return f"ablate resume {study.name}" + ("" if folder == Path("runs") else f" --folder {folder}")


def rows_of(study: Study, result: Result) -> list[CellRow]:
    """The rows of what a sweep holds in hand."""
    cells = [*result.found, *((cell, result.confirmed.get(cell.key)) for cell in result.cells)]
    return swept_rows(Question.of(study.plain()), cells, result.reused)


def leave(study: Study, result: Result, data: Data) -> list[dict[str, Any]]:
    """Events for the study's run at the end of a sweep: its tables as files, and the levels beside a confirmation."""
    if study.plan is not None:
        its = Ablation.of(Question.of(study.plain()), rows_of(study, result), result.given_up)
        files = {"effects.md": its.page(), "effects.csv": its.csv(), "effects.tex": its.latex()}
        return [{"event": "text", "text": text, "file": name} for name, text in files.items()]
    if not result.cells:
        return []
    seeds = study.search.confirm.seeds if study.search and study.search.confirm else ()
    result.levels = measure_levels(study, data, seeds)
    question, rows = Question.of(study.plain()), rows_of(study, result)
    confirmed = confirmation(question, rows)
    if confirmed is None:
        return []
    page = confirmation_markdown(question, confirmed, rows, levels_from(result.levels))
    events: list[dict[str, Any]] = [{"event": "text", "text": page, "file": "confirm.md"}]
    kept = json.dumps(result.levels, separators=(",", ":"))
    if len(kept) <= CUT["tag"]:  # of more than some 80 seeds they stand in confirm.md alone
        events.append({"event": "tags", "tags": {LEVELS: kept}})
    return events


def measure_levels(study: Study, data: Data, seeds: Sequence[int]) -> dict[str, dict[str, list[float]]]:
    """Test scores that no training explains: the raw features, and the default's untrained encoder on each seed.

    Of the metrics that tables show beside the one that decides, to six digits.
    """
    untrained: dict[str, list[float]] = {}
    prepare_process(study.base)
    for seed in seeds:
        trial = study.base.replace({"train.seed": seed, "train.init_from": None})
        model = build_step(trial, data, torch.device("cpu")).model
        for name, value in evaluate(model, data, "test", None, seed, likelihood=likelihood(trial)).items():
            untrained.setdefault(name, []).append(value)
    raw = {name: [value] for name, value in baselines(data, "test").items()}
    return {"untrained encoder": shown(untrained), "raw features": shown(raw)}


def shown(values: dict[str, list[float]]) -> dict[str, list[float]]:
    """What tables show of these metrics."""
    return {name: [float(f"{value:.6g}") for value in its] for name, its in values.items() if name in BESIDE}


def show_epoch(report: dict[str, Any], console: Console) -> None:
    """One line per epoch, for `ablate train`."""
    values = [f"{name} {report[name]:.4f}" for name in SHOWN if name in report]
    tests = [f"{name} {value:.4f}" for name, value in report.items() if name in ("test/elbo", "test/probe_gap")]
    console.print(f"epoch {report['epoch']:>3}  " + "  ".join([*values, *tests]), highlight=False)
