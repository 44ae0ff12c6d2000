"""Finds a trained run by what a user has in hand, and brings back its model, its configuration and its data."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ablate.data.dataset import Data, load_data
from ablate.errors import Mistake
from ablate.records import CellRecord, current
from ablate.reporting.status import find, names, record_of
from ablate.search.identity import unpack
from ablate.training import checkpoint
from ablate.training.cell import differing, prepare_process
from ablate.training.measures import build_model
from ablate.trial import Trial

BEST = "best.pt"


@dataclass(frozen=True)
class Place:
    """Where a run's weights and configuration are."""

    file: Path  # the checkpoint
    cell: str  # key of the cell, 64 hex
    trial: dict[str, Any]  # plain configuration


@dataclass(frozen=True)
class Run:
    """A trained run, ready to be asked."""

    file: Path  # its checkpoint
    digest: str  # SHA-256 of that file
    cell: str
    trial: Trial
    data: Data
    model: nn.Module


def open_run(name: str, folder: Path) -> Run:
    """The run of this name (see `locate`) with its best weights, on the CPU; prepares its data where they are not."""
    place = locate(name, folder)
    trial = Trial.from_plain(place.trial)
    owner, weights = checkpoint.owned_weights(place.file)
    if owner and owner != place.cell:
        raise Mistake(
            f"{place.file} is of another configuration than the one described beside it; train that one to its end, or "
            "name another run"
        )
    prepare_process(trial)
    data = load_data((trial.data.name, trial.data.options), progress=True)
    model: nn.Module = build_model(trial, data)
    wrong = differing(model, weights)
    if wrong:
        raise Mistake(
            f"the weights in {place.file} do not fit the model that its configuration and the present data make "
            f"({wrong[0]} differs); bring back the data that it was trained on"
        )
    model.load_state_dict(weights)
    model = model.double() if trial.train.precision == "float64" else model
    digest = hashlib.sha256(place.file.read_bytes()).hexdigest()
    return Run(place.file, digest, place.cell, trial, data, model.eval())


def locate(name: str, folder: Path) -> Place:
    """Where a run is that is named in one of these ways; raises Mistake where there is none, or several.

    A checkpoint file, or a folder that holds `best.pt`, as a path or below `folder` (`digits-train` of `ablate train`);
    `STUDY/LABEL`, the beginning of a cell's label being enough (`digits/1f2e3d4c-s1000`); the id of a run in MLflow;
    the name of a study, which stands for the best trial of its search.
    """
    for path in (Path(name).expanduser(), folder / name):
        if path.is_file() or (path / BEST).is_file():
            return described(path if path.is_file() else path / BEST)
    study, _, label = name.strip("/").rpartition("/")
    if study and (folder / study / "checkpoints").is_dir():
        return described(labelled(folder / study, label) / BEST)
    if name in names(folder):
        return of_record(best(folder, name), folder)
    return of_record(by_id(name, folder), folder)


def described(file: Path) -> Place:
    """A checkpoint and what is written beside it."""
    found = checkpoint.described(file.parent)
    if found is None:
        raise Mistake(
            f"beside {file} there is no {checkpoint.CONFIGURATION} that says what it is of, as runs of this version "
            "have it; train it again, or bring that file along with the checkpoint"
        )
    return Place(file, *found)


def labelled(study: Path, label: str) -> Path:
    """The folder of the one cell of a study whose label begins so."""
    there = sorted(its.parent.name for its in (study / "checkpoints").glob(f"*/{BEST}"))
    found = [its for its in there if its == label] or [its for its in there if its.startswith(label)]
    if len(found) == 1:
        return study / "checkpoints" / found[0]
    some = ", ".join((found or there)[:6]) + (", ..." if len(found or there) > 6 else "")
    which = f"{len(found)} runs" if found else "no run"
    raise Mistake(f"study {study.name} has {which} with a checkpoint whose label begins with {label!r} ({some})")


def best(folder: Path, study: str) -> CellRecord:
    """The best complete trial of a study's search."""
    record, known = find(folder, study)
    design = unpack(known.tags["ablate.design"]) if known.tags.get("ablate.design") else {}
    sign = -1 if ((design.get("search") or {}).get("mode") or ["max"])[0] == "min" else 1
    done = [
        its
        for its in current(record.cells(study, ("objective",)), known)
        if its.status == "complete" and "objective" in its.metrics and its.tags.get("ablate.role") == "search"
    ]
    if not done:
        raise Mistake(
            f"study {study!r} has no finished search whose best trial it could stand for; name one of its runs: "
            f"{study}/LABEL, with a label of {folder / study / 'checkpoints'}, or an id in MLflow"
        )
    return max(done, key=lambda its: sign * its.metrics["objective"])


def by_id(name: str, folder: Path) -> CellRecord:
    """The run with this id in the record of the folder."""
    ways = "a checkpoint, a folder with best.pt, STUDY/LABEL, a study, or the id of a run in MLflow"
    try:
        record = record_of(folder)
    except Mistake as reason:
        raise Mistake(f"there is no run {name!r} (a run is named by {ways}), and {reason}") from reason
    for its in record.cells(metrics=()):
        if its.run_id == name:
            return its
    raise Mistake(f"there is no run {name!r}; a run is named by {ways}")


def of_record(its: CellRecord, folder: Path) -> Place:
    """The checkpoint of a recorded run; a folder of studies that was moved is searched too."""
    noted = Path(its.tags.get("ablate.checkpoint", ""))
    for file in (noted, folder / its.study / "checkpoints" / noted.parent.name / BEST):
        if file.is_file():
            return described(file)
    raise Mistake(f"run {its.run_id} ({its.name}, {its.status}) has left no checkpoint: {noted} is not there")
