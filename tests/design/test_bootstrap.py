"""Ranking and interquartile means: worked examples 9.7 and 9.8, tau by brute force."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from ablate.design.bootstrap import (
    agreement,
    all_resamples,
    drawn_resamples,
    iqm,
    iqm_difference,
    iqm_interval,
    kendall,
    p_first,
    ranking,
    strata_index,
)

FULL = [0.612, 0.655, 0.587, 0.634, 0.601]
NO_MI = [0.620, 0.648, 0.603, 0.629, 0.610]
NO_CYCLIC = [0.606, 0.661, 0.580, 0.640, 0.595]
NO_SCC = [0.571, 0.629, 0.560, 0.577, 0.585]


def test_worked_example():
    arms = [FULL, NO_SCC, NO_MI, NO_CYCLIC]
    assert p_first(arms, "max") == pytest.approx([0, 0, 0.788160, 0.211840], abs=1e-12)
    drawn = p_first(arms, "max", drawn_resamples(5))
    assert drawn == pytest.approx([0, 0, 0.786878687869, 0.213121312131], abs=1e-11)


def test_nine_seeds_are_drawn(shared: Path):
    study = json.loads((shared / "statistics_oracles.json").read_text())["B_leave_one_out_n9"]["inputs"]
    shares = p_first([study[name] for name in ("full", "no_scc", "no_cyclic", "no_mi", "no_kl_f")], "max")
    assert shares == pytest.approx([0, 0, 0, 0.021052, 0.978948], abs=1e-6)


def test_two_seeds_by_hand():
    index = all_resamples(2)
    assert index.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    # means of the resamples: 1 2 2 3 against 2 2 2 2: worse, two ties, better
    assert p_first([[1.0, 3.0], [2.0, 2.0]], "max", index) == [0.5, 0.5]
    assert p_first([[1.0, 3.0], [1.5, 1.5]], "max", index) == [0.75, 0.25]
    assert p_first([[1.0, 3.0], [1.5, 1.5]], "min", index) == [0.25, 0.75]


def test_indices_come_from_the_named_stream():
    assert drawn_resamples(5).shape == (9999, 5)
    assert drawn_resamples(5).reshape(-1)[:10].tolist() == [0, 0, 1, 4, 0, 0, 2, 4, 1, 2]


def test_shares_add_up_and_mirror():
    y = np.random.default_rng(0).normal(size=(4, 7))
    assert sum(p_first(y, "max")) == pytest.approx(1)
    assert p_first(y, "max") == p_first(-y, "min")


def test_worked_example_of_a_ranking():
    its = ranking([FULL, NO_SCC, NO_MI, NO_CYCLIC], "max")
    assert its.p_first == pytest.approx([0, 0, 0.788160, 0.211840], abs=1e-12)
    assert (its.tau_mean, its.tau_low) == pytest.approx((0.772315030805, 0.0))


def test_kendall_by_brute_force():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 4, size=6).astype(float), rng.integers(0, 4, size=(6, 5)).astype(float)
    for b in range(5):
        signs = [(np.sign(x[i] - x[j]), np.sign(y[i, b] - y[j, b])) for i, j in itertools.combinations(range(6), 2)]
        scale = np.sqrt(sum(p != 0 for p, _ in signs) * sum(q != 0 for _, q in signs))
        assert kendall(x, y)[b] == pytest.approx(sum(p * q for p, q in signs) / scale)
    assert kendall(np.ones(3), np.arange(3.0)[:, None])[0] == 0
    assert kendall(np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [2.0 + 1e-14]]))[0] == pytest.approx(2 / 6**0.5)


def test_metrics_may_agree():
    assert agreement([1.0, 2.0, 3.0], [10.0, 30.0, 20.0]) == pytest.approx(1 / 3)
    assert agreement([1.0, 2.0], [2.0, 1.0]) == -1
    assert agreement([1.0], [2.0]) is None


def test_of_many_arms_the_best_are_ranked():
    y = np.random.default_rng(0).normal(size=(60, 7)) + np.linspace(0, 3, 60)[:, None]
    its = ranking(y, "max")
    assert its.p_first[:10] == [0.0] * 10 and sum(its.p_first) == pytest.approx(1)
    assert ranking(-y, "min").p_first == its.p_first
    assert 0.5 < its.tau_mean < 1


def test_interquartile_mean_drops_a_quarter_at_each_end():
    assert iqm([1.0, 100.0, 2.0, 3.0, 4.0]) == pytest.approx(3)  # 2 3 4
    assert iqm([5.0, 1.0, 2.0]) == pytest.approx(8 / 3)  # all
    assert iqm(np.arange(8.0)) == pytest.approx(3.5)
    assert iqm([[1.0, 2.0], [3.0, 5.0]]).tolist() == [1.5, 4.0]


def test_worked_example_of_strata():
    other = (0.702, 0.688, 0.731, 0.695, 0.659), (0.690, 0.671, 0.719, 0.702, 0.640)
    full, arm = iqm_interval([FULL, other[0]]), iqm_interval([NO_SCC, other[1]])
    assert (full.value, full.lo, full.hi) == pytest.approx((0.657166666667, 0.639166666667, 0.673833333333))
    assert (arm.value, arm.lo, arm.hi) == pytest.approx((0.632, 0.6125, 0.654166666667))
    its = iqm_difference([NO_SCC, other[1]], [FULL, other[0]])
    assert (its.value, its.lo, its.hi) == pytest.approx((-0.0251666666667, -0.0343333333333, -0.014))
    assert strata_index(2, 5).shape == (9999, 2, 5)


def test_oracles_of_strata_and_rankings(shared: Path):
    blocks = json.loads((shared / "statistics_oracles.json").read_text())
    given, known = blocks["H_iqm_two_strata"]["inputs"], blocks["H_iqm_two_strata"]["outputs"]
    for arm in ("full", "no_scc"):
        its = iqm_interval(given[arm])
        assert [its.value, its.lo, its.hi] == pytest.approx([known[f"iqm_{arm}"], *known[f"ci_{arm}"]])
    its = iqm_difference(given["no_scc"], given["full"])
    assert [its.value, its.lo, its.hi] == pytest.approx([known["iqm_difference"], *known["ci_difference"]])
    known = blocks["G_rank_stability_n5"]
    found = ranking([known["inputs"][name] for name in known["outputs"]["p_first_exact"]], "max")
    assert found.p_first == pytest.approx(list(known["outputs"]["p_first_exact"].values()), abs=1e-12)
    assert [found.tau_mean, found.tau_low] == pytest.approx(
        [known["outputs"]["kendall_tau_mean_exact"], known["outputs"]["kendall_tau_q05_exact"]]
    )
    known = blocks["B_leave_one_out_n9"]
    found = ranking([known["inputs"][name] for name in known["outputs"]["rank"]["p_first"]], "max")
    assert [found.tau_mean, found.tau_low] == pytest.approx(
        [known["outputs"]["rank"]["kendall_tau_mean"], known["outputs"]["rank"]["kendall_tau_q05"]]
    )
