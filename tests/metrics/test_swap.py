"""Swap accuracy of decoders that are right, wrong and ignorant."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.data.dataset import load_data
from ablate.data.lpc_sprites import LpcSpritesOptions
from ablate.metrics.evaluate import View, baselines, evaluate, raw_codes
from ablate.metrics.swap import SwapOptions, crossing, quadruples, swap
from ablate.models.dsae import DSAEOptions
from ablate.random import initialise
from ablate.registry import MODELS

from .fakes import FakeData, FakeSplit, Parts, view_of

CHARACTERS, SEQUENCES, FRAMES = 5, 6, 4


def sprites(seed: int = 0) -> FakeData:
    """Clips (4, 3, 2, 2) whose first 4 numbers per frame are the character's and whose other 8 are the sequence's."""
    rng = np.random.default_rng(seed)
    looks, moves = rng.normal(size=(CHARACTERS, 4)), rng.normal(size=(SEQUENCES, FRAMES, 8))
    who, what = np.divmod(np.arange(CHARACTERS * SEQUENCES), SEQUENCES)
    still = np.broadcast_to(looks[who][:, None], (len(who), FRAMES, 4))
    every = np.concatenate([still, moves[what]], axis=2).reshape(-1, FRAMES, 3, 2, 2)
    split = FakeSplit(
        [f"{c}/{s}" for c, s in zip(who, what, strict=True)], [str(c) for c in who], np.arange(len(who)), every
    )
    split.static, split.clip, split.apart = {"body": who % 2}, {"action": what // 2}, {"direction": what % 2}
    return FakeData(split, {"body": "static", "action": "clip", "direction": "apart"})


def run(data: FakeData, model: nn.Module, pairs: int = 2000, seed: int = 0) -> dict[str, float]:
    flat = data.valid.every.reshape(data.valid.n, data.valid.window, -1)
    view = view_of(data, flat[..., :4].mean(axis=1), flat[..., 4:], model=model.double(), seed=seed, batch_size=64)
    return swap(view, options=SwapOptions(pairs=pairs))


class OneSided(nn.Module):
    """Shows the clip that f (or z) came from, whatever the other says."""

    def __init__(self, data: FakeData, latent: str):
        super().__init__()
        self.latent = latent
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        every = data.valid.every
        flat = every.reshape(len(every), FRAMES, -1)
        self.clips = torch.from_numpy(every)
        self.codes = torch.from_numpy(flat[..., 4:].reshape(len(every), -1) if latent == "z" else flat[:, 0, :4])

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        code = sample[self.latent].flatten(1)
        return self.clips[torch.cdist(code, self.codes).argmin(dim=1)]


class Ignorant(nn.Module):
    """Noise that depends on nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        shape = (*sample["z"].shape[:2], 3, 2, 2)
        return torch.from_numpy(np.random.default_rng(0).normal(size=shape))


def test_a_perfect_decoder() -> None:
    values = run(sprites(), Parts(4))
    assert values["swap_accuracy"] == 1
    assert values["swap_nearest_at"] == values["swap_nearest_bs"] == values["swap_nearest_bt"] == 0
    assert values["swap_pairs"] == CHARACTERS * (CHARACTERS - 1) * SEQUENCES * (SEQUENCES - 1)


def test_f_that_decides_the_look_alone_shows_its_own_character() -> None:
    values = run(sprites(), OneSided(sprites(), "f"))  # the first clip of a: right, or (a, t), never b
    assert values["swap_nearest_bs"] == values["swap_nearest_bt"] == 0


def test_z_that_decides_everything_is_never_right() -> None:
    data = sprites()
    data.valid.every += 1e-6 * np.random.default_rng(1).normal(size=data.valid.every.shape)  # z then names the clip
    values = run(data, OneSided(data, "z"))
    assert values["swap_accuracy"] == 0 and values["swap_nearest_bs"] == 1


def test_an_ignorant_decoder_is_at_chance() -> None:
    values = run(sprites(), Ignorant())
    shares = [values[name] for name in ("swap_accuracy", "swap_nearest_at", "swap_nearest_bs", "swap_nearest_bt")]
    assert sum(shares) == pytest.approx(1)
    assert all(0.1 < share < 0.4 for share in shares)


def test_pairs_are_drawn_from_the_seed() -> None:
    table = np.arange(30).reshape(5, 6)
    quads = quadruples(table, 50, seed=3)
    np.testing.assert_array_equal(quads, quadruples(table, 50, seed=3))
    assert quads.shape == (50, 4) and not np.array_equal(quads, quadruples(table, 50, seed=4))
    character, sequence = np.divmod(quads, 6)
    assert (character[:, 0] == character[:, 1]).all() and (character[:, 2] == character[:, 3]).all()
    assert (sequence[:, 0] == sequence[:, 2]).all() and (sequence[:, 1] == sequence[:, 3]).all()
    assert (character[:, 0] != character[:, 2]).all() and (sequence[:, 0] != sequence[:, 1]).all()


def test_missing_clips_are_no_candidates() -> None:
    table = np.array([[0, 1, 2], [3, 4, -1]])
    quads = quadruples(table, 100, seed=0)
    assert {tuple(quad) for quad in quads.tolist()} == {(0, 1, 3, 4), (1, 0, 4, 3), (3, 4, 0, 1), (4, 3, 1, 0)}


def test_left_out_where_the_true_swap_does_not_exist() -> None:
    data = sprites()
    assert crossing(view_of(data, np.zeros((30, 4)), np.zeros((30, 4, 8)))) is not None
    data.valid.apart = {}  # two clips of each action: which one would be true?
    assert run(data, Parts(4)) == {}
    data.valid.clip = {}
    assert run(data, Parts(4)) == {}
    lonely = sprites()
    lonely.valid.groups = ["one"] * 30
    assert run(lonely, Parts(4)) == {}


def test_a_static_label_that_changes_within_a_group_belongs_to_the_sequence() -> None:
    data = sprites()
    data.valid.static["direction"] = data.valid.apart.pop("direction")
    assert run(data, Parts(4))["swap_accuracy"] == 1


def test_left_out_for_sound() -> None:
    data = sprites()
    data.valid.every = data.valid.every.reshape(30, FRAMES, 12)
    assert run(data, Parts(4)) == {}


def test_real_sprites_are_fully_crossed(shared: Path) -> None:
    data = load_data(("lpc_sprites", LpcSpritesOptions(root=str(shared), size=32)), workers=1)
    its = raw_codes(data.test)
    table = crossing(View(None, data, data.test, its))
    assert table is not None and table.shape == (11, 9) and sorted(table.ravel()) == list(range(99))
    model = MODELS["dsae"].make(data.frame, DSAEOptions("tiny"))
    initialise(model, 0)
    values = evaluate(model, data, "test")
    shares = [values[name] for name in ("swap_accuracy", "swap_nearest_at", "swap_nearest_bs", "swap_nearest_bt")]
    assert sum(shares) == pytest.approx(1) and values["swap_accuracy"] < 0.5
    raw = baselines(data, "test")
    assert raw["action_from_z"] > 0.95 > 0.8 > raw["action_from_f"]  # the path shows the action
    assert raw["static_gap"] == 0 and raw["static_from_f"] > 0.95
    assert raw["dynamic_from_z"] == raw["action_from_z"] and raw["direction_from_f"] > 0.8  # direction is kept apart
