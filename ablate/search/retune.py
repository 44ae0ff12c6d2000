"""A search inside every arm before its seeds are run: the same candidates for all, on a seed of its own."""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ablate.design.arms import Arm
from ablate.design.plan import Plan, tunable
from ablate.random import uniforms
from ablate.ranges import Range
from ablate.search.plan import Cell, Outcome, Planner
from ablate.study import Study

SEED = 2000  # the first that may be used, so that the seeds of the study stay fresh


def candidates(space: Mapping[str, Range], trials: int) -> list[dict[str, Any]]:
    """The points that are tried: the defaults, then points drawn evenly; a leaf's values do not depend on other leaves.

    A random search: with so few trials a sampler that learns has hardly begun to, and equal points make equal chances.
    """
    drawn = {path: uniforms(f"retune/{path}", max(0, trials - 1)) for path in space}
    first = {path: its.default for path, its in space.items()}
    return [first, *({path: at(its, float(drawn[path][i])) for path, its in space.items()} for i in range(trials - 1))]


def at(its: Range, u: float) -> Any:
    """The value at the share u in [0, 1) of a range."""
    values = its.grid()
    if values is not None:
        return values[int(u * len(values))]
    if its.kind == "loguniform":
        return its.pick(min(its.high, its.low * math.exp(u * math.log(its.high / its.low))))
    return its.pick(its.low + u * (its.high - its.low))


def seed_of(plan: Plan) -> int:
    """The seed of the search inside the arms: none that the study uses."""
    return next(seed for seed in itertools.count(SEED) if seed not in plan.seeds)


def variants(study: Study, arm: Arm) -> list[Arm]:
    """An arm at each point, without the leaves that it lacks; equal ones once."""
    assert study.design is not None
    assert study.plan is not None
    if study.design.retune is None:
        return [arm]
    space = {path: study.retuned[path] for path in tunable(study.retuned, arm, study.plan.components)}
    points = candidates(space, study.design.retune.trials)
    found = {repr(point): replace(arm, leaves=arm.leaves | point) for point in points}
    return list(found.values())


def cells(study: Study, planner: Planner) -> list[Cell]:
    """The trials of all arms, point by point."""
    assert study.plan is not None
    seed, arms = seed_of(study.plan), [variants(study, arm) for arm in study.plan.arms]
    by_point = itertools.zip_longest(*arms)
    return [planner.retuned(its, seed) for point in by_point for its in point if its is not None]


def winners(study: Study, tried: Iterable[tuple[Cell, Outcome | None]]) -> dict[str, Arm]:
    """Arm by name, at its best point; as the file has it where no trial of it was completed."""
    assert study.plan is not None
    sign = 1 if study.mode == "max" else -1
    best: dict[str, tuple[float, Cell]] = {}
    for cell, out in tried:
        if out is None or out.status != "complete" or not math.isfinite(out.objective):
            continue
        value = sign * out.objective
        if cell.name not in best or value > best[cell.name][0]:
            best[cell.name] = value, cell
    return {
        arm.name: replace(arm, leaves=best[arm.name][1].point) if arm.name in best else arm for arm in study.plan.arms
    }
