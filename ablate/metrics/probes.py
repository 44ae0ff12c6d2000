"""Linear probes: how well each factor can be read from f and from z, and the gap that studies select on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ablate.data.items import natural
from ablate.registry import METRICS

if TYPE_CHECKING:
    from ablate.metrics.evaluate import View


@dataclass(frozen=True)
class ProbeOptions:
    """Options of the probes."""

    ridge: float = field(default=1e-3, metadata={"gt": 0})  # share of the mean variance added to the pooled covariance


REPORTED = ("probe_gap", "weaker_half", "static_gap", "dynamic_gap", "*_from_f", "*_from_z", "*_from_frame")


@METRICS("probes", options=ProbeOptions, needs={"dynamic"}, keys=REPORTED)
def probes(view: View, *, options: ProbeOptions) -> dict[str, float]:
    """Linear probes of the static factors from f and mean z, of the dynamic ones from z and f; `probe_gap`.

    A probe is a closed-form LDA fitted on one half of the utterances and scored on the other, both directions averaged,
    by balanced accuracy rescaled so that chance is 0 and perfect is 1. The codes are those of single windows; halves
    are by utterance (see `halves`), so that no window of an utterance is ever on both sides.

    Static factors are read from f and from z averaged over the window, and from single z_t (`<factor>_from_frame`).
    Frame factors are read from z_t and from f repeated per frame, frames labelled -1 left out. Clip factors (dynamic,
    but constant over a clip) are read from the whole path z_1..z_T of a window and from f; so are factors of kind
    `apart`, which enter no average.

    probe_gap = half of [(static from f - static from z) + (dynamic from z - dynamic from f)], each averaged over its
    factors. A factor without two classes that occur in both halves is left out, and with no static or no dynamic factor
    left so is probe_gap. The gap falls with the number of utterances: compare only values from the same split.
    """
    half = halves(view.split.items, view.split.groups)[view.codes.item]  # (n,)
    scores: dict[str, dict[str, dict[str, float]]] = {"static": {}, "frame": {}, "clip": {}, "apart": {}}
    for name, kind in view.data.factors.items():
        score_of = {"static": static_scores, "frame": frame_scores}.get(kind, clip_scores)
        its = score_of(view, name, half, options.ridge)
        if its is not None:
            scores[kind][name] = its
    values = summary(scores["static"], scores["frame"] | scores["clip"])
    by_name = (item for factors in scores.values() for item in factors.items())
    return values | {f"{name}_from_{code}": value for name, by in by_name for code, value in by.items()}


def summary(static: dict[str, dict[str, float]], dynamic: dict[str, dict[str, float]]) -> dict[str, float]:
    """The four averages, the two gaps, `probe_gap` and `weaker_half`, as far as they are defined."""
    values: dict[str, float] = {}
    for role, factors, own, other in (("static", static, "f", "z"), ("dynamic", dynamic, "z", "f")):
        if factors:
            for code in (own, other):
                values[f"{role}_from_{code}"] = float(np.mean([by[code] for by in factors.values()]))
            values[f"{role}_gap"] = values[f"{role}_from_{own}"] - values[f"{role}_from_{other}"]
    if static and dynamic:
        values["probe_gap"] = (values["static_gap"] + values["dynamic_gap"]) / 2
        values["weaker_half"] = min(values["static_gap"], values["dynamic_gap"])
    return values


def static_scores(view: View, name: str, half: np.ndarray, ridge: float) -> dict[str, float] | None:
    """Scores of a static factor from f, mean z and single frames; None where they are undefined."""
    z = view.codes.dynamic
    labels = view.split.static[name][view.codes.item]  # (n,)
    f_score, z_score = score(view.codes.static, labels, half, ridge), score(z.mean(axis=1), labels, half, ridge)
    frame = score(frames(z), per_frame(labels, z), per_frame(half, z), ridge)
    if f_score is None or z_score is None or frame is None:
        return None
    return {"f": f_score, "z": z_score, "frame": frame}


def frame_scores(view: View, name: str, half: np.ndarray, ridge: float) -> dict[str, float] | None:
    """Scores of a factor with one label per frame, from z_t and from f; None where they are undefined."""
    f, z = view.codes.static, view.codes.dynamic
    labels = np.asarray(view.split.frame_labels(name, np.arange(view.split.n))).reshape(-1)  # (n*T,)
    half = per_frame(half, z)
    return both(score(frames(z), labels, half, ridge), score(np.repeat(f, z.shape[1], axis=0), labels, half, ridge))


def clip_scores(view: View, name: str, half: np.ndarray, ridge: float) -> dict[str, float] | None:
    """Scores of a factor with one label per clip, from the path of z and from f; None where they are undefined."""
    f, z = view.codes.static, view.codes.dynamic
    labels = (view.split.clip | view.split.apart)[name][view.codes.item]  # (n,)
    return both(score(z.reshape(len(z), -1), labels, half, ridge), score(f, labels, half, ridge))


def both(from_z: float | None, from_f: float | None) -> dict[str, float] | None:
    """The two scores of a dynamic factor, or None."""
    return None if from_z is None or from_f is None else {"z": from_z, "f": from_f}


def frames(z: np.ndarray) -> np.ndarray:
    """(n, T, D) -> (n*T, D)."""
    return z.reshape(-1, z.shape[-1])


def per_frame(values: np.ndarray, z: np.ndarray) -> np.ndarray:
    """One value per window -> one per frame, (n,) -> (n*T,)."""
    return np.repeat(values, z.shape[1])


def halves(items: Sequence[str], groups: Sequence[str | None]) -> np.ndarray:
    """0 or 1 per item: which half it is in, stratified by group (speaker, character), whatever the order of the items.

    Items alternate inside their group in the order of their names, and the first one's half alternates from group to
    group. The offset matters where every group holds the same clips in the same order: without it each clip would
    always fall into the same half, and the halves would hold different actions.
    """
    half = np.zeros(len(items), dtype=np.int64)
    members: dict[str, list[int]] = {}
    for row in sorted(range(len(items)), key=lambda row: natural(str(items[row]))):
        members.setdefault(str(groups[row]), []).append(row)
    for offset, group in enumerate(sorted(members, key=natural)):
        rows = members[group]
        half[rows] = (np.arange(len(rows)) + offset) % 2
    return half


def score(x: np.ndarray, labels: np.ndarray, half: np.ndarray, ridge: float) -> float | None:
    """Rescaled balanced accuracy of a probe on codes (m, D), mean of both directions; None with fewer than two classes.

    Rows labelled below 0 do not count, nor do classes that are missing from one of the halves.
    """
    common = np.intersect1d(labels[(half == 0) & (labels >= 0)], labels[half == 1])
    if len(common) < 2:
        return None
    keep = np.isin(labels, common)
    x, half = x[keep], half[keep]
    y = np.searchsorted(common, labels[keep])  # 0..K-1
    one, other = half == 0, half == 1
    forth = rescaled_accuracy(classify(lda(x[one], y[one], ridge), x[other]), y[other])
    back = rescaled_accuracy(classify(lda(x[other], y[other], ridge), x[one]), y[one])
    return (forth + back) / 2


def lda(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Closed-form linear discriminant analysis of x (m, D) with classes y in 0..K-1: weights (D, K) and biases (K,).

    Class means and the pooled covariance within classes, classes weighted equally (in the covariance and in the prior),
    plus `ridge` times the mean variance on the diagonal. With D > m it is solved in the span of the data, the same
    function; a code without any variance within its classes falls back on a ridge of the variance of the class means.
    """
    counts = np.bincount(y)
    basis = span(x)
    x = x if basis is None else x @ basis
    means = np.stack([x[y == k].mean(axis=0) for k in range(len(counts))])  # (K, D)
    centre = means.mean(axis=0)
    residual = (x - means[y]) / np.sqrt(counts[y] * len(counts))[:, None]
    pooled = residual.T @ residual  # (D, D)
    full = pooled.shape[0] if basis is None else basis.shape[0]
    level = max(np.trace(pooled), 1e-9 * np.var(means, axis=0).sum(), 1e-200) / full  # never 0
    pooled[np.diag_indices_from(pooled)] += ridge * level
    weights = np.linalg.solve(pooled, (means - centre).T)  # (D, K)
    bias = -0.5 * ((means + centre) * weights.T).sum(axis=1)
    return (weights if basis is None else basis @ weights), bias


def span(x: np.ndarray) -> np.ndarray | None:
    """Orthonormal basis (D, m) of the rows of x (m, D) where there are fewer rows than columns."""
    return np.linalg.qr(x.T)[0] if x.shape[0] < x.shape[1] else None


def classify(discriminant: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Most probable class of each row of x, (m,)."""
    weights, bias = discriminant
    return np.argmax(x @ weights + bias, axis=1)


def rescaled_accuracy(predicted: np.ndarray, y: np.ndarray) -> float:
    """Mean recall over the K classes of y (0..K-1), rescaled: 0 = chance (1/K), 1 = perfect."""
    counts = np.bincount(y)
    recall = np.bincount(y[predicted == y], minlength=len(counts)) / counts
    return float((recall.mean() - 1 / len(counts)) / (1 - 1 / len(counts)))
