"""The same training on a GPU: agreement with the CPU, restarts bit by bit. Skipped, and counted, without one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from model_cases import CASES, batch, frames
from torch import Tensor

from ablate.random import Draws
from ablate.registry import LOSSES, MODELS
from ablate.training.loop import gradient_norm
from ablate.training.step import Step, build_terms, objective
from ablate.trial import Loss, Term

from .cells import BOUND, EXTRA, Cut, cell, common, plain, run, same, state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CUDA = torch.device("cuda")
B = 4


def terms_of(name: str) -> list[str]:
    """Every loss term that this model can carry."""
    meta = MODELS[CASES[name].model].meta
    has = {*meta["latents"].values(), *(f"latent:{its}" for its in meta["latents"])}
    has |= {"decoder"} if meta["decoder"] else set()
    return [term for term in LOSSES.names() if LOSSES[term].meta["needs"] <= has]


def one_step(name: str, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Raw values of all terms and gradients of one float64 step of a case, on the CPU afterwards."""
    case = CASES[name]
    terms = build_terms(Loss(terms={term: Term(options=LOSSES[term].options()) for term in terms_of(name)}))
    step = Step(case.build(dtype=torch.float64).to(device), terms).train()
    x = frames(case, B, dtype=torch.float64).to(device)
    whole = batch(x)
    there = {name: value.to(device) for name, value in vars(whole).items() if isinstance(value, Tensor)}
    made = replace(whole, **there, draw=Draws(0, (0,), B, slice(0, B), device))
    values = step(made)
    objective(values, step.terms, 0.0).backward()
    assert gradient_norm(step, None).device.type == device.type
    gradients = {key: p.grad.cpu() for key, p in step.named_parameters() if p.grad is not None}
    return {key: value.detach().cpu() for key, value in values.items()}, gradients


@pytest.mark.parametrize("name", CASES)
def test_a_step_on_the_gpu_is_the_step_on_the_cpu(name: str) -> None:
    values, gradients = one_step(name, torch.device("cpu"))
    on_gpu, there = one_step(name, CUDA)
    assert values.keys() == on_gpu.keys() and gradients.keys() == there.keys()
    for key, value in values.items():
        torch.testing.assert_close(on_gpu[key], value, rtol=1e-8, atol=1e-9)
    for key, value in gradients.items():
        torch.testing.assert_close(there[key], value, rtol=1e-6, atol=1e-8)


def on_gpu(**train: Any) -> dict[str, Any]:
    """A cell whose trial asks for a GPU."""
    return plain(BOUND | EXTRA, **train) | {"resources": {"gpus_per_worker": 1}}


def test_an_epoch_on_the_gpu_agrees_with_one_on_the_cpu(tmp_path: Path) -> None:
    there = run(cell(on_gpu(epochs=1), tmp_path / "gpu"))[-1]
    here = run(cell(plain(BOUND | EXTRA, epochs=1), tmp_path / "cpu"))[-1]
    assert there["system/gpu_peak_memory_mb"] > 0
    terms = [key for key in here if key.startswith("train/") or key in ("valid/recon", "valid/kl_f", "valid/kl_z")]
    assert len(terms) >= 8
    for key in terms:
        assert there[key] == pytest.approx(here[key], rel=2e-3, abs=2e-4), key


def test_a_run_killed_on_the_gpu_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = run(cell(on_gpu(epochs=3), tmp_path / "whole"))
    run(cell(on_gpu(epochs=3), tmp_path / "cut"), Cut(2))
    after = run(cell(on_gpu(epochs=3), tmp_path / "cut"))
    known = ("system/gpu_peak_memory_mb",)  # the first epoch of a process allocates what it keeps
    ends = [{key: value for key, value in common(its[-1]).items() if key not in known} for its in (whole, after)]
    assert same(ends[0], ends[1])
    one, other = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert same(one["model"], other["model"]) and same(one["optimiser"], other["optimiser"])
