"""Tables of sequences in training: drawn K at a time, found for unseen ones, kept, cut and carried on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from command import Call, call, sentence

from ablate.data.dataset import Split, load_data
from ablate.errors import Mistake
from ablate.losses.disc import cross_entropy
from ablate.training.batches import origin, shares
from ablate.training.cell import build_step
from ablate.training.loop import make_optimiser
from ablate.training.measures import check_measures
from ablate.training.tables import redraw, unseen
from ablate.training.validation import mean_terms
from ablate.trial import Trial
from ablate.types import Batch

from .cells import CPU, DATA, Cut, cell, common, data, place, plain, run, same, state, trial
from .test_distributed import Run, distance

__all__ = ["call"]

BOUND = {name: {"weight": 1.0} for name in ("recon", "kl_z1", "kl_z2", "mu2_prior")}
ALL = BOUND | {"disc": {"weight": 10.0}, "scc": {"weight": 0.5}, "mi": {"weight": 0.5}}
SIZES = {"name": "fhvae", "z1_dim": 3, "z2_dim": 4, "hidden": 6}
K = 5  # of 16 training sequences
KINDS = {
    "all sequences": (SIZES, ALL),
    "five at a time": (SIZES | {"table": K}, ALL),
    "simple": (SIZES | {"net": "simple", "widths": [8]}, ALL),
    "watched": (SIZES | {"table": K}, BOUND | {"disc": {"weight": 0.0}}),
    "plain": (SIZES | {"table": K}, BOUND),
}


def of(kind: str, **train: Any) -> Trial:
    model, loss = KINDS[kind]
    return trial(loss, model, **train)


def outer_steps(split: Split, epoch: int, **train: Any) -> list[list[Batch]]:
    """The batches of an epoch, by the sequences that the table holds."""
    found: list[list[Batch]] = []
    for batch in shares(split, of("five at a time", **train), place(), epoch):
        if batch.drawn is not None:
            found.append([])
        found[-1].append(batch)
    return found


def test_batches_say_where_their_windows_are_from() -> None:
    split = data().train
    counts = np.bincount(split.sequence)
    for batch in shares(split, of("all sequences"), place(), 0):
        assert batch.drawn is None and batch.sequence is not None and batch.segments is not None
        assert batch.sequence.tolist() == split.sequence[batch.index].tolist()
        assert batch.segments.tolist() == counts[split.sequence[batch.index]].tolist()


def test_steps_are_counted_through_epochs_of_different_length() -> None:
    """What anneals by the step (capacity, beta_tc) neither repeats nor skips one, wherever a run goes on."""
    split = data().train
    kept = np.flatnonzero(
        (split.sequence % 3 == 0) | (split.starts == 0)
    )  # a third of the sequences has all its windows
    cut = replace(split, sequence=split.sequence[kept], starts=split.starts[kept], first=split.first[kept])
    epochs = [list(shares(cut, of("five at a time", batch_size=4), place(), epoch)) for epoch in range(6)]
    assert len({len(batches) for batches in epochs}) > 1
    steps = [batch.step for batches in epochs for batch in batches]
    assert steps == list(range(len(steps)))


def test_sequences_come_as_many_at_a_time_as_the_table_holds() -> None:
    split, seen = data().train, []
    for epoch in (0, 1):
        steps = outer_steps(split, epoch, batch_size=8)
        drawn = np.concatenate([batches[0].drawn for batches in steps])
        assert len(steps) == 3 and len(set(drawn.tolist())) == 3 * K  # one of 16 waits for another epoch
        for batches in steps:
            rows = np.concatenate([its.sequence.numpy() for its in batches])
            index = np.concatenate([its.index.numpy() for its in batches])
            assert set(rows.tolist()) == set(range(K)) and len(set(index.tolist())) == len(index)
            assert np.array_equal(batches[0].drawn[rows], split.sequence[index])
            assert len(index) == split.segments[batches[0].drawn].sum() // 8 * 8
        seen.append(drawn.tolist())
    assert seen[0] != seen[1] and seen[0] == np.concatenate([b[0].drawn for b in outer_steps(split, 0)]).tolist()


def test_every_batch_has_its_own_noise() -> None:
    drawn = [b.draw.normal("posterior/z2", 2) for epoch in (0, 1) for s in outer_steps(data().train, epoch) for b in s]
    assert len({tuple(its.flatten().tolist()) for its in drawn}) == len(drawn) > 6


def test_two_workers_share_the_batches_of_each_draw() -> None:
    its, split = of("five at a time"), data().train
    whole, *parts = (list(shares(split, its, place(*where), 1)) for where in ((0, 1), (0, 2), (1, 2)))
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([first.sequence, second.sequence]), batch.sequence)
        assert (batch.drawn is None) == (first.drawn is None) == (second.drawn is None)


def by_hand(model: Any, split: Split, item: int) -> torch.Tensor:
    """Sum over the segments of E[z2], over their number and 1/4."""
    windows = np.flatnonzero(split.sequence == item)
    return model.encode_static(split.x(windows)).mean.sum(0) / (len(windows) + 0.25)


def test_a_draw_puts_the_means_into_the_table_and_the_optimiser_forgets_the_rows_before() -> None:
    its, split = of("five at a time"), data().train
    step = build_step(its, data(), CPU)
    optimiser, table = make_optimiser(step, its), step.model.mu2.weight
    table.grad = torch.ones_like(table)
    step.model.q_z2.head.bias.grad = torch.ones_like(step.model.q_z2.head.bias)
    optimiser.step()
    drawn = np.array([7, 3, 11, 0, 15])
    redraw(step.model, optimiser, split, drawn, its, place())
    for row, item in enumerate(drawn):
        assert torch.allclose(table[row], by_hand(step.model, split, item), atol=1e-6)
    assert table not in optimiser.state and step.model.q_z2.head.bias in optimiser.state
    assert table is step.model.mu2.weight and table.requires_grad and step.training
    before = table.detach().clone()
    optimiser.step()
    assert torch.allclose((before - table).detach(), torch.full_like(before, its.train.lr), rtol=1e-3)  # a first step


def test_unseen_sequences_get_their_means_and_the_learned_table_stays() -> None:
    its, step = of("all sequences"), build_step(of("all sequences"), data(), CPU)
    split, learned = data().valid, step.model.mu2.weight.detach().clone()
    table = unseen(step.model, split, its, place(0, 2))  # rank 0 scores alone
    assert table is not None and table.shape == (10, 4) and not table.requires_grad
    for item in range(10):
        assert torch.allclose(table[item], by_hand(step.model, split, item), atol=1e-6)
    values = mean_terms(step.eval(), split, data().train.n, its, place())
    index = np.arange(split.n)
    z2 = step.model.encode_static(split.x(index)).mean
    rows = origin(split, index, np.arange(10), place())["sequence"]
    assert values["disc"] == pytest.approx(cross_entropy(z2, table, rows).mean().item(), rel=1e-5)
    constant = 2 * np.log(2 * np.pi)  # of four dimensions
    shared_out = [(constant + 0.5 * (row**2).sum().item()) for row in table]
    assert values["mu2_prior"] == pytest.approx(sum(shared_out) / split.n, rel=1e-5)
    assert torch.equal(step.model.mu2.weight, learned)


def test_a_model_without_a_table_is_left_alone() -> None:
    assert unseen(None, data().valid, trial(), place()) is None


@pytest.mark.parametrize("kind", ["all sequences", "five at a time", "simple"])
def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path, kind: str) -> None:
    values = of(kind, epochs=3).plain()
    whole = run(cell(values, tmp_path / "whole", test=True))
    run(cell(values, tmp_path / "cut", test=True), Cut(2))
    rest = run(cell(values, tmp_path / "cut", test=True))
    assert common(rest[-1]) == common(whole[-1]) and whole[-1]["complete"]
    assert same(state(tmp_path / "cut"), state(tmp_path / "whole"))
    assert state(tmp_path / "whole")["model"]["mu2.weight"].shape == (16 if kind != "five at a time" else K, 4)
    elbo = -sum(whole[-1][f"valid/{name}"] for name in BOUND)
    assert whole[-1]["valid/elbo"] == pytest.approx(elbo) and {"valid/disc", "test/disc"} <= whole[-1].keys()


def test_watching_the_discrimination_leaves_training_bitwise_alone(tmp_path: Path) -> None:
    for kind in ("watched", "plain"):
        reports = run(cell(of(kind, epochs=2).plain(), tmp_path / kind))
        assert ("valid/disc" in reports[-1]) == (kind == "watched") and "train/disc" not in reports[-1]
    one, other = (state(tmp_path / kind)["model"] for kind in ("watched", "plain"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    "check", [lambda its, found: check_measures(its, found, []), lambda *its: build_step(*its, CPU)]
)
def test_sequences_of_one_segment_are_refused_before_training(check: Any) -> None:
    its = Trial.from_plain(plain(BOUND, SIZES) | {"data": DATA | {"window": 30}})
    found = load_data((its.data.name, its.data.options))
    with pytest.raises(
        Mistake, match=r"the longest training sequence of simvowels has \d+ frames, less than two segments"
    ):
        check(its, found)


def rank_of_two(rank: int, folder: str) -> None:
    """Both ways of training a table on two ranks, in one start of the processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    found = {kind: Run(configuration(kind, f"{folder}/two"), rank, 2).weights for kind in KINDS}
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


def configuration(kind: str, folder: str) -> dict[str, Any]:
    return cell(of(kind, epochs=2, precision="float64").plain(), Path(folder) / kind)


@pytest.mark.slow
def test_two_workers_train_what_one_worker_trains(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for kind in KINDS:
        assert all(torch.equal(first[kind][key], second[kind][key]) for key in first[kind]), kind
        assert distance(first[kind], Run(configuration(kind, f"{tmp_path}/one")).weights) < 1e-9, kind


STUDY = """\
name: sequences
data: {name: simvowels, utterances: [16, 10, 10], segments: 8, n_mels: 12, window: 10}
model: {name: fhvae, table: 5}
loss: {recon: 1, kl_z1: 1, kl_z2: 1, mu2_prior: 1, disc: 10}
train: {epochs: 2, batch_size: 16}
"""


def test_the_command_trains_keeps_and_refuses(call: Call, tmp_path: Path) -> None:
    (tmp_path / "its.yaml").write_text(STUDY)
    said = call("train", "its.yaml", "--test")
    assert said.code == 0 and "epoch   2" in said.out and "test/elbo" in said.out
    kept = torch.load(tmp_path / "runs" / "sequences-train" / "best.pt", weights_only=True)["model"]
    assert kept["mu2.weight"].shape == (5, 16) and kept["mu2.weight"].abs().max() > 0
    assert (tmp_path / "runs" / "sequences-train" / "artifacts" / "swaps.png").stat().st_size > 0
    sentence(call("train", "its.yaml", "--set", "data.window=30"), "model fhvae learns what", "lower data.window")
