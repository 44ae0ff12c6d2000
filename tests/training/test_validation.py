"""Validation: its units, when metrics are measured, and values that are not finite."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.errors import NonFinite
from ablate.training.batches import shares
from ablate.training.cell import build_step
from ablate.training.usage import Usage
from ablate.training.validation import mean_terms, score, validate

from .cells import BOUND, CPU, Register, cell, data, place, plain, run, same, state, term, trial

__all__ = ["term"]


def test_metrics_are_measured_in_the_first_the_nth_and_the_last_epoch(tmp_path: Path) -> None:
    values = plain(epochs=5) | {"metrics": {"every": 3}}
    assert ["valid/r2" in report for report in run(cell(values, tmp_path))] == [True, False, True, False, True]


def test_validation_does_not_depend_on_the_batch_size_beyond_rounding() -> None:
    values = []
    for size in (3, 16, 1000):
        its = trial(precision="float64", batch_size=size)
        step = build_step(its, data(), CPU).eval()
        values.append(mean_terms(step, data().valid, data().train.n, its, place())["kl_f"])  # draws nothing
    assert values[0] == pytest.approx(values[1], rel=1e-12) and values[1] == pytest.approx(values[2], rel=1e-12)


def test_validation_weighs_every_window_alike() -> None:
    its = trial(precision="float64", batch_size=9)  # 40 windows: batches of 8
    step = build_step(its, data(), CPU).eval()
    x = data().valid.x(slice(None)).double()
    q = step.model.encode_static(x)
    by_hand = 0.5 * (q.mean**2 + q.logvar.exp() - 1 - q.logvar).sum(-1).mean()
    found = score(step, data(), its, place(), "valid", 1)
    assert found["valid/kl_f"] == pytest.approx(by_hand.item() / 10, rel=1e-9)


def test_validation_repeats_itself_and_leaves_training_alone() -> None:
    its = trial()
    step = build_step(its, data(), CPU)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, other = (score(step, data(), its, place(), "valid", 1) for _ in range(2))
    assert same(one, other) and torch.equal(torch.get_rng_state(), before)


def only_in_validation(value: float) -> Callable[..., Tensor]:
    return lambda model, batch, out, *, options: (
        out.sample["z"].flatten(1).sum(1) * 0 + (value if batch.draw.prefix else 1.0)
    )


def test_a_trained_term_that_fails_on_the_validation_split_is_named(tmp_path: Path, term: Register) -> None:
    term("odd", only_in_validation(math.inf))
    with pytest.raises(NonFinite, match=r"^nan: odd, epoch 1$"):
        run(cell(plain(BOUND | {"odd": {"weight": 1}}), tmp_path))


def test_a_term_that_is_only_watched_ends_no_run(tmp_path: Path, term: Register) -> None:
    term("odd", only_in_validation(math.nan))
    reports = run(cell(plain(BOUND | {"odd": {"weight": 0}}), tmp_path / "watched"))
    assert reports[-1]["complete"] and all(math.isnan(its["valid/odd"]) for its in reports)
    assert same(state(tmp_path / "watched")["model"], _absent(tmp_path))


def _absent(folder: Path) -> dict[str, Any]:
    run(cell(plain(), folder / "absent"))
    model: dict[str, Any] = state(folder / "absent")["model"]
    return model


def test_codes_that_are_not_finite_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    its = trial()
    step = build_step(its, data(), CPU)
    monkeypatch.setattr("ablate.training.validation.evaluate", lambda *_: {"posterior_f": math.nan})
    with pytest.raises(NonFinite, match=r"^nan: posterior_f, epoch 3$"):
        validate(step, data(), its, place(), 3, Usage())


def test_the_bound_knows_nothing_of_free_bits() -> None:
    """The same weights under a floor that no KL reaches: the training term is the floor, the validated bound is not."""
    floor = {name: {"weight": 1.0, "options": {"free_bits": 50.0}} for name in ("kl_f", "kl_z")}
    plainly, freely = (build_step(trial(loss), data(), CPU) for loss in (BOUND, BOUND | floor))
    one, other = (score(step, data(), trial(), place(), "valid", 1) for step in (plainly, freely))
    assert {key: one[key] for key in ("valid/elbo", "valid/kl_f", "valid/kl_z")} == {
        key: other[key] for key in ("valid/elbo", "valid/kl_f", "valid/kl_z")
    }
    batch = next(iter(shares(data().train, trial(), place(), 0)))
    trained = freely.train()(batch)
    assert trained["kl_f"].unique().item() == 50 * freely.model.f_dim
    assert trained["kl_z"].unique().item() == 50 * freely.model.z_dim * batch.x.shape[1]
