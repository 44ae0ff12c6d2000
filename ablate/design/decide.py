"""The p-values of a study's contrasts in their families, and the verdicts that follow (statistics.md 4.3-4.5, 4.10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ablate.design.factorial import Fit, lenth
from ablate.design.measured import Estimate
from ablate.design.paired import MIN_PAIRS, Equivalence, holm, tost
from ablate.design.plan import Plan
from ablate.design.sequential import Course, Standing
from ablate.design.verdict import BETTER, EQUIVALENT, UNDECIDED, WORSE, Evidence, Verdict, notes, ruled


@dataclass(frozen=True)
class Basis:
    """The estimate that a claim on a contrast rests on."""

    mean: float | None
    se: float | None
    df: int
    p: float  # by the deciding test; 1 where there is not enough
    enough: bool


@dataclass(frozen=True)
class Decided:
    """How a contrast came out in its family; all empty for what is no claim."""

    p: float | None = None
    p_holm: float | None = None
    equivalence: Equivalence | None = None
    p_eq_holm: float | None = None
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()


def decide_all(plan: Plan, found: Sequence[Estimate], fit: Fit | None, course: Course | None) -> list[Decided]:
    """The families over the contrasts of a plan, in their order: Holm of the deciding p, Holm of equivalence."""
    if plan.test == "lenth":
        return marked(plan, found)
    family = [one for one in found if one.contrast.claim]
    bases = [basis(plan, one, fit) for one in family]
    equal = [None if unchanged(one) else equivalence(plan, its) for one, its in zip(family, bases, strict=True)]
    p_holm = dict(zip((one.contrast.name for one in family), holm([its.p for its in bases]), strict=True))
    eq_holm = holm([its.p if its and base.enough else 1.0 for its, base in zip(equal, bases, strict=True)])
    made = {}
    for one, its, close, p_close in zip(family, bases, equal, eq_holm, strict=True):
        name = one.contrast.name
        p_eq_holm = p_close if plan.design.margin is not None else None
        if course is not None:
            made[name] = stopped(plan, one, its, course.standing[name], Decided(None, None, close, p_eq_holm))
        else:
            how = Decided(its.p, p_holm[name], close, p_eq_holm)
            made[name] = judged(
                plan,
                one,
                its,
                how,
                differs=p_holm[name] <= plan.design.alpha,
                equivalent=p_eq_holm is not None and p_eq_holm <= plan.design.alpha,
                beside=uniform(plan, one, fit),
            )
    return [made.get(one.contrast.name, Decided()) for one in found]


def basis(plan: Plan, one: Estimate, fit: Fit | None) -> Basis:
    """What decides: the term of the least-squares fit, or the contrast's values on its complete seeds."""
    if plan.test == "ols":
        term = fit[one.contrast.name] if fit else None
        if fit is None or term is None or term.p is None:
            return Basis(term.effect if term else None, None, 0, 1.0, False)
        enough = one.pairs >= MIN_PAIRS
        return Basis(term.effect, term.se, fit.df, term.p if enough else 1.0, enough)
    if one.effect is None:
        return Basis(None, None, 0, 1.0, False)
    its = one.effect
    test = plan.test if plan.test in ("t", "wilcoxon") else "sign_flip"
    return Basis(its.mean, its.se, its.df, its.p(test), its.n >= MIN_PAIRS)


def unchanged(one: Estimate) -> bool:
    """Whether both sides are equal bit for bit on every seed: a mistake of the design, no evidence of equivalence."""
    return one.effect is not None and one.effect.n > 1 and one.effect.unchanged


def equivalence(plan: Plan, its: Basis) -> Equivalence | None:
    """Whether the effect lies within the margin, if there is one."""
    if plan.design.margin is None or its.mean is None:
        return None
    return tost(its.mean, its.se, its.df, plan.design.margin, plan.design.alpha)


def judged(
    plan: Plan,
    one: Estimate,
    its: Basis,
    how: Decided,
    *,
    differs: bool,
    equivalent: bool,
    beside: tuple[str, Mapping[str, str]] = ("", MappingProxyType({})),
) -> Decided:
    """The verdict on a contrast; `beside` is a note on the estimate, and one by the word of the verdict."""
    cells = "" if plan.test == "ols" else "both" if len(one.contrast.weights) == 2 else "all its cells"
    noted = notes(one.effect, len(one.seeds), one.arm.account, one.reference.account, one.settled, cells)
    gain = None if its.mean is None else plan.design.sign * its.mean
    evidence = Evidence(one.pairs, len(one.seeds), gain, differs, equivalent, its.enough, one.settled)
    found = ruled(evidence, one.arm.account, one.reference.account, noted)
    general, of_claim = beside
    extra = [note for note in (general, of_claim.get(found.word, "")) if note]
    return Decided(how.p, how.p_holm, how.equivalence, how.p_eq_holm, found, (*found.notes, *extra))


def uniform(plan: Plan, one: Estimate, fit: Fit | None) -> tuple[str, dict[str, str]]:
    """Notes of a factorial that its fit decides: cells that it lacks, and claims that not every seed bears out."""
    if fit is None or plan.test != "ols":
        return "", {}
    cells = plan.runs
    general = f"least squares on {fit.n} of {cells} cells" if fit.n < cells else ""
    if one.contrast.name in fit.inestimable:
        general = "cannot be estimated from the cells that finished"
    its = one.effect
    apart = its is not None and its.lo is not None and its.hi is not None and (its.lo > 0 or its.hi < 0)
    margin = plan.design.margin
    close = tost(its.mean, its.se, its.df, margin, plan.design.alpha) if its and margin is not None else None
    alike = close is not None and close.p <= plan.design.alpha
    words = [word for word, borne_out in ((BETTER, apart), (WORSE, apart), (EQUIVALENT, alike)) if not borne_out]
    return general, dict.fromkeys(words, "not uniform over seeds")


def stopped(plan: Plan, one: Estimate, its: Basis, at: Standing, how: Decided) -> Decided:
    """The verdict on a contrast of sequential seeds: what its looks decided."""
    rejected = at.state == "rejected"
    early = rejected and at.stopped_at is not None and at.stopped_at < len(plan.seeds)
    note = f"stopped early at {at.stopped_at} seeds: the effect is likely smaller" if early else ""
    going = f"{one.settled} of at most {len(plan.seeds)} seeds so far" if at.state == "open" else ""
    made = judged(
        plan,
        one,
        its,
        Decided(at.p_seq, None, how.equivalence, how.p_eq_holm),
        differs=rejected,
        equivalent=at.equivalent,
        beside=(note or going, {}),
    )
    undecided = made.verdict is not None and made.verdict.word == UNDECIDED
    if at.state == "budget" and undecided and made.verdict and not made.verdict.reason.startswith("fails"):
        verdict = Verdict(UNDECIDED, "budget", made.verdict.notes)
        return Decided(made.p, None, made.equivalence, made.p_eq_holm, verdict, made.notes)
    return made


def marked(plan: Plan, found: Sequence[Estimate]) -> list[Decided]:
    """Effects of one seed: those outside Lenth's simultaneous margin are marked, none gets a verdict."""
    sizes = {one.contrast.name: one.effect.mean for one in found if one.effect}
    outside = lenth(list(sizes.values()), plan.design.alpha).marked(sizes) if sizes else []
    said = {True: ("outside Lenth's margin for all effects", "one seed: no verdict"), False: ("one seed: no verdict",)}
    return [Decided(notes=said[one.contrast.name in outside]) for one in found]
