"""The tables of a confirmation, their captions and the sentence that says what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.design.confirm import Confirmation, Contrast, Result
from ablate.design.paired import Paired, Summary, summary
from ablate.design.verdict import BETTER, UNDECIDED, WORSE
from ablate.reporting.cells import CellRow, finite
from ablate.reporting.numbers import decimals, fixed, p_text, percent, seeds_text, signed
from ablate.reporting.question import Question
from ablate.reporting.table import Column, Table

PROBES = ("probe_gap", "static_from_f", "static_from_z", "dynamic_from_z", "dynamic_from_f", "eer_f", "eer_z")
BESIDE = (*PROBES, "si_sdr", "mpjpe")  # what tables show beside the metric that decides
MANY = 8  # seeds above which they are rows


@dataclass(frozen=True)
class Level:
    """What needs no training and stands beside the arms: raw features, an untrained encoder."""

    name: str
    values: Mapping[str, Sequence[float]]  # metric without its split -> one value, or one per seed


def levels_from(values: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Level]:
    """Levels as the study's run keeps them."""
    return [Level(name, its) for name, its in values.items()]


def confirmation_table(question: Question, its: Confirmation) -> Table:
    """One row per arm: score, effect against the default, p, verdict, and what the search had said."""
    columns = (
        Column("configuration", wrap=True),
        Column("seeds", wrap=True),
        Column("score"),
        Column(f"effect [{percent(1 - its.alpha)} CI]"),
        Column("p", True, spare=3),
        Column("p Holm", True),
        Column("P(better)", True, spare=4),
        Column("P(first)", True, spare=5),
        Column("verdict", wrap=True),
        Column("search score", True, spare=2),
        Column("optimism", True, spare=1),
    )
    rows = tuple(confirmation_row(its, row) for row in its.results)
    notes = tuple(f"{row.arm.name}: {note}" for row in its.results if row.verdict for note in row.verdict.notes)
    return Table("Confirmed on fresh seeds", columns, rows, caption(question, its), notes)


def confirmation_row(its: Confirmation, row: Result) -> tuple[str, ...]:
    """The cells of one arm, rounded to what its interval supports."""
    contrast, places = row.contrast, row_decimals(row)
    return (
        row.arm.name,
        str(row.seeds),
        mean_sd(row.score, places),
        effect_text(contrast.effect if contrast else None, places),
        p_text(row.p),
        p_text(row.p_holm),
        fixed(contrast.p_better if contrast else None, 2),
        fixed(row.p_first, 2),
        verdict_text(its, row, places),
        fixed(row.arm.search_score, places),
        signed(row.optimism, places),
    )


def verdict_text(its: Confirmation, row: Result, places: int) -> str:
    """The verdict; behind an undecided one the effect that so many seeds would have shown."""
    if row.verdict is None:
        return "reference" if row.arm.name == its.reference else "baseline"
    size = row.contrast.mde if row.contrast else None
    if row.verdict.word == UNDECIDED and not row.verdict.reason and size is not None:
        return f"{row.verdict} (MDE {fixed(size, places)})"
    return str(row.verdict)


def caption(question: Question, its: Confirmation) -> str:
    """What the columns mean, on how many seeds, by which test."""
    better = "higher" if its.mode == "max" else "lower"
    test = "exact sign-flip test" if its.test == "sign_flip" else "paired t-test"
    holm = f"Holm over {its.m} contrasts" if its.m > 1 else "one contrast"
    unit = f"one seed sd is {fixed(its.seed_sd, decimals(its.seed_sd))}" if its.seed_sd else ""
    rho = f"correlation over seeds {its.rho:.2f}" if its.rho is not None else ""
    sentences = [
        f"{question.confirmed_metric}, {better} is better; score = mean ± sd over seeds.",
        f"Effects are arm minus {its.reference} on the same {len(its.seeds)} fresh seeds ({seeds_text(its.seeds)}).",
        f"{test.capitalize()}, {holm} at {percent(its.alpha)}; intervals are t-intervals, not adjusted."
        if its.m
        else "",
        f"{'; '.join(part for part in (unit, rho) if part)}.".capitalize() if unit or rho else "",
        optimism_caption(question, its),
        "Baselines are no part of the claim." if its.against else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def optimism_caption(question: Question, its: Confirmation) -> str:
    """What optimism is, and how much of it chance alone explains."""
    if all(row.optimism is None for row in its.results):
        return ""
    said = (
        f"Optimism = search score against the mean of {question.metric} on the fresh seeds, positive where it flattered"
    )
    if its.yardstick is None:
        return said + "."
    by_chance = fixed(its.yardstick, decimals(its.yardstick))
    return f"{said}; the best of {its.searched} equal trials would by chance alone show {by_chance}."


def against_table(its: Confirmation) -> Table | None:
    """Best and default against each baseline: effects with intervals, no test; None without baselines."""
    if not its.against:
        return None
    columns = (
        Column("configuration", wrap=True),
        Column("against", wrap=True),
        Column("pairs", True, spare=2),
        Column(f"effect [{percent(1 - its.alpha)} CI]"),
        Column("in seed sd", True),
        Column("wins", True),
        Column("P(better)", True, spare=1),
    )
    rows = tuple(against_row(its, contrast) for contrast in its.against)
    text = "Effects are configuration minus baseline; unadjusted t-intervals, no test: not part of the claim."
    return Table("Against the baselines", columns, rows, text)


def against_row(its: Confirmation, contrast: Contrast) -> tuple[str, ...]:
    """The cells of one pair of arms."""
    effect = contrast.effect
    pairs = effect.n if effect else 0
    return (
        contrast.arm,
        contrast.reference,
        f"{pairs}/{len(its.seeds)}",
        effect_text(effect, effect_decimals(effect)),
        signed(contrast.effect_sd, 2),
        f"{contrast.wins}/{len(its.seeds)}",
        fixed(contrast.p_better, 2),
    )


def seeds_table(question: Question, its: Confirmation) -> Table:
    """The value of every arm on every seed; the arms side by side where seeds are many."""
    names = [row.arm.name for row in its.results]
    values = [
        [value_text(row.arm.values.get(seed), row.arm.failures.get(seed, "")) for seed in its.seeds]
        for row in its.results
    ]  # (arms, seeds)
    title = f"All seeds: {question.confirmed_metric}"
    if len(its.seeds) > MANY:
        columns = (Column("seed", True), *(Column(name, True, wrap=True) for name in names))
        lines = [(str(seed), *by_arm) for seed, *by_arm in zip(its.seeds, *values, strict=True)]
        return Table(title, columns, tuple(lines))
    columns = (Column("configuration", wrap=True), *(Column(str(seed), True) for seed in its.seeds))
    return Table(title, columns, tuple((name, *by_seed) for name, by_seed in zip(names, values, strict=True)))


def value_text(value: float | None, failure: str) -> str:
    """A value, or why there is none."""
    return fixed(value, 4) if value is not None else failure or "-"


def metrics_table(
    question: Question, its: Confirmation, rows: Sequence[CellRow], levels: Sequence[Level] = ()
) -> Table | None:
    """The probes and EERs of the confirmed arms, and of what stands beside them; None if no run has any."""
    by_arm = [
        (row.arm.name, [c for c in rows if c.signature == row.arm.signature and c.role == "confirm" and c.done])
        for row in its.results
    ]
    by_arm = [(name, [c for c in cells if c.seed in its.seeds]) for name, cells in by_arm]
    names = [name for name in BESIDE if any(f"test/{name}" in cell.values for _, cells in by_arm for cell in cells)]
    if not names:
        return None
    lines = [(name, *(mean_sd(summary(measured(cells, f"test/{key}"))) for key in names)) for name, cells in by_arm]
    lines += [(its.name, *(mean_sd(summary(its.values.get(key, ()))) for key in names)) for its in levels]
    columns = (
        Column("configuration", wrap=True),
        *(Column(name.replace("_", " "), True, spare=i) for i, name in enumerate(names)),
    )
    text = "Mean ± sd over seeds on the test split; descriptive, not part of the claim."
    return Table("Probes beside it", columns, tuple(lines), text)


def measured(cells: Sequence[CellRow], key: str) -> list[float]:
    """The values of a metric over cells that have it."""
    return [value for cell in cells if (value := finite(cell.values.get(key))) is not None]


def conclusion(its: Confirmation) -> str:
    """What came out, in words: every claim with its interval, no advantage where none was shown."""
    family = [row for row in its.results if row.verdict is not None]
    if not family:
        return f"The search found nothing above {its.reference}."
    parts = [
        f"{row.arm.name} is {row.verdict.word} than {its.reference}{_by(row)}"
        for row in family
        if row.verdict and row.verdict.word in (BETTER, WORSE)
    ]
    open_ = [f"{row.arm.name}{_by(row)}" for row in family if row.verdict and row.verdict.word == UNDECIDED]
    if open_:
        parts.append(f"no advantage over {its.reference} was shown for {' and '.join(open_)}")
    text = "; ".join(parts)
    return f"On {len(its.seeds)} fresh seeds {text}."


def _by(row: Result) -> str:
    """` by +0.040 [+0.010, +0.070]`, as far as there is an effect."""
    effect = row.contrast.effect if row.contrast else None
    return f" ({effect_text(effect, effect_decimals(effect))})" if effect else ""


def effect_text(effect: Paired | None, places: int) -> str:
    """`-0.041 [-0.050, -0.031]`; without an interval where there is none."""
    if effect is None:
        return ""
    interval = f" [{signed(effect.lo, places)}, {signed(effect.hi, places)}]" if effect.lo is not None else ""
    return signed(effect.mean, places) + interval


def effect_decimals(effect: Paired | None) -> int:
    """Decimals for an effect: two digits of the half-width of its interval."""
    if effect is None or effect.lo is None or effect.hi is None:
        return decimals(None)
    return decimals((effect.hi - effect.lo) / 2)


def row_decimals(row: Result) -> int:
    """Decimals of a row: by its interval, without one by the sd of its score."""
    effect = row.contrast.effect if row.contrast else None
    return effect_decimals(effect) if effect and effect.sd else decimals(row.score.sd)


def mean_sd(score: Summary, places: int | None = None) -> str:
    """`0.616 ± 0.012`, the mean alone where there is one value."""
    if score.mean is None:
        return ""
    places = decimals(score.sd) if places is None else places
    return fixed(score.mean, places) + ("" if score.sd is None else f" ± {fixed(score.sd, places)}")
