"""MPJPE by hand, and where it must be named and is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ablate.data.dataset import load_data
from ablate.errors import Mistake
from ablate.metrics.mpjpe import mpjpe
from ablate.registry import NoOptions
from ablate.training.measures import check_measures, check_values
from ablate.trial import Trial

from .fakes import FakeData, FakeSplit, view_of
from .test_reconstruction import Says


def metres(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.float32)


def of(x: np.ndarray, said: np.ndarray, joints: int) -> dict[str, float]:
    data = FakeData(FakeSplit(["u"] * len(x), ["g"] * len(x), np.arange(len(x)), x), {})
    data.joints, data.denormalise = joints, metres  # type: ignore[attr-defined, method-assign]
    view = view_of(data, None, x, model=Says(torch.from_numpy(said)).double(), batch_size=2)
    return mpjpe(view, options=NoOptions())


def test_distances_by_hand() -> None:
    x = np.zeros((3, 2, 6), np.float32)  # three windows of two frames, two joints
    x[0, 0] = [0.003, 0.004, 0, 0, 0, 0]  # 5 mm and 0
    x[2, 1] = [0, 0, 0, 0.001, 0.002, 0.002]  # 0 and 3 mm
    assert of(x, np.zeros(6, np.float32), 2) == pytest.approx({"mpjpe": 8 / 12})
    assert of(x, np.array([0, 0, 0, 0, 0, 0.002], np.float32), 2)["mpjpe"] == pytest.approx(
        (5 + 2 + 4 * 2 + np.hypot(1, 2)) / 12
    )


def test_no_joints_no_metric() -> None:
    assert of(np.zeros((1, 2, 6), np.float32), np.zeros(6, np.float32), 0) == {}


TRIAL = {
    "data": {"name": "simvowels", "utterances": [10, 5, 5]},
    "model": {"name": "vae"},
    "loss": {"recon": {}, "kl_z": {}},
}


def test_named_metrics_that_the_data_lack_are_refused() -> None:
    trial = Trial.from_plain(TRIAL | {"metrics": {"mpjpe": {}, "si_sdr": {}, "reconstruction": {}}})
    with pytest.raises(Mistake) as caught:
        check_measures(trial, load_data((trial.data.name, trial.data.options), workers=1), [])
    assert list(caught.value.sentences) == [
        "metrics.mpjpe needs positions of joints, as h36m has them in representation xyz or kpts13",
        "metrics.si_sdr needs sound in features from which it comes back; set data.features to power or logmag",
    ]


def test_the_likelihood_of_joints_needs_joints() -> None:
    trial = Trial.from_plain(TRIAL | {"loss": {"recon": {"options": {"likelihood": "mpjpe"}}, "kl_z": {}}})
    split = SimpleNamespace(x=lambda rows: torch.zeros(1, 2, 6), n=1)
    with pytest.raises(Mistake, match="likelihood mpjpe needs positions of joints, and simvowels as it is set up"):
        check_values(trial, SimpleNamespace(valid=split, joints=0))  # type: ignore[arg-type]
    check_values(trial, SimpleNamespace(valid=split, joints=2))  # type: ignore[arg-type]
