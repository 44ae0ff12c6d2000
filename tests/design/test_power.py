"""Power, minimum detectable effects and the largest of K normals against tabulated values and against scipy."""

import json
import math
from pathlib import Path

import pytest
from scipy import stats

from ablate.design.paired import t_quantile
from ablate.design.power import (
    attained,
    contrast_sd,
    detectable,
    expected_max,
    floor,
    mde,
    mde_by_eye,
    noether,
    power,
    power_t,
    power_unpaired,
    seeds_for,
    seeds_for_equivalence,
    seeds_for_sign_flip,
    tost_power,
)


def sd_of_difference(rho: float) -> float:
    """In seed sds, for arm minus reference."""
    return math.sqrt(2 * (1 - rho))


@pytest.mark.parametrize(
    ("n", "rho", "m", "expected"),
    [(3, 0, 1, 4.616055), (3, 0, 8, 13.097354), (5, 0.6, 4, 2.215309), (9, 0.3, 8, 1.851093), (20, 0.9, 1, 0.295358)],
)
def test_minimum_detectable_effect(n: int, rho: float, m: int, expected: float):
    assert mde(sd_of_difference(rho), n, 0.05 / m) == pytest.approx(expected, abs=6e-7)


def test_oracles(shared: Path):
    blocks = json.loads((shared / "statistics_oracles.json").read_text())
    for n, rho, m, expected, _ in blocks["P_power"]["mde_seed_sd_units"]:
        assert mde(sd_of_difference(rho), n, 0.05 / m) == pytest.approx(expected, rel=1e-9)
    for n, rho, _, expected in blocks["P_power"]["power_effect_1sd"]:
        assert power(1.0, sd_of_difference(rho), n) == pytest.approx(expected, rel=1e-9)
    for k, expected in blocks["M_search_then_confirm"]["outputs"]["expected_max_of_K_identical_sd"].items():
        assert expected_max(int(k)) == pytest.approx(expected, rel=1e-9)
    one = blocks["A_one_pair_n5"]["outputs"]
    assert mde(one["sd"], 5) == pytest.approx(one["mde_alpha05_power80_exact"], rel=1e-9)


@pytest.mark.parametrize(("effect", "n"), [(0.0, 4), (0.5, 2), (1.0, 5), (1.5, 12)])
def test_power_is_that_of_the_noncentral_t(effect: float, n: int):
    critical, ncp = t_quantile(0.975, n - 1), effect * math.sqrt(n)
    expected = stats.nct.sf(critical, n - 1, ncp) + stats.nct.cdf(-critical, n - 1, ncp)
    assert power(effect, 1.0, n) == pytest.approx(expected, abs=1e-10)


def test_power_at_its_ends():
    assert power(0.0, 1.0, 9) == pytest.approx(0.05, abs=1e-10)
    assert power(1e4, 1.0, 3, 0.00625) == pytest.approx(1.0)  # scipy's noncentral t gives NaN here
    assert power(-1.0, 1.0, 7) == pytest.approx(power(1.0, 1.0, 7), rel=1e-12)


def test_mde_at_its_ends():
    assert mde(1.0, 1) is None
    assert mde(0.0, 5) == 0.0
    assert power(mde(1.0, 2) or 0.0, 1.0, 2) == pytest.approx(0.8, abs=1e-9)
    assert mde(3.0, 6) == pytest.approx(3 * (mde(1.0, 6) or 0.0))


def test_largest_of_k():
    assert expected_max(0) == expected_max(1) == 0.0
    assert expected_max(2) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-12)
    assert expected_max(3) == pytest.approx(1.5 / math.sqrt(math.pi), rel=1e-12)
    assert expected_max(24) == pytest.approx(1.947674, abs=1e-6)
    assert expected_max(100) == pytest.approx(2.507594, abs=1e-6)


def test_the_whole_table(shared: Path):
    known = json.loads((shared / "statistics_oracles.json").read_text())["P_power"]
    for n, rho, m, _, by_eye in known["mde_seed_sd_units"]:
        assert mde_by_eye(contrast_sd(rho), n, 0.05 / m) == pytest.approx(by_eye, rel=1e-9)
    for n, _, expected, _ in known["power_effect_1sd"]:
        assert power_unpaired(1.0, n) == pytest.approx(expected, rel=1e-9)
    for effect, rho, m, n in known["n_for_effect"]:
        assert seeds_for(effect, contrast_sd(rho), 0.05 / m) == n
    for n, rho, expected in known["tost_power_margin_1sd_true_0"]:
        assert tost_power(1.0, contrast_sd(rho), n) == pytest.approx(expected, rel=1e-9)
    for margin, rho, n in known["n_for_equivalence_true_0_power80"]:
        assert seeds_for_equivalence(margin, contrast_sd(rho)) == n
    for gamma, (both, usual) in known["noether_per_arm"].items():
        assert (noether(float(gamma), 0.05, 0.95), noether(float(gamma))) == (both, usual)
    for n, expected in known["floor_two_sided"].items():
        assert floor(int(n)) == expected
    for n, expected in known["sign_flip_attained_level"].items():
        assert attained(int(n)) == pytest.approx(expected, abs=1e-12)
    for m, n in known["holm_first_step_min_n"].items():
        assert seeds_for_sign_flip(int(m)) == n


def test_sample_sizes_by_hand():
    assert (seeds_for(1.0, contrast_sd(0.6)), seeds_for(-1.0, contrast_sd(0.6)), seeds_for(0.0, 1.0)) == (9, 9, None)
    assert seeds_for(1e-4, 1.0) is None  # more than 10,000
    assert seeds_for(100.0, 1.0) == 2
    n = seeds_for(0.5, 1.0) or 0
    assert power(0.5, 1.0, n) >= 0.8 > power(0.5, 1.0, n - 1)
    assert seeds_for_equivalence(1.0, contrast_sd(0.6)) == 9
    assert seeds_for_equivalence(1.0, 1.0, effect=1.0) is None
    assert (noether(0.75), noether(0.75, 0.05, 0.95)) == (17, 29)


def test_power_of_equivalence_at_the_margin():
    assert tost_power(1.0, contrast_sd(0.6), 9, effect=1.0) == pytest.approx(0.0499952507645)
    assert tost_power(0.5, contrast_sd(0.6), 15, effect=0.5) == pytest.approx(0.0445087649738)
    assert tost_power(0.5, contrast_sd(0.6), 15) == pytest.approx(0.334089087248)
    assert tost_power(1e-6, 1.0, 5) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("target", [0.01, 0.04, 0.06, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("df", [1, 2, 8])
def test_any_target_can_be_asked(df: int, target: float):
    """0 where no effect is needed, else the effect found so often."""
    found = detectable(df, 0.05, target)
    assert found == 0 if target <= 0.05 else power_t(found, df) == pytest.approx(target, abs=1e-9)
