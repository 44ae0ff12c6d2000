"""Random streams: the oracle values of statistics.md 2, and streams that do not disturb one another."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ablate.random import Draws, generator, initialise, permutation, reseed, stream, uniforms

EVERYTHING = slice(None)


@pytest.mark.parametrize(
    ("seed", "name", "index", "value"),
    [
        (0, "init/encoder.lstm", (), 3622019751367568669),
        (0, "order", (0,), 6162110419779241476),
        (0, "order", (1,), 9071035539880888706),
        (0, "posterior/f", (0,), 4658255767236148244),
        (0, "posterior/z", (0,), 6455891233075111335),
        (0, "posterior/z", (17,), 2130921038189972389),
        (0, "term:scc", (0,), 872266453757167066),
        (1, "posterior/z", (0,), 572450648033590393),
        (0, "eval/probe_gap", (), 9096722345976622002),
    ],
)
def test_stream(seed: int, name: str, index: tuple[int, ...], value: int) -> None:
    assert stream(seed, name, *index) == value


def test_the_oracle_file(shared: Path) -> None:
    oracle = json.loads((shared / "statistics_oracles.json").read_text())["rng"]
    for seed, name, index, value in oracle["stream"]:
        assert stream(seed, name, *index) == value


def test_uniforms_of_statistics() -> None:
    u = uniforms("rank", 10)
    expected = [0.178449983761, 0.171613022644, 0.339323498141, 0.873187119574, 0.136717856851]
    assert u[:5] == pytest.approx(expected, abs=1e-12)
    assert np.floor(u * 5).astype(int).tolist() == [0, 0, 1, 4, 0, 0, 2, 4, 1, 2]


def test_streams_are_apart() -> None:
    names = [(0, "order", 0), (0, "order", 1), (1, "order", 0), (0, "orders", 0), (0, "order"), (0, "order", 0, 0)]
    assert len({stream(*its) for its in names}) == len(names)  # type: ignore[arg-type]


def test_a_generator_is_fresh_each_time() -> None:
    first, second = (torch.rand(3, generator=generator(0, "order", 4)) for _ in range(2))
    assert first.equal(second)
    assert np.array_equal(permutation(50, 0, "order", 1), permutation(50, 0, "order", 1))
    assert sorted(permutation(50, 0, "order", 1)) == list(range(50))
    assert not np.array_equal(permutation(50, 0, "order", 1), permutation(50, 0, "order", 2))


class Small(nn.Module):
    """Two shared layers, and one more in between where asked."""

    def __init__(self, extra: bool) -> None:
        super().__init__()
        if extra:
            self.before = nn.Linear(7, 7)
        self.lstm = nn.LSTM(4, 3)
        self.norm = nn.LayerNorm(3)
        self.out = nn.Linear(3, 2)


def test_initialisation_depends_on_path_and_seed_only() -> None:
    one, other, reseeded = Small(extra=False), Small(extra=True), Small(extra=False)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    initialise(one, 0)
    assert torch.get_rng_state().equal(before)
    initialise(other, 0)
    initialise(reseeded, 1)
    weights, others = one.state_dict(), other.state_dict()
    assert all(value.equal(others[name]) for name, value in weights.items())
    assert not weights["lstm.weight_ih_l0"].equal(reseeded.state_dict()["lstm.weight_ih_l0"])
    assert not weights["out.weight"][:, :2].equal(weights["lstm.weight_ih_l0"][:2, :2])


def test_reseeding_is_what_torch_calls_a_manual_seed() -> None:
    for seed in (0, 2**63 - 1, stream(0, "dropout", 3, 0)):
        torch.manual_seed(seed)
        expected = torch.rand(3)
        torch.rand(1)
        reseed(seed)
        assert torch.equal(torch.rand(3), expected)


def test_bare_parameters_cannot_be_initialised() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))

    model = nn.Sequential(Bare())
    with pytest.raises(TypeError, match=r"Bare at '0' owns parameters but has no reset_parameters\(\)"):
        initialise(model, 0)


@pytest.mark.parametrize("draw", ["normal", "uniform", "orders", "permutation", "derangement"])
def test_workers_take_their_rows_of_the_global_draw(draw: str) -> None:
    shape = {"normal": (3, 2), "uniform": (4,), "orders": (5,)}.get(draw, ())
    whole = getattr(Draws(0, (7,), 6, EVERYTHING), draw)("term:scc", *shape)
    halves = [getattr(Draws(0, (7,), 6, rows), draw)("term:scc", *shape) for rows in (slice(0, 3), slice(3, 6))]
    assert torch.cat(halves).equal(whole)
    assert not getattr(Draws(0, (8,), 6, EVERYTHING), draw)("term:scc", *shape).equal(whole)
    assert not getattr(Draws(0, (7,), 6, EVERYTHING, prefix="eval/"), draw)("term:scc", *shape).equal(whole)


def test_shapes_and_ranges() -> None:
    draw = Draws(3, (0,), 5, EVERYTHING)
    assert draw.normal("posterior/z", 20, 8).shape == (5, 20, 8)
    uniform = draw.uniform("term:cyclic", 100)
    assert 0 <= float(uniform.min()) < 0.05
    assert 0.95 < float(uniform.max()) < 1
    assert draw.orders("term:scc", 6).sort(dim=1).values.equal(torch.arange(6).expand(5, 6))
    assert draw.permutation("term:mi").sort().values.equal(torch.arange(5))


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_a_derangement_leaves_nobody_in_place(batch: int) -> None:
    for step in range(20):
        others = Draws(0, (step,), batch, EVERYTHING).derangement("term:scc")
        assert others.sort().values.equal(torch.arange(batch))
        assert not (others == torch.arange(batch)).any()


def test_common_numbers_are_the_same_for_every_worker() -> None:
    halves = [Draws(0, (7,), 6, rows).common("feedback", 5) for rows in (slice(0, 3), slice(3, 6))]
    assert torch.equal(*halves) and halves[0].shape == (5,) and halves[0].min() >= 0 and halves[0].max() < 1
    assert not torch.equal(halves[0], Draws(0, (8,), 6, EVERYTHING).common("feedback", 5))
