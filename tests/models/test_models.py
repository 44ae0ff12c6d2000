"""What every model promises, asked of all of them."""

from pathlib import Path

import pytest
import torch
from model_cases import CASES, batch, draws, frames, noise, passed

import ablate.models
from ablate.losses.recon import ReconOptions, recon
from ablate.random import initialise
from ablate.registry import LOSSES, MODELS
from ablate.training.bench import carried
from ablate.types import Output

EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
LEARNERS = [name for name, case in CASES.items() if case.model in ("vae", "dsae") or name == case.model]


def tensors(out: Output) -> list[torch.Tensor]:
    """All that a model puts out, samples, q, p and x_hat."""
    gaussians = [its for group in (out.q, out.p) for g in group.values() for its in (g.mean, g.logvar)]
    return [*gaussians, *out.sample.values(), *out.log_p.values(), *([] if out.x_hat is None else [out.x_hat])]


def close(a: Output, b: Output, tolerance: float = 1e-5) -> bool:
    return all(torch.allclose(x, y, atol=tolerance) for x, y in zip(tensors(a), tensors(b), strict=True))


def rows(out: Output, order: torch.Tensor) -> list[torch.Tensor]:
    return [its[order] for its in tensors(out)]


def decode(case, model, sample: dict, x: torch.Tensor) -> torch.Tensor:
    """The output for these codes; an autoregressive model also reads the true frames before."""
    return model.decode(sample, x) if MODELS[case.model].meta.get("autoregressive") else model.decode(sample)


def test_every_model_is_asked_and_every_file_has_its_test():
    assert {case.model for case in CASES.values()} == set(MODELS.names())
    files = {path.stem for path in Path(ablate.models.__file__).parent.glob("*.py")} - {"__init__"}
    assert files <= {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}


@EVERY
def test_declares_what_it_is(case):
    entry, model = MODELS[case.model], case.build()
    assert entry.meta["latents"] == model.latents and set(model.latents.values()) <= {"static", "dynamic"}
    assert entry.meta["decoder"] == hasattr(model, "decode")
    assert ("static" in model.latents.values()) == hasattr(model, "encode_static")
    assert entry.doc and len(entry.doc) < 120


@EVERY
@pytest.mark.parametrize(("B", "T"), [(4, 3), (1, 3), (4, 1), (1, 1), (2, 9)])
def test_shapes_of_every_batch(case, B, T):
    T = T if case.any_length else case.length
    model, x = case.build(), frames(case, B, T)
    out = model(x, noise(model, x))
    for name, role in model.latents.items():
        shape = (B, *model.noise_shapes(T)[name])
        assert len(shape) == (2 if role == "static" else 3)
        assert all(its.shape == shape for g in (out.q[name], out.p[name]) for its in (g.mean, g.logvar))
        assert out.sample[name].shape == shape
    assert out.x_hat.shape == x.shape
    assert all(its.isfinite().all() for its in tensors(out))


@EVERY
def test_without_noise_the_samples_are_the_means_and_with_it_they_move_by_sd(case):
    model, x = case.build(), frames(case)
    still, eps = model(x, None), noise(model, x)
    moved = model(x, eps)
    for name in model.latents:
        assert torch.equal(still.sample[name], still.q[name].mean)
        sd = (moved.q[name].logvar / 2).exp()
        assert torch.allclose(moved.sample[name], moved.q[name].mean + sd * eps[name], atol=1e-6)
    assert close(model(x, {name: torch.zeros_like(e) for name, e in eps.items()}), still)


@EVERY
def test_equal_noise_gives_equal_results_and_forward_is_encode_then_decode(case):
    model, x = case.build(), frames(case)
    eps = noise(model, x)
    out = model(x, eps)
    assert all(torch.equal(a, b) for a, b in zip(tensors(out), tensors(model(x, eps)), strict=True))
    q, sample = model.encode(x, eps)
    assert all(
        torch.equal(sample[name], out.sample[name]) and torch.equal(q[name].mean, out.q[name].mean) for name in q
    )
    assert torch.allclose(decode(case, model, sample, x), out.x_hat, atol=1e-6)


@EVERY
def test_sequences_do_not_see_each_other(case):
    model, x = case.build(), frames(case)
    eps, order = noise(model, x), torch.tensor([2, 0, 3, 1])
    out = model(x, eps)
    permuted = model(x[order], {name: e[order] for name, e in eps.items()})
    single = model(x[:1], {name: e[:1] for name, e in eps.items()})
    for all_, moved, one in zip(tensors(out), tensors(permuted), tensors(single), strict=True):
        assert torch.allclose(all_[order], moved, atol=1e-5) and torch.allclose(all_[:1], one, atol=1e-5)


@EVERY
def test_with_codes_fixed_the_output_does_not_see_the_data(case):
    model, x = case.build().requires_grad_(False), frames(case).requires_grad_()
    _, sample = model.encode(x, noise(model, x))
    assert model.decode(sample).requires_grad
    assert not model.decode({name: code.detach() for name, code in sample.items()}).requires_grad


@EVERY
def test_float64_agrees(case):
    single, double = case.build(), case.build(dtype=torch.float64)
    x = frames(case, dtype=torch.float64)
    eps = noise(double, x)
    a, b = single(x.float(), {name: e.float() for name, e in eps.items()}), double(x, eps)
    assert all(its.dtype == torch.float64 for its in tensors(b))
    assert all(torch.allclose(u.double(), v, atol=1e-4) for u, v in zip(tensors(a), tensors(b), strict=True))


@EVERY
def test_keeps_nothing_from_a_pass(case):
    model, x = case.build(), frames(case)
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    weights = {name: its.clone() for name, its in model.state_dict().items()}
    random, kept = torch.get_rng_state(), x.clone()
    model(x, noise(model, x))
    assert {name: list(vars(module)) for name, module in model.named_modules()} == {
        n: list(v) for n, v in before.items()
    }
    assert all(torch.equal(weights[name], its) for name, its in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random) and torch.equal(x, kept)


@EVERY
def test_runs_without_data_on_the_meta_device(case):
    with torch.device("meta"):
        model = case.make()
        x = torch.empty(2, 3, *case.frame)
        out = model(x, {name: torch.empty(2, *its) for name, its in model.noise_shapes(3).items()})
    assert out.x_hat.shape == x.shape and out.x_hat.device.type == "meta"


@EVERY
def test_initialisation_is_a_function_of_the_seed(case):
    a, b, other = case.build(0), case.build(0), case.build(1)
    model = case.make()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(9.0)
    initialise(model, 0)
    for p, q, r in zip(a.parameters(), b.parameters(), model.parameters(), strict=True):
        assert torch.equal(p, q) and torch.equal(p, r)
    assert any(not torch.equal(p, q) for p, q in zip(a.parameters(), other.parameters(), strict=True))


@EVERY
def test_every_parameter_learns_from_the_bound_or_from_a_term_of_its_own(case):
    model, x = case.build(), frames(case)
    out = passed(model, x, noise(model, x))
    bound, others = carried(MODELS[case.model])
    its_own = [name for name in others if "predictor" in LOSSES[name].meta["needs"]]
    terms = [LOSSES[name].make(model, batch(x), out, options=LOSSES[name].options()) for name in bound + its_own]
    sum(terms).mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.long
@pytest.mark.parametrize("name", LEARNERS)
def test_overfits_one_small_batch(name):
    model, x = CASES[name].build().train(), frames(CASES[name], B=2, T=2)
    if hasattr(model, "start_from"):
        model.start_from(x.mean((0, 1)))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    options = ReconOptions(variance=0.5)
    for step in range(250):
        out = model(x, {name: 0.01 * e for name, e in noise(model, x, step).items()})
        optimiser.zero_grad()
        recon(model, batch(x), out, options=options).mean().backward()
        optimiser.step()
    error, spread = ((model(x, None).x_hat - x) ** 2).sum(), ((x - x.mean((0, 1))) ** 2).sum()
    assert error < 0.1 * spread


def test_draws_of_the_cases_are_the_posterior_streams():
    model, x = CASES["dsae"].build(), frames(CASES["dsae"])
    assert torch.equal(noise(model, x, 3)["z"], draws(4, 3).normal("posterior/z", 3, 3))
