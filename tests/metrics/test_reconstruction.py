"""R² by hand: perfect, no better than the mean, worse, and read from logits and log-power."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.metrics.reconstruction import reconstruction
from ablate.registry import NoOptions

from .fakes import FakeData, FakeSplit, Parts, view_of


class Says(nn.Module):
    """The same value everywhere."""

    def __init__(self, value: Tensor):
        super().__init__()
        self.value = nn.Parameter(value)

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        return self.value.expand(*sample["z"].shape[:2], -1)


def run(x: np.ndarray, model: nn.Module, likelihood: str = "gaussian") -> dict[str, float]:
    data = FakeData(FakeSplit(["u"] * len(x), ["g"] * len(x), np.arange(len(x)), x), {})
    view = view_of(data, x[..., :1].mean(1), x[..., 1:], model=model.double(), likelihood=likelihood, batch_size=2)
    return reconstruction(view, options=NoOptions())


def test_perfect() -> None:
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    x[..., 0] = x[:, :1, 0]
    assert run(x, Parts(1)) == pytest.approx({"r2": 1, "mse_per_frame": 0}, abs=1e-12)


def test_the_mean_frame_scores_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    values = run(x, Says(torch.from_numpy(x.mean(axis=(0, 1)))))
    assert values["r2"] == pytest.approx(0, abs=1e-6)
    assert values["mse_per_frame"] == pytest.approx(x.var(axis=(0, 1)).sum(), rel=1e-5)


def test_by_hand() -> None:
    # Frames 1, 3 | 5, 7: mean 4, variation 9 + 1 + 1 + 9 = 20; a constant 3 errs by 4 + 0 + 4 + 16 = 24.
    x = np.array([[[1.0], [3.0]], [[5.0], [7.0]]])
    assert run(x, Says(torch.tensor([3.0]))) == pytest.approx({"r2": 1 - 24 / 20, "mse_per_frame": 6})


@pytest.mark.parametrize(("likelihood", "output"), [("bernoulli", 0.0), ("itakura_saito", float(np.log(0.5)))])
def test_logits_and_log_power(likelihood: str, output: float) -> None:
    x = np.array([[[0.0], [1.0]], [[0.5], [0.5]]])
    assert run(x, Says(torch.tensor([output])), likelihood) == pytest.approx({"r2": 0, "mse_per_frame": 0.125})


def test_constant_data_have_no_r2() -> None:
    assert run(np.ones((2, 3, 2)), Says(torch.zeros(1))) == {"mse_per_frame": 2}


def test_a_model_with_a_reconstruction_of_its_own_is_asked_for_it() -> None:
    class Copies(Says):
        def reconstruct(self, sample: dict[str, Tensor], x: Tensor) -> Tensor:
            assert set(sample) == {"f", "z"} and x.dtype == self.value.dtype
            return x + 1

    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    assert run(x, Copies(torch.zeros(3)))["mse_per_frame"] == pytest.approx(3)  # 1 per feature
