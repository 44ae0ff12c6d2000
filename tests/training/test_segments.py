"""Models of whole segments, as cells: built for the data's window, trained, scored, cut and carried on."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from ablate.errors import Mistake
from ablate.registry import MODELS, build
from ablate.training.cell import build_step
from ablate.training.measures import check_measures

from .cells import CPU, Cut, cell, common, data, run, same, state, trial
from .test_distributed import Run, distance

BOUND = {"recon": {"weight": 1.0}, "kl_z": {"weight": 1.0}}
BOTH = BOUND | {"kl_f": {"weight": 1.0}}
ALL = BOTH | {"scc": {"weight": 0.5}, "mi": {"weight": 0.5}, "cyclic": {"weight": 0.1}}
MODELS_ = {
    "mlp": ({"name": "speech_vae", "net": "mlp"}, BOUND),
    "conv, published": ({"name": "speech_vae", "preset": "ali", "net": "conv", "dense": [16]}, BOUND),
    "gated": ({"name": "speech_vae", "net": "gated_conv"}, BOUND),
    "lstm": ({"name": "speech_vae", "net": "lstm", "hidden": 12}, BOUND),
    "lstm_f": ({"name": "lstm_f", "preset": "tiny"}, ALL),
    "lstm_c": ({"name": "lstm_c", "preset": "tiny"}, ALL),
    "s3vae": ({"name": "s3vae", "preset": "tiny"}, ALL | {"dfp": {"weight": 1.0}}),
    "s3vae, watched": ({"name": "s3vae", "preset": "tiny"}, BOTH | {"dfp": {"weight": 0.0}}),
    "s3vae, without": ({"name": "s3vae", "preset": "tiny"}, BOTH),
}


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS_)
def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path, name: str) -> None:
    model, loss = MODELS_[name]
    values = trial(loss, model, epochs=2).plain()
    whole = run(cell(values, tmp_path / "whole", test=True))
    run(cell(values, tmp_path / "cut", test=True), Cut(2))
    rest = run(cell(values, tmp_path / "cut", test=True))
    assert common(rest[-1]) == common(whole[-1]) and whole[-1]["complete"]
    assert same(state(tmp_path / "cut"), state(tmp_path / "whole"))
    assert {"valid/r2", "valid/probe_gap", "test/r2"} <= whole[-1].keys()
    assert ("train/dfp" in whole[-1], "valid/dfp" in whole[-1]) == (
        (name == "s3vae"),
        name.startswith("s3vae") and "dfp" in loss,
    )


@pytest.mark.parametrize("name", MODELS_)
def test_the_window_of_the_data_is_the_length_of_a_segment(name: str) -> None:
    model, loss = MODELS_[name]
    step, its = build_step(trial(loss, model), data(), CPU), data()
    x = its.train.x(slice(0, 4))
    _, sample = step.model.eval().encode(x, None)
    assert step.model.decode(sample).shape == x.shape == (4, 10, 12)


def test_watching_the_prediction_leaves_training_bitwise_alone(tmp_path: Path) -> None:
    with_, without = (trial(MODELS_[key][1], MODELS_[key][0], epochs=2) for key in ("s3vae, watched", "s3vae, without"))
    for its, folder in ((with_, "with"), (without, "without")):
        run(cell(its.plain(), tmp_path / folder))
    one, other = (state(tmp_path / folder)["model"] for folder in ("with", "without"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["speech_vae", "s3vae"])
def test_frames_that_the_model_cannot_read_are_refused_before_training(name: str) -> None:
    entry = MODELS[name]
    preset = {"speech_vae": "small", "s3vae": "paper"}[name]
    frame = {"speech_vae": (3, 16, 16), "s3vae": (12,)}[name]
    with pytest.raises(Mistake, match=f"model {name} .*takes frames that are"):
        build(entry, frame, entry.options(preset), 10)
    if name == "s3vae":
        with pytest.raises(Mistake, match="with preset paper takes frames that are pictures"):
            check_measures(trial(BOTH, {"name": "s3vae", "preset": "paper"}), data(), [])


def configuration(name: str, folder: str) -> dict[str, Any]:
    """A cell of two epochs in double precision."""
    model, loss = MODELS_[name]
    return cell(trial(loss, model, epochs=2, precision="float64").plain(), Path(folder) / name)


def rank_of_two(rank: int, folder: str) -> None:
    """All of them on two ranks, in one start of the processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    found = {name: Run(configuration(name, f"{folder}/two"), rank, 2).weights for name in MODELS_}
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_train_what_one_worker_trains(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for name in MODELS_:
        learned = [key for key in first[name] if "running_" not in key and "num_batches" not in key]
        assert all(torch.equal(first[name][key], second[name][key]) for key in learned), name
        if name != "conv, published":  # batch normalisation sees one worker's share
            assert distance(first[name], Run(configuration(name, f"{tmp_path}/one")).weights) < 1e-9, name
