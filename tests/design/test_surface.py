"""The surfaces with known answers of statistics.md 9.10."""

import json
from pathlib import Path

import pytest

from ablate.design.surface import EXAMPLE, Surface

from .studies import NAMES


def test_values_by_hand():
    its = Surface(1.0, {"a": 0.4, "b": 0.2}, {("a", "b"): 0.1})
    assert its.value(("a", "b")) == pytest.approx(1 + 0.2 + 0.1 + 0.05)
    assert its.value(("a",)) == pytest.approx(1 + 0.2 - 0.1 - 0.05)
    assert its.value(()) == pytest.approx(1 - 0.2 - 0.1 + 0.05)
    assert its.gap("a") == pytest.approx(0.2)
    assert its.subsets() == [frozenset(), frozenset("a"), frozenset("b"), frozenset("ab")]


def test_worked_example():
    assert EXAMPLE.value(NAMES) == pytest.approx(0.628)
    assert EXAMPLE.value(()) == pytest.approx(0.558)
    assert EXAMPLE.measured(NAMES, 0) == pytest.approx(0.625376754927, abs=5e-13)


def test_seeds_share_their_block_and_nothing_else():
    full, without = EXAMPLE.measured(NAMES, 3), EXAMPLE.measured(NAMES[1:], 3)
    assert full == EXAMPLE.measured(NAMES, 3)
    assert len({full, without, EXAMPLE.measured(NAMES, 4)}) == 3


def test_oracles(shared: Path):
    blocks = json.loads((shared / "statistics_oracles.json").read_text())
    its = blocks["S_surfaces"]["interaction"]
    assert (EXAMPLE.mu, EXAMPLE.main) == (its["mu"], its["main"])
    assert {":".join(both): size for both, size in EXAMPLE.pair.items()} == its["pair"]
    assert (EXAMPLE.value(NAMES), EXAMPLE.value(())) == pytest.approx((its["all_on"], its["all_off"]))
    for name, size in its["leave_one_out_arm_minus_full"].items():
        assert EXAMPLE.value(set(NAMES) - {name}) - its["all_on"] == pytest.approx(size, abs=1e-12)
    for name, size in its["add_one_in_arm_minus_base"].items():
        assert EXAMPLE.value({name}) - its["all_off"] == pytest.approx(size, abs=1e-12)
    known = blocks["T_surface_backend"]
    for arm in ("full", *(f"no_{name}" for name in NAMES)):
        on = set(NAMES) - {arm.removeprefix("no_")}
        assert [EXAMPLE.measured(on, seed) for seed in known["seeds"]] == pytest.approx(known[arm], rel=1e-10)
