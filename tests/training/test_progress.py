"""Which epoch is best, and when a run ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import Mistake
from ablate.training.progress import Progress, advance, direction, ended

from .cells import BOUND, cell, plain, run, trial


def history(config: Any, values: list[dict[str, float]]) -> list[Progress]:
    """The progress after each epoch of given values."""
    progress, found = Progress(), []
    for its in values:
        advance(progress, its, config)
        found.append(replace(progress))
    return found


def elbos(*values: float) -> list[dict[str, float]]:
    return [{"valid/elbo": value, "valid/eer_f": value} for value in values]


def test_best_follows_the_selected_metric_and_mode() -> None:
    found = history(trial(select="valid/elbo"), elbos(1, 3, 2, 3, 4))
    assert [(its.best, its.best_epoch) for its in found] == [(1, 1), (3, 2), (3, 2), (3, 2), (4, 5)]
    found = history(trial(select="valid/eer_f", select_mode="min"), elbos(1, 3, 0.5))
    assert [(its.best, its.best_epoch) for its in found] == [(1, 1), (1, 1), (0.5, 3)]


def test_an_epoch_without_the_metric_changes_no_best() -> None:
    found = history(trial(select="valid/gap"), [{"valid/gap": 1.0}, {}, {"valid/gap": 2.0}, {}])
    assert [its.best for its in found] == [1, 1, 2, 2]
    assert found[-1].best_epoch == 3


def warm(end: float, **train: Any) -> Any:
    """A cell whose KL of z grows until that many epochs are over."""
    return trial(BOUND | {"kl_z": {"weight": 1, "warmup": {"end": end}}}, **train)


def test_an_epoch_whose_weights_were_growing_is_never_preferred() -> None:
    """Epochs 1 and 2 begin before the weight is 1: each gives way to the next, and the second to the third."""
    gaps = [{"valid/gap": value} for value in (9.0, 8.0, 1.0, 0.5, 2.0)]
    found = history(warm(2, select="valid/gap"), gaps)
    assert [(its.best, its.best_epoch) for its in found] == [(9, 1), (8, 2), (1, 3), (1, 3), (2, 5)]
    found = history(warm(1.5, select="valid/gap"), gaps)
    assert [its.best_epoch for its in found] == [1, 2, 3, 3, 5]
    assert [its.best_epoch for its in history(warm(9, select="valid/gap"), gaps)] == [1, 2, 3, 4, 5]
    assert [its.best_epoch for its in history(trial(select="valid/gap"), gaps)] == [1, 1, 1, 1, 1]
    gaps[1:3] = [{}, {}]  # measured every few epochs
    assert [its.best_epoch for its in history(warm(2, select="valid/gap"), gaps)] == [1, 1, 1, 4, 5]


def test_the_bound_is_measured_at_full_weights_in_every_epoch() -> None:
    assert [its.best_epoch for its in history(warm(3), elbos(5, 4, 3, 2))] == [1, 1, 1, 1]


def test_patience_forgets_what_it_saw_while_weights_were_growing() -> None:
    config = warm(2, select="valid/elbo", stop_on="valid/eer_f", patience=2, epochs=9)
    found = history(config, elbos(0.1, 0.2, 0.9, 0.8, 0.85, 0.9))
    assert [its.stale for its in found] == [0, 0, 0, 0, 1, 2] and found[-1].stop_best == 0.8


def test_patience_counts_epochs_without_a_better_bound() -> None:
    config = trial(epochs=20, patience=2)
    found = history(config, elbos(1, 3, 2, 3, 4, 3, 2))
    assert [its.stale for its in found] == [0, 0, 1, 2, 0, 1, 2]
    assert [ended(its, config) for its in found] == [False, False, False, True, False, False, True]


def test_patience_waits_for_the_warm_ups_of_trained_terms() -> None:
    loss = BOUND | {"kl_z": {"weight": 1, "warmup": {"end": 4}}, "scc": {"weight": 0, "warmup": {"end": 9}}}
    found = history(trial(loss, patience=2), elbos(5, 1, 1, 1, 1))
    assert [its.stale for its in found] == [0, 0, 0, 1, 2]


def test_patience_watches_what_it_is_told_to_in_its_own_direction() -> None:
    config = trial(patience=1, stop_on="valid/eer_f")
    assert [its.stale for its in history(config, elbos(3, 2, 4))] == [0, 0, 1]
    assert [its.stale for its in history(trial(patience=1), elbos(3, 2, 4))] == [0, 1, 0]


@pytest.mark.parametrize(
    ("metric", "mode"),
    [(f"valid/{name}", "max") for name in ("elbo", "probe_gap", "r2", "swap_accuracy", "mig")]
    + [(f"valid/{name}", "min") for name in ("recon", "kl_f", "kl_z", "scc", "cyclic", "mi", "total")]
    + [(f"valid/{name}", "min") for name in ("eer_f", "eer_z", "mse_per_frame", "mpjpe", "si_sdr_notch", "clamped")]
    + [(f"valid/{name}", "max") for name in ("si_sdr", "si_sdr_median", "swap_nearest_at")],
)
def test_direction_of_a_metric(metric: str, mode: str) -> None:
    assert direction(metric) == mode


def test_a_run_that_loses_patience_ends_complete(tmp_path: Path) -> None:
    values = plain(epochs=9, patience=2, select="valid/recon", select_mode="max", stop_on="valid/recon")
    reports = run(cell(values, tmp_path, test=True))
    assert [its["epoch"] for its in reports] == [1, 2, 3]
    assert reports[-1]["complete"] and reports[-1]["best_epoch"] == 1 and "test/elbo" in reports[-1]


def test_a_metric_that_is_not_measured_is_named(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"valid/pitch_gap, which the best epoch is chosen by, is not measured here"):
        run(cell(plain(select="valid/pitch_gap"), tmp_path / "select"))
    with pytest.raises(Mistake, match=r"valid/pitch_gap, which patience watches, is not measured here"):
        run(cell(plain(stop_on="valid/pitch_gap", patience=1), tmp_path / "stop"))
