"""One step: which terms are computed and when, how strongly they count, the bound, and the streams of the noise."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.random import Draws, generator
from ablate.registry import LOSSES
from ablate.training.cell import build_step
from ablate.training.step import Step, Term, build_terms, clamped, elbo, objective
from ablate.trial import Loss, Warmup
from ablate.trial import Term as Weighted
from ablate.types import LOGVAR_MAX, LOGVAR_MIN, Batch, Gaussian, Output

from .cells import BOUND, EXTRA, data, trial


def batch(B: int = 4, step: int = 3) -> Batch:
    rows = torch.arange(B)
    return Batch(data().train.x(rows.numpy()), rows, data().train.n, Draws(0, (step,), B, slice(0, B)))


def make(loss: dict[str, Any]) -> Step:
    return build_step(trial(loss), data(), torch.device("cpu"))


def loss_term(
    name: str, weight: float = 1.0, warmup: Warmup | None = None, bound: bool = False, beta: float = 1
) -> Term:
    return Term(name, lambda *_, **__: torch.zeros(1), None, weight, warmup, bound, beta)


def test_terms_keep_the_order_of_the_configuration_and_only_the_kls_take_beta() -> None:
    named = {"kl_z": Weighted(2), "recon": Weighted(3, options=LOSSES["recon"].options()), "kl_f": Weighted(0.5)}
    terms = build_terms(Loss(4, named))
    assert [(its.name, its.weight, its.beta, its.bound, its.final) for its in terms] == [
        ("kl_z", 2, 4, True, 8),
        ("recon", 3, 1, True, 3),
        ("kl_f", 0.5, 4, True, 2),
    ]


def test_strength_is_a_pure_function_of_the_epoch() -> None:
    its = loss_term("kl_z", 2, Warmup(end=4, start=0), beta=3)
    assert [its.strength(epoch) for epoch in (4, 1, 0, 2.5, 9)] == [6, 1.5, 0, 3.75, 6]
    assert its.strength(1) == its.strength(1)
    assert loss_term("scc", 5).strength(0) == 5


def test_training_computes_what_is_trained_and_validation_everything() -> None:
    step = make(BOUND | {"scc": {"weight": 0}, "mi": {"weight": 0.1}})
    assert list(step.train()(batch())) == ["recon", "kl_f", "kl_z", "mi"]
    values = step.eval()(batch())
    assert list(values) == ["recon", "kl_f", "kl_z", "scc", "mi", "clamped"]
    assert all(value.shape == (4,) for value in values.values())


def test_watched_terms_are_not_even_called_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError

    step = make(BOUND | {"scc": {"weight": 0}})
    step.terms = [Term("scc", refuse, None, 0, None, False, 1) if its.name == "scc" else its for its in step.terms]
    step.train()(batch())
    with pytest.raises(AssertionError):
        step.eval()(batch())


def test_the_objective_is_the_weighted_sum_of_batch_means() -> None:
    values = {"recon": torch.tensor([1.0, 3.0]), "kl_z": torch.tensor([2.0, 6.0]), "scc": torch.tensor([1.0, 0.0])}
    terms = [loss_term("recon"), loss_term("kl_z", 0.5, Warmup(end=2), beta=3), loss_term("scc", 0.0)]
    assert objective(values, terms, 0).item() == 2
    assert objective(values, terms, 1).item() == pytest.approx(2 + 0.75 * 4)
    assert objective(values, terms, 2).item() == pytest.approx(2 + 1.5 * 4)


def test_the_objective_needs_no_value_of_a_term_at_weight_0() -> None:
    assert objective({"recon": torch.ones(2)}, [loss_term("recon"), loss_term("scc", 0)], 0).item() == 1


def test_the_bound_takes_raw_terms_at_weight_1_whatever_their_weights_and_beta() -> None:
    values = {"recon": 10.0, "kl_z": 2.0, "kl_f": 0.5, "scc": 100.0}
    for weight, beta in ((1, 1), (0, 1), (7, 9)):
        terms = [
            loss_term("recon", 3, bound=True),
            loss_term("kl_z", weight, Warmup(end=5), bound=True, beta=beta),
            loss_term("kl_f", weight, bound=True, beta=beta),
            loss_term("scc", 1),
        ]
        assert elbo(values, terms) == -12.5


def test_noise_is_that_of_the_named_streams_of_the_step() -> None:
    step, its = make(BOUND), batch(step=3)
    seen = {}
    forward = step.model.forward
    step.model.forward = lambda x, noise: seen.update(noise) or forward(x, noise)  # type: ignore[method-assign]
    step.output(its)
    assert torch.equal(seen["f"], torch.randn(4, 4, generator=generator(0, "posterior/f", 3)))
    assert torch.equal(seen["z"], torch.randn(4, its.x.shape[1], 3, generator=generator(0, "posterior/z", 3)))


def test_values_of_a_sequence_do_not_depend_on_terms_beside_them() -> None:
    few, many = make({"recon": {}}), make(BOUND | EXTRA)
    assert torch.equal(few.train()(batch())["recon"], many.train()(batch())["recon"])


def test_clamped_counts_log_variances_on_their_bounds() -> None:
    logvar = torch.tensor([[0.0, LOGVAR_MIN], [LOGVAR_MAX, LOGVAR_MAX], [1.0, 2.0]])
    inner = Gaussian(torch.zeros(3, 2, 1), torch.full((3, 2, 1), LOGVAR_MIN))
    out = Output({"f": Gaussian(torch.zeros(3, 2), logvar)}, {"z": inner}, {}, None)
    assert clamped(out).tolist() == [3, 4, 2]


def test_a_healthy_model_is_clamped_nowhere() -> None:
    assert make(BOUND).eval()(batch())["clamped"].tolist() == [0, 0, 0, 0]


def test_terms_are_asked_with_model_batch_output_and_their_options() -> None:
    asked = {}

    def call(model: Any, batch: Any, out: Any, *, options: Any) -> Tensor:
        asked.update(model=model, batch=batch, out=out, options=options)
        return torch.zeros(4)

    step, its, options = make(BOUND), batch(), SimpleNamespace()
    step.terms = [Term("x", call, options, 1, None, False, 1)]
    step.train()(its)
    assert asked["model"] is step.model and asked["batch"] is its and asked["options"] is options
    assert set(asked["out"].q) == {"f", "z"}
