"""What every loss term promises, asked of every model that can carry it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from model_cases import CASES, batch, draws, frames, noise, passed, run

import ablate.losses
from ablate.losses.beta_tc import BetaTCOptions
from ablate.losses.capacity import CapacityOptions
from ablate.losses.cyclic import CyclicOptions
from ablate.losses.dfp import DFPOptions
from ablate.losses.hessian import HessianOptions
from ablate.losses.kl_z import KLOptions
from ablate.losses.mi import MIOptions
from ablate.losses.recon import ReconOptions
from ablate.losses.scc import SCCOptions
from ablate.random import Draws
from ablate.registry import LOSSES, MODELS, NoOptions

VARIANTS = {
    "recon": [ReconOptions(), ReconOptions("bernoulli"), ReconOptions("itakura_saito")],
    "kl_f": [KLOptions(), KLOptions(free_bits=0.01)],
    "kl_z": [KLOptions(), KLOptions(free_bits=0.01)],
    "kl_a": [NoOptions()],
    "kl_z1": [KLOptions(), KLOptions(free_bits=0.01)],
    "kl_z2": [KLOptions(), KLOptions(free_bits=0.01)],
    "mu2_prior": [NoOptions()],
    "disc": [NoOptions()],
    "scc": [SCCOptions(), SCCOptions("ali")],
    "cyclic": [CyclicOptions(), CyclicOptions("uniform", detach_codes=True, detach_target=False)],
    "dfp": [DFPOptions(), DFPOptions(0.1, "itakura_saito")],
    "beta_tc": [BetaTCOptions(), BetaTCOptions(2, 3, 0.5, "mss")],
    "capacity": [CapacityOptions(nats=3)],
    "hessian": [HessianOptions(), HessianOptions(3, 0.5, "mean")],
    "mi": [MIOptions(), MIOptions(estimator="mss", frames="mean"), MIOptions("ali")],
}

KLS = {"kl_f", "kl_z", "kl_a", "kl_z1", "kl_z2"}
OF_ALL = {"recon", "beta_tc", "capacity", "hessian"}
OF_FHVAE = {"kl_z1", "kl_z2", "mu2_prior", "disc"}
ROLES, PARTS = ("static", "dynamic"), ("decoder", "predictor", "sequences")


def carries(case, term: str) -> bool:
    """Whether the model has what the term needs."""
    meta = MODELS[case.model].meta
    has = {*meta["latents"].values(), *(f"latent:{name}" for name in meta["latents"])}
    return LOSSES[term].meta["needs"] <= has | {part for part in PARTS if meta.get(part)} | (
        set() if meta.get("joint_prior") else {"priors"}
    )


def asked(name: str, term: str, i: int) -> bool:
    """Terms that every model carries, and second variants of KLs, are asked of one member of each model."""
    one_is_enough = term in OF_ALL - {"recon"} or (term in KLS and i > 0)
    return not one_is_enough or name in MODELS or name.endswith("-pictures")


PAIRS = [
    pytest.param(name, term, options, id=f"{name}-{term}-{i}")
    for name, case in CASES.items()
    for term, variants in VARIANTS.items()
    if carries(case, term)
    for i, options in enumerate(variants)
    if asked(name, term, i)
]
EVERY = pytest.mark.parametrize(("name", "term", "options"), PAIRS)


@dataclass(frozen=True)
class Named(Draws):
    """Draws that remember what was asked for."""

    names: list[str] = field(default_factory=list)

    def _generator(self, name):
        self.names.append(name)
        return super()._generator(name)


def test_every_term_is_asked_and_every_file_has_its_test():
    assert set(VARIANTS) == set(LOSSES.names())
    files = {path.stem for path in Path(ablate.losses.__file__).parent.glob("*.py")} - {"__init__"}
    assert files <= {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}


def test_what_the_terms_declare():
    declared = {entry.name: (entry.meta["bound"], entry.meta["beta"]) for entry in LOSSES}
    assert {name for name, (bound, _) in declared.items() if bound} == KLS | {"recon", "mu2_prior"}
    assert {name for name, (_, beta) in declared.items() if beta} == KLS
    for entry in LOSSES:
        assert {its for its in entry.meta["needs"] if not its.startswith("latent:")} <= {*ROLES, *PARTS, "priors"}
        assert entry.doc and len(entry.doc) < 120


def test_which_model_carries_what():
    can = {name: {term for term in VARIANTS if carries(case, term)} for name, case in CASES.items()}
    assert can["vae"] == can["vae-pictures"] == OF_ALL | {"kl_z"}
    assert can["s3vae"] == can["s3vae-pictures"] == set(VARIANTS) - {"kl_a"} - OF_FHVAE
    assert can["dsae"] == can["dsae-pictures"] == can["lstm_f"] == can["lstm_c"] == can["s3vae"] - {"dfp"}
    assert can["speech_vae"] == can["vae"]
    assert can["fhvae"] == can["fhvae-simple"] == OF_FHVAE | OF_ALL | {"scc", "mi"}
    assert can["kvae"] == OF_ALL - {"beta_tc"} | {"kl_a"}
    assert {name for name in can if can[name] == OF_ALL | {"kl_z"}} > {"storn", "dkf", "rvae", "vrnn", "srnn"}


@EVERY
def test_one_finite_number_per_sequence_again_and_again(name, term, options):
    model, b, out = run(CASES[name])
    values = LOSSES[term].make(model, b, out, options=options)
    assert values.shape == (4,) and values.isfinite().all()
    assert torch.equal(values, LOSSES[term].make(model, b, out, options=options))
    again = run(CASES[name])
    assert torch.equal(values, LOSSES[term].make(*again, options=options))


@EVERY
def test_some_parameter_learns_from_it(name, term, options):
    model, b, out = run(CASES[name])
    LOSSES[term].make(model, b, out, options=options).mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert any(g.any() for g in gradients) and all(g.isfinite().all() for g in gradients)


@EVERY
def test_float64_agrees(name, term, options):
    single, double = run(CASES[name]), run(CASES[name], torch.float64)
    values = LOSSES[term].make(*double, options=options)
    assert values.dtype == torch.float64
    assert torch.allclose(LOSSES[term].make(*single, options=options).double(), values, rtol=1e-4, atol=1e-4)


@EVERY
def test_leaves_everything_else_alone(name, term, options):
    model, b, out = run(CASES[name])
    kept = [its.clone() for its in (b.x, out.x_hat, *out.sample.values(), *model.state_dict().values())]
    draw = Named(0, (0,), 4, slice(0, 4))
    state = torch.get_rng_state()
    LOSSES[term].make(model, replace(b, draw=draw), out, options=options)
    after = [b.x, out.x_hat, *out.sample.values(), *model.state_dict().values()]
    assert all(torch.equal(x, y) for x, y in zip(kept, after, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(its == f"term:{term}" or its.startswith(f"term:{term}/") for its in draw.names)
    assert len(set(draw.names)) == len(draw.names)  # no stream is read twice


@EVERY
def test_draws_follow_the_step(name, term, options):
    model, x = CASES[name].build(), frames(CASES[name])
    out = passed(model, x, noise(model, x))
    values = [LOSSES[term].make(model, replace(batch(x), draw=draws(4, step)), out, options=options) for step in (0, 1)]
    straight = term == "hessian" and values[0].abs().max() < 1e-6  # a decoder without curvature
    assert straight or torch.equal(*values) == (term not in ("scc", "cyclic", "hessian"))


@pytest.mark.parametrize(
    ("name", "term", "options"), [its for its in PAIRS if its.values[1] in KLS | {"recon", "mu2_prior", "disc"}]
)
def test_terms_of_the_bound_do_not_look_across_the_batch(name, term, options):
    model, b, out = run(CASES[name])
    values = LOSSES[term].make(model, b, out, options=options)
    x = b.x[:1]
    alone = passed(model, x, {key: e[:1] for key, e in noise(model, b.x).items()})
    assert torch.allclose(LOSSES[term].make(model, batch(x), alone, options=options), values[:1], rtol=1e-5)
