"""Cyclic consistency: codes shifted by noise, decoded and encoded again must come back shifted by the same noise."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ablate.models.feedback import Likelihood, mean_of
from ablate.registry import LOSSES
from ablate.types import Batch, Output


@dataclass(frozen=True)
class CyclicOptions:
    """Options of `cyclic`. Published runs: uniform, detach_codes true, detach_target false."""

    noise: Literal["normal", "uniform"] = "normal"  # uniform: in [0, 1)
    detach_codes: bool = False  # no gradient through z, f and their re-encoded counterparts
    detach_target: bool = True  # no gradient through the reconstruction that is compared with
    likelihood: Likelihood = "gaussian"  # that of recon: how the decoder's output becomes data for the encoder


@LOSSES("cyclic", options=CyclicOptions, needs={"latent:f", "latent:z", "decoder"}, bound=False, beta=False)
def cyclic(model: Any, batch: Batch, out: Output, *, options: CyclicOptions) -> Tensor:
    """Sum over frames and features of (x' - x_hat)^2, (B,); not part of S3VAE, from code published without a paper.

    x~ = dec(f + e_f, z + e_z); f2, z2 ~ q(. | x~); x' = dec(f2 - e_f, z2 - e_z). All codes are posterior samples. The
    decoder's output is turned into data (`likelihood`) before it is encoded.
    """
    codes = {name: out.sample[name] for name in ("f", "z")}
    draw = batch.draw.normal if options.noise == "normal" else batch.draw.uniform
    noise = {name: draw(f"term:cyclic/{name}", *code.shape[1:]).to(code) for name, code in codes.items()}
    if options.detach_codes:
        codes = {name: code.detach() for name, code in codes.items()}
    moved = mean_of(model.decode({name: code + noise[name] for name, code in codes.items()}), options.likelihood)
    again = {name: batch.draw.normal(f"term:cyclic/q_{name}", *code.shape[1:]).to(code) for name, code in codes.items()}
    _, second = model.encode(moved, again)
    if options.detach_codes:
        second = {name: code.detach() for name, code in second.items()}
    back = model.decode({name: second[name] - noise[name] for name in codes})
    assert out.x_hat is not None
    target = out.x_hat.detach() if options.detach_target else out.x_hat
    return ((back - target) ** 2).flatten(1).sum(1)
