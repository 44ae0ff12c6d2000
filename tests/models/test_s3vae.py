import pytest
import torch
from model_cases import CASES, PICTURE, VECTOR, batch, frames, noise
from sameness import assert_learns, parameters_on_meta, reached

from ablate.errors import Mistake
from ablate.losses.dfp import DFPOptions, dfp, signal
from ablate.models.dsae import DSAE, DSAEOptions
from ablate.models.s3vae import S3VAE, S3VAEOptions

NAMES = [name for name in CASES if name.startswith("s3vae")]


def meta(frame, options):
    return S3VAE(frame, options, 20)


@pytest.mark.parametrize(
    ("x_dim", "preset", "dsae", "predictor"),
    [(513, "speech", 1_650_241, 17 * 32 + 33), (96, "motion", 217_084, 11 * 32 + 33)],
)
def test_parameters_are_those_of_dsae_and_of_the_predictor(x_dim, preset, dsae, predictor):
    assert parameters_on_meta(meta, x_dim, S3VAEOptions(preset)) == dsae + predictor
    assert parameters_on_meta(meta, x_dim, S3VAEOptions(preset, predictor=())) - dsae == {513: 17, 96: 11}[x_dim]


def test_is_dsae_with_its_weights():
    model, x = CASES["s3vae"].build(), frames(CASES["s3vae"])
    other = DSAE(VECTOR, DSAEOptions("tiny")).eval()
    other.load_state_dict(model.dsae.state_dict())
    eps = noise(model, x)
    ours, theirs = model(x, eps), other(x, eps)
    assert torch.equal(ours.x_hat, theirs.x_hat) and torch.equal(ours.sample["z"], theirs.sample["z"])
    assert torch.equal(model.prior_z(ours.sample["z"]).mean, theirs.p["z"].mean)
    assert torch.equal(model.sample_prior(eps["z"]), other.sample_prior(eps["z"]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", [0, 3, 5])
def test_what_is_told_of_a_frame_depends_on_its_code_alone(name, t):
    model = CASES[name].build()
    z = torch.randn(2, 6, model.z_dim).requires_grad_()
    told = model.predict(z)
    assert told.shape == (2, 6, 1 if len(CASES[name].frame) == 1 else 9) and reached(told[:, t], z) == [t]


def moving(name: str) -> torch.Tensor:
    """Eight sequences of five frames; pictures flicker as a whole."""
    if name == "s3vae":
        return frames(CASES[name], B=8, T=5)
    return torch.rand(8, 5, 1, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, *PICTURE)


@pytest.mark.parametrize("name", NAMES)
def test_the_term_teaches_the_codes_what_it_predicts(name):
    model, x = CASES[name].build().train(), moving(name)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    target = signal(x)
    scale = target.var().item()
    for step in range(150):
        out = model(x, {key: 0.01 * eps for key, eps in noise(model, x, step).items()})
        optimiser.zero_grad()
        dfp(model, batch(x), out, options=DFPOptions(variance=scale)).mean().backward()
        optimiser.step()
    told = model.predict(model(x, None).sample["z"])[:, -target.shape[1] :]
    assert ((told - target) ** 2).mean() < 0.2 * scale


@pytest.mark.long
def test_explains_eight_sequences():
    assert_learns("s3vae", 300, 0.005)


@pytest.mark.parametrize(
    ("frame", "options", "window", "says"),
    [
        ((80,), S3VAEOptions("paper"), 20, "model s3vae with preset paper takes frames that are pictures"),
        (PICTURE, S3VAEOptions(), 1, "model s3vae compares neighbouring pictures: data.window must be at least 2"),
        ((3, 2, 8), S3VAEOptions(), 8, "model s3vae needs pictures of at least 3 x 3 pixels, not 2 x 8"),
    ],
)
def test_bad_input_is_the_users_mistake(frame, options, window, says):
    with pytest.raises(Mistake, match=says):
        S3VAE(frame, options, window)
