"""How near the sound of the reconstruction is to the recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    "si_sdr", options=NoOptions, needs={"decoder"}, keys=("si_sdr", "si_sdr_median"), named=True, undefined=unheard
)
def si_sdr(view: View, *, options: NoOptions) -> dict[str, float]:
    """Scale-invariant signal-to-distortion ratio in dB of resynthesised utterances: mean and median.

    As in the review of Girin et al. (arXiv 2008.12595): the reconstructed spectra of an utterance (of the posterior
    means, `evaluate.reconstruct`) with the phase of the recording, transformed back. An analysis of clean speech with
    an oracle phase, no enhancement. Whole windows only; without the reference's rounding to 16 bits.
    """
    found = []
    for row, item in enumerate(view.split.items):
        rows = np.flatnonzero(view.split.sequence == row)
        parts = [view.reconstruct(some, view.split.x(some)) for some in np.array_split(rows, pieces(view, rows))]
        pair = view.data.rephased(np.concatenate(parts).reshape(-1, *view.data.frame), item) if len(rows) else None
        if pair is not None:
            found.append(ratio(*pair))
    return {"si_sdr": float(np.mean(found)), "si_sdr_median": float(np.median(found))} if found else {}


def pieces(view: View, rows: np.ndarray) -> int:
    """Into how many batches the windows of an utterance go."""
    return -(-len(rows) // view.batch_size)


def ratio(s: np.ndarray, s_hat: np.ndarray) -> float:
    """10 log10(|a s|^2 / |s_hat - a s|^2) with a = <s, s_hat> / <s, s>, in dB (Le Roux et al. 2019, arXiv 1811.02508).

    Machine epsilon is added to each of the four sums, so that silence has a finite value.
    """
    eps = np.finfo(np.float64).eps
    target = (eps + s @ s_hat) / (eps + s @ s) * s
    rest = s_hat - target
    return float(10 * np.log10((eps + target @ target) / (eps + rest @ rest)))
