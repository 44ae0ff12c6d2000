"""A small study, and its record as a sweep of it would leave it: no training, invented scores."""

from pathlib import Path
from typing import Any

from ablate.config import load_study
from ablate.data.dataset import Data, load_data
from ablate.search import identity
from ablate.search.events import opening, provenance
from ablate.search.plan import Cell, Planner, cell_config
from ablate.spool import Spool
from ablate.study import Study
from ablate.tracking import Record
from ablate.writer import deliver

SMALL = """\
name: small
data: {name: simvowels, utterances: [20, 10, 10], segments: 6, window: 10, shift: 10}
model: {name: dsae, z_dim: {choice: [2, 4], default: 4}, f_dim: 4, hidden: 8}
loss:
  recon: {weight: 1, options: {likelihood: gaussian, variance: 0.3}}
  kl_f: 1
  kl_z: 1
  scc: {weight: {choice: [0, 1], default: 0}}
train: {epochs: 2, batch_size: 16}
search:
  algorithm: tpe
  trials: 3
  metric: valid/probe_gap
  mode: max
  confirm: {top: 1, seeds: 2, against: [baseline.yaml]}
"""
BASELINE = """\
name: baseline
data: {name: simvowels, utterances: [20, 10, 10], segments: 6, window: 10, shift: 10}
model: {name: vae, z_dim: 2, dense: [16]}
loss: {recon: {weight: 1, options: {likelihood: gaussian, variance: 0.3}}, kl_z: 1}
train: {epochs: 2, batch_size: 16}
"""
POINTS = ({"model.z_dim": 4, "loss.scc.weight": 0}, {"model.z_dim": 2, "loss.scc.weight": 0})
GAPS = (0.5, 0.4)


def files(folder: Path) -> Path:
    """Write the study and its baseline; the file of the study."""
    (folder / "baseline.yaml").write_text(BASELINE)
    (folder / "small.yaml").write_text(SMALL)
    return folder / "small.yaml"


def record_study(file: Path, folder: Path, record: Record, points: int = 2, complete: bool = False) -> Study:
    """Two searched and two confirmed cells, with best and last checkpoint files; `folder` is the study's."""
    study = load_study(file, [f"tracking.folder={folder.parent}"])
    data = load_data((study.base.data.name, study.base.data.options))
    planner = Planner(study, data.digest)
    folder.mkdir(parents=True, exist_ok=True)
    identity.keep_file(study, folder)
    run = record.open_study(study.name, identity.tags(study) | provenance(), identity.digest(study))
    spool = Spool(folder / "spool", "sweep")
    for point, gap in zip(POINTS[:points], GAPS, strict=False):
        write(spool, planner.searched(point), folder, data, {"objective": gap, "valid/probe_gap": gap})
    for seed in (1000, 1001):
        cell = planner.confirmed(study.base, "default", seed, POINTS[0], pictures=False)
        write(spool, cell, folder, data, {"objective": 0.5, "test/probe_gap": seed / 2000, "test/static_from_f": 0.9})
    if complete:
        spool.append({"event": "tags", "tags": {"ablate.plan": identity.plan(study)}})
        spool.append({"event": "end", "status": "complete", "at": 3000})
    spool.close()
    assert deliver(record, folder / "spool", study.name) == 0 and run
    return study


def write(spool: Spool, cell: Cell, folder: Path, data: Data, values: dict[str, float]) -> None:
    """The events of a cell that ended, and its checkpoint files."""
    config: dict[str, Any] = cell_config(cell, folder, "sweep", [])
    for event in opening(config, data):
        spool.append(event)
    address = {"cell": cell.key}
    spool.append({"event": "metrics", **address, "epoch": 2, "values": values | {"best_epoch": 2.0}, "at": 1000})
    spool.append({"event": "tags", **address, "tags": {"ablate.epochs": "2"}})
    spool.append({"event": "end", **address, "status": "complete", "at": 2000})
    place = Path(config["folder"])
    place.mkdir(parents=True)
    for name in ("best", "last"):
        (place / f"{name}.pt").write_bytes(b"weights" * 100)
