"""A cell from start to end: restarts at any moment, reused processes, its last report, the run it starts from."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.errors import Mistake
from ablate.training import checkpoint
from ablate.training.batches import Place
from ablate.training.cell import build_step, finish, run_cell, verdict, with_objectives, writing
from ablate.training.loop import fit
from ablate.training.validation import score

from .cells import BOUND, CELL, EXTRA, Cut, Killed, cell, common, data, dropping, plain, run, same, state, trial

__all__ = ["dropping"]
EPOCHS = 3
WATCHED = BOUND | {name: {"weight": 0.0} for name in EXTRA}
BEST_FIRST = {"select": "valid/recon", "select_mode": "max", "stop_on": "valid/recon"}  # the first epoch is "best"


def spoil(monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """The process dies when a checkpoint file is written for the nth time."""
    written = []
    save = checkpoint.save

    def dying(folder: Path, name: str, values: dict[str, Any]) -> None:
        written.append(name)
        if len(written) == nth:
            raise Killed
        save(folder, name, values)

    monkeypatch.setattr(checkpoint, "save", dying)


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # train and loss options, what the cell is asked
    "plain": ({}, {}),
    "all terms, test": ({"loss": BOUND | EXTRA}, {"test": True}),
    "watched terms, warm-up": ({"loss": WATCHED | {"kl_z": {"weight": 1, "warmup": {"end": 2}}}, "clip": 1.0}, {}),
    "patience": ({"epochs": 9, "patience": 1} | BEST_FIRST, {"test": True}),
    "double": ({"precision": "float64", "weight_decay": 0.1}, {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_killed_after_any_epoch_ends_as_one_that_was_not(tmp_path: Path, way: str) -> None:
    options, asked = WAYS[way]
    values = plain(**({"epochs": EPOCHS} | options))
    whole = run(cell(values, tmp_path / "whole", **asked))
    assert len(whole) >= 2
    for epoch in range(1, len(whole) + 1):
        folder = tmp_path / f"cut{epoch}"
        before = run(cell(values, folder, **asked), Cut(epoch))
        after = run(cell(values, folder, **asked))
        assert [its["epoch"] for its in before] == list(range(1, epoch))
        check_equal(whole, before, after, tmp_path / "whole", folder)


def check_equal(whole: list[dict], before: list[dict], after: list[dict], one: Path, other: Path) -> None:
    """Reports of each epoch alike, repeated ones to the time stamp; checkpoints alike."""
    known = {report["epoch"]: report for report in before}
    for report in after:
        if report["epoch"] in known:
            assert report == known[report["epoch"]]
    told = known | {report["epoch"]: report for report in after}
    assert same([common(told[epoch]) for epoch in sorted(told)], [common(report) for report in whole])
    assert len({report["epoch"] for report in after}) == len(after)
    assert same(state(one), state(other)) and same(state(one, "best"), state(other, "best"))


def test_dropout_is_resumed_too(tmp_path: Path, dropping: dict[str, Any]) -> None:
    values = plain({"recon": {}, "kl_z": {}}, dropping)
    whole = run(cell(values, tmp_path / "whole"))
    before, after = run(cell(values, tmp_path / "cut"), Cut(2)), run(cell(values, tmp_path / "cut"))
    check_equal(whole, before, after, tmp_path / "whole", tmp_path / "cut")
    assert not same(state(tmp_path / "whole")["model"], trained_without_dropout(values, tmp_path))


def trained_without_dropout(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    plain_vae = values | {"model": values["model"] | {"name": "vae"}}
    run(cell(plain_vae, folder / "vae"))
    weights: dict[str, Any] = state(folder / "vae")["model"]
    return {name.replace("encoder.", "encoder.1.", 1): its for name, its in weights.items()}


@pytest.mark.parametrize("nth", range(1, 8))
def test_a_run_killed_while_it_writes_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    values = plain(epochs=3)
    whole = run(cell(values, tmp_path / "whole", test=True))
    with monkeypatch.context() as patch:
        spoil(patch, nth)
        before = run(cell(values, tmp_path / "cut", test=True))
    after = run(cell(values, tmp_path / "cut", test=True))
    assert len(before) < 3
    check_equal(whole, before, after, tmp_path / "whole", tmp_path / "cut")


def test_a_run_that_had_ended_repeats_its_last_reports_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = cell(plain(epochs=6), tmp_path, test=True)
    whole = run(config)
    monkeypatch.setattr("ablate.training.loop.train_epoch", None)
    monkeypatch.setattr("ablate.training.cell.score", None)
    assert run(config) == whole[-4:]


def test_only_the_last_report_is_complete(tmp_path: Path) -> None:
    reports = run(cell(plain(), tmp_path, test=True))
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4]
    assert [report.get("complete") for report in reports] == [None, None, None, True]
    assert [any(key.startswith("test/") for key in report) for report in reports] == [False, False, False, True]
    best = max(reports, key=lambda report: report["valid/elbo"])
    assert reports[-1]["best_epoch"] == best["epoch"]
    assert [report["objective"] for report in reports] == [
        max(its["valid/elbo"] for its in reports[: at + 1]) for at in range(4)
    ]
    assert all(isinstance(value, float | int | bool) for report in reports for value in report.values())


def test_the_test_split_is_scored_with_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    reports = run(cell(plain(epochs=2, **BEST_FIRST), tmp_path, test=True))
    assert reports[-1]["best_epoch"] == 1
    config = trial(epochs=2)
    step = build_step(config, data(), torch.device("cpu"))
    step.model.load_state_dict(checkpoint.weights(tmp_path))
    place = Place(tmp_path, CELL)
    best = score(step, data(), config, place, "test", 2)
    assert same({key: reports[-1][key] for key in best}, best)
    step.model.load_state_dict(state(tmp_path)["model"])
    assert score(step, data(), config, place, "test", 2) != best


def test_test_scores_can_be_asked_for_later(tmp_path: Path) -> None:
    values = plain()
    first = run(cell(values, tmp_path / "later"))
    later = run(cell(values, tmp_path / "later", test=True))
    assert later[:-1] == first
    assert same(common(later[-1]), common(run(cell(values, tmp_path / "at once", test=True))[-1]))


def test_two_cells_in_one_process_are_what_each_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = plain(BOUND | EXTRA), plain(precision="float64", seed=3)
    alone = run(cell(other, tmp_path / "alone"))
    torch.set_default_dtype(torch.float64)  # what a trial may leave behind
    torch.manual_seed(7)
    first = run(cell(one, tmp_path / "first"))
    second = run(cell(other, tmp_path / "second"))
    assert torch.get_default_dtype() == torch.float32
    assert same([common(its) for its in alone], [common(its) for its in second])
    assert same(state(tmp_path / "alone"), state(tmp_path / "second"))
    assert same([common(its) for its in run(cell(one, tmp_path / "again"))], [common(its) for its in first])


def test_double_precision_is_double_throughout(tmp_path: Path) -> None:
    run(cell(plain(precision="float64", epochs=1), tmp_path))
    tensors = [its for its in state(tmp_path)["model"].values() if its.is_floating_point()]
    assert {its.dtype for its in tensors} == {torch.float64}
    single = build_step(trial(), data(), torch.device("cpu")).model.state_dict()
    double = build_step(trial(precision="float64"), data(), torch.device("cpu")).model.state_dict()
    assert all(torch.equal(single[name].double(), double[name]) for name in single)


def test_initial_weights_go_by_module_path(tmp_path: Path) -> None:
    small, large = trial(), trial(model={"name": "dsae", "preset": "tiny", "dense_z": [8]})
    one, other, third = (
        build_step(its, data(), torch.device("cpu")).model.state_dict() for its in (small, large, trial(seed=1))
    )
    modules = {name.rpartition(".")[0] for name in one}
    shared = [its for its in modules if shapes(one, its) == shapes(other, its)]
    assert len(modules) > len(shared) > len(modules) / 2
    assert all(torch.equal(one[name], other[name]) for name in one if name.rpartition(".")[0] in shared)
    assert not any(torch.equal(one[name], third[name]) for name in one if one[name].any())


def shapes(weights: dict[str, torch.Tensor], module: str) -> dict[str, torch.Size]:
    return {name: its.shape for name, its in weights.items() if name.rpartition(".")[0] == module}


def test_a_run_starts_from_the_best_weights_of_another(tmp_path: Path) -> None:
    run(cell(plain(epochs=2, **BEST_FIRST), tmp_path / "first"))
    values = plain(epochs=1, init_from=str(tmp_path / "first"))
    model = build_step(trial(init_from=str(tmp_path / "first")), data(), torch.device("cpu")).model
    assert same(dict(model.state_dict()), state(tmp_path / "first", "best")["model"])
    model = build_step(trial(init_from=str(tmp_path / "first" / "last.pt")), data(), torch.device("cpu")).model
    assert same(dict(model.state_dict()), state(tmp_path / "first", "last")["model"])
    assert not same(state(tmp_path / "first", "best")["model"], state(tmp_path / "first", "last")["model"])
    started, fresh = run(cell(values, tmp_path / "on")), run(cell(plain(epochs=1), tmp_path / "fresh"))
    assert started[0]["train/recon"] < fresh[0]["train/recon"]


def test_weights_of_another_model_are_refused_in_a_sentence(tmp_path: Path) -> None:
    run(cell(plain(epochs=1), tmp_path / "first"))
    larger = trial(model={"name": "dsae", "preset": "tiny", "z_dim": 5}, init_from=str(tmp_path / "first"))
    with pytest.raises(
        Mistake, match=r"train\.init_from: the weights in .*first are those of another model \(.* differs"
    ):
        build_step(larger, data(), torch.device("cpu"))
    (tmp_path / "none.pt").write_text("no checkpoint")
    with pytest.raises(Mistake, match=r"none\.pt holds no weights that can be read"):
        build_step(trial(init_from=str(tmp_path / "none.pt")), data(), torch.device("cpu"))


def test_a_damaged_checkpoint_is_named_in_the_notes_of_the_next_report(tmp_path: Path) -> None:
    config = cell(plain(), tmp_path)
    whole = run(config)
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:500])
    again = run(config)
    assert [len(report.get("notes", [])) for report in again] == [1] + [0] * (len(again) - 1)
    assert "last.pt cannot be read" in again[0]["notes"][0]
    assert again[-1]["complete"] and same(common(again[-1]), common(whole[-1]))
    assert logging.getLogger("ablate").handlers == []


def test_another_cells_checkpoints_are_passed_over(tmp_path: Path) -> None:
    run(cell(plain(seed=5), tmp_path) | {"cell": "d" * 64})
    mine = run(cell(plain(), tmp_path))
    assert mine[0]["epoch"] == 1
    assert "belongs to another cell (dddddddd...)" in mine[0]["notes"][0]
    assert same([common(its) for its in mine], [common(its) for its in run(cell(plain(), tmp_path / "clean"))])


def test_several_objectives_keep_their_latest_values() -> None:
    sent: list[dict[str, Any]] = []
    send = with_objectives(sent.append, ["valid/a", "valid/b"])
    send({"valid/a": 1.0, "valid/b": 2.0})
    send({"valid/a": 3.0})
    assert sent == [
        {"valid/a": 1.0, "valid/b": 2.0, "objective/0": 1.0, "objective/1": 2.0},
        {"valid/a": 3.0, "objective/0": 3.0, "objective/1": 2.0},
    ]


def test_a_failure_to_draw_costs_the_pictures_and_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no canvas")

    monkeypatch.setattr("ablate.training.cell.draw", broken)
    reports = run(cell(plain(epochs=2), tmp_path, pictures=True))
    assert reports[-1]["complete"]
    assert "no pictures" in reports[-1]["notes"][0]


def test_a_verdict_says_how_far_the_cell_had_come(tmp_path: Path) -> None:
    config = cell(plain(), tmp_path)
    assert verdict(config, "code", "why")["epoch"] == 0
    run(config, Cut(3))
    its = verdict(config, "diverged", "nan: kl_z, epoch 4")
    assert (its["epoch"], its["verdict"], its["why"]) == (3, "diverged", "nan: kl_z, epoch 4")
    assert its["objective"] != its["objective"]


def test_finish_leaves_the_last_weights_in_place(tmp_path: Path) -> None:
    config, place = trial(epochs=2, **BEST_FIRST), Place(tmp_path, CELL)
    step = build_step(config, data(), torch.device("cpu"))
    progress, optimiser = fit(step, data(), config, place, lambda _: None, lambda its: its)
    last = {name: its.clone() for name, its in step.model.state_dict().items()}
    assert progress.best_epoch == 1
    finish(step, optimiser, data(), config, place, progress, test=True)
    assert same(dict(step.model.state_dict()), last)
    assert same(state(tmp_path)["model"], last)


def test_every_rank_but_the_first_leaves_the_folder_alone(tmp_path: Path) -> None:
    with (
        checkpoint.only_writer(tmp_path, wait=0),
        pytest.raises(checkpoint.FolderBusy),
        checkpoint.only_writer(tmp_path, wait=0),
    ):
        pass
    with checkpoint.only_writer(tmp_path, wait=0), writing(Place(tmp_path, CELL, rank=1, world=2)):
        pass


def test_mistakes_of_the_configuration_come_before_anything_is_written(tmp_path: Path) -> None:
    values = plain()
    values["loss"]["recon"]["options"] = {"varience": 1}
    with pytest.raises(Mistake, match="varience"):
        run_cell(cell(values, tmp_path / "none"), lambda _: None)
    assert not (tmp_path / "none").exists()


def test_numbers_too_small_to_be_normal_are_zero() -> None:
    """In the thread that trains: gradients of power spectra are full of them, and they are slow."""
    from concurrent.futures import ThreadPoolExecutor

    from ablate.training.cell import prepare_process

    def squared() -> float:
        prepare_process(trial())
        return float(torch.tensor(1e-20) * torch.tensor(1e-20))  # 1e-40

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(squared).result() == 0
