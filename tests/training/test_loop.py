"""The loop: what is trained and what only watched, what a report holds, limits, gradients and the optimiser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.training import checkpoint
from ablate.training.cell import build_step
from ablate.training.loop import WallLimit, gradient_norm, make_optimiser
from ablate.training.usage import Usage
from ablate.training.watch import Watch

from .cells import BOUND, CELL, CPU, EXTRA, cell, common, data, plain, run, same, state, trial


def without(name: str) -> dict[str, Any]:
    return {key: its for key, its in BOUND.items() if key != name}


@pytest.mark.parametrize("name", [*BOUND, *EXTRA])
def test_a_term_at_weight_0_leaves_training_bitwise_alone(tmp_path: Path, name: str) -> None:
    absent = run(cell(plain(without(name), epochs=3), tmp_path / "absent"))
    watched = run(cell(plain(without(name) | {name: {"weight": 0.0}}, epochs=3), tmp_path / "watched"))
    one, other = state(tmp_path / "absent"), state(tmp_path / "watched")
    assert same(one["model"], other["model"]) and same(one["optimiser"], other["optimiser"])
    own = {f"valid/{name}", f"weight/{name}"}
    bound = {"valid/elbo", "objective", "best_epoch"} if name in BOUND else set()  # the bound counts the watched term
    for before, after in zip(absent, watched, strict=True):
        assert set(after) - set(before) == own
        assert same(*({k: v for k, v in common(its).items() if k not in own | bound} for its in (before, after)))
        assert after[f"weight/{name}"] == 0


def test_a_watched_term_with_options_and_warm_up_changes_no_patience(tmp_path: Path) -> None:
    train = {"epochs": 6, "patience": 1, "stop_on": "valid/recon", "select": "valid/recon", "select_mode": "max"}
    absent = run(cell(plain(**train), tmp_path / "absent"))
    loss = BOUND | {"scc": {"weight": 0, "options": {"margin": 3}, "warmup": {"end": 5}}}
    assert len(run(cell(plain(loss, **train), tmp_path / "watched"))) == len(absent) == 2


def test_reports_name_every_term_weight_and_measure(tmp_path: Path) -> None:
    loss = {"recon": {"weight": 2}, "kl_f": {}, "kl_z": {"weight": 1, "warmup": {"end": 4}}, "scc": {"weight": 0}}
    values = plain(loss, epochs=3)
    values["loss"]["beta"] = 5
    values["metrics"] = {"every": 2}
    reports = run(cell(values, tmp_path))
    for number, report in enumerate(reports, 1):
        assert report["epoch"] == number
        weights = {key: its for key, its in report.items() if key.startswith("weight/")}
        assert weights == {"weight/recon": 2, "weight/kl_f": 5, "weight/kl_z": 5 * number / 4, "weight/scc": 0}
        terms = {key for key in report if key.startswith("train/")}
        assert terms == {f"train/{name}" for name in ("recon", "kl_f", "kl_z", "total", "gradient_norm")}
        assert {f"valid/{name}" for name in ("recon", "kl_f", "kl_z", "scc", "elbo", "total")} < set(report)
        assert report["valid/elbo"] == pytest.approx(-sum(report[f"valid/{name}"] for name in BOUND))
        raw = {name: report[f"valid/{name}"] * 10 for name in BOUND}  # windows of 10 frames
        assert report["valid/total"] == pytest.approx(2 * raw["recon"] + 5 * raw["kl_f"] + 5 * raw["kl_z"])
        assert report["at"] > 1.6e12
    measured = ["valid/r2" in report for report in reports]
    assert measured == [True, True, True]  # the first, every second, and the last


def test_training_values_are_means_over_the_steps_of_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[dict[str, float], float, float]] = []
    see = Watch.see

    def spy(self: Watch, values: dict[str, Tensor], total: Tensor, norm: Tensor) -> None:
        seen.append(({name: its.mean().item() for name, its in values.items()}, total.item(), norm.item()))
        see(self, values, total, norm)

    monkeypatch.setattr(Watch, "see", spy)
    report = run(cell(plain(BOUND | {"scc": {"weight": 2}}, epochs=1), tmp_path))[0]
    assert len(seen) == data().train.n // 16
    assert report["train/kl_z"] == pytest.approx(np.mean([its[0]["kl_z"] for its in seen]) / 10)  # nats per frame
    assert report["train/scc"] == pytest.approx(np.mean([its[0]["scc"] for its in seen]))  # per sequence
    assert report["train/total"] == pytest.approx(np.mean([its[1] for its in seen]))
    assert report["train/gradient_norm"] == pytest.approx(np.mean([its[2] for its in seen]))
    assert seen[0][1] == pytest.approx(sum(seen[0][0][n] for n in BOUND) + 2 * seen[0][0]["scc"], rel=1e-5)


def test_warm_up_restarts_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    loss = BOUND | {"kl_z": {"weight": 1, "warmup": {"start": 1, "end": 3, "steps": 2}}}
    assert [its["weight/kl_z"] for its in run(cell(plain(loss), tmp_path))] == [0, 0.5, 1, 1]


def test_the_wall_limit_ends_a_run_after_its_checkpoint_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([10.0, 31.0, 62.0])
    monkeypatch.setattr(Usage, "values", lambda _: {"system/wall_seconds": next(seconds)})
    sent: list[int] = []
    with pytest.raises(WallLimit, match=r"31 s of training exceed train\.wall_limit 30 s"):
        run(cell(plain(wall_limit=30.0), tmp_path / "cut"), lambda report: sent.append(report["epoch"]))
    assert sent == [1, 2] and checkpoint.last_epoch(tmp_path / "cut", CELL) == 2


def test_a_run_over_its_wall_limit_in_its_last_epoch_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Usage, "values", lambda _: {"system/wall_seconds": 99.0})
    assert run(cell(plain(wall_limit=30.0, epochs=1), tmp_path))[-1]["complete"]


def test_seconds_of_training_add_up_over_restarts(tmp_path: Path) -> None:
    run(cell(plain(epochs=1), tmp_path))
    file = checkpoint.load(tmp_path, CELL)
    assert file is not None
    file["progress"] |= {"seconds": 500.0, "done": False, "epoch": 0, "reports": []}
    checkpoint.save(tmp_path, "last", file)
    assert 500 < run(cell(plain(epochs=1), tmp_path))[-1]["system/wall_seconds"] < 600


def test_clipping_scales_the_gradient_and_reports_its_norm_before() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    step = build_step(trial(), data(), CPU)
    step.model = model
    for clip, expected in ((None, [3, 4]), (10.0, [3, 4]), (1.0, [0.6, 0.8])):
        model.weight.grad = torch.tensor([[3.0, 4.0]])
        assert gradient_norm(step, clip).item() == 5
        assert model.weight.grad.flatten().tolist() == pytest.approx(expected)


def test_the_optimiser_is_adam_as_configured() -> None:
    optimiser = make_optimiser(build_step(trial(), data(), CPU), trial(lr=0.5, weight_decay=0.1, betas=[0.5, 0.9]))
    assert isinstance(optimiser, torch.optim.Adam)
    its = optimiser.param_groups[0]
    assert (its["lr"], its["betas"], its["weight_decay"], its["fused"]) == (0.5, (0.5, 0.9), 0.1, True)
