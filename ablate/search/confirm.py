"""Confirmation: the best configurations, the default and the baselines, in full, on the same fresh seeds."""

from dataclasses import dataclass

from ablate.search.plan import Cell, Outcome, Planner, Point
from ablate.signature import signature
from ablate.trial import Trial


@dataclass(frozen=True)
class Candidate:
    """A configuration to be confirmed."""

    name: str
    role: str  # best, default or baseline
    trial: Trial
    point: Point
    search_score: float | None = None  # what the search saw of it


def candidates(planner: Planner, found: list[tuple[Cell, Outcome]], top: int, mode: str) -> list[Candidate]:
    """The `top` best finished cells of the search (best first), the default configuration, then the baselines.

    A best configuration that is the default one is confirmed once, as the default, with its search score; so is a
    baseline that is one of the others, under the other's name.
    """
    study = planner.study
    sign = 1 if mode == "max" else -1
    finished = [(cell, its) for cell, its in found if its.status == "complete" and its.objective == its.objective]
    ranked = sorted(finished, key=lambda one: (-sign * one[1].objective, one[0].signature))
    default = planner.searched(study.point(study.base))
    scores = {cell.signature: its.objective for cell, its in ranked}
    best = [
        Candidate(cell.name, "best", cell.trial, cell.point, its.objective)
        for cell, its in ranked[:top]
        if cell.signature != default.signature
    ]
    base = Candidate("default", "default", study.base, default.point, scores.get(default.signature))
    taken = {default.signature, *(cell.signature for cell, _ in ranked[:top])}
    baselines = []
    for name, trial in study.baselines.items():
        if signature(trial) not in taken:
            taken.add(signature(trial))
            baselines.append(Candidate(name, "baseline", trial, {}))
    return [*best, base, *baselines]


def confirm_cells(planner: Planner, chosen: list[Candidate], seeds: tuple[int, ...]) -> list[Cell]:
    """Every candidate on every seed, seed by seed, so that an interrupted confirmation holds complete pairs.

    Pictures and sounds are left by the first seed of each candidate.
    """
    return [
        planner.confirmed(its.trial, its.name, seed, its.point, pictures=seed == seeds[0])
        for seed in seeds
        for its in chosen
    ]
