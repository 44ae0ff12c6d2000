"""Failures: the account of every arm, Wilson and McNemar against [E], levels of a factorial."""

import json
from pathlib import Path

import pytest

from ablate.design.failures import (
    Seeds,
    by_level,
    count,
    discordant,
    mcnemar,
    outcomes,
    settled,
    together,
    wilson,
)


def test_wilson_by_hand():
    z2 = 1.959963984540054**2
    assert wilson(0, 5) == (0.0, pytest.approx(z2 / (5 + z2)))
    assert wilson(5, 5) == (pytest.approx(5 / (5 + z2)), 1.0)
    assert wilson(2, 5) == pytest.approx((0.117620774233, 0.769275718724))
    assert wilson(0, 0) is None


def test_mcnemar_by_hand():
    assert [mcnemar(*its) for its in ((2, 0), (5, 0), (4, 1), (3, 3), (0, 0))] == pytest.approx(
        [0.5, 0.0625, 0.375, 1.0, 1.0], abs=1e-12
    )
    assert mcnemar(0, 6) == mcnemar(6, 0) == 0.03125


def test_oracles(shared: Path):
    known = json.loads((shared / "statistics_oracles.json").read_text())["E_failures"]
    for hits, n, low, high in known["wilson_more"]:
        assert wilson(hits, n) == pytest.approx((low, high), rel=1e-9)
    for only_arm, only_reference, p in known["mcnemar_exact"]:
        assert mcnemar(only_arm, only_reference) == pytest.approx(p, abs=1e-12)
    arm, reference = (dict(enumerate(its)) for its in known["inputs"].values() if isinstance(its, list))
    arm, reference = sorted((arm, reference), key=lambda its: None not in its.values())
    ends = outcomes(arm, dict.fromkeys((1, 4), "diverged"))
    assert discordant(ends, reference) == (2, 0)
    assert mcnemar(*discordant(ends, reference)) == known["outputs"]["p_fail_mcnemar_exact"]


def test_nothing_vanishes():
    failures = {1: "diverged", 2: "infra", 3: "memory", 4: "timeout", 5: "code", 6: "stopped"}
    its = count(range(8), {0: 0.1}, failures)
    assert its.planned == its.finished + its.diverged + sum(its.missing.values()) + its.pending == 8
    assert str(its) == "1/8 (1 diverged, 1 code, 1 infra, 1 memory, 1 timeout, 2 pending)"
    assert Seeds(5, 5).reasons == ""


def test_what_nobody_waits_for():
    failures = {1: "diverged", 2: "infra", 3: "stopped", 4: ""}
    assert settled(range(6), {0: 0.1, 5: None}, failures) == {0, 1, 2}


def test_accounts_add_up():
    one, other = Seeds(5, 3, 1, {"infra": 1}), Seeds(5, 2, 0, {"code": 1, "infra": 1}, 1)
    assert together([one, other]) == Seeds(10, 5, 1, {"code": 1, "infra": 2}, 1)
    assert together([]) == Seeds(0, 0)
    on, off = by_level({"a": one, "b": other, "ab": one}, {"a", "ab"})
    assert (on.diverged, on.planned, off) == (2, 10, other)
