"""The loop: what is trained and what only watched, batches, validation, early stopping, limits, numbers gone bad."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.errors import Mistake, NonFinite
from ablate.random import permutation
from ablate.training import checkpoint
from ablate.training.batches import Place, shares
from ablate.training.cell import build_step
from ablate.training.loop import WallLimit, gradient_norm, make_optimiser
from ablate.training.progress import Progress, advance, direction, ended
from ablate.training.usage import Usage
from ablate.training.validation import mean_terms, score, validate
from ablate.training.watch import Watch

from .cells import BOUND, CELL, EXTRA, cell, common, data, plain, run, same, state, term, trial

__all__ = ["term"]
Term = Callable[[str, Callable[..., Tensor]], None]
CPU = torch.device("cpu")


def place(rank: int = 0, world: int = 1) -> Place:
    return Place(Path(), CELL, rank, world)


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


def test_metrics_are_measured_in_the_first_the_nth_and_the_last_epoch(tmp_path: Path) -> None:
    values = plain(epochs=5) | {"metrics": {"every": 3}}
    assert ["valid/r2" in report for report in run(cell(values, tmp_path))] == [True, False, True, False, True]


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


def test_batches_follow_the_order_stream_and_leave_an_incomplete_one_out() -> None:
    its, split = trial(batch_size=17, seed=3), data().train
    assert split.n % 17
    for epoch in (0, 2):
        batches = list(shares(split, its, place(), epoch))
        steps = split.n // 17
        rows = np.concatenate([batch.index.numpy() for batch in batches])
        assert np.array_equal(rows, permutation(split.n, 3, "order", epoch)[: steps * 17])
        assert [batch.draw.index for batch in batches] == [(epoch * steps + i,) for i in range(steps)]
        assert all(batch.x.shape == (17, 10, 12) and batch.n_train == split.n for batch in batches)
        assert torch.equal(batches[1].x, split.x(rows[17:34]))


def test_a_batch_larger_than_the_split_is_the_split() -> None:
    batches = list(shares(data().train, trial(batch_size=10_000), place(), 0))
    assert len(batches) == 1 and sorted(batches[0].index.tolist()) == list(range(data().train.n))
    assert batches[0].draw.batch == data().train.n


def test_two_workers_share_each_global_batch() -> None:
    its, split = trial(batch_size=16), data().train
    whole = list(shares(split, its, place(), 1))
    parts = [list(shares(split, its, place(rank, 2), 1)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([first.index, second.index]), batch.index)
        assert torch.equal(
            torch.cat([its.draw.normal("posterior/z", 3) for its in (first, second)]),
            batch.draw.normal("posterior/z", 3),
        )


def test_fewer_windows_than_workers_are_refused_in_a_sentence() -> None:
    few = replace(data().train, first=data().train.first[:1])
    with pytest.raises(Mistake, match="1 training window for 2 workers"):
        list(shares(few, trial(), place(0, 2), 0))


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


def test_warm_up_restarts_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    loss = BOUND | {"kl_z": {"weight": 1, "warmup": {"start": 1, "end": 3, "steps": 2}}}
    assert [its["weight/kl_z"] for its in run(cell(plain(loss), tmp_path))] == [0, 0.5, 1, 1]


# ---- which epoch is best, and when a run ends


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
    [
        ("valid/elbo", "max"),
        ("valid/probe_gap", "max"),
        ("valid/r2", "max"),
        ("valid/eer_f", "min"),
        ("valid/mi", "min"),
    ]
    + [(f"valid/{name}", "min") for name in ("recon", "kl_f", "kl_z", "scc", "cyclic", "total", "mse_per_frame")],
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


# ---- gradient and optimiser


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


# ---- numbers gone bad


def failing(step: int, value: float = math.nan) -> Callable[..., Tensor]:
    """A term that is as given from a step on; in evaluation the index is the number of the batch."""

    def call(model: Any, batch: Any, out: Any, *, options: Any) -> Tensor:
        bad = batch.draw.prefix == "" and batch.draw.index[0] >= step
        return out.sample["z"].flatten(1).sum(1) * 0 + (value if bad else 1.0)

    return call


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_term_that_failed_first_is_named(tmp_path: Path, term: Term, value: float) -> None:
    term("early", failing(9, value))
    term("late", failing(11))
    loss = {"late": {"weight": 1}, **BOUND, "early": {"weight": 0.1}}
    sent: list[int] = []
    with pytest.raises(NonFinite) as caught:
        run(cell(plain(loss), tmp_path), lambda report: sent.append(report["epoch"]))
    assert (caught.value.term, caught.value.epoch) == ("early", 2)  # 7 steps an epoch
    assert sent == [1] and checkpoint.last_epoch(tmp_path, CELL) == 1


def test_of_terms_that_fail_in_one_step_the_first_is_named(tmp_path: Path, term: Term) -> None:
    term("one", failing(3))
    term("two", failing(3))
    with pytest.raises(NonFinite, match=r"^nan: two, epoch 1$"):
        run(cell(plain({"two": {}, **BOUND, "one": {}}), tmp_path))


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path, term: Term) -> None:
    term("root", lambda model, batch, out, *, options: (out.sample["z"].flatten(1).sum(1) * 0).sqrt())
    with pytest.raises(NonFinite, match=r"^nan: gradient, epoch 1$"):
        run(cell(plain(BOUND | {"root": {}}), tmp_path))


def test_a_failure_is_seen_within_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, term: Term) -> None:
    steps = []

    def counted(model: Any, batch: Any, out: Any, *, options: Any) -> Tensor:
        steps.append(batch.draw.index[0])
        return out.sample["z"].flatten(1).sum(1) * math.nan

    term("bad", counted)
    monkeypatch.setattr("ablate.training.loop.FINITE_EVERY", 2)
    with pytest.raises(NonFinite):
        run(cell(plain(BOUND | {"bad": {}}), tmp_path))
    assert steps == [0, 1]


def only_in_validation(value: float) -> Callable[..., Tensor]:
    return lambda model, batch, out, *, options: (
        out.sample["z"].flatten(1).sum(1) * 0 + (value if batch.draw.prefix else 1.0)
    )


def test_a_trained_term_that_fails_on_the_validation_split_is_named(tmp_path: Path, term: Term) -> None:
    term("odd", only_in_validation(math.inf))
    with pytest.raises(NonFinite, match=r"^nan: odd, epoch 1$"):
        run(cell(plain(BOUND | {"odd": {"weight": 1}}), tmp_path))


def test_a_term_that_is_only_watched_ends_no_run(tmp_path: Path, term: Term) -> None:
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


def test_the_watch_keeps_sums_and_the_first_bad_step() -> None:
    watch = Watch(["a", "b"], place())
    rows = [(1.0, 2.0), (3.0, math.nan), (math.nan, math.nan)]
    for a, b in rows:
        watch.see({"a": torch.tensor([a]), "b": torch.tensor([b])}, torch.tensor(1.0), torch.tensor(2.0))
    assert watch.first_bad.tolist()[:2] == [2, 1]
    with pytest.raises(NonFinite, match="nan: b, epoch 5"):
        watch.check(5)
    fine = Watch(["a"], place())
    for a in (1.0, 4.0):
        fine.see({"a": torch.tensor([a, a + 2])}, torch.tensor(a), torch.tensor(0.5))
    fine.check(1)
    assert fine.means() == {"a": 3.5, "gradient": 0.5, "total": 2.5}
