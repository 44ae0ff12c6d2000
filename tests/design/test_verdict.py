"""The ordered rules of statistics.md 4.10, one by one, and the account of seeds behind them."""

import pytest

from ablate.design.failures import Seeds, complete_pairs, count, outcomes
from ablate.design.paired import paired
from ablate.design.verdict import BETTER, DISTINCT, EQUIVALENT, UNDECIDED, WORSE, verdict

FIVE = Seeds(5, 5)
GAIN = paired([0.011, 0.012, 0.010, 0.013, 0.009])


def test_the_account_adds_up():
    values = {0: 0.5, 1: None, 2: None, 3: 0.4}
    its = count(range(8), values, {1: "diverged", 2: "infra", 4: "memory", 5: "stopped", 6: ""})
    assert its == Seeds(8, 2, 1, {"infra": 1, "memory": 1}, 3)
    assert its.planned == its.finished + its.diverged + sum(its.missing.values()) + its.pending
    assert (its.tried, its.absent) == (3, 5)
    assert str(its) == "2/8 (1 diverged, 1 infra, 1 memory, 3 pending)"
    assert str(FIVE) == "5/5"
    assert str(count(range(5), {0: 0.1, 2: 0.2, 3: 0.3}, {1: "diverged", 4: "diverged"})) == "3/5 (2 diverged)"


def test_a_diverged_run_is_an_outcome_and_a_lost_one_is_none():
    values = {0: 0.5, 1: None, 3: None}
    assert outcomes(values, {1: "diverged", 2: "diverged", 3: "infra"}) == {0: 0.5, 1: None, 2: None}
    assert complete_pairs({2: 0.2, 0: 0.5, 1: None}, {0: 0.1, 1: 0.3, 2: 0.4}) == [(0, 0.5, 0.1), (2, 0.2, 0.4)]


def test_never_trained_is_worse():
    its = verdict(None, 1.0, Seeds(5, 0, 5), FIVE, 5, "max")
    assert str(its) == "worse (never trained: 0/5)"
    assert verdict(None, 1.0, Seeds(5, 0, 2, pending=3), FIVE, 2, "max").word == UNDECIDED  # two are too few
    assert verdict(None, 1.0, Seeds(5, 0, 5), Seeds(5, 4, 1), 5, "max").word == UNDECIDED  # the reference fails too


def test_fewer_than_three_pairs_are_undecided():
    its = verdict(paired([0.1, 0.1]), 0.0, Seeds(5, 2, pending=3), FIVE, 2, "max")
    assert str(its) == "within seed noise - undecided (incomplete 2/5)"
    assert "provisional, 2/5 seeds" in its.notes


def test_survivors_do_not_make_a_fragile_arm_better():
    fragile = Seeds(7, 5, 2)
    its = verdict(GAIN, 0.001, fragile, Seeds(7, 7), 7, "max")
    assert str(its) == "within seed noise - undecided (fails more often: 2/7 against 0/7)"
    assert its.notes == ("computed on the 5 of 7 seeds where both trained",)
    assert verdict(GAIN, 0.001, fragile, Seeds(7, 7), 7, "min").word == WORSE
    assert verdict(GAIN, 0.001, fragile, Seeds(7, 5, 2), 7, "max").word == BETTER


@pytest.mark.parametrize(
    ("p", "mode", "word"),
    [(0.05, "max", BETTER), (0.05, "min", WORSE), (0.0501, "max", UNDECIDED), (1.0, "min", UNDECIDED)],
)
def test_the_adjusted_p_decides(p: float, mode: str, word: str):
    its = verdict(GAIN, p, FIVE, FIVE, 5, mode)
    assert (its.word, its.reason, its.notes) == (word, "", ())


def test_suspicious_differences_are_noted():
    same = paired([0.01, 0.01, 0.01])
    assert verdict(same, 0.0, FIVE, FIVE, 5, "max").notes == ("identical differences on every seed",)
    nothing = paired([0.0, 0.0, 0.0])
    assert verdict(nothing, 1.0, FIVE, FIVE, 5, "max").notes == ("changes nothing: the difference is 0 on every seed",)


@pytest.mark.parametrize(
    ("p", "p_eq", "word", "notes"),
    [
        (0.2, 0.05, EQUIVALENT, ()),
        (0.05, 0.05, EQUIVALENT, (DISTINCT,)),
        (0.05, 0.051, BETTER, ()),
        (0.2, 0.2, UNDECIDED, ()),
        (0.2, None, UNDECIDED, ()),
    ],
)
def test_equivalence_comes_before_a_difference(p: float, p_eq: float | None, word: str, notes: tuple[str, ...]):
    its = verdict(GAIN, p, FIVE, FIVE, 5, "max", p_eq_holm=p_eq)
    assert (its.word, its.notes) == (word, notes)


def test_survivors_do_not_make_a_fragile_arm_equivalent():
    its = verdict(GAIN, 0.9, Seeds(7, 5, 2), Seeds(7, 7), 7, "max", p_eq_holm=0.001)
    assert str(its) == "within seed noise - undecided (fails more often: 2/7 against 0/7)"
    assert verdict(GAIN, 0.9, Seeds(7, 5, 2), Seeds(7, 5, 2), 7, "max", p_eq_holm=0.001).word == EQUIVALENT


def test_never_trained_comes_before_everything():
    its = verdict(None, 1.0, Seeds(5, 0, 5), FIVE, 5, "max", p_eq_holm=1.0)
    assert str(its) == "worse (never trained: 0/5)"
