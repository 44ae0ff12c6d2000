"""One cell on two ranks (gloo, no Ray): ranks equal, the result that of one worker, restarts exact, faults shared."""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ablate.errors import NonFinite
from ablate.registry import LOSSES
from ablate.training import checkpoint
from ablate.training.cell import run_cell

EXTRA = {"scc": 1.0, "cyclic": 0.1, "mi": 1.0}
BOUND = {"recon": 1.0, "kl_f": 1.0, "kl_z": 1.0}
CASES = {
    "all": BOUND | EXTRA,
    "watched": BOUND | dict.fromkeys(EXTRA, 0.0),  # weight 0: computed on validation batches only
    "prior without gradient": BOUND | {"kl_z": 0.0},
    "prior without a term": {"recon": 1.0, "kl_f": 1.0},
}
EPOCHS = 5  # of 4 steps
DATA = {"name": "simvowels", "utterances": [8, 6, 6], "segments": 20}
pytestmark = pytest.mark.slow


def configuration(folder: str, weights: dict[str, float], precision: str = "float64") -> dict[str, Any]:
    """A cell of 20 steps with these terms."""
    trial = {
        "data": DATA,
        "model": {"name": "dsae"},
        "loss": {name: {"weight": weight} for name, weight in weights.items()},
        "train": {"epochs": EPOCHS, "batch_size": 32, "precision": precision},
    }
    return {"trial": trial, "cell": "c" * 64, "folder": folder}


class Run:
    """What one rank saw of a cell: its reports, and its weights at the end."""

    def __init__(self, config: dict[str, Any], rank: int = 0, world: int = 1, until: int | None = None):
        """`until`: stop, as a killed process would, before the report of this epoch is sent."""
        self.reports: list[dict[str, Any]] = []
        self.until = until
        wrap = partial(DistributedDataParallel, find_unused_parameters=True) if world > 1 else lambda step: step
        run_cell(config, self.report, rank, world, lambda step: wrap(self.keep(step)))

    def keep(self, step: nn.Module) -> nn.Module:
        self.step = step
        return step

    def report(self, values: dict[str, Any]) -> None:
        if values["epoch"] == self.until:
            raise KeyboardInterrupt
        self.reports.append(values)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return self.step.state_dict()

    def kept(self) -> dict[str, Any]:
        return {"weights": self.weights, "reports": self.reports}


def broken(model: Any, batch: Any, out: Any, *, options: Any) -> torch.Tensor:
    """A term that is not a number in the third epoch, for the sequences of rank 1 only."""
    bad = batch.draw.index[0] >= 8 and batch.draw.rows.start > 0
    return out.sample["f"].sum(1) * (float("nan") if bad else 1.0)


def rank_of_two(rank: int, meeting: str, folder: str) -> None:
    """Everything that the tests ask of two ranks, in one start of the processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for name, weights in CASES.items():
        found[name] = Run(configuration(f"{folder}/{name}", weights), rank, 2).kept()
    found["float32"] = Run(configuration(f"{folder}/float32", CASES["all"], "float32"), rank, 2).kept()
    interrupted = configuration(f"{folder}/interrupted", CASES["all"])
    with pytest.raises(KeyboardInterrupt):
        Run(interrupted, rank, 2, until=3)
    found["continued"] = Run(interrupted, rank, 2).kept()
    LOSSES("broken", needs={"static"})(broken)
    with pytest.raises(NonFinite) as raised:
        Run(configuration(f"{folder}/broken", BOUND | {"broken": 0.1}), rank, 2)
    found["broken"] = (str(raised.value), checkpoint.last_epoch(Path(f"{folder}/broken"), "c" * 64))
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both ranks found."""
    folder = tmp_path_factory.mktemp("ranks")
    context = torch.multiprocessing.spawn(rank_of_two, (f"{folder}/meet", str(folder)), nprocs=2, join=False)
    try:
        deadline = time.monotonic() + 240
        while not context.join(10):  # True when both have ended; raises what one of them raised
            assert time.monotonic() < deadline, "two ranks have not ended in 240 s"
    finally:
        for process in context.processes:
            process.kill()
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]


def alone(weights: dict[str, float], precision: str = "float64") -> dict[str, Any]:
    """The same cell on one worker."""
    with tempfile.TemporaryDirectory() as folder:
        return Run(configuration(folder, weights, precision)).kept()


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of all weights, relative to the norm of the weights."""
    flat = [torch.cat([value.double().flatten() for value in its.values()]) for its in (a, b)]
    return float((flat[0] - flat[1]).norm() / flat[1].norm())


@pytest.mark.parametrize("case", [*CASES, "float32", "continued"])
def test_both_ranks_hold_the_same_weights_bitwise(ranks: list[dict[str, Any]], case: str):
    first, second = (its[case]["weights"] for its in ranks)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("case", CASES)
def test_two_workers_train_what_one_worker_trains(ranks: list[dict[str, Any]], case: str):
    expected = alone(CASES[case])
    assert distance(ranks[0][case]["weights"], expected["weights"]) < 1e-9
    for ours, its in zip(ranks[0][case]["reports"], expected["reports"], strict=True):
        for name in its.keys() - {"at"}:
            if not name.startswith("system/"):
                assert ours[name] == pytest.approx(its[name], rel=1e-6, abs=1e-9), (its["epoch"], name)


def test_single_precision_agrees_to_rounding(ranks: list[dict[str, Any]]):
    assert distance(ranks[0]["float32"]["weights"], alone(CASES["all"], "float32")["weights"]) < 1e-5


def test_a_prior_without_gradient_stays_where_it_began(ranks: list[dict[str, Any]]):
    moved, left = (ranks[0][case]["weights"] for case in ("all", "prior without gradient"))
    prior = [name for name in left if name.startswith("model.prior")]
    assert prior
    assert all(torch.equal(left[name], ranks[0]["prior without a term"]["weights"][name]) for name in prior)
    assert not any(torch.equal(left[name], moved[name]) for name in prior)


def test_a_watched_term_changes_nothing_on_two_workers(ranks: list[dict[str, Any]]):
    plain, watched = alone(BOUND), ranks[0]["watched"]
    assert distance(watched["weights"], plain["weights"]) < 1e-9
    assert all("valid/scc" in its and "train/scc" not in its for its in watched["reports"])


def test_a_run_that_was_cut_ends_as_the_one_that_was_not(ranks: list[dict[str, Any]]):
    for its in ranks:
        whole, continued = its["all"], its["continued"]
        assert all(torch.equal(whole["weights"][name], value) for name, value in continued["weights"].items())
        assert [report["epoch"] for report in continued["reports"]] == [1, 2, 3, 4, 5]
        assert [r["objective"] for r in continued["reports"]] == [r["objective"] for r in whole["reports"]]


def test_both_ranks_name_the_term_that_one_of_them_lost(ranks: list[dict[str, Any]]):
    assert [its["broken"] for its in ranks] == [("nan: broken, epoch 3", 2)] * 2
