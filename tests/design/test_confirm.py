"""Search then confirm: the worked example 9.9, baselines, failures and bad input."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.design.confirm import Arm, Confirmation, confirm
from ablate.design.paired import decide
from ablate.design.power import expected_max
from ablate.design.verdict import UNDECIDED

SEEDS = (1000, 1001, 1002, 1003, 1004)


def by_seed(*values: float | None) -> dict[int, float | None]:
    """Values on the seeds of the confirmation."""
    return dict(zip(SEEDS, values, strict=False))


TRIAL_4 = Arm("trial_4", "best", by_seed(0.6270, 0.6391, 0.6188, 0.6344, 0.6242), 0.6490)
TRIAL_10 = Arm("trial_10", "best", by_seed(0.6335, 0.6402, 0.6251, 0.6298, 0.6329), 0.6401)
DEFAULT = Arm("default", "default", by_seed(0.6150, 0.6289, 0.6071, 0.6233, 0.6140))
VAE = Arm("vae", "baseline", by_seed(0.26, 0.27, 0.25, 0.26, 0.28))


@pytest.fixture(scope="module")
def example() -> Confirmation:
    """The confirmation of 9.9."""
    return confirm([TRIAL_4, TRIAL_10, DEFAULT], "default", searched=12)


def test_worked_example(example: Confirmation):
    assert (example.m, example.test, example.seeds) == (2, "t", SEEDS)
    four, ten, default = (example[name] for name in ("trial_4", "trial_10", "default"))
    assert [four.score.mean, four.score.sd, four.score.lo, four.score.hi] == pytest.approx(
        [0.6287, 0.00809011742807, 0.618654792448, 0.638745207552], rel=1e-9
    )
    assert (four.optimism, ten.optimism, default.optimism) == (pytest.approx(0.0203), pytest.approx(0.0078), None)
    effect = four.contrast.effect
    assert [effect.mean, effect.lo, effect.hi] == pytest.approx([0.01104, 0.0100063566705, 0.0120736433295], rel=1e-9)
    assert (four.p, four.p_holm) == (pytest.approx(7.70045044164e-06), pytest.approx(1.54009008833e-05))
    assert ten.p_holm == pytest.approx(0.00404402602675)
    assert four.verdict.word == ten.verdict.word == "better"
    assert default.contrast is default.verdict is default.p is None


def test_the_winner_of_the_search_is_not_that_of_the_confirmation(example: Confirmation):
    first = {its.arm.name: its.p_first for its in example.results}
    assert first == pytest.approx({"trial_4": 0.06592, "trial_10": 0.93408, "default": 0.0})
    assert sum(first.values()) == pytest.approx(1)


def test_the_yardstick_is_what_chance_alone_explains(example: Confirmation):
    assert example.seed_sd == pytest.approx(
        ((0.00809011742807**2 + 0.00552946652038**2 + 0.00851663078923**2) / 3) ** 0.5
    )
    assert example.yardstick == pytest.approx(1.62922763987 * example.seed_sd)
    assert confirm([TRIAL_4, DEFAULT], "default").yardstick is None


def test_oracle(shared: Path, example: Confirmation):
    expected = json.loads((shared / "statistics_oracles.json").read_text())["M_search_then_confirm"]["outputs"]
    for name in ("trial_4", "trial_10"):
        its, oracle = example[name], expected[name]
        found = [its.score.mean, its.score.sd, its.score.lo, its.score.hi, its.optimism, its.p_holm]
        keys = ("confirm_mean", "confirm_sd", "confirm_lo", "confirm_hi", "optimism", "p_holm")
        assert found == pytest.approx([oracle[key] for key in keys], rel=1e-6)
        effect = its.contrast.effect
        found = [effect.mean, effect.lo, effect.hi, effect.p_t, effect.p_sign_flip]
        keys = ("gain_over_default", "gain_lo", "gain_hi", "p_t", "p_sign_flip")
        assert found == pytest.approx([oracle[key] for key in keys], rel=1e-6)


def test_smaller_is_better_mirrors_everything(example: Confirmation):
    def mirrored(arm: Arm) -> Arm:
        score = None if arm.search_score is None else -arm.search_score
        return replace(arm, values={seed: -value for seed, value in arm.values.items()}, search_score=score)

    its = confirm([mirrored(arm) for arm in (TRIAL_4, TRIAL_10, DEFAULT)], "default", "min", searched=12)
    for mine, theirs in zip(its.results, example.results, strict=True):
        assert mine.optimism == pytest.approx(theirs.optimism)
        assert (mine.p_holm, mine.p_first) == (theirs.p_holm, theirs.p_first)
        assert str(mine.verdict) == str(theirs.verdict)
        if mine.contrast:
            assert mine.contrast.effect.mean == -theirs.contrast.effect.mean
            assert (mine.contrast.wins, mine.contrast.p_better) == (theirs.contrast.wins, theirs.contrast.p_better)


def test_a_baseline_changes_no_verdict_and_gets_none(example: Confirmation):
    its = confirm([TRIAL_4, TRIAL_10, DEFAULT, VAE], "default", searched=12)
    for name in ("trial_4", "trial_10"):
        assert (its[name].p_holm, its[name].verdict) == (example[name].p_holm, example[name].verdict)
    assert its.m == 2
    assert its["vae"].p is its["vae"].p_holm is its["vae"].verdict is None
    assert its["vae"].contrast.effect.mean == pytest.approx(0.264 - 0.61766)
    assert [(one.arm, one.reference) for one in its.against] == [
        ("trial_4", "vae"),
        ("trial_10", "vae"),
        ("default", "vae"),
    ]
    assert its.against[0].effect.mean == pytest.approx(0.6287 - 0.264)
    assert its.against[0].effect.lo < 0.6287 - 0.264 < its.against[0].effect.hi


def test_optimism_compares_the_same_split():
    on_test = replace(TRIAL_4, values=by_seed(0.50, 0.51, 0.49, 0.50, 0.50), selected=TRIAL_4.values)
    its = confirm([on_test, replace(DEFAULT, selected=DEFAULT.values)], "default", searched=24)
    assert its["trial_4"].score.mean == pytest.approx(0.5)
    assert its["trial_4"].optimism == pytest.approx(0.0203)
    spread = ((0.00809011742807**2 + 0.00851663078923**2) / 2) ** 0.5
    assert its.yardstick == pytest.approx(expected_max(24) * spread)


def test_the_search_may_find_nothing_above_the_default():
    its = confirm([DEFAULT, VAE], "default", searched=24)
    assert (its.m, [row.verdict for row in its.results]) == (0, [None, None])


def test_null_effects_are_undecided_with_what_could_have_been_seen():
    null = Arm("scc=10", "best", by_seed(0.62, 0.62, 0.615, 0.618, 0.616), 0.66)
    its = confirm([null, DEFAULT], "default", searched=24)["scc=10"]
    assert its.verdict.word == UNDECIDED
    assert its.contrast.mde > abs(its.contrast.effect.mean)


def test_failures():
    fragile = Arm("a", "best", by_seed(0.571, None, 0.560, 0.577, None), 0.7, {1001: "diverged", 1004: "diverged"})
    reference = Arm("default", "default", by_seed(0.612, 0.655, 0.587, 0.634, 0.601))
    its = confirm([fragile, reference], "default")["a"]
    assert str(its.seeds) == "3/5 (2 diverged)"
    effect = its.contrast.effect
    assert [effect.mean, effect.sd, effect.t, effect.p_t, effect.lo, effect.hi] == pytest.approx(
        [-0.0416666666667, 0.0150111069989, -4.80769230769, 0.0406445685526, -0.0789563236578, -0.0043770096755]
    )
    assert (effect.p_sign_flip, its.contrast.wins, its.contrast.p_better) == (0.25, 0, 0.0)
    assert its.verdict.word == "worse"
    assert its.verdict.notes == ("computed on the 3 of 5 seeds where both trained",)
    assert its.p_first == 0.0


def test_an_arm_that_never_trained():
    dead = Arm("dead", "best", {}, 0.7, dict.fromkeys(SEEDS, "diverged"))
    its = confirm([TRIAL_4, dead, DEFAULT], "default")
    assert str(its["dead"].verdict) == "worse (never trained: 0/5)"
    assert (its["dead"].p, its["dead"].score.mean, its["dead"].optimism) == (1.0, None, None)
    assert its["dead"].contrast.effect is None
    assert its["dead"].p_first == 0.0
    assert its["trial_4"].p_holm == pytest.approx(2 * its["trial_4"].p)  # the dead arm still counts in the family


def test_pending_seeds_are_provisional():
    half = Arm("half", "best", by_seed(0.63, 0.64, 0.63), 0.64, {1003: "stopped"})
    its = confirm([half, DEFAULT], "default", seeds=SEEDS)["half"]
    assert str(its.seeds) == "3/5 (2 pending)"
    assert its.verdict.notes == ("provisional, 3/5 seeds",)
    none = confirm([replace(half, values={}, failures={}), DEFAULT], "default", seeds=SEEDS)["half"]
    assert str(none.verdict) == "within seed noise - undecided (incomplete 0/5)"


def test_a_reference_that_failed_is_reported_without_a_verdict():
    lost = Arm("default", "default", {}, None, dict.fromkeys(SEEDS, "diverged"))
    its = confirm([TRIAL_4, lost], "default")["trial_4"]
    assert its.verdict.word == UNDECIDED
    assert its.score.mean == pytest.approx(0.6287)


def test_one_seed_gives_no_verdict():
    its = confirm([TRIAL_4, DEFAULT], "default", seeds=[1000])["trial_4"]
    assert (its.contrast.effect.lo, its.verdict.word) == (None, UNDECIDED)
    assert its.p_first is None


def test_the_test_follows_the_planned_seeds_not_the_finished_ones():
    assert confirm([replace(TRIAL_4, role="best"), DEFAULT], "default", seeds=range(1000, 1006)).test == "sign_flip"
    assert decide("auto", 5, 1) == confirm([TRIAL_4, DEFAULT], "default").test == "t"


def test_seeds_outside_the_plan_do_not_count():
    more = replace(TRIAL_4, values={**TRIAL_4.values, 0: 0.9}, failures={1: "diverged"})
    assert confirm([more, DEFAULT], "default", seeds=SEEDS) == confirm([TRIAL_4, DEFAULT], "default", seeds=SEEDS)


@pytest.mark.parametrize("arms", [[TRIAL_4], [TRIAL_4, TRIAL_4, DEFAULT]])
def test_bad_arms(arms: list[Arm]):
    with pytest.raises(ValueError, match="distinct arms"):
        confirm(arms, "default")
