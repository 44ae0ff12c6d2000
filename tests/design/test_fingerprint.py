"""Two arms with one fingerprint train the same; what is not trained leaves no trace."""

from typing import Any

import pytest

from ablate.design.components import changed
from ablate.design.fingerprint import fingerprint, twins

from .studies import base, planned

PARAMETERS = [("enc.weight", (8, 4), "float32", True), ("dec.weight", (4, 8), "float32", True)]


def test_order_and_number_types_do_not_matter():
    other = base()
    other["loss"] = dict(reversed(other["loss"].items()))
    other["loss"]["scc"]["weight"] = 10.0
    assert fingerprint(base(), PARAMETERS) == fingerprint(other, PARAMETERS[::-1])


@pytest.mark.parametrize(
    "leaves",
    [
        {"loss.scc.weight": 1},
        {"loss.scc.warmup": {"end": 3}},
        {"loss.scc.weight": 0},
        {"loss.beta": 2},
        {"model.prior": "normal"},
        {"data.window": 10},
        {"train.lr": 0.001},
    ],
)
def test_what_is_trained_matters(leaves: dict[str, Any]):
    assert fingerprint(changed(base(), leaves), PARAMETERS) != fingerprint(base(), PARAMETERS)


@pytest.mark.parametrize("leaves", [{"train.seed": 5}, {"metrics.every": 2}])
def test_what_is_not_trained_does_not(leaves: dict[str, Any]):
    assert fingerprint(changed(base(), leaves), PARAMETERS) == fingerprint(base(), PARAMETERS)


def test_a_term_at_weight_0_is_absent():
    off = changed(base(), {"loss.scc.weight": 0})
    slow = changed(off, {"loss.scc.warmup": {"end": 3}})
    assert fingerprint(off, []) == fingerprint(slow, [])


def test_parameters_count():
    frozen = [PARAMETERS[0], (*PARAMETERS[1][:3], False)]
    assert fingerprint(base(), PARAMETERS) != fingerprint(base(), frozen) != fingerprint(base(), PARAMETERS[:1])


def test_twins_are_named_with_the_leaf_that_was_to_differ():
    warmup = {"slow": {"on": {"loss.mi.warmup": {"end": 2}}, "off": {"loss.mi.warmup": None}}}
    its = planned("leave_one_out", ("scc", warmup))
    plain = its.configurations(changed(base(), {"loss.mi.weight": 0}))
    prints = {name: fingerprint(values, []) for name, values in plain.items()}
    sentence = "design: arm 'no_slow' builds the same model and objective as 'full' "
    assert twins(its.arms, prints, base(mi=0)) == [sentence + "(loss.mi.weight is already 0)"]
    assert twins(its.arms, prints, base()) == [sentence + "(loss.mi.warmup has no effect on what is built)"]
