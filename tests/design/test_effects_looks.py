"""Effects of sequential seeds: the worked example 9.6 as a study, on its way and at its end."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ablate.design.effects import Effects, effects, looked, planned_seeds
from ablate.design.measured import runs_of
from ablate.design.options import Sequential
from ablate.design.plan import Plan, plan
from ablate.design.surface import EXAMPLE
from ablate.design.verdict import UNDECIDED

from .studies import NAMES, base, by_seed, planned
from .test_sequential import F


def sequential(values: dict[str, Any], given_up: tuple[str, ...] = (), **more: Any) -> tuple[Plan, Effects]:
    its = plan(replace(planned("leave_one_out", NAMES[:3]).design, seeds=Sequential(15, min=5, step=5), **more), base())
    return its, effects(its, values, given_up=given_up)


def differences(**upto: int) -> dict[str, dict[int, float | None]]:
    """The arms of 9.6 around a reference of 0.6 on every seed, each up to so many seeds."""
    values = {f"no_{name}": by_seed(*(0.6 + d for d in F[f"no_{name}"][: upto.get(name, 15)])) for name in NAMES[:3]}
    return values | {"full": by_seed(*[0.6] * max(upto.get(name, 15) for name in NAMES[:3]))}


def test_sequential_seeds():
    its, found = sequential(differences(scc=10))
    assert (its.test, its.looks) == ("sequential", (5, 10, 15))
    scc, mi, cyclic = (found[f"no_{name}"] for name in ("scc", "mi", "cyclic"))
    assert (scc.verdict, scc.stopped_at, scc.n_planned, scc.p, scc.p_seq) == ("worse", 10, 10, 0.00390625, 0.00390625)
    assert (scc.p_holm, scc.level, scc.conf) == (None, pytest.approx(0.05 / 3), pytest.approx(1 - 0.05 / 3))
    assert scc.notes == "stopped early at 10 seeds: the effect is likely smaller"
    assert (mi.verdict, mi.stopped_at, mi.level) == ("worse", 15, 0.025)
    assert mi.p == pytest.approx(0.0219116210938)
    assert (cyclic.verdict, cyclic.n_planned) == (UNDECIDED, 15)
    assert scc.ci_hi is not None and scc.effect == pytest.approx(float(np.mean(F["no_scc"][:10])))
    assert {arm: account.planned for arm, account in found.accounts.items()} == {
        "full": 15,
        "no_scc": 10,
        "no_cyclic": 15,
        "no_mi": 15,
    }


def test_sequential_seeds_on_the_way():
    its, found = sequential(differences(scc=5, cyclic=5, mi=5))
    assert found.course is not None and found.course.next_look == 2
    row = found["no_scc"]
    assert (row.verdict, row.stopped_at, row.n_planned) == (UNDECIDED, None, 10)
    assert row.notes == "provisional, 5/10 seeds; 5 of at most 15 seeds so far"
    assert planned_seeds(its, found.course) == {"full": 10, "no_scc": 10, "no_cyclic": 10, "no_mi": 10}
    _, ended = sequential(differences(scc=10, cyclic=5, mi=5), ("no_mi", "no_cyclic"))
    assert ended["no_mi"].verdict == f"{UNDECIDED} (budget)"
    assert ended["no_scc"].verdict == "worse"
    assert looked(its, runs_of(its, {}, {})).next_look == 1  # type: ignore[union-attr]
    _, never = sequential(differences(scc=4, cyclic=4, mi=4), tuple(f"no_{name}" for name in NAMES[:3]))
    assert {(row.verdict, row.stopped_at) for row in never.rows} == {(f"{UNDECIDED} (budget)", 0)}


def test_lost_seeds_do_not_hold_up_the_looks():
    values = differences(scc=10, cyclic=5, mi=5)
    del values["no_mi"][2]
    its, waiting = sequential(values)
    assert waiting.course is not None and waiting.course.next_look == 1
    lost = effects(its, values, {"no_mi": {2: "infra"}})
    assert lost.course is not None and lost.course.next_look == 2
    assert lost["no_mi"].n_complete == 4


def test_sequential_equivalence_and_factorials():
    flat = {arm: by_seed(*(0.6 + 0.001 * (-1) ** s for s in range(15))) for arm in ("no_scc", "no_cyclic", "no_mi")}
    _, found = sequential(flat | {"full": by_seed(*[0.6] * 15)}, margin=0.01)
    assert {(row.verdict, row.stopped_at) for row in found.rows} == {("equivalent", 5)}
    factorial = planned("factorial", NAMES[:2], Sequential(15))
    y = {arm.name: {s: EXAMPLE.measured(arm.on, s) for s in factorial.seeds} for arm in factorial.arms}
    row = effects(factorial, y)["scc"]
    assert (row.test, row.verdict, row.ss) == ("sequential", "better", None)
