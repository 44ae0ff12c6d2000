"""torch.compile on every model: captured whole without an LSTM, in parts around it otherwise; the same outputs."""

import pytest
import torch
from model_cases import CASES, batch, frames, noise, passed
from torch import Tensor, nn

from ablate.types import Output

WHOLE = ("vae", "vae-pictures", "speech_vae-mlp", "speech_vae-conv", "speech_vae-gated", "fhvae-simple")


def compiled(model: nn.Module, x: Tensor, eps: dict[str, Tensor], fullgraph: bool) -> Output:
    torch._dynamo.reset()
    its = torch.compile(model, fullgraph=fullgraph, backend="eager")
    return its(x, eps, model.prior_mean(batch(x))) if hasattr(model, "prior_mean") else its(x, eps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*WHOLE, "dsae", "dkf", "kvae", "storn", "vrnn", "srnn-generation", "rvae", "lstm_c", "fhvae"]
)
def test_compiled_models_say_the_same(name: str) -> None:
    model, x = CASES[name].build(), frames(CASES[name])
    eps = noise(model, x)
    expected, out = passed(model, x, eps), compiled(model, x, eps, fullgraph=name in WHOLE)
    assert torch.allclose(out.x_hat, expected.x_hat, atol=1e-6)
    for key, q in expected.q.items():
        assert torch.allclose(out.q[key].mean, q.mean, atol=1e-6)
