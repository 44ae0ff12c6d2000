"""How much of the data the reconstruction explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablate.registry import METRICS, NoOptions

if TYPE_CHECKING:
    from ablate.metrics.evaluate import View


@METRICS("reconstruction", options=NoOptions, needs={"decoder"}, keys=("r2", "mse_per_frame"), lower=("mse_per_frame",))
def reconstruction(view: View, *, options: NoOptions) -> dict[str, float]:
    """R² of the reconstruction against the mean training frame, and its squared error per frame.

    Of the posterior means (`evaluate.reconstruct`). `r2` = 1 - sum (x - x_hat)^2 / sum (x - mean training frame)^2 over
    all frames and features: 0 for a model that says the same of every frame, 1 for a perfect one; left out where the
    data do not vary. `mse_per_frame` is summed over the features and averaged over the frames. Both in normalised
    units. R² does not rank disentanglement, nor autoregressive models, which read the true frames before, with others.
    """
    mean = np.asarray(view.data.mean_frame())  # (*frame)
    error = variation = 0.0
    count = 0
    for rows in view.batches():
        frames = view.split.x(rows)  # (B, T, *frame)
        x = frames.numpy()
        error += np.square(x - view.reconstruct(rows, frames)).sum(dtype=np.float64)
        variation += np.square(x - mean).sum(dtype=np.float64)
        count += x.shape[0] * x.shape[1]
    values = {"mse_per_frame": error / count}
    return values | ({"r2": 1 - error / variation} if variation > 0 else {})
