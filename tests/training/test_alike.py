"""Arms that would train the same are found: as they are built, and in their first steps."""

from typing import Any

import pytest
import torch

from ablate.design.options import Design
from ablate.design.plan import Plan, plan
from ablate.errors import Mistake
from ablate.training.alike import check_arms, check_steps, first_steps, pairs, pulls
from ablate.trial import Trial

from .cells import BOUND, EXTRA, data, trial

INFERENCE = {"inference": ["full", "factorised"]}
FEATURE = {"feature": {"on": {"model.feature": 24}, "off": {"model.feature": 32}}}  # of pictures: no such frames here


def planned(base: Trial, *components: Any, kind: str = "leave_one_out") -> Plan:
    return plan(Design(kind, components, "test/probe_gap", "max"), base.plain())  # type: ignore[arg-type]


def base(**loss: Any) -> Trial:
    return trial(BOUND | EXTRA | loss)


def said(check: Any, its: Plan, of: Trial) -> list[str]:
    with pytest.raises(Mistake) as caught:
        check(its, of, data())
    return list(caught.value.sentences)


def test_arms_that_differ_are_let_through() -> None:
    its = base()
    design = planned(its, "scc", "mi", INFERENCE, {"lr": {"on": {"train.lr": 1e-3}, "off": {"train.lr": 1e-4}}})
    check_arms(design, its, data())
    check_steps(design, its, data())


def test_options_of_a_term_that_is_off_build_the_same() -> None:
    its = base(scc={"weight": 0})
    margin = {"margin": {"on": {"loss.scc.options.margin": 1}, "off": {"loss.scc.options.margin": 20}}}
    assert said(check_arms, planned(its, margin, "mi"), its) == [
        "design: arm 'no_margin' builds the same model and objective as 'full' (loss.scc.weight is already 0)"
    ]


def test_an_option_that_the_model_does_not_read_trains_the_same() -> None:
    its = base()
    design = planned(its, FEATURE, "mi")
    check_arms(design, its, data())
    assert said(check_steps, design, its) == [
        "design: arm 'no_feature' trains exactly the same numbers as 'full': the change has no effect on this model"
    ]
    check_steps(planned(its, {"feature": {**FEATURE["feature"], "probe": False}}, "mi"), its, data())


def test_an_arm_that_does_not_fit_its_data() -> None:
    its = base()
    presets = {"preset": ["tiny", "ali_video"]}
    assert said(check_arms, planned(its, presets, "mi"), its)[0].startswith(
        "design: arm 'no_preset': model dsae with preset"
    )
    likelihood = {"likelihood": {"on": {}, "off": {"loss.recon.options.likelihood": "bernoulli"}}}
    (sentence,) = said(check_arms, planned(its, likelihood, kind="leave_one_out"), its)
    assert sentence.startswith("design: arm 'no_likelihood': likelihood bernoulli needs data in [0, 1]")


def test_arms_with_data_of_their_own() -> None:
    its = base()
    window = {"window": {"on": {"data.window": 10}, "off": {"data.window": 5}}}
    check_arms(planned(its, window, "mi"), its, data())
    check_steps(planned(its, window), its, data())


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("leave_one_out", [("no_scc", "full"), ("no_inference", "full")]),
        ("factorial", [("no_scc", "full"), ("no_inference", "full")]),
        ("add_one_in", [("scc", "base"), ("inference", "base")]),
        ("grid", [("scc=off inference=factorised", "scc=on inference=full")]),
    ],
)
def test_what_is_compared(kind: str, found: list[tuple[str, str]]) -> None:
    its = base()
    scc: Any = {"scc": {"on": {"loss.scc.weight": 0.5}, "off": {"loss.scc.weight": 0}}} if kind == "grid" else "scc"
    compared = list(pairs(planned(its, scc, INFERENCE, kind=kind), its))
    assert [(pair.name, pair.other) for pair in compared if kind != "grid"] == (found if kind != "grid" else [])
    assert {(pair.name, pair.other) for pair in compared} >= set(found)
    assert all(pair.trial != pair.reference for pair in compared)


def test_first_steps_train() -> None:
    start, _ = first_steps(base(), data(), 0)
    step, batch = first_steps(base(), data())
    again, _ = first_steps(base(), data())
    changed = [not torch.equal(a, b) for a, b in zip(start.parameters(), step.parameters(), strict=True)]
    assert all(changed) and len(batch.x) == 16
    assert all(torch.equal(a, b) for a, b in zip(step.parameters(), again.parameters(), strict=True))


def test_the_pull_of_a_term_is_its_gradient_against_that_of_recon() -> None:
    its = trial(BOUND | {"mi": {"weight": 0.5}, "scc": {"weight": 0}})
    step, batch = first_steps(its, data())
    norms = {}
    for name, value in step(batch).items():
        step.zero_grad()
        value.mean().backward(retain_graph=True)
        norms[name] = sum(float((p.grad**2).sum()) for p in step.parameters() if p.grad is not None) ** 0.5
    found = pulls(its, data())
    assert set(found) == {"kl_f", "kl_z", "mi"}  # a term at weight 0 does not pull
    assert found["mi"] == pytest.approx(0.5 * norms["mi"] / norms["recon"], rel=1e-5)
    assert found["kl_z"] == pytest.approx(norms["kl_z"] / norms["recon"], rel=1e-5)
    assert pulls(trial({"recon": {"weight": 0}, "kl_f": {"weight": 1}}), data()) == {}
