"""Group-sequential sign flips: the worked example 9.6 line by line, brute force, spending, budget."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablate.design.options import Sequential
from ablate.design.paired import sign_flip
from ablate.design.sequential import (
    Rule,
    Series,
    cells_to_run,
    course,
    crossing,
    first_look,
    looks_of,
    spent,
    within_budget,
)

F = {
    "no_scc": [
        *(-0.0430, -0.0335, 0.0033, -0.0168, -0.0628, -0.0301, -0.0425, -0.0270, -0.0622, -0.0252),
        *(-0.0253, 0.0015, -0.0237, -0.0198, -0.0599),
    ],
    "no_mi": [
        *(0.0291, -0.0543, 0.0060, -0.0226, -0.0336, -0.0291, -0.0294, -0.0084, -0.0182, 0.0137),
        *(-0.0526, -0.0161, -0.0338, -0.0005, -0.0584),
    ],
    "no_cyclic": [
        *(-0.0042, 0.0042, -0.0213, 0.0158, 0.0037, 0.0161, 0.0154, -0.0137, -0.0110, -0.0020),
        *(0.0122, 0.0138, -0.0096, -0.0081, -0.0110),
    ],
}
RULE = Rule((5, 10, 15))


def series(names: tuple[str, ...] = tuple(F), settled: int = 15) -> dict[str, Series]:
    return {name: Series(dict(enumerate(F[name][:settled])), settled) for name in names}


def test_worked_example():
    its = course(series(), RULE)
    rows = [
        (one.look, one.contrast, one.level, one.cum_alpha, one.found.stat, one.found.boundary, one.found.p_seq)
        for one in its.log
    ]
    third = 0.05 / 3
    assert [row[:2] for row in rows] == [
        *((1, "no_scc"), (1, "no_mi"), (1, "no_cyclic"), (2, "no_scc"), (2, "no_mi"), (2, "no_cyclic")),
        *((3, "no_mi"), (3, "no_cyclic")),
    ]
    expected = [
        (third, third / 3, 0.1528, 0.1594, 0.125),
        (third, third / 3, 0.0754, 0.1456, 0.4375),
        (third, third / 3, 0.0018, 0.0492, 0.9375),
        (third, 2 * third / 3, 0.3398, 0.2924, 0.00390625),
        (0.025, third, 0.1468, 0.1992, 0.09765625),
        (0.025, third, 0.0030, 0.0916, 0.939453125),
        (0.025, 0.025, 0.3082, 0.2970, 0.0219116210938),
        (0.05, 0.05, 0.0003, 0.0997, 0.997009277344),
    ]
    for row, known in zip(rows, expected, strict=True):
        assert row[2:] == pytest.approx(known)
    assert [one.decision for one in its.log] == [*["go on"] * 3, "reject", *["go on"] * 2, "reject", "undecided"]
    assert {name: (one.state, one.stopped_at) for name, one in its.standing.items()} == {
        "no_scc": ("rejected", 10),
        "no_mi": ("rejected", 15),
        "no_cyclic": ("exhausted", 15),
    }
    assert its.standing["no_scc"].conf == pytest.approx(1 - 0.05 / 3)
    assert its.next_look is None and its.open == []


def test_exactly_on_the_boundary_is_not_rejected():
    third = 0.05 / 3
    its = crossing(dict(enumerate(F["no_mi"])), (5, 10, 15), [third / 3, 2 * third / 3, third], 15)
    assert its.stat == pytest.approx(its.boundary) == pytest.approx(0.3082)
    assert (its.any_look, its.p_seq) == (False, pytest.approx(0.0167846679688))
    assert its.spent == pytest.approx(0.0166625976562)


def test_oracles(shared: Path):
    known = json.loads((shared / "statistics_oracles.json").read_text())["F_sequential"]
    its = course(series(), RULE)
    for line in its.log:
        row = known["outputs"]["holm_m3"][line.look - 1]["arms"][line.contrast]
        found = [line.level, line.n, line.cum_alpha, line.found.stat, line.found.boundary, line.found.spent]
        found += [line.found.p_nominal, line.found.p_seq, line.found.any_look]
        keys = ("level", "n", "cum_alpha", "stat", "boundary", "spent", "p_nominal", "p_seq", "any_look")
        assert found == pytest.approx([row[key] for key in keys], abs=1e-12, rel=1e-9)
    assert {n: one.stopped_at for n, one in its.standing.items() if one.state == "rejected"} == known["outputs"][
        "stopped_at"
    ]
    alone = course(series(("no_scc",)), RULE)
    for line, row in zip(alone.log, known["outputs"]["single_arm_alpha_0.05"]["looks"], strict=True):
        assert [line.found.boundary, line.found.spent, line.found.p_seq] == pytest.approx(
            [row[key] for key in ("boundary", "spent", "p_seq")], abs=1e-12
        )
        assert (line.decision == "reject") == row["reject"]
    for name, values in known["spending"].items():
        assert [spent(name, 0.05, t) for t in (1 / 3, 2 / 3, 1)] == pytest.approx(values, rel=1e-9)
    for key, first in known["first_reachable_n"].items():
        m, longest, step, spending = (part.partition("=")[2] or part for part in key.split(","))
        looks = range(int(step), int(longest) + 1, int(step))
        able = [n for n in looks if 2 / 2**n <= spent(spending, 0.05 / int(m), n / int(longest))]  # type: ignore[arg-type]
        assert able[0] == first
        if step == "1":
            assert first_look(int(longest), int(m), 0.05, spending) == first  # type: ignore[arg-type]


def test_boundaries_by_brute_force():
    """All 2^8 sign vectors, one after the other, against the definition of statistics.md 8."""
    d, looks, alphas = F["no_scc"][:8], (4, 6, 8), [0.1, 0.2, 0.3]
    living = list(itertools.product((1, -1), repeat=8))
    stopped = 0
    for n, alpha in zip(looks, alphas, strict=True):
        sums = sorted((abs(np.dot(signs[:n], d[:n])) for signs in living), reverse=True)
        room = math.floor(alpha * 2**8) - stopped
        boundary = sums[room]
        over = [signs for signs in living if abs(np.dot(signs[:n], d[:n])) > boundary + 1e-12]
        observed = abs(sum(d[:n]))
        p_seq = (stopped + sum(its >= observed - 1e-12 for its in sums)) / 2**8
        upto = looks.index(n) + 1
        its = crossing(dict(enumerate(d)), looks[:upto], alphas[:upto], 8)
        assert (its.boundary, its.stat) == pytest.approx((boundary, observed))
        living = [signs for signs in living if signs not in over]
        stopped += len(over)
        assert its.spent == stopped / 2**8
        if (1,) * 8 not in living:
            assert its.any_look
            break
        assert its.p_seq == p_seq and not its.any_look
    else:
        raise AssertionError("this series is rejected at some look")


def test_one_look_is_the_sign_flip_test():
    for n in (5, 9, 12):
        d = F["no_mi"][:n]
        its = crossing(dict(enumerate(d)), (n,), [0.05], n)
        assert its.p_seq == its.p_nominal == pytest.approx(sign_flip(d), abs=1e-12)
        assert its.any_look == (sign_flip(d) <= 0.05)


def test_earlier_boundaries_do_not_change_when_data_are_added():
    alphas = [spent("linear", 0.05, n / 15) for n in (5, 10, 15)]
    for name in F:
        short = crossing(dict(enumerate(F[name][:10])), (5, 10), alphas[:2], 15)
        with_more = crossing(dict(enumerate(F[name])), (5, 10), alphas[:2], 15)
        assert short == with_more


def test_more_than_16_seeds_are_drawn():
    rng = np.random.default_rng(3)
    d = rng.normal(0.6, 1.0, size=20)
    its = crossing(dict(enumerate(d)), (10, 20), [0.025, 0.05], 20)
    exact = crossing(dict(enumerate(d[:16])), (8, 16), [0.025, 0.05], 16)
    assert its.p_nominal == pytest.approx(sign_flip(d), abs=2e-5)
    assert 0.0245 < its.spent <= 0.05 and 0.04 < exact.spent <= 0.05


def test_a_seed_that_diverged_drops_out_and_time_goes_on():
    d = {i: value for i, value in enumerate(F["no_scc"][:10]) if i != 2}
    its = course({"a": Series(d, 10)}, RULE)
    assert [one.cum_alpha for one in its.log] == pytest.approx([0.05 / 3, 0.1 / 3])
    assert its.log[0].found.p_nominal == pytest.approx(sign_flip([F["no_scc"][i] for i in (0, 1, 3, 4)]))
    assert its.standing["a"].stopped_at == 10
    empty = course({"a": Series({}, 15)}, RULE)
    assert (empty.standing["a"].state, empty.log[-1].found.p_seq) == ("exhausted", 1.0)


def test_looks_wait_for_all_that_are_open():
    half = series() | {"no_mi": Series(dict(enumerate(F["no_mi"][:7])), 7)}
    its = course(half, RULE)
    assert (its.next_look, {one.look for one in its.log}) == (2, {1})
    assert its.open == list(F)
    assert course(series(settled=4), RULE).next_look == 1
    after = course({name: Series(one.d, 10) for name, one in series().items()}, RULE)
    assert (after.next_look, after.open) == (3, ["no_mi", "no_cyclic"])
    assert after.standing["no_mi"].p_seq == pytest.approx(0.09765625)


def test_a_stopped_contrast_does_not_wait_for_seeds():
    whole = series()
    stopped = whole | {"no_scc": Series(dict(enumerate(F["no_scc"][:10])), 10)}
    assert course(stopped, RULE).standing == course(whole, RULE).standing


def test_equivalence_is_claimed_at_a_share_of_alpha():
    near = {"a": Series({i: 0.001 * (-1) ** i for i in range(15)}, 15), "b": series()["no_scc"]}
    its = course(near, replace(RULE, margin=0.01))
    assert (its.standing["a"].state, its.standing["a"].stopped_at) == ("equivalent", 5)
    assert its.standing["b"].state == "rejected"
    assert [one.level for one in its.log if one.contrast == "b"] == [0.025, 0.025]  # an equivalent arm stays counted
    assert course(near, RULE).standing["a"].state == "exhausted"
    wide = course({"b": series()["no_scc"]}, replace(RULE, margin=0.5))
    assert (wide.standing["b"].state, wide.standing["b"].stopped_at) == ("equivalent", 5)


def test_what_a_raised_level_lets_through_is_told_of_the_look_that_it_crossed():
    """A p above the level that rejects would contradict itself: 300 pairs of contrasts, one of which often rejects."""
    rng = np.random.default_rng(3)
    late = 0
    for _ in range(300):
        d = {"a": rng.normal(1.2, 1, 15), "b": rng.normal(0.75, 1, 15)}
        its = course({name: Series(dict(enumerate(values)), 15) for name, values in d.items()}, RULE)
        for name, at in its.standing.items():
            if at.state == "rejected":
                assert at.p_seq <= at.level + 1e-12, name
                late += any(one.contrast == name and one.level < at.level for one in its.log)
    assert late > 20


def test_first_looks():
    assert [first_look(15, m) for m in (1, 3, 4, 8)] == [7, 8, 9, 10]
    assert [first_look(15, m, spending="obf") for m in (1, 3, 4, 8)] == [9, 10, 10, 11]
    assert first_look(5, 4) is None
    assert looks_of(Sequential(15), 4) == (9, 12, 15)
    assert looks_of(Sequential(15, min=5, step=5), 4) == (5, 10, 15)
    assert looks_of(Sequential(9, min=9), 1) == (9,)


def test_spending_ends_at_alpha():
    for name in ("linear", "obf", "pocock"):
        assert spent(name, 0.05, 1) == pytest.approx(0.05)
        assert spent(name, 0.05, 0.5) < 0.05
    assert replace(RULE, spending="obf").conf(2) == pytest.approx(1 - (0.01637466645 - 0.000686894868))


ARMS = {name: (name, "full") for name in F}


def test_the_next_batch_shares_the_reference():
    done = {(arm, seed) for arm in ("full", *F) for seed in range(5)}
    batch = cells_to_run(["no_scc", "no_mi"], ARMS, range(7), done)
    assert batch == [("no_scc", 5), ("full", 5), ("no_mi", 5), ("no_scc", 6), ("full", 6), ("no_mi", 6)]


def test_a_budget_goes_to_the_clearest_first():
    now = course({name: Series(one.d, 5) for name, one in series().items()}, RULE)
    done = {(arm, seed) for arm in ("full", *F) for seed in range(5)}
    cost = dict.fromkeys(("full", *F), 2.0)
    assert within_budget(now, ARMS, range(10), done, cost, 40.0) == (list(F), [])
    assert within_budget(now, ARMS, range(10), done, cost, 39.0) == (["no_scc", "no_mi"], ["no_cyclic"])
    assert within_budget(now, ARMS, range(10), done, cost, 20.0) == (["no_scc"], ["no_mi", "no_cyclic"])
    assert within_budget(now, ARMS, range(10), done, cost, 19.0) == ([], list(F))


def test_what_the_budget_ended_keeps_its_place_in_the_count():
    reached = {name: Series(one.d, 10 if name == "no_scc" else 5) for name, one in series().items()}
    its = course(reached, RULE, given_up=("no_mi", "no_cyclic"))
    assert {name: one.state for name, one in its.standing.items()} == {
        "no_scc": "rejected",
        "no_mi": "budget",
        "no_cyclic": "budget",
    }
    assert its.standing["no_mi"].stopped_at == 5
    assert its.standing["no_mi"].p_seq == pytest.approx(0.4375)
    assert its.log[-1].level == pytest.approx(0.05 / 3)
    none = course(series(settled=4), RULE, given_up=tuple(F))
    assert {one.stopped_at for one in none.standing.values()} == {0}
