"""What stands beside the effects of an ablation: cells, aliases, failures, ranks, looks, steps. None is a claim."""

from collections.abc import Iterable, Sequence

from ablate.design.bootstrap import agreement
from ablate.design.effects import Effects
from ablate.design.failures import Seeds, by_level, discordant, mcnemar, outcomes, wilson
from ablate.design.options import FACTORIAL
from ablate.design.paired import summary
from ablate.design.path import Walk
from ablate.design.plan import Plan
from ablate.records import text
from ablate.reporting.arms import effect_text, places_of, score
from ablate.reporting.cells import CellRow, finite
from ablate.reporting.designed import Measured
from ablate.reporting.effects import BESIDE, mean_sd, value_text
from ablate.reporting.numbers import decimals, fixed, p_text, percent, signed
from ablate.reporting.table import Column, Table

ROMAN = {3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII", 8: "VIII"}
LAST = " What is not claimed about is measured at the last epoch, not at the best."
MANY = 12  # seeds above which their values are left to the CSV


def aliases_table(plan: Plan) -> Table | None:
    """Effects of a fraction that share a column; None where all are clear of each other up to two-way effects."""
    pairs = plan.aliases()
    if plan.fraction is None or not plan.fraction.words:
        return None
    resolution = plan.fraction.resolution or 0
    kind = f"Resolution {ROMAN.get(resolution, resolution)}, {plan.fraction.relation}"
    names = ", ".join(f"{chr(ord('A') + i)} {its.name}" for i, its in enumerate(plan.components))
    columns = (Column("letters"), Column("effects that cannot be told apart", wrap=True))
    return Table("Aliases", columns, tuple(pairs), f"{kind}; {names}.")


def cells_table(its: Effects, found: Measured) -> Table:
    """Every arm of a factorial with its score; the values by seed where seeds are few."""
    plan = found.plan
    seeds = plan.seeds if len(plan.seeds) <= MANY else ()
    columns = (
        Column("arm", wrap=True),
        Column("seeds", wrap=True),
        Column("score"),
        *(Column(f"seed {seed}", True, spare=1 + i) for i, seed in enumerate(seeds)),
    )
    rows = []
    for arm in plan.arms:
        values, failures = found.values.get(arm.name, {}), found.failures.get(arm.name, {})
        by_seed = [value_text(values.get(seed), failures.get(seed, "")) for seed in seeds]
        rows.append((arm.name, str(its.accounts[arm.name]), score(found, arm.name, None), *by_seed))
    return Table(f"All arms: {plan.design.metric}", columns, tuple(rows), "Score = mean ± sd over seeds.")


def simple_table(its: Effects, plan: Plan) -> Table | None:
    """Leave-one-out and add-one-in effects that the cells of a factorial hold; None where there are none."""
    if not its.beside:
        return None
    columns = (
        Column("arm", wrap=True),
        Column("against"),
        Column("seeds"),
        Column(f"effect [{percent(1 - plan.design.alpha)} CI]"),
        Column("in seed sd", True, spare=1),
    )
    rows = tuple(
        (
            row.contrast,
            row.minus,
            f"{row.n_complete}/{row.n_planned}",
            effect_text(row, places_of(row)),
            signed(row.effect_sd, 2),
        )
        for row in its.beside
    )
    gaps = [f"{name} {signed(gap, decimals(its.seed_sd))}" for name, gap in its.gaps.items()]
    words = "Unadjusted t-intervals of paired differences: not part of the claim."
    if gaps:
        words += (
            " Leave-one-out loss minus add-one-in gain, which is twice the sum of a component's two-way effects: "
            f"{', '.join(gaps)}."
        )
    return Table("From the same cells, one component at a time", columns, rows, words)


def failures_table(its: Effects, found: Measured) -> Table | None:
    """Arms of which seeds diverged or are missing, with rates; None if every cell finished."""
    plan = found.plan
    if not any(account.reasons for account in its.accounts.values()):
        return None
    lines = [
        failure_line(arm.name, its.accounts[arm.name], compared(plan, found, arm.name))
        for arm in plan.arms
        if its.accounts[arm.name].reasons
    ]
    if plan.design.kind in FACTORIAL:
        for component in plan.components:
            arms_on = {arm.name for arm in plan.arms if component.name in arm.on}
            on, off = by_level(its.accounts, arms_on)
            lines += [failure_line(f"{component.name} on", on), failure_line(f"{component.name} off", off)]
    columns = (
        Column("arm", wrap=True),
        Column("seeds", wrap=True),
        Column("diverged [95 % CI]"),
        Column("against the reference", wrap=True, spare=1),
    )
    words = (
        "A diverged seed is an outcome of its arm; seeds lost for other reasons are missing. Effects are computed on "
        "complete seeds: survivors flatter an arm that fails often."
    )
    return Table("Failures", columns, tuple(lines), words)


def failure_line(name: str, account: Seeds, against: str = "") -> tuple[str, ...]:
    """One arm, or all arms with a component on."""
    interval = wilson(account.diverged, account.tried)
    rate = f"{account.diverged}/{account.tried}"
    shown = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    return name, str(account), rate + shown, against


def compared(plan: Plan, found: Measured, arm: str) -> str:
    """Seeds on which only the arm or only the reference diverged, and the exact p that they fail alike."""
    if plan.reference is None or arm == plan.reference:
        return ""
    mine, its = (outcomes(found.values.get(name, {}), found.failures.get(name, {})) for name in (arm, plan.reference))
    only, other = discordant(mine, its)
    return f"{only} : {other}, p {p_text(mcnemar(only, other))}" if only + other else ""


def ranking_table(its: Effects, plan: Plan) -> Table | None:
    """How often each arm would be first if the seeds were drawn again; None with fewer than 3 common seeds."""
    if its.ranking is None:
        return None
    rows = tuple((arm.name, fixed(share, 2)) for arm, share in zip(plan.arms, its.ranking.p_first, strict=True))
    words = (
        f"Kendall's tau with the observed order: mean {fixed(its.ranking.tau_mean, 2)}, 5 % quantile "
        f"{fixed(its.ranking.tau_low, 2)}. Not a test: of four equal arms one is first in 9 of 10 resamples in about "
        "one study of 9."
    )
    return Table("Stability of the ranking", (Column("arm", wrap=True), Column("P(first)", True)), rows, words)


def looks_table(its: Effects, plan: Plan) -> Table | None:
    """What the looks of sequential seeds saw and decided; None for seeds that are fixed."""
    if its.course is None:
        return None
    columns = (
        Column("look", True),
        Column("seeds", True),
        Column("contrast", wrap=True),
        Column("level", True),
        Column("statistic", True, spare=2),
        Column("boundary", True, spare=1),
        Column("p seq.", True),
        Column("decision", wrap=True),
    )
    rows = tuple(
        (
            str(line.look),
            str(line.n),
            line.contrast,
            fixed(line.level, 4),
            fixed(line.found.stat, 4),
            fixed(line.found.boundary, 4),
            p_text(line.found.p_seq),
            line.decision,
        )
        for line in its.course.log
    )
    going = (
        "" if its.course.next_look is None else f" The next look is at {plan.looks[its.course.next_look - 1]} seeds."
    )
    return Table("Looks", columns, rows, f"Statistic = |sum of the differences|.{going}")


def known(values: Iterable[float | None]) -> list[float]:
    """Those that are there."""
    return [value for value in values if value is not None]


def probes_table(found: Measured, rows: Sequence[CellRow]) -> Table | None:
    """Other metrics of the same split; None if no run has any."""
    split, _, primary = found.plan.design.metric.partition("/")
    mine = [row for row in rows if row.role == "design" and row.done]
    names = [name for name in BESIDE if name != primary and any(f"{split}/{name}" in row.values for row in mine)]
    if not names:
        return None
    lines = []
    for arm in dict.fromkeys(row.name for row in mine):
        cells = [row for row in mine if row.name == arm]
        values = {
            name: [value for row in cells if (value := finite(row.values.get(f"{split}/{name}"))) is not None]
            for name in names
        }
        lines.append((arm, *(mean_sd(summary(values[name])) for name in names)))
    columns = (
        Column("arm", wrap=True),
        *(Column(name.replace("_", " "), True, spare=i) for i, name in enumerate(names)),
    )
    words = f"Mean ± sd over seeds on the {split} split: descriptive, not part of the claim.{LAST * (split == 'valid')}"
    return Table("Probes beside it", columns, tuple(lines), words)


def agreement_table(found: Measured, rows: Sequence[CellRow]) -> Table | None:
    """Whether other metrics put the arms in the same order; None below three arms, or without another metric."""
    plan = found.plan
    split, _, primary = plan.design.metric.partition("/")
    means: dict[str, dict[str, float]] = {}  # metric -> arm -> mean over seeds
    for arm in plan.arms:
        cells = [row for row in rows if row.name == arm.name and row.role == "design" and row.done]
        for name in {key for row in cells for key in row.values if key.startswith(f"{split}/")}:
            values = [value for row in cells if (value := finite(row.values.get(name))) is not None]
            if values and len(values) == len(cells):
                means.setdefault(name.partition("/")[2], {})[arm.name] = sum(values) / len(values)
    means.pop(primary, None)  # on the validation split: of the last epoch, where the claim is on the best
    mine = {arm: sum(its) / len(its) for arm, by_seed in found.values.items() if (its := known(by_seed.values()))}
    lines = []
    for name in sorted(means):
        arms = [arm for arm in mine if arm in means[name]]
        tau = agreement([mine[arm] for arm in arms], [means[name][arm] for arm in arms]) if len(arms) > 2 else None
        if tau is not None and len({means[name][arm] for arm in arms}) > 1:
            lines.append((name, str(len(arms)), signed(tau, 2)))
    columns = (Column("metric", wrap=True), Column("arms", True), Column("tau", True))
    words = (
        f"Kendall's tau-b between the orders of the arms by {plan.design.metric} and by another metric of the {split} "
        "split, means over seeds: 1 the same order, -1 the reverse, as the numbers grow (of an error, smaller is "
        f"better).{LAST * (split == 'valid')} Descriptive."
    )
    return Table("Agreement of the metrics", columns, tuple(lines), words) if lines else None


def retuned_table(plan: Plan, rows: Sequence[CellRow]) -> Table | None:
    """What the search inside each arm chose; None where arms were not tuned."""
    if plan.design.retune is None:
        return None
    space = list(plan.design.retune.space)
    lines = []
    for arm in plan.arms:
        chosen = next((row.point for row in rows if row.role == "design" and row.name == arm.name), {})
        scores = [row.objective for row in rows if row.role == "retune" and row.name == arm.name and row.done]
        best = [score for score in scores if score is not None]
        top = (max if plan.design.mode == "max" else min)(best, default=None)
        values = (text(chosen[path]) if path in chosen else "" for path in space)
        lines.append((arm.name, str(len(best)), *values, fixed(top, 4)))
    metric = "valid/" + plan.design.metric.partition("/")[2]
    columns = (
        Column("arm", wrap=True),
        Column("trials", True, spare=1),
        *(Column(path, True) for path in space),
        Column(metric, True),
    )
    words = "The same points were tried in every arm, on a seed that the effects do not use."
    return Table("Tuned inside each arm", columns, tuple(lines), words)


def path_table(its: Walk, plan: Plan) -> Table:
    """The steps of a path."""
    columns = (
        Column("step", True),
        Column("flipped"),
        Column("on then", wrap=True, spare=1),
        Column(plan.design.metric, True),
        Column(f"gain [{percent(1 - plan.design.alpha)} CI]"),
        Column("share of the gain", True, spare=2),
    )
    rows = []
    for i, step in enumerate(its.steps, 1):
        lo, hi = step.effect.lo, step.effect.hi
        places = decimals(None if lo is None or hi is None else (hi - lo) / 2)
        interval = "" if lo is None else f" [{signed(lo, places)}, {signed(hi, places)}]"
        on = " ".join(its.name for its in plan.components if its.name in step.on)
        share = "" if step.share is None else percent(round(step.share, 3))
        rows.append((str(i), step.name, on, fixed(step.value, places), signed(step.gain, places) + interval, share))
    state = f" Not finished: {its.stuck}." if its.stuck else "" if its.done else " Not finished."
    words = (
        f"{len(its.evaluated)} configurations; each step keeps the best of the remaining flips on the same seeds, so "
        "gains flatter: no claim, confirm on fresh seeds. A path cannot see components that help only together."
        f"{state}"
    )
    return Table("Path from all off to all on", columns, tuple(rows), words)


def lenth_sentence(its: Effects) -> str:
    """How far an effect of one seed must lie from 0 to be marked."""
    if its.lenth is None:
        return ""
    places = decimals(its.lenth.sme)
    one, every = fixed(its.lenth.me, places), fixed(its.lenth.sme, places)
    return f"Lenth's margin of one effect is {one}, of all at once {every}; it presumes that most effects are 0."
