"""Scheduled sampling and KVAE's phases in the loop: what is forgotten at a jump, what rests, exact resume."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.config import load_study
from ablate.errors import Mistake
from ablate.training.progress import Progress
from ablate.training.stages import begin_stage, own_share, patient, rest

from .cells import CPU, Cut, cell, common, data, plain, run, same, state, trial

LOSS = {"recon": {"weight": 1.0}, "kl_z": {"weight": 1.0}}
SRNN = {"name": "srnn", "z_dim": 3, "rnn_h": 6, "rnn_g": 5, "dense_x_h": [7], "dense_hx_g": [6]}
SCHEDULED = SRNN | {"mode": "scheduled", "ss_step": 1}
KVAE = {"name": "kvae", "a_dim": 4, "z_dim": 3, "rnn_alpha": 5, "phases": [1, 2]}
KVAE_LOSS = {"recon": {"weight": 1.0}, "kl_a": {"weight": 1.0}}
MATRICES, MIXING = ("systems.",), ("rnn_alpha.", "alpha.")


def built(model: dict[str, Any], loss: dict[str, Any]) -> Any:
    from ablate.training.cell import build_step

    return build_step(trial(loss, model), data(), CPU)


def test_shares_and_patience_of_the_modes() -> None:
    its = built(SCHEDULED, LOSS).model
    assert [own_share(its, epoch) for epoch in (0, 1, 8, 9, 50)] == [0.1, 0.2, 0.9, 1.0, 1.0]
    assert [patient(its, epoch) for epoch in (0, 8, 9, 50)] == [False, False, True, True]
    teacher = built(SRNN, LOSS).model
    assert own_share(teacher, 0) is None and patient(teacher, 0)


def test_at_a_jump_the_moments_the_best_and_the_patience_go() -> None:
    step = built(SRNN | {"mode": "scheduled", "ss_step": 2}, LOSS)
    optimiser = torch.optim.Adam(step.parameters())
    sum(p.sum() for p in step.parameters()).backward()
    optimiser.step()
    before = Progress(epoch=1, best=-3.0, best_epoch=1, stop_best=-3.0, stale=1)
    begin_stage(step.model, optimiser, before)  # epoch 1 has the share of epoch 0
    assert before.best == -3.0 and before.stale == 1 and len(optimiser.state) == len(list(step.parameters()))
    before.epoch = 2
    begin_stage(step.model, optimiser, before)
    assert (before.best, before.best_epoch, before.stop_best, before.stale) == (None, 0, None, 0)
    assert len(optimiser.state) == 0


@pytest.mark.long
@pytest.mark.parametrize(("model", "loss"), [(SCHEDULED, LOSS), (KVAE, KVAE_LOSS)], ids=["scheduled", "phases"])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_run_killed_at_a_jump_ends_as_one_that_was_not(
    tmp_path: Path, model: dict[str, Any], loss: dict[str, Any], epoch: int
) -> None:
    values = plain(loss, model, epochs=4, patience=2)
    whole = run(cell(values, tmp_path / "whole"))
    run(cell(values, tmp_path / "cut"), Cut(epoch))
    again = run(cell(values, tmp_path / "cut"))
    assert [common(its) for its in again[-(4 - epoch) :]] == [common(its) for its in whole[epoch:]]
    for name in ("last", "best"):
        assert same(state(tmp_path / "cut", name), state(tmp_path / "whole", name))


def test_the_best_of_a_scheduled_run_is_of_its_last_stage(tmp_path: Path) -> None:
    """Shares .1 to .4 in four epochs: every epoch is the first of its stage, so the last one is the best."""
    reports = run(cell(plain(LOSS, SCHEDULED, epochs=4, patience=1), tmp_path))
    assert len(reports) == 4  # patience does not count before the share is 1
    assert state(tmp_path)["progress"]["best_epoch"] == 4
    assert reports[-1]["objective"] == reports[-1]["valid/elbo"]


def test_a_stage_is_measured_from_its_first_epoch_on(tmp_path: Path) -> None:
    """Else the run would have no objective, from the jump that forgets the best until the next epoch with metrics."""
    values = plain(LOSS, SRNN | {"mode": "scheduled", "ss_step": 2}, epochs=6) | {"metrics": {"every": 5}}
    values["train"] |= {"select": "valid/r2", "select_mode": "max"}
    reports = run(cell(values, tmp_path))
    assert ["valid/r2" in report for report in reports] == [True, False, True, False, True, True]
    assert [report["objective"] is not None for report in reports] == [True] * 6
    assert reports[3]["objective"] == reports[2]["valid/r2"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return state(folder)["model"]


@pytest.mark.long
def test_the_phases_of_kvae_train_what_they_say(tmp_path: Path) -> None:
    """Epoch 1: nets alone. Epochs 2 and 3: with the matrices. Epoch 4: everything."""
    start = {name: its.clone() for name, its in built(KVAE, KVAE_LOSS).model.state_dict().items()}
    moved = []
    for epochs in (1, 2, 3, 4):
        run(cell(plain(KVAE_LOSS, KVAE, epochs=epochs), tmp_path / str(epochs)))
        now = weights(tmp_path / str(epochs))
        moved.append({name for name in now if not torch.equal(now[name], start[name])})
        start = now
    everything = set(start)
    resting = [{name for name in everything if name.startswith(its)} for its in (MATRICES + MIXING, MIXING, MIXING, ())]
    for epoch, (changed, still) in enumerate(zip(moved, resting, strict=True)):
        assert not changed & still and changed, epoch
    assert moved[3] == everything and moved[1] == everything - resting[1]


def test_what_rests_has_no_gradient_but_asks_for_one() -> None:
    step = built(KVAE, KVAE_LOSS)
    sum(p.sum() for p in step.parameters()).backward()
    rest(step.model, 0)
    assert all((p.grad is None) == name.startswith(MATRICES + MIXING) for name, p in step.model.named_parameters())
    assert all(p.requires_grad for p in step.parameters())
    rest(built(SRNN, LOSS).model, 0)  # a model without phases


def test_a_teacher_forced_run_starts_a_scheduled_one(tmp_path: Path) -> None:
    run(cell(plain(LOSS, SRNN, epochs=1), tmp_path / "teacher"))
    its = trial(LOSS, SCHEDULED, init_from=str(tmp_path / "teacher"))
    from ablate.training.cell import build_step

    loaded = build_step(its, data(), CPU).model.state_dict()
    taught = state(tmp_path / "teacher", "best")["model"]
    assert loaded.keys() == taught.keys() and all(torch.equal(loaded[name], taught[name]) for name in taught)


STUDY = """\
name: schedule
data: {name: simvowels}
model: {name: MODEL}
loss: {recon: 1, kl_z: {weight: 1, warmup: {end: 5}}}
train: {epochs: 400}
"""


@pytest.mark.parametrize("mode", ["scheduled", "{choice: [teacher, scheduled]}"])
def test_a_kl_that_warms_up_meanwhile_is_refused(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "schedule.yaml"
    text = STUDY.replace("MODEL", f"srnn, mode: {mode}")
    text += "search: {algorithm: grid, metric: valid/recon, mode: min}\n" if "choice" in mode else ""
    file.write_text(text)
    with pytest.raises(Mistake, match=r":4:36: loss\.kl_z\.warmup: in model\.mode scheduled the share of own"):
        load_study(file)
    file.write_text(text.replace(", warmup: {end: 5}", ""))
    told = "model.mode scheduled: the share of own outputs is 1 from epoch 450 on, after the last of 400; "
    told += "lower model.ss_step"
    assert list(load_study(file).warnings) == [told] * ("choice" not in mode)


def test_a_mode_asked_of_a_model_that_has_none(tmp_path: Path) -> None:
    file = tmp_path / "schedule.yaml"
    file.write_text(STUDY.replace("MODEL", "dkf, mode: scheduled").replace(", warmup: {end: 5}", ""))
    with pytest.raises(Mistake, match=r":3:20: unknown model key 'mode'"):
        load_study(file)
