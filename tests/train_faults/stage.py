"""Studies with two workers per trial, run by `ablate sweep` on a Ray cluster that the test owns and can look into."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults.scene import NAME, Running, Scene, epoch, until

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

EPOCHS = 8
LIMIT = 600.0  # seconds; a group of two workers takes ten to start, and half a minute on a machine that has other work
STUDY = """\
name: {name}
data: {{name: simvowels, utterances: [8, 6, 6], segments: 20}}
model: {{name: dsae, hidden: 8, f_dim: 4, z_dim: 2}}
loss: {{recon: 1, kl_f: 1, kl_z: 1, fault: {{weight: 1, options: {{{fault}}}}}}}
train: {{epochs: {epochs}, batch_size: 32}}
search: {{{search}}}
resources: {{workers: {workers}, cpus_per_worker: {cpus}}}
tracking: {{optuna: {journal}}}
"""
GRID = "algorithm: grid, metric: valid/recon, mode: min"


class Stage:
    """One study: the sweep that runs it, who trains, and what Ray is left with."""

    def __init__(self, folder: Path, migrated: Path, cluster: "Cluster | None" = None, **options: Any):
        """`options`: of the study's text; `fault` those of the term, `search` the section."""
        self.log, self.journal, self.cluster = folder / "who", folder / "optuna.journal", cluster
        its = {"search": GRID, "epochs": EPOCHS, "workers": 2, "cpus": 1} | options
        its["fault"] = f"log: {self.log}, {its['fault']}"
        text = STUDY.format(name=NAME, journal=self.journal, **its)
        self.scene = Scene(folder / "scene", migrated, text, ABLATE_RECORD_WAIT="5", ABLATE_DASHBOARD="1")
        self.epochs = its["epochs"]
        self.sweep: Running | None = None

    def start(self, *words: str) -> Running:
        """Begin the sweep, on the cluster where there is one."""
        at = ["--address", self.cluster.address] if self.cluster else []
        self.sweep = self.scene.start("sweep", "study.yaml", *at, *words)
        return self.sweep

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait while the sweep runs."""
        assert self.sweep is not None
        return self.sweep.until(condition, what, LIMIT)

    def end(self) -> int:
        """Exit status of the sweep."""
        assert self.sweep is not None
        return self.sweep.end(LIMIT)

    @property
    def output(self) -> str:
        assert self.sweep is not None
        return self.sweep.output

    # ---- who trains

    def started(self, kind: str = "none") -> list[tuple[int, int]]:
        """(rank, pid) of every worker process that has trained a step of this kind, in order."""
        if not self.log.exists():
            return []
        lines = [line.split() for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [(int(rank), int(pid)) for its, rank, pid in lines if its == kind]

    def pid(self, rank: int, number: int = 0) -> int | None:
        """Worker process of a rank in the group of this number, once it trains."""
        pids = [pid for its, pid in self.started() if its == rank]
        return pids[number] if len(pids) > number else None

    def cell(self, number: int = 0) -> Path | None:
        """Folder of the cell of this number, once it is there."""
        cells = self.scene.cells()
        return cells[number] if len(cells) > number else None

    def reached(self, at_least: int, number: int = 0) -> bool:
        """Whether the checkpoint of a cell has so many epochs."""
        its = self.cell(number)
        return its is not None and epoch(its) >= at_least

    def kill(self, pid: int) -> None:
        """SIGKILL to one process, while the cell still trains."""
        cell = self.cell(len(self.scene.cells()) - 1)
        assert cell is not None and epoch(cell) < self.epochs, "too late: the cell has ended"
        os.kill(pid, signal.SIGKILL)

    def weights(self) -> dict[int, set[tuple[int, str]]]:
        """Epochs done -> (rank, digest of its weights) of every process that went on from there."""
        found: dict[int, set[tuple[int, str]]] = {}
        for line in Path(f"{self.log}.weights").read_text().splitlines():
            done, rank, digest = line.split()
            found.setdefault(int(done), set()).add((int(rank), digest))
        return found

    # ---- what is left

    def assert_each_epoch_once(self, cells: int) -> None:
        """The record holds every epoch of every cell once, whatever was repeated or tried again."""
        runs = self.scene.tags()
        assert len(runs) == cells == len({tags["ablate.cell"] for tags in runs})
        once = list(range(1, self.epochs + 1))
        for tags in runs:
            steps = self.scene.steps(tags["run"])
            assert {"objective", "valid/elbo", "train/total"} <= set(steps)
            assert all(found in (once, [self.epochs]) for found in steps.values()), steps
            assert tags["status"] == "FINISHED" and steps["objective"] == once

    def groups(self) -> list[str]:
        """Names of the placement groups of workers that the cluster holds."""
        assert self.cluster is not None
        table = self.cluster.global_state.placement_group_table().values()
        return [its["name"] for its in table if its["name"] and its["state"] != "REMOVED"]


def states(cluster: "Cluster") -> dict[str, str]:
    """Placement group -> state, from the GCS."""
    return {key: its["state"] for key, its in cluster.global_state.placement_group_table().items()}


def all_removed(cluster: "Cluster") -> None:
    """No placement group is left; the last one may take a moment to go."""
    until(lambda: set(states(cluster).values()) == {"REMOVED"}, f"all groups REMOVED: {states(cluster)}", 20)
