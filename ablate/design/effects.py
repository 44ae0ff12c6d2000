"""From the values of a study's arms to its table of effects: estimates, families of tests, verdicts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.design.arms import BASE, FULL, Contrast, difference
from ablate.design.bootstrap import Ranking, ranking
from ablate.design.decide import Decided, decide_all
from ablate.design.factorial import Fit, Lenth, interaction_gap, least_squares, lenth
from ablate.design.failures import Rate, Seeds, Values, by_level, outcomes, rate
from ablate.design.measured import Estimate, Runs, estimate, identical_arms, leading, runs_of, study_rho
from ablate.design.options import FACTORIAL, Sequential
from ablate.design.paired import MIN_PAIRS, seed_sd
from ablate.design.plan import Plan
from ablate.design.row import Context, Row, row
from ablate.design.sequential import Course, Rule, Series, course


@dataclass(frozen=True)
class Effects:
    """All that a study's runs say of its question."""

    rows: tuple[Row, ...]  # one per contrast, in the order of the study
    beside: tuple[Row, ...]  # leave-one-out and add-one-in effects from the same cells: descriptive
    accounts: dict[str, Seeds]  # arm -> its seeds
    seed_sd: float | None
    rho: float | None  # correlation over seeds: what pairing gains
    ranking: Ranking | None  # in the order of the arms; None with fewer than 3 common seeds
    fit: Fit | None = None  # of a factorial
    lenth: Lenth | None = None  # of a factorial on one seed
    gaps: dict[str, float] = field(default_factory=dict)  # component -> leave-one-out loss less add-one-in gain
    course: Course | None = None  # of sequential seeds
    faults: tuple[str, ...] = ()  # arms that change nothing
    rates: dict[str, Rate] = field(default_factory=dict)  # arm -> how often it diverged
    by_level: dict[str, tuple[Seeds, Seeds]] = field(default_factory=dict)  # factorial: cells with it on, with it off

    def __getitem__(self, name: str) -> Row:
        """The row of a contrast; raises KeyError."""
        return {its.contrast: its for its in (*self.beside, *self.rows)}[name]


def effects(
    plan: Plan,
    values: Mapping[str, Values],
    failures: Mapping[str, Mapping[int, str]] | None = None,
    *,
    cached: Mapping[str, Collection[int]] | None = None,
    study: str = "",
    given_up: Collection[str] = (),
) -> Effects:
    """The effects of a plan from its arms' values: arm -> seed -> metric, None or no entry where there is none.

    `failures` says why (arm -> seed -> class); `cached` which cells an earlier study ran; `given_up` which contrasts
    the budget of sequential seeds ended. What has not run yet may be absent: its rows are provisional. Raises Mistake
    for an arm that the plan lacks or a value outside the domain of the design's transform.
    """
    runs = runs_of(plan, values, failures or {})
    now, fit = looked(plan, runs, given_up), fitted(plan, runs)
    planned = planned_seeds(plan, now)
    context = Context(
        study, seed_sd([runs.finished(its.name) for its in plan.arms]), cached or {}, fit, now.standing if now else {}
    )

    def estimated(contrasts: Sequence[Contrast]) -> list[Estimate]:
        return [
            estimate(its, runs, contrast_seeds(plan, its, now), 1 - context.conf(its.name, plan.design.alpha))
            for its in contrasts
        ]

    found, beside = estimated(plan.contrasts), estimated(simple_contrasts(plan))
    decided = decide_all(plan, found, fit, now)
    rows = tuple(row(plan, one, how, context) for one, how in zip(found, decided, strict=True))
    aside = tuple(row(plan, one, Decided(), context) for one in beside)
    accounts = {arm: runs.account(arm, plan.seeds[:n]) for arm, n in planned.items()}
    return Effects(
        rows,
        aside,
        accounts,
        context.unit,
        study_rho(plan, runs),
        ranked(plan, runs),
        fit,
        margins(plan, found),
        gaps(plan, [*rows, *aside]),
        now,
        tuple(identical_arms(plan, runs)),
        rates(plan, runs, accounts),
        levels(plan, accounts),
    )


def looked(plan: Plan, runs: Runs, given_up: Collection[str] = ()) -> Course | None:
    """What the looks of sequential seeds have decided; None for seeds that are fixed."""
    its = plan.design.seeds
    if not isinstance(its, Sequential):
        return None
    series = {one.name: series_of(one, runs) for one in plan.contrasts if one.claim}
    return course(series, Rule(plan.looks, plan.design.alpha, its.spending, plan.design.margin), given_up)


def series_of(contrast: Contrast, runs: Runs) -> Series:
    """The values of a contrast by the position of their seed."""
    d = {
        i: sum(weight * runs.values[arm][seed] for arm, weight in contrast.weights.items())
        for i, seed in enumerate(runs.seeds)
        if all(seed in runs.values[arm] for arm in contrast.weights)
    }
    return Series(d, leading(contrast, runs))


def contrast_seeds(plan: Plan, contrast: Contrast, now: Course | None) -> tuple[int, ...]:
    """The seeds planned for a contrast: all, or up to where its looks ended or will next be."""
    if now is None:
        return plan.seeds
    if contrast.claim and contrast.name in now.standing:
        return plan.seeds[: horizon(plan, now, contrast.name)]
    planned = planned_seeds(plan, now)
    return plan.seeds[: min(planned[arm] for arm in contrast.weights)]


def horizon(plan: Plan, now: Course, name: str) -> int:
    """Number of seeds up to which a contrast is, or is going to be, looked at."""
    at = now.standing[name]
    if at.stopped_at is not None:
        return at.stopped_at
    return plan.looks[(now.next_look or len(plan.looks)) - 1]


def planned_seeds(plan: Plan, now: Course | None) -> dict[str, int]:
    """Arm -> number of seeds that its contrasts ask for."""
    if now is None:
        return {arm.name: len(plan.seeds) for arm in plan.arms}
    needed = dict.fromkeys((arm.name for arm in plan.arms), plan.looks[0])
    for contrast in plan.contrasts:
        for arm in contrast.weights if contrast.claim else ():
            needed[arm] = max(needed[arm], horizon(plan, now, contrast.name))
    return needed


def fitted(plan: Plan, runs: Runs) -> Fit | None:
    """The least-squares fit of a factorial on several fixed seeds, from all cells that finished; None for others."""
    if plan.design.kind not in FACTORIAL or plan.test in ("sequential", "lenth"):
        return None
    cells = [(arm.name, seed) for seed in plan.seeds for arm in plan.arms if seed in runs.values[arm.name]]
    if not cells:
        return None
    columns = {
        one.name: [1.0 if one.weights[arm] > 0 else -1.0 for arm, _ in cells] for one in plan.contrasts if one.claim
    }
    y = [runs.values[arm][seed] for arm, seed in cells]
    return least_squares(y, [seed for _, seed in cells], columns, plan.design.alpha)


def simple_contrasts(plan: Plan) -> list[Contrast]:
    """Leave-one-out and add-one-in effects that the cells of a two-level design hold, besides its own contrasts."""
    if plan.design.kind not in FACTORIAL:
        return []
    by_state = {arm.on: arm for arm in plan.arms}
    names = [its.name for its in plan.components]
    full, base = by_state.get(frozenset(names)), by_state.get(frozenset())
    found = []
    for name in names:
        without, alone = by_state.get(frozenset(names) - {name}), by_state.get(frozenset({name}))
        if full and without:
            found.append(difference(without, full, name, f"no_{name}", claim=False))
        if base and alone:
            found.append(difference(alone, base, name, f"only_{name}", claim=False))
    return sorted(found, key=lambda its: its.minus != FULL)


def gaps(plan: Plan, rows: Sequence[Row]) -> dict[str, float]:
    """The interaction gap of every component that has both its leave-one-out and its add-one-in effect."""
    size = {(its.contrast, its.minus): its.effect for its in rows}
    names = [its.name for its in plan.components]
    without = {name: -effect for name in names if (effect := size.get((f"no_{name}", FULL))) is not None}
    alone = {name: effect for name in names if (effect := size.get((f"only_{name}", BASE))) is not None}
    return interaction_gap(without, alone)


def ranked(plan: Plan, runs: Runs) -> Ranking | None:
    """Stability of the ranking, on the seeds that all arms finished which finished any; None below 3 such seeds."""
    able = [arm.name for arm in plan.arms if runs.values[arm.name]]
    seeds = [seed for seed in plan.seeds if all(seed in runs.values[name] for name in able)]
    if len(able) < 2 or len(seeds) < MIN_PAIRS:
        return None
    its = ranking([[runs.values[name][seed] for seed in seeds] for name in able], plan.design.mode)
    shares = dict(zip(able, its.p_first, strict=True))
    return Ranking([shares.get(arm.name, 0.0) for arm in plan.arms], its.tau_mean, its.tau_low, its.taus)


def rates(plan: Plan, runs: Runs, accounts: Mapping[str, Seeds]) -> dict[str, Rate]:
    """How often every arm diverged, against the reference where there is one."""
    ends = {arm: outcomes(runs.values[arm], runs.failures[arm]) for arm in accounts}
    reference = plan.reference
    return {
        arm: rate(its, ends[arm], None if reference in (None, arm) else ends[str(reference)], plan.design.alpha)
        for arm, its in accounts.items()
    }


def levels(plan: Plan, accounts: Mapping[str, Seeds]) -> dict[str, tuple[Seeds, Seeds]]:
    """Per component of a factorial, what became of the cells with it on and with it off."""
    if plan.design.kind not in FACTORIAL:
        return {}
    on = {its.name: {arm.name for arm in plan.arms if its.name in arm.on} for its in plan.components}
    return {name: by_level(accounts, arms) for name, arms in on.items()}


def margins(plan: Plan, found: Sequence[Estimate]) -> Lenth | None:
    """Lenth's margins of a factorial on one seed."""
    sizes = [one.effect.mean for one in found if one.effect]
    return lenth(sizes, plan.design.alpha) if plan.test == "lenth" and sizes else None
