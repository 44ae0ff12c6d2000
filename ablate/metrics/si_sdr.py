"""How near the sound of the reconstruction is to the recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablate.metrics.evaluate import encode, reconstruct
from ablate.registry import METRICS, NoOptions

if TYPE_CHECKING:
    from ablate.data.dataset import Data
    from ablate.metrics.evaluate import View


def unheard(data: Data) -> str | None:
    """Why the metric is not defined on these data, or None."""
    if data.rephased(data.valid.x([0])[0].numpy(), data.valid.items[data.valid.sequence[0]]) is None:
        return "needs sound in features from which it comes back; set data.features to power or logmag"
    return None


@METRICS(
    "si_sdr",
    options=NoOptions,
    needs={"decoder"},
    keys=("si_sdr", "si_sdr_median", "si_sdr_notch"),
    lower=("si_sdr_notch",),
    named=True,
    undefined=unheard,
)
def si_sdr(view: View, *, options: NoOptions) -> dict[str, float]:
    """Scale-invariant signal-to-distortion ratio in dB of resynthesised utterances: mean, median and notch.

    As in the review of Girin et al. (arXiv 2008.12595): the reconstructed spectra of an utterance (of the posterior
    means, `evaluate.reconstruct`) with the phase of the recording, transformed back. An analysis of clean speech with
    an oracle phase, no enhancement. An utterance is one sequence, read and decoded in one pass; models of segments
    reconstruct it window by window. Both sounds are rounded to 16 bits, the larger peak at .9. What is left of an
    utterance behind its last whole window is left out.
    The notch, 1.57 times the distance of the quartiles over the root of the number of utterances, is the half-width of
    a rough 95 % interval of their median (McGill et al. 1978); it knows nothing of seeds.
    """
    found = []
    for row, item in enumerate(view.split.items):
        rows = np.flatnonzero(view.split.sequence == row)
        pair = view.data.rephased(spoken(view, rows), item) if len(rows) else None
        if pair is not None:
            found.append(ratio(*written(*pair)))
    if not found:
        return {}
    low, median, high = np.percentile(found, (25, 50, 75))
    notch = 1.57 * (high - low) / np.sqrt(len(found))
    return {"si_sdr": float(np.mean(found)), "si_sdr_median": float(median), "si_sdr_notch": float(notch)}


def spoken(view: View, rows: np.ndarray) -> np.ndarray:
    """Reconstructed frames (L, D) of an utterance whose windows these are, in normalised units."""
    whole = view.split.whole(rows)  # (1, L, D)
    parts = [whole]
    if hasattr(view.model, "length"):  # built for segments
        parts = list(whole.unflatten(1, (len(rows), -1))[0].split(view.batch_size))
    heard = [reconstruct(view.model, encode(view.model, x, view.device), x, view.likelihood) for x in parts]
    return np.concatenate([x_hat.reshape(-1, *x_hat.shape[2:]) for x_hat in heard])


def written(x: np.ndarray, x_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as a 16-bit wav file gives them back once the larger peak is .9; silence as it is."""
    peak = max(np.abs(x).max(initial=0), np.abs(x_hat).max(initial=0))
    gain = 0.9 * 32767 / peak if peak > 0 else 0.0
    return np.rint(gain * x) / 32768, np.rint(gain * x_hat) / 32768


def ratio(s: np.ndarray, s_hat: np.ndarray) -> float:
    """10 log10(|a s|^2 / |s_hat - a s|^2) with a = <s, s_hat> / <s, s>, in dB (Le Roux et al. 2019, arXiv 1811.02508).

    Machine epsilon is added to each of the four sums, so that silence has a finite value.
    """
    eps = np.finfo(np.float64).eps
    target = (eps + s @ s_hat) / (eps + s @ s) * s
    rest = s_hat - target
    return float(10 * np.log10((eps + target @ target) / (eps + rest @ rest)))
