"""What is asked of a configuration and its data before anything starts."""

from dataclasses import replace
from typing import Any

import pytest

from ablate.errors import Mistake
from ablate.training.measures import build_model, check_measures

from .cells import data, trial

LOSS = {"recon": {"weight": 1.0}, "kl_z": {"weight": 1.0}, "kl_f": {"weight": 1.0}}


def of(model: dict[str, Any], likelihood: str = "gaussian", **terms: float) -> Any:
    loss = LOSS | {"recon": {"weight": 1.0, "options": {"likelihood": likelihood}}}
    return trial(loss | {name: {"weight": weight} for name, weight in terms.items()}, {"name": "dsae"} | model)


@pytest.mark.parametrize("likelihood", ["itakura_saito", "bernoulli"])
@pytest.mark.parametrize("squash", ["sigmoid", "tanh"])
def test_a_likelihood_of_logarithms_takes_no_bounded_output(likelihood: str, squash: str) -> None:
    words = f"likelihood {likelihood} reads the decoder's output as .*, and model dsae sends it through {squash}"
    with pytest.raises(Mistake, match=words):
        build_model(of({"output": squash}, likelihood), data())
    build_model(of({"output": "linear"}, likelihood), data())


def test_a_bounded_output_must_reach_the_data() -> None:
    """Standardised features leave [0, 1]; a preset's own output counts too."""
    for model in ({"output": "sigmoid"}, {"preset": "ali_audio"}):
        with pytest.raises(
            Mistake, match=r"the output of model dsae lies in \[0, 1\] \(sigmoid\), and simvowels gives -"
        ):
            check_measures(of(model), data(), ())
    check_measures(of({}), data(), ())


@pytest.mark.parametrize("term", ["scc", "mi"])
def test_one_validation_window_cannot_be_compared(term: str) -> None:
    its = data().valid
    one = replace(data(), valid=replace(its, sequence=its.sequence[:1], starts=its.starts[:1], first=its.first[:1]))
    with pytest.raises(Mistake, match=f"loss term {term} compares windows .* the validation split has 1"):
        check_measures(of({}, **{term: 1.0}), one, ())
    check_measures(of({}, **{term: 0.0}), one, ())
