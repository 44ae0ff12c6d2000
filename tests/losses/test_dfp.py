import math
from pathlib import Path

import pytest
import torch
from model_cases import CASES, VECTOR, batch, frames, run
from torch import tensor

from ablate.config import load_study
from ablate.errors import Mistake
from ablate.losses.dfp import DFPOptions, dfp, energy, movement, signal
from ablate.models.s3vae import S3VAE, S3VAEOptions
from ablate.registry import LOSSES, MODELS
from ablate.rules import lacking
from ablate.types import Output


def test_energy_by_hand():
    x = tensor([[[1.0, 2.0, 6.0], [-1.0, 0.0, 1.0]]])
    assert torch.equal(energy(x), tensor([[[3.0], [0.0]]])) and torch.equal(signal(x), energy(x))


def test_energy_of_power_spectra_by_hand():
    x = tensor([[[1.0, 3.0], [0.0, 0.0]]], dtype=torch.float64)
    expected = tensor([[[math.log(2.0)], [math.log(1e-10)]]], dtype=torch.float64)
    assert torch.allclose(energy(x, "itakura_saito"), expected, atol=1e-12)


def test_movement_by_hand():
    x = torch.zeros(1, 3, 2, 6, 6)  # cells of 2 x 2 pixels
    x[0, 1, 0, 0, 1] = 2.0  # of one of the two channels: 4 / (2 * 4) in the first cell, when it comes and when it goes
    x[0, 1:, 1, 5, 4] = 1.0  # 1 / 8 in the last one, when it comes
    still = [0.0] * 7
    assert movement(x).tolist() == [[[0.5, *still, 0.125], [0.5, *still, 0.0]]]
    assert torch.equal(signal(x), movement(x))


def test_movement_on_a_side_that_three_does_not_divide():
    x = torch.zeros(1, 2, 1, 4, 3)
    x[0, 1, 0, 1, 0] = 1.0  # the second of four rows belongs to the first and to the second cell
    assert movement(x)[0, 0].reshape(3, 3).tolist() == [[0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]


def told_by_hand(z: torch.Tensor) -> tuple[S3VAE, Output]:
    """A predictor 3 z_1 - z_2 + 1/2, and an output that holds these codes."""
    model = S3VAE(VECTOR, S3VAEOptions("tiny", z_dim=2, predictor=()), 3).double()
    with torch.no_grad():
        model.predictor[0].weight.copy_(tensor([[3.0, -1.0]]))
        model.predictor[0].bias.fill_(0.5)
    return model, Output({}, {}, {"f": z.new_zeros(1, 4), "z": z}, None)


def test_value_and_gradient_by_hand():
    x = tensor([[[1.0, 1, 1, 1, 1], [0.0, 1, 2, 3, 4]]], dtype=torch.float64)  # energies 1 and 2
    z = tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64).requires_grad_()  # 3.5 and -0.5 are told
    model, out = told_by_hand(z)
    value = dfp(model, batch(x), out, options=DFPOptions(variance=0.5))
    # (2.5^2 + 2.5^2) / (2 * 0.5) + 2 * ln(2 pi 0.5) / 2
    assert value.tolist() == pytest.approx([12.5 + math.log(math.pi)])
    value.sum().backward()
    # (told - energy) / variance times the weights: 5 and -5
    assert torch.allclose(z.grad, tensor([[[15.0, -5.0], [-15.0, 5.0]]], dtype=torch.float64))
    assert torch.allclose(model.predictor[0].weight.grad, tensor([[5.0, -5.0]], dtype=torch.float64))
    assert model.predictor[0].bias.grad.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["s3vae", "s3vae-pictures"])
def test_dependence(name):
    model, b, out = run(CASES[name])
    sample = {key: code.detach().requires_grad_() for key, code in out.sample.items()}
    x_hat = out.x_hat.detach().requires_grad_()
    value = dfp(model, b, Output(out.q, out.p, sample, x_hat), options=DFPOptions())
    f, z, y = torch.autograd.grad(value[0], [sample["f"], sample["z"], x_hat], allow_unused=True)
    first = 0 if name == "s3vae" else 1  # the first picture has none before it
    assert f is None and y is None
    assert [[bool(g.any()) for g in row] for row in z] == [[t >= first for t in range(3)]] + [[False] * 3] * 3


def test_what_learns_from_it():
    model, b, out = run(CASES["s3vae"])
    dfp(model, b, out, options=DFPOptions()).mean().backward()
    learns = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    inside = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learns == {"dsae", "predictor"} and {"q_z", "encoder", "f_rnn"} & inside == {"q_z", "f_rnn"}
    assert "decoder" not in inside and "prior" not in inside


def test_of_a_perfect_prediction_the_constant_is_left():
    x = frames(CASES["s3vae"], dtype=torch.float64)
    z = torch.cat([(energy(x) - 0.5) / 3, torch.zeros(4, 3, 1)], dim=-1)
    model, out = told_by_hand(z)
    value = dfp(model, batch(x), out, options=DFPOptions(variance=2.0))
    assert torch.allclose(value, torch.full((4,), 1.5 * math.log(4 * math.pi), dtype=torch.float64))


def test_only_a_model_with_a_predictor_carries_it():
    assert lacking("loss term", LOSSES["dfp"], MODELS["s3vae"]) is None
    sentence = lacking("loss term", LOSSES["dfp"], MODELS["dsae"])
    assert sentence == (
        "loss term 'dfp' needs a predictor of frames; model 'dsae' has f (static), z (dynamic), a decoder"
    )


def test_reads_the_data_as_the_reconstruction_does(tmp_path: Path):
    file = tmp_path / "power.yaml"
    text = (
        "name: power\ndata: {name: simvowels, features: power}\nmodel: {name: s3vae}\nloss:\n"
        "  recon: {weight: 1, options: {likelihood: itakura_saito}}\n  dfp: {weight: 1, options: {likelihood: LIKE}}\n"
    )
    file.write_text(text.replace("LIKE", "itakura_saito"))
    assert load_study(file).base.loss.terms["dfp"].options.likelihood == "itakura_saito"
    file.write_text(text.replace("LIKE", "gaussian"))
    with pytest.raises(Mistake, match=r":6:3: loss term 'dfp' reads .* as gaussian, 'recon' as itakura_saito"):
        load_study(file)
