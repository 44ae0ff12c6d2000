"""Components: what a study may name, how levels are completed, and a sentence for everything that changes nothing."""

from typing import Any

import pytest

from ablate.design.components import changed, component, flatten, label, resolve, same
from ablate.errors import Mistake

from .studies import base


def test_a_loss_term_is_off_at_weight_0():
    its = component("scc", base())
    assert (its.name, its.on, its.off) == ("scc", {"loss.scc.weight": 10}, {"loss.scc.weight": 0})
    assert list(its.levels) == ["off", "on"]


def test_named_levels_are_completed_from_the_configuration():
    its = component({"small": {"on": {"model.z_dim": 4}, "off": {"model.f_dim": 32}, "probe": False}}, base())
    assert its.on == {"model.z_dim": 4, "model.f_dim": 16}
    assert its.off == {"model.z_dim": 8, "model.f_dim": 32}
    assert not its.probe


def test_an_option_by_its_name_or_path():
    short = component({"inference": ["full", "factorised"]}, base())
    assert (short.on, short.off) == ({"model.inference": "full"}, {"model.inference": "factorised"})
    assert component({"model.inference": ["full", "factorised"]}, base()).on == short.on
    assert component({"window": [20, 10]}, base()).off == {"data.window": 10}


def test_levels_of_a_grid():
    its = component({"z_dim": [4, 8, 16.0]}, base(), grid=True)
    assert its.levels == {"4": {"model.z_dim": 4}, "8": {"model.z_dim": 8}, "16": {"model.z_dim": 16.0}}
    rows = component({"row": {"plain": {"loss.scc.weight": 0}, "both": {"loss.mi.weight": 2}}}, base(), grid=True)
    assert rows.levels["plain"] == {"loss.scc.weight": 0, "loss.mi.weight": 10}
    assert rows.levels["both"] == {"loss.scc.weight": 10, "loss.mi.weight": 2}
    assert list(component("scc", base(), grid=True).levels) == ["off", "on"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("sccc", "unknown component 'sccc'; did you mean 'scc'?"),
        ("beta", "unknown component 'beta'"),
        (
            {"q": {"on": {"model.inferense": "full"}, "off": {}}},
            "unknown leaf 'model.inferense'; did you mean 'model.inf",
        ),
        ({"q": {"on": {"model.inference": "full"}, "off": {"model.inference": "full"}}}, "q changes nothing"),
        ({"q": {"on": {"model.z_dim": 8}, "off": {"model.z_dim": 8.0}}}, "on is equal to off"),
        ({"q": {"on": {}, "off": {}}}, "no leaf at all"),
        ({"q": {"on": {"model.z_dim": 8}}}, "needs the levels on and off, not on"),
        ({"q": {"on": 3, "off": 4}}, "q.on must name leaves"),
        ({"inference": ["full"]}, "needs two values, on and off, not 1"),
        ({"inference": ["full", "factorised", "none"]}, "kind: grid takes any number"),
        ({"inference": ["full", "full"]}, "inference changes nothing"),
        ({"inferenze": ["full", "none"]}, "unknown option 'inferenze'; did you mean 'inference'?"),
        ({"full": ["a", "b"]}, "'full' cannot name a component"),
        ({"a+b": {"on": {"model.z_dim": 4}, "off": {}}}, "cannot name a component"),
        ({"q": 3}, "q needs levels"),
        (7, "7 is neither a loss term nor"),
        ({"a": [1, 2], "b": [1, 2]}, "is neither a loss term nor"),
    ],
)
def test_bad_components(spec: Any, why: str):
    with pytest.raises(Mistake) as error:
        component(spec, base())
    assert why in str(error.value)
    assert str(error.value).startswith("design.components: ")


def test_a_term_that_is_off_already():
    with pytest.raises(Mistake, match=r"loss\.mi\.weight is already 0"):
        component("mi", base(mi=0))


def test_a_grid_needs_two_different_levels():
    with pytest.raises(Mistake, match="two or more different levels"):
        component({"z_dim": [4]}, base(), grid=True)
    with pytest.raises(Mistake, match="two or more different levels"):
        component({"z_dim": [4, 4]}, base(), grid=True)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(Mistake) as error:
        resolve(["sccc", "mi", "mmi", {"weight": {"on": {"loss.mi.weight": 3}, "off": {"loss.mi.weight": 0}}}], base())
    assert len(error.value.sentences) == 3
    assert error.value.sentences[-1] == "design.components: mi and weight are the same knob, both set loss.mi.weight"


def test_a_section_and_a_leaf_in_it_are_one_knob():
    warmup = {"slow": {"on": {"loss.mi.warmup": {"end": 4}}, "off": {"loss.mi.warmup": None}}}
    end = {"end": {"on": {"loss.mi.warmup.end": 3}, "off": {"loss.mi.warmup.end": 4}}}
    values = base()
    values["loss"]["mi"]["warmup"] = {"end": 2}
    with pytest.raises(Mistake, match="same knob"):
        resolve([warmup, end], values)
    with pytest.raises(Mistake, match="two are named mi"):
        resolve(["mi", "mi"], base())


def test_changing_leaves_leaves_the_base_alone():
    values = base()
    made = changed(values, {"loss.scc.weight": 0, "model.z_dim": 4})
    assert (made["loss"]["scc"]["weight"], made["model"]["z_dim"]) == (0, 4)
    assert values == base()
    assert flatten({"a": {"b": 1, "c": {}}, "d": None}) == {"a.b": 1, "a.c": {}, "d": None}


def test_values_that_are_one():
    assert same(10, 10.0) and same([1, 2], (1.0, 2)) and same({"a": 1}, {"a": 1.0})
    assert not same(1, True) and not same("1", 1) and not same([1], [1, 2]) and not same({"a": 1}, {"b": 1})
    assert [label(its) for its in (0.1, 10.0, True, None, "x", [64, 64])] == ["0.1", "10", "true", "null", "x", "64-64"]
