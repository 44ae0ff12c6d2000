"""How far the joints of the reconstruction are from where they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablate.registry import METRICS, NoOptions

if TYPE_CHECKING:
    from ablate.data.dataset import Data
    from ablate.metrics.evaluate import View


def no_joints(data: Data) -> str | None:
    """Why the metric is not defined on these data, or None."""
    return None if data.joints else "needs positions of joints, as h36m has them in representation xyz or kpts13"


@METRICS(
    "mpjpe", options=NoOptions, needs={"decoder"}, keys=("mpjpe",), lower=("mpjpe",), named=True, undefined=no_joints
)
def mpjpe(view: View, *, options: NoOptions) -> dict[str, float]:
    """Mean per-joint position error of the reconstruction in mm, over all windows, frames and joints.

    Of the posterior means (`evaluate.reconstruct`). Ten of the 32 joints of Human3.6M coincide with others or never
    move, which lowers it; so do true frames that an autoregressive model reads before.
    """
    if not view.data.joints:
        return {}
    total, count = 0.0, 0
    for rows in view.batches():
        frames = view.split.x(rows)  # (B, T, 3 J)
        x, x_hat = view.data.denormalise(frames), view.data.denormalise(view.reconstruct(rows, frames))
        apart = np.linalg.norm((x - x_hat).astype(np.float64).reshape(-1, 3), axis=-1)  # (B T J,)
        total, count = total + apart.sum(), count + len(apart)
    return {"mpjpe": 1000 * total / count}
