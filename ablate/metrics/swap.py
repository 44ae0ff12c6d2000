"""Swap accuracy: does the decoder show character a doing sequence s when it is given f of one clip and z of another?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from ablate.random import generator
from ablate.registry import METRICS

if TYPE_CHECKING:
    from ablate.metrics.evaluate import View

CANDIDATES = ("as", "at", "bs", "bt")  # group, then sequence, of the four true clips


@dataclass(frozen=True)
class SwapOptions:
    """Options of the swaps."""

    pairs: int = field(default=256, metadata={"ge": 1})  # pairs drawn; all of them where there are no more


@METRICS("swap", options=SwapOptions, needs={"static", "dynamic", "decoder"}, keys=("swap_accuracy", "swap_*"))
def swap(view: View, *, options: SwapOptions) -> dict[str, float]:
    """Share of swaps that come out right; chance is .25.

    f of the clip (a, t), character a doing sequence t, is decoded with z of (b, s), a != b and s != t. `swap_accuracy`
    is the share of pairs whose nearest true clip among (a, s), (a, t), (b, s) and (b, t) is (a, s), by squared error;
    `swap_nearest_at`, `_bs` and `_bt` are the shares of the others (at: f decides everything, bs: z does), `swap_pairs`
    their number. The pairs come from the stream `eval/swap`.

    Asked of pictures only, and where every combination of a group and a sequence occurs at most once (see `crossing`):
    elsewhere the true swap does not exist, and the metric is left out.
    """
    table = crossing(view)
    if table is None:
        return {}
    quads = quadruples(table, options.pairs, view.seed)
    if not len(quads):
        return {}
    size = max(1, view.batch_size)
    nearest = np.concatenate([nearest_of(view, quads[i : i + size]) for i in range(0, len(quads), size)])
    shares = np.bincount(nearest, minlength=4) / len(nearest)
    values = {f"swap_nearest_{name}": shares[i] for i, name in enumerate(CANDIDATES) if name != "as"}
    return values | {"swap_accuracy": shares[0], "swap_pairs": len(quads)}


def crossing(view: View) -> np.ndarray | None:
    """Row of the window of each (group, sequence), -1 where there is none; None where the data are not crossed.

    A sequence is known by the labels that change within a group and by the start of the window.
    """
    split, item = view.split, view.codes.item
    if not split.clip or len(view.data.frame) != 3:
        return None
    names = [its or one for its, one in zip(split.groups, split.items, strict=True)]
    groups = np.unique(names, return_inverse=True)[1].reshape(-1)  # (items,)
    by_item = [its for its in (split.clip | split.apart | split.static).values() if changes(its, groups)]
    labels = np.stack([*(its[item] for its in by_item), split.starts], axis=1)  # (n, factors + 1)
    known = np.flatnonzero((labels >= 0).all(axis=1))
    group = np.unique(groups[item[known]], return_inverse=True)[1].reshape(-1)
    sequence = np.unique(labels[known], axis=0, return_inverse=True)[1].reshape(-1)
    if not len(known) or np.unique(np.stack([group, sequence]), axis=1).shape[1] < len(known):
        return None
    table = np.full((group.max() + 1, sequence.max() + 1), -1)
    table[group, sequence] = known
    return table


def changes(labels: np.ndarray, groups: np.ndarray) -> bool:
    """Whether the items of some group differ in their labels."""
    cells = np.unique(np.stack([groups, labels]), axis=1)
    return cells.shape[1] > len(np.unique(groups))


def quadruples(table: np.ndarray, pairs: int, seed: int) -> np.ndarray:
    """Windows (a, s), (a, t), (b, s), (b, t) of up to `pairs` pairs, (pairs, 4); those with a missing one left out."""
    a, b = others(table.shape[0])
    s, t = others(table.shape[1])
    total = len(a) * len(s)
    if total <= pairs:
        chosen = np.arange(total)
    else:
        chosen = torch.randint(total, (pairs,), generator=generator(seed, "eval/swap")).numpy()
    g, q = np.divmod(chosen, max(len(s), 1))
    quads = np.stack([table[a[g], s[q]], table[a[g], t[q]], table[b[g], s[q]], table[b[g], t[q]]], axis=1)
    return quads[(quads >= 0).all(axis=1)]


def others(n: int) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of different numbers below n."""
    first, second = np.nonzero(~np.eye(n, dtype=bool))
    return first, second


def nearest_of(view: View, quads: np.ndarray) -> np.ndarray:
    """Which of its four true clips each swap is nearest to, (pairs,) in 0..3 as in CANDIDATES."""
    f_of, z_of = view.sample(quads[:, 1]), view.sample(quads[:, 2])  # (a, t) and (b, s)
    mixed = {name: f_of[name] if role == "static" else z_of[name] for name, role in view.codes.roles.items()}
    x_hat = view.decode(mixed)  # (pairs, T, C, H, W)
    axes = tuple(range(1, x_hat.ndim))
    errors = [np.square(x_hat - view.split.x(rows).numpy()).sum(axis=axes, dtype=np.float64) for rows in quads.T]
    return np.argmin(np.stack(errors, axis=1), axis=1)
