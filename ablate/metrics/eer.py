"""Speaker verification: the equal error rate of the static and of the dynamic code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ablate.registry import METRICS

if TYPE_CHECKING:
    from ablate.metrics.evaluate import View

FACTOR = "speaker"  # the static factor whose identity is verified


@dataclass(frozen=True)
class EEROptions:
    """Options of the verification."""

    min_targets: int = field(default=10, metadata={"ge": 1})  # fewer target pairs: left out
    centre: bool = False  # subtract the mean over the utterances before the cosine


@METRICS(
    "eer",
    options=EEROptions,
    keys=("eer_f", "eer_z", "eer_targets", "eer_nontargets"),
    lower=("eer_f", "eer_z"),
    either=("eer_z",),
)
def eer(view: View, *, options: EEROptions) -> dict[str, float]:
    """Speaker-verification equal error rate from f and from z, with the number of target and non-target pairs.

    Per utterance the mean of f over its windows and the mean of z over its windows and frames; score = cosine of two
    utterances, over all unordered pairs; target = same speaker. Low for a static code that knows the speaker, near .5
    for a dynamic one that does not. Keys `eer_f`, `eer_z`, `eer_targets`, `eer_nontargets`; left out where there is no
    factor `speaker`, only one speaker, or fewer than `min_targets` target pairs. Procedure of the DSAE and FHVAE papers
    (arXiv 1803.02991, 1709.07902), which do not centre the codes.
    """
    if view.data.factors.get(FACTOR) != "static":
        return {}
    labels = np.asarray(view.split.static[FACTOR])
    used = np.unique(view.codes.item)
    used = used[labels[used] >= 0]
    first, second = np.triu_indices(len(used), k=1)
    target = labels[used][first] == labels[used][second]
    targets, nontargets = int(target.sum()), int((~target).sum())
    if targets < options.min_targets or not nontargets:
        return {}
    values: dict[str, float] = {"eer_targets": targets, "eer_nontargets": nontargets}
    for name, code in sequence_codes(view).items():
        similarity = cosines(item_means(code, view.codes.item)[used], options.centre)[first, second]
        values[f"eer_{name}"] = equal_error_rate(similarity[target], similarity[~target])
    return values


def sequence_codes(view: View) -> dict[str, np.ndarray]:
    """`f` and, where there is a dynamic latent, the time mean of `z`; each (n, D)."""
    result = {"f": view.codes.static}
    if "dynamic" in view.codes.roles.values():
        result["z"] = view.codes.dynamic.mean(axis=1)
    return result


def item_means(code: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Mean over the windows of each item, (n, D) -> (items, D); zero for an item without a window."""
    count = int(item.max()) + 1
    sums = np.zeros((count, code.shape[1]))
    np.add.at(sums, item, code)
    return sums / np.maximum(np.bincount(item, minlength=count), 1)[:, None]


def cosines(x: np.ndarray, centre: bool = False) -> np.ndarray:
    """Cosine of every two rows, (m, D) -> (m, m); a zero row has cosine 0 with all."""
    x = x - x.mean(axis=0) if centre else x
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(float).tiny)
    return unit @ unit.T


def equal_error_rate(targets: np.ndarray, others: np.ndarray) -> float:
    """Rate at which false rejection equals false acceptance, as the threshold sweeps over all scores.

    Rejected are scores below the threshold. The two rates are interpolated linearly where they cross.
    """
    rejection, acceptance = error_rates(targets, others)
    gap = rejection - acceptance  # rises from -1 to 1
    k = int(np.argmax(gap >= 0))  # the first threshold is the lowest score, so k > 0
    share = gap[k - 1] / (gap[k - 1] - gap[k])
    return float(rejection[k - 1] + share * (rejection[k] - rejection[k - 1]))


def error_rates(targets: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False rejection and false acceptance at each distinct score, and above the highest one."""
    thresholds = np.append(np.unique(np.concatenate([targets, others])), np.inf)
    rejection = np.searchsorted(np.sort(targets), thresholds, side="left") / len(targets)
    acceptance = 1 - np.searchsorted(np.sort(others), thresholds, side="left") / len(others)
    return rejection, acceptance
