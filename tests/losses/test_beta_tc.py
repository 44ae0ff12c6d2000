"""The KL taken apart: its parts add up to it, and are those of a mixture that is written out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_cases import CASES, run

from ablate.errors import Mistake
from ablate.losses.beta_tc import BetaTCOptions, beta_tc
from ablate.random import Draws
from ablate.types import Batch, Gaussian, Output

ONES = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0}


@pytest.mark.parametrize("estimator", ["mws", "mss"])
@pytest.mark.parametrize("name", ["dsae", "vae", "speech_vae", "fhvae", "vrnn", "kvae", "vae-pictures"])
def test_at_weights_of_one_it_is_one_sample_of_the_kl(name, estimator):
    model, b, out = run(CASES[name], torch.float64)
    code = next((k for k, role in model.latents.items() if role == "static"), next(iter(model.latents)))
    log_q = out.q[code].log_prob(out.sample[code]).flatten(1).sum(1)
    log_p = out.log_p[code] if code in out.log_p else out.p[code].log_prob(out.sample[code]).flatten(1).sum(1)
    value = beta_tc(model, b, out, options=BetaTCOptions(**ONES, estimator=estimator))
    assert torch.allclose(value, log_q - log_p, rtol=1e-9, atol=1e-9)


class Static:
    latents = {"f": "static"}  # noqa: RUF012
    training = True


def parts(options: BetaTCOptions, N: int = 7) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """The term of three sequences and two dimensions; means, standard deviations and samples."""
    mean, sd, c = np.random.default_rng(3).normal(size=(3, 3, 2))
    sd = np.exp(0.3 * sd)
    q = Gaussian(torch.tensor(mean), torch.tensor(2 * np.log(sd)))
    out = Output({"f": q}, {"f": Gaussian.standard(q.mean)}, {"f": torch.tensor(c)}, None)
    batch = Batch(q.mean, torch.arange(3), N, Draws(0, (0,), 3, slice(0, 3)))
    return beta_tc(Static(), batch, out, options=options), mean, sd, c


def density(x: float, mean: float, sd: float) -> float:
    return math.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("estimator", ["mws", "mss"])
def test_the_parts_by_sums_of_densities(estimator):
    """Loops over rows and dimensions, weights 1 / (N B) or those of stratified sampling (B 3, N 7)."""
    weights = np.full((3, 3), 1 / 21)
    if estimator == "mss":
        weights = np.array([[1 / 7, 5 / 14, 1 / 2], [1 / 2, 1 / 7, 5 / 14], [5 / 14, 1 / 2, 1 / 7]])
        assert weights.sum(1) == pytest.approx([1, 1, 1])
    got = {}
    for part in ONES:
        options = BetaTCOptions(**{name: float(name == part) for name in ONES}, estimator=estimator)
        got[part], mean, sd, c = parts(options)
    for i in range(3):
        own = sum(math.log(density(c[i, d], mean[i, d], sd[i, d])) for d in range(2))
        joint = math.log(
            sum(w * density(c[i, 0], *at[0]) * density(c[i, 1], *at[1]) for w, at in rows(weights[i], mean, sd))
        )
        single = sum(
            math.log(sum(w * density(c[i, d], *at[d]) for w, at in rows(weights[i], mean, sd))) for d in range(2)
        )
        prior = sum(math.log(density(c[i, d], 0, 1)) for d in range(2))
        assert float(got["alpha"][i]) == pytest.approx(own - joint)
        assert float(got["beta"][i]) == pytest.approx(joint - single)
        assert float(got["gamma"][i]) == pytest.approx(single - prior)


@pytest.mark.parametrize(("step", "share"), [(0, 0.25), (2, 0.75), (3, 1), (9, 1)])
def test_gamma_rises_in_training_alone(step, share):
    model, b, out = run(CASES["dsae"], torch.float64)
    b = replace(b, step=step)
    options = BetaTCOptions(alpha=0, beta=0, gamma=2)
    full, rising = (beta_tc(model, b, out, options=replace(options, gamma_steps=n)) for n in (0, 4))
    assert not model.training and torch.equal(rising, full)
    model.train()
    assert torch.equal(beta_tc(model, b, out, options=options), full)
    assert torch.allclose(beta_tc(model, b, out, options=replace(options, gamma_steps=4)), share * full, rtol=1e-12)


def rows(weights: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> list[tuple[float, list[tuple[float, float]]]]:
    """Weight of each row, and mean and sd of its dimensions."""
    return [(weights[j], list(zip(mean[j], sd[j], strict=True))) for j in range(3)]


def test_frames_are_rows_where_there_is_no_static_code():
    """A VAE on windows of three frames is one on single frames, 3 N of them; values add up over a window."""
    model, b, out = run(CASES["vae"], torch.float64)
    options = BetaTCOptions(1.5, 3, 0.7)
    q, p = (Gaussian(g.mean.flatten(0, 1), g.logvar.flatten(0, 1)) for g in (out.q["z"], out.p["z"]))
    single = Output({"f": q}, {"f": p}, {"f": out.sample["z"].flatten(0, 1)}, None)
    frames = replace(b, n_train=3 * b.n_train, draw=Draws(0, (0,), 12, slice(0, 12)))
    expected = beta_tc(Static(), frames, single, options=options).view(4, 3).sum(1)
    assert torch.allclose(beta_tc(model, b, out, options=options), expected, rtol=1e-9)


def test_stratified_sampling_needs_a_batch_within_the_training_set():
    with pytest.raises(Mistake, match="estimator mss needs a batch of 2 to 2 rows"):
        parts(BetaTCOptions(estimator="mss"), N=2)
