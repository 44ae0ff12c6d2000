"""Plans of every kind: arms, contrasts and their weights, the test that is fixed beforehand, what is refused."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ablate.design.arms import variance
from ablate.design.components import changed
from ablate.design.options import Budget, Retune, Sequential
from ablate.design.plan import plan, refused_changes, tunable
from ablate.design.surface import EXAMPLE
from ablate.errors import Mistake

from .studies import FIVE, NAMES, base, design, planned

KINDS = ("leave_one_out", "add_one_in", "cumulative", "factorial", "fractional", "screening")


def noise_free(kind: str, **more: Any) -> dict[str, float]:
    """Every contrast of a kind on the surface of 9.10 without noise."""
    its = planned(kind, seeds=(0,), **more)
    y = {arm.name: EXAMPLE.value(arm.on) for arm in its.arms}
    return {one.name: sum(weight * y[arm] for arm, weight in one.weights.items()) for one in its.contrasts}


def test_leave_one_out():
    its = planned("leave_one_out")
    assert [arm.name for arm in its.arms] == ["full", "no_scc", "no_cyclic", "no_mi", "no_kl_f"]
    assert its.arm("no_scc").leaves == {
        "loss.scc.weight": 0,
        "loss.cyclic.weight": 10,
        "loss.mi.weight": 10,
        "loss.kl_f.weight": 10,
    }
    assert [(one.name, one.weights) for one in its.contrasts][:1] == [("no_scc", {"no_scc": 1, "full": -1})]
    assert (its.reference, its.m, its.runs, its.test) == ("full", 4, 45, "sign_flip")
    assert noise_free("leave_one_out") == pytest.approx(
        {"no_scc": -0.02, "no_cyclic": -0.016, "no_mi": 0, "no_kl_f": -0.006}
    )


def test_leave_one_out_with_the_base_beside_it():
    its = planned("leave_one_out", include_base=True)
    assert its.arms[-1].name == "base" and not its.arms[-1].on
    assert (its.m, its.contrasts[-1].name, its.contrasts[-1].claim) == (4, "base", False)


def test_add_one_in():
    its = planned("add_one_in")
    assert [arm.name for arm in its.arms] == ["base", "only_scc", "only_cyclic", "only_mi", "only_kl_f"]
    assert noise_free("add_one_in") == pytest.approx(
        {"only_scc": 0.06, "only_cyclic": 0.004, "only_mi": 0.04, "only_kl_f": -0.006}
    )


def test_cumulative_increments_add_up():
    its = planned("cumulative")
    assert [arm.name for arm in its.arms] == ["base", "scc", "scc+cyclic", "scc+cyclic+mi", "full"]
    steps = noise_free("cumulative")
    assert steps == pytest.approx({"+scc": 0.06, "+cyclic": 0.004, "+mi": 0, "+kl_f": 0.006}, abs=1e-12)
    assert sum(steps.values()) == pytest.approx(EXAMPLE.value(NAMES) - EXAMPLE.value(()))


def test_factorial():
    its = planned("factorial", NAMES[:3], range(4))
    assert [arm.name for arm in its.arms] == [
        "base",
        "scc",
        "cyclic",
        "scc+cyclic",
        "mi",
        "scc+mi",
        "cyclic+mi",
        "full",
    ]
    assert [arm.digits for arm in its.arms][:4] == ["000", "100", "010", "110"]
    assert [one.name for one in its.contrasts] == ["scc", "cyclic", "mi", "scc:cyclic", "scc:mi", "cyclic:mi"]
    assert (its.m, its.test) == (6, "ols")
    assert [one.name for one in planned("factorial", NAMES[:3], order=3).contrasts][-1] == "scc:cyclic:mi"
    effects = noise_free("factorial")
    truth = {**EXAMPLE.main, **{":".join(both): size for both, size in EXAMPLE.pair.items()}}
    assert effects == pytest.approx({name: truth.get(name, 0) for name in effects}, abs=1e-12)


def test_fraction_carries_its_aliases_in_its_names():
    its = planned("fractional", seeds=range(3))
    assert [arm.name for arm in its.arms] == [
        *("base", "scc+kl_f", "cyclic+kl_f", "scc+cyclic", "mi+kl_f", "scc+mi", "cyclic+mi", "full")
    ]
    names = ["scc", "cyclic", "mi", "kl_f", "scc:cyclic = mi:kl_f", "scc:mi = cyclic:kl_f", "scc:kl_f = cyclic:mi"]
    assert [one.name for one in its.contrasts] == names
    assert its.contrasts[5].aliases == ("cyclic:kl_f",)
    assert its.fraction is not None and its.fraction.relation == "I=ABCD"
    assert its.aliases()[0] == ("AB=CD", "scc:cyclic = mi:kl_f")
    assert (its.m, its.test, its.screening) == (7, "ols", False)
    assert noise_free("fractional")["scc:mi = cyclic:kl_f"] == pytest.approx(-0.014)
    assert planned("fractional", NAMES[:3], resolution=3).screening


def test_screening_estimates_mains_only():
    its = planned("screening", FIVE, range(2))
    assert (len(its.arms), its.m, its.screening) == (12, 5, True)
    mains = {name: size for name, size in noise_free("screening", components=FIVE).items() if name in NAMES}
    columns = np.array([[1 if name in arm.on else -1 for name in NAMES] for arm in its.arms])
    blurred = {
        name: EXAMPLE.main[name]
        + sum(
            size * (columns[:, NAMES.index(name)] @ (columns[:, NAMES.index(a)] * columns[:, NAMES.index(b)])) / 12
            for (a, b), size in EXAMPLE.pair.items()
        )
        for name in NAMES
    }
    assert mains == pytest.approx(blurred)


def test_grid():
    specs = [{"z_dim": [4, 8]}, {"prior": ["lstm", "normal", "none"]}]
    its = planned("grid", specs, (0, 1, 2))
    assert [arm.name for arm in its.arms][:4] == [
        *("z_dim=4 prior=lstm", "z_dim=4 prior=normal", "z_dim=4 prior=none", "z_dim=8 prior=lstm")
    ]
    assert its.reference == "z_dim=8 prior=lstm"  # the study's own configuration
    assert (its.m, its.contrasts[0].name) == (5, "z_dim=4 prior=lstm")
    assert planned("grid", [{"z_dim": [4, 16]}]).reference == "z_dim=4"
    with pytest.raises(Mistake, match="4097 cells, more than 4096"):
        planned("grid", [{"z_dim": list(range(4097))}])


def test_path_has_two_ends_and_no_claim():
    its = planned("path", seeds=range(2))
    assert ([arm.name for arm in its.arms], its.contrasts, its.m, its.test) == (["base", "full"], (), 0, "none")


@pytest.mark.parametrize(("kind", "squares"), list(zip(KINDS, (2, 2, 2, 4 / 32, 4 / 16, 4 / 12), strict=True)))
def test_weights_and_precision(kind: str, squares: float):
    its = planned(kind, FIVE)
    for one in its.contrasts:
        assert sum(one.weights.values()) == pytest.approx(0)
        assert sum(one.side(1).values()) == pytest.approx(1) == pytest.approx(sum(one.side(-1).values()))
        assert one.sum_of_squares == pytest.approx(squares)
    assert variance(squares, 9, 2.0, 0.5) == pytest.approx(4 * 0.5 * squares / 9)


@pytest.mark.parametrize("kind", KINDS)
def test_every_arm_is_another_configuration(kind: str):
    its = planned(kind, FIVE)
    made = its.configurations(base())
    assert len({repr(values) for values in made.values()}) == len(its.arms)
    for arm in its.arms:
        weights = {name: made[arm.name]["loss"][name]["weight"] for name in NAMES}
        assert weights == {name: 10 if name in arm.on else 0 for name in NAMES}
        assert made[arm.name]["model"]["inference"] == ("full" if "inference" in arm.on else "factorised")
    assert made[its.arms[-1].name] == changed(base(), its.arms[-1].leaves)


@pytest.mark.parametrize(
    ("kind", "n", "more", "test"),
    [
        ("leave_one_out", 7, {}, "t"),
        ("leave_one_out", 8, {}, "sign_flip"),
        ("leave_one_out", 5, {"test": "wilcoxon"}, "wilcoxon"),
        ("factorial", 7, {}, "ols"),
        ("factorial", 9, {}, "sign_flip"),
        ("factorial", 9, {"test": "t"}, "ols"),
        ("fractional", 5, {}, "ols"),
        ("leave_one_out", 12, {"alpha": 0.001}, "t"),
    ],
)
def test_the_test_is_fixed_by_the_plan(kind: str, n: int, more: dict[str, Any], test: str):
    its = planned(kind, seeds=tuple(range(n)), **more)
    assert its.test == test
    grown = replace(its.design, seeds=tuple(range(20)))
    assert plan(grown, base(), its.test).test == test


def test_sequential_seeds():
    its = planned("leave_one_out", seeds=Sequential(15))
    assert (its.looks, its.test, len(its.seeds)) == ((9, 12, 15), "sequential", 15)
    assert planned("leave_one_out", seeds=Sequential(14, min=5, step=4)).looks == (5, 9, 13, 14)
    with pytest.raises(Mistake, match=r"5 seeds can never decide among 4 contrasts.*; 8 can"):
        planned("leave_one_out", seeds=Sequential(5))


def test_an_arm_that_trains_nothing():
    only = {"recon": {"on": {"loss.recon.weight": 1}, "off": {"loss.recon.weight": 0}}}
    with pytest.raises(Mistake, match="arm 'base' trains nothing"):
        planned("factorial", (*NAMES, only))


def test_generators_that_alias_what_was_to_be_kept_apart():
    with pytest.raises(Mistake, match=r"give resolution 3 \(ABD\) and alias scc with cyclic:kl_f; resolution 4 was"):
        planned("fractional", generators=("D=AB",), resolution=4)
    its = planned("fractional", generators=("D=AB",))
    assert its.contrasts[0].name == "scc = cyclic:kl_f"


def test_the_same_plan_says_the_same():
    assert planned("fractional").plain() == planned("fractional").plain()
    assert planned("leave_one_out").plain()["arms"]["no_mi"]["loss.mi.weight"] == 0


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({"seeds": tuple(range(12))}, []),
        ({"power": 0.9}, []),
        ({"seeds": tuple(range(8))}, ["seeds"]),
        ({"margin": 0.02}, ["margin"]),
        ({"mode": "min"}, ["mode"]),
        ({"alpha": 0.1, "test": "t"}, ["alpha", "test"]),
        ({"components": NAMES[:3]}, ["components"]),
        ({"include_base": True}, ["include_base"]),
        ({"retune": Retune({"loss.beta": {"choice": [1, 2]}})}, ["retune"]),
    ],
)
def test_what_a_study_may_change(more: dict[str, Any], refused: list[str]):
    old = planned("leave_one_out", margin=0.01)
    new = planned("leave_one_out", **({"margin": 0.01} | more))
    assert list(refused_changes(old.plain(), new.plain())) == refused


def test_looks_may_not_move():
    old = planned("leave_one_out", seeds=Sequential(15, budget=Budget(gpu_hours=3)))
    more = planned("leave_one_out", seeds=Sequential(15, budget=Budget(gpu_hours=9)))
    assert list(refused_changes(old.plain(), more.plain())) == []
    longer = planned("leave_one_out", seeds=Sequential(18))
    assert list(refused_changes(old.plain(), longer.plain())) == ["seeds"]


def test_retuning_leaves_out_what_an_arm_lacks():
    its = planned("leave_one_out", NAMES[:2])
    space = ["loss.beta", "loss.scc.weight", "loss.scc.options.margin", "loss.cyclic.options.margin", "train.lr"]
    assert tunable(space, its.arm("full"), its.components) == [
        *("loss.beta", "loss.scc.weight", "loss.scc.options.margin", "loss.cyclic.options.margin", "train.lr")
    ]
    assert tunable(space, its.arm("no_scc"), its.components) == ["loss.beta", "loss.cyclic.options.margin", "train.lr"]


def test_interaction_gap_of_the_surface():
    without, alone = noise_free("leave_one_out"), noise_free("add_one_in")
    for name in NAMES:
        assert -without[f"no_{name}"] - alone[f"only_{name}"] == pytest.approx(EXAMPLE.gap(name))


def test_names_of_cells_are_told_apart():
    its = planned("factorial")
    assert len({arm.name for arm in its.arms}) == 16 == len(set(itertools.chain(arm.name for arm in its.arms)))


def test_unknown_components_stop_a_plan():
    with pytest.raises(Mistake, match="did you mean 'scc'"):
        plan(design("leave_one_out", ("scx", "mi")), base())
