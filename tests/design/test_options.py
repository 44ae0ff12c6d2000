"""The `design` section: what its keys take, by themselves and as pydantic reads them."""

from typing import Any

import pytest
from pydantic import ValidationError

from ablate.config import model_of
from ablate.design.options import Budget, Design, Retune, Sequential

GIVEN = {"kind": "leave_one_out", "components": ("scc",), "metric": "test/probe_gap", "mode": "max"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"resolution": 4}, "resolution belongs to kind fractional"),
        ({"generators": ("D=ABC",)}, "generators belongs to kind fractional"),
        ({"order": 3}, "order belongs to kind factorial"),
        ({"kind": "factorial", "include_base": True}, "include_base belongs to kind leave_one_out"),
        ({"seeds": ()}, "seeds is empty"),
        ({"seeds": (1, 2, 1)}, "seeds holds a seed twice"),
        ({"metric": "probe_gap"}, "metric must be test/<name> or valid/<name>"),
        ({"metric": "train/recon"}, "metric must be"),
        ({"components": ()}, "components is empty"),
        ({"kind": "path", "seeds": Sequential(15)}, "seeds must be a list or a number for kind path"),
        ({"test": "t", "seeds": Sequential(15)}, "test t cannot decide sequential seeds"),
        ({"margin": 0.01, "transform": "logit"}, "margin is in units of the metric, and transform logit"),
    ],
)
def test_rules(more: dict[str, Any], why: str):
    with pytest.raises(ValueError, match=why):
        Design(**(GIVEN | more))


def test_rules_of_what_is_inside():
    with pytest.raises(ValueError, match="names one of the two"):
        Budget()
    with pytest.raises(ValueError, match="names one of the two"):
        Budget(1, 2)
    with pytest.raises(ValueError, match=r"min \(20\) is above max"):
        Sequential(15, min=20)
    with pytest.raises(ValueError, match="space is empty"):
        Retune({})
    assert (Design(**GIVEN).sign, Design(**(GIVEN | {"mode": "min"})).sign) == (1, -1)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"margin": -0.01}, "margin"),
        ({"alpha": 0.7}, "alpha"),
        ({"power": 1}, "power"),
        ({"kind": "leave_two_out"}, "kind"),
        ({"seeds": {"max": 15, "step": 0}}, "seeds"),
        ({"sead": 3}, "sead"),
        ({"seeds": 5000}, "seeds"),
    ],
)
def test_limits_are_those_of_a_study_file(more: dict[str, Any], where: str):
    with pytest.raises(ValidationError) as error:
        model_of(Design).model_validate(GIVEN | more)
    assert all(its["loc"][0] == where for its in error.value.errors())


def test_a_study_file_may_say_how_many_seeds():
    read = model_of(Design).model_validate
    assert read(GIVEN | {"seeds": 3}).seeds == (0, 1, 2)  # type: ignore[attr-defined]
    its = read(GIVEN | {"seeds": {"max": 15, "budget": {"gpu_hours": 40}}}).model_dump()["seeds"]
    assert its == {
        "max": 15,
        "min": "auto",
        "step": 3,
        "spending": "linear",
        "budget": {"gpu_hours": 40, "cpu_hours": None},
    }
    its = read(GIVEN | {"retune": {"space": {"loss.beta": {"choice": [1, 2]}}, "trials": 4}}).model_dump()["retune"]
    assert its == {"space": {"loss.beta": {"choice": [1, 2]}}, "trials": 4}
