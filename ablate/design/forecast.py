"""What a plan can show before anything runs: detectable effects, equivalence, alternatives, cost (statistics.md 12)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ablate.design.fraction import CATALOGUE, Fraction, choose
from ablate.design.options import FACTORIAL, Sequential
from ablate.design.paired import MIN_PAIRS
from ablate.design.plan import Plan
from ablate.design.power import contrast_sd, detectable, seeds_for_equivalence, seeds_for_sign_flip, tost_power
from ablate.design.sequential import first_look

RHOS = (0.0, 0.3, 0.6, 0.9)  # correlations over seeds for which a plan without a pilot says what it detects
RETRIES = 0.05  # share of runs that are allowed for retries
ONE_BY_ONE = ("leave_one_out", "add_one_in", "cumulative")


@dataclass(frozen=True)
class Pilot:
    """What the record knows of a metric."""

    sigma: float  # one seed sd
    rho: float  # correlation of two arms over common seeds


@dataclass(frozen=True)
class Reach:
    """What a plan's number of seeds can show, at Holm's first step."""

    n: int
    in_seed_sd: dict[float, float]  # rho -> detectable difference in seed sds
    detectable: float | None = None  # in metric units, with a pilot
    equivalence_power: float | None = None  # to show equivalence where there is no effect at all
    equivalence_seeds: int | None = None  # for the design's power, one contrast
    equivalence_seeds_first: int | None = None  # at Holm's first step


@dataclass(frozen=True)
class Alternative:
    """A design of about as many runs that estimates average effects more precisely."""

    fraction: Fraction
    seeds: int
    gain: float  # how many times smaller the variance of an effect is

    @property
    def runs(self) -> int:
        """Cells over all seeds."""
        return self.fraction.runs * self.seeds


@dataclass(frozen=True)
class Pace:
    """Seconds of the parts of one run."""

    step: float
    steps: int  # per epoch
    epochs: int
    valid: float = 0.0  # one validation pass
    evaluate: float = 0.0
    start: float = 0.0

    @property
    def seconds(self) -> float:
        """Of one run."""
        return self.epochs * (self.steps * self.step + self.valid) + self.evaluate + self.start


@dataclass(frozen=True)
class Cost:
    """What the runs still to do cost."""

    runs: int
    seconds: float  # of one run
    hours: float  # of CPU or GPU, without retries
    hours_with_retries: float
    wall_hours: float  # with `concurrent` runs at a time


def cost(runs: int, pace: Pace, devices: float = 1.0, concurrent: int = 1) -> Cost:
    """Cost of `runs` cells, each on `devices` CPUs or GPUs."""
    hours = runs * pace.seconds * devices / 3600
    wall = math.ceil(runs / concurrent) * pace.seconds / 3600
    return Cost(runs, pace.seconds, hours, hours * (1 + RETRIES), wall)


def reach(plan: Plan, pilot: Pilot | None = None) -> Reach | None:
    """What the plan detects and what it can call equivalent; None for a plan without contrasts or with one seed."""
    n, design = len(plan.seeds), plan.design
    if not plan.m or n < 2:
        return None
    squares = max(its.sum_of_squares for its in plan.contrasts if its.claim)
    level = design.alpha / plan.m
    cells = plan.runs // n

    def df(n: int) -> int:  # the least-squares fit pools its error over cells
        return (cells - 1) * n - plan.m if plan.test == "ols" else n - 1

    def detected(rho: float, sigma: float = 1.0) -> float:
        return contrast_sd(rho, squares, sigma) / math.sqrt(n) * detectable(df(n), level, design.power)

    in_seed_sd = {rho: detected(rho) for rho in RHOS}
    if pilot is None:
        return Reach(n, in_seed_sd)
    found = detected(pilot.rho, pilot.sigma)
    if design.margin is None:
        return Reach(n, in_seed_sd, found)
    sd, looks = contrast_sd(pilot.rho, squares, pilot.sigma), max(1, len(plan.looks))  # alpha is shared by the looks
    return Reach(
        n,
        in_seed_sd,
        found,
        tost_power(design.margin, sd, n, design.alpha / looks, df=df(n)),
        seeds_for_equivalence(design.margin, sd, design.alpha / looks, design.power, df=df),
        seeds_for_equivalence(design.margin, sd, level / looks, design.power, df=df),
    )


def too_small(plan: Plan, hours: float) -> str | None:
    """Why the budget of sequential seeds cannot pay for their first look, at so many hours a run; or None."""
    its = plan.design.seeds
    if not isinstance(its, Sequential) or its.budget is None:
        return None
    kind, given = ("gpu", its.budget.gpu_hours) if its.budget.gpu_hours else ("cpu", its.budget.cpu_hours)
    runs = len(plan.arms) * plan.looks[0]
    if given is None or runs * hours <= given:
        return None
    return (
        f"design.seeds.budget: {given:g} {kind} hours are too few for the first look, {runs} runs of {hours:.3g} hours "
        f"({len(plan.arms)} arms x {plan.looks[0]} seeds) need {runs * hours:.3g}"
    )


def alternative(plan: Plan) -> Alternative | None:
    """A fraction of resolution IV or more within the runs of a one-by-one design of 3 to 8 components, if it gains.

    It answers another question: average effects instead of those with all others on (or off).
    """
    k, n = len(plan.components), len(plan.seeds)
    if plan.design.kind not in ONE_BY_ONE or k not in CATALOGUE:
        return None
    its = choose(k, 4)
    seeds = plan.runs // its.runs
    if not seeds:
        return None
    gain = (2 / n) / (4 / (its.runs * seeds))
    return Alternative(its, seeds, gain) if gain > 1 else None


def precision(k: int) -> tuple[float, float, float]:
    """Variance of an effect times runs in seed variances, unpaired: (leave-one-out, its reference weighted, factorial).

    The reference of the second has sqrt(k) times the seeds of an arm; extra ones have no partners, so it is of use
    only where seeds hardly correlate.
    """
    return 2.0 * (k + 1), (1 + math.sqrt(k)) ** 2, 4.0


def warnings(
    plan: Plan,
    pilot: Pilot | None = None,
    *,
    searched_seeds: tuple[int, ...] = (),
    mixed_devices: tuple[str, ...] = (),
) -> Iterator[str]:
    """What is legal but likely to disappoint, one sentence each.

    `searched_seeds` were used by a search that chose these arms; `mixed_devices` are those of the cells to be reused.
    """
    design, n = plan.design, len(plan.seeds)
    if isinstance(design.seeds, Sequential):
        yield from first_look_warning(plan, design.seeds)
    elif plan.m:
        yield from few_seeds(plan)
    if plan.screening and design.kind != "screening":
        yield "resolution III: main effects are aliased with two-way effects, read them as a screening"
    found = reach(plan, pilot)
    if found and found.detectable is not None and design.margin is not None and found.detectable > design.margin:
        yield (
            f"detectable difference {found.detectable:.3g} exceeds the margin {design.margin:g}: "
            f"expect undecided rows at {n} seeds"
        )
    if plan.m and design.margin is None:
        yield "no design.margin: nothing can ever be called equivalent"
    shared = sorted(set(plan.seeds) & set(searched_seeds))
    if shared:
        yield f"seeds {', '.join(map(str, shared))} were used by the search that chose these arms: take fresh ones"
    if len(set(mixed_devices)) > 1:
        yield f"reused cells ran on different devices: {', '.join(sorted(set(mixed_devices)))}"


def few_seeds(plan: Plan) -> Iterator[str]:
    """Whether so many seeds can decide anything."""
    n, enough = len(plan.seeds), seeds_for_sign_flip(plan.m, plan.design.alpha)
    if n < MIN_PAIRS:
        yield f"{n} seed{'s' * (n > 1)}: no verdict is given below {MIN_PAIRS}"
    elif n < enough and plan.test in ("sign_flip", "wilcoxon"):
        yield f"{plan.test} on {n} seeds cannot pass Holm's first step for {plan.m} contrasts; {enough} seeds can"
    elif n < enough:
        model = "the least-squares fit" if plan.design.kind in FACTORIAL else "the t-test"
        yield f"{model} decides: the exact sign flip needs {enough} seeds for {plan.m} contrasts, not {n}"


def first_look_warning(plan: Plan, its: Sequential) -> Iterator[str]:
    """Whether the first look can stop anything."""
    first = first_look(its.max, plan.m, plan.design.alpha, its.spending)
    if first is not None and plan.looks[0] < first:
        yield f"a first look at {plan.looks[0]} seeds can never stop anything; the first that can is at {first}"
