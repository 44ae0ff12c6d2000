"""The row of a contrast in the table of effects, column by column (statistics.md 11)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

from ablate.design.bootstrap import iqm
from ablate.design.decide import Decided
from ablate.design.factorial import Fit
from ablate.design.measured import Estimate
from ablate.design.paired import correlation, p_better, summary, wins
from ablate.design.plan import Plan
from ablate.design.power import detectable
from ablate.design.reading import reading
from ablate.design.sequential import Standing


@dataclass(frozen=True)
class Row:
    """One contrast; the fields are the columns of `effects.csv` in order. None: does not apply."""

    study: str
    metric: str  # with the transform that effects are on, as in logit(test/eer_f)
    mode: str
    contrast: str
    plus: str
    minus: str
    aliases: str  # effects that share the contrast's column
    n_planned: int  # seeds
    n_complete: int  # on which all its cells finished
    n_cached: int  # cells that an earlier study ran
    failed_arm: str  # diverged/tried cells
    failed_ref: str
    failure_classes: str
    mean_ref: float | None
    sd_ref: float | None
    mean_arm: float | None
    sd_arm: float | None
    iqm_arm: float | None
    effect: float | None
    se: float | None
    df: float | None
    ci_lo: float | None
    ci_hi: float | None
    conf: float
    test: str
    p_t: float | None
    p_sign_flip: float | None
    p_wilcoxon: float | None
    p: float | None  # by the deciding test; 1 with fewer than 3 complete seeds
    p_holm: float | None
    m: int | None
    effect_sd: float | None  # in seed sds
    seed_sd: float | None
    p_better: float | None
    wins: int
    ties: int
    rho: float | None
    margin: float | None
    p_eq: float | None
    p_eq_holm: float | None
    eq_lo: float | None
    eq_hi: float | None
    mde: float | None
    power: float
    stopped_at: int | None
    verdict: str  # empty for what is no claim
    reading: str
    notes: str
    # columns of kinds of their own
    ss: float | None = None  # factorial
    partial_eta2: float | None = None
    ci_lo_seed: float | None = None  # of the per-seed contrasts
    ci_hi_seed: float | None = None
    p_seq: float | None = None  # sequential seeds
    level: float | None = None  # at which they decided


OWN = ("ss", "partial_eta2", "ci_lo_seed", "ci_hi_seed")
LOOKED = ("p_seq", "level")
COLUMNS = tuple(its.name for its in fields(Row) if its.name not in (*OWN, *LOOKED))


def columns(factorial: bool, sequential: bool) -> tuple[str, ...]:
    """The columns of a study's table."""
    return COLUMNS + OWN * factorial + LOOKED * sequential


@dataclass(frozen=True)
class Context:
    """What all rows of a study share."""

    study: str
    unit: float | None  # one seed sd
    cached: Mapping[str, Collection[int]]  # arm -> seeds that an earlier study ran
    fit: Fit | None  # of a factorial
    standing: Mapping[str, Standing]  # of sequential seeds

    def conf(self, name: str, alpha: float) -> float:
        """Confidence of a contrast's interval."""
        its = self.standing.get(name)
        return 1 - alpha if its is None or its.conf is None else its.conf


def row(plan: Plan, one: Estimate, how: Decided, context: Context) -> Row:
    """The row of a contrast."""
    design, contrast = plan.design, one.contrast
    arm, reference = one.arm, one.reference
    mine, its = summary(sorted_values(arm.values)), summary(sorted_values(reference.values))
    won, tied = wins(arm.outcomes, reference.outcomes, design.mode)
    size = sized(plan, one, context.fit)
    effect, equal = one.effect, how.equivalence
    standing = context.standing.get(contrast.name)
    factorial = context.fit is not None
    return Row(
        study=context.study,
        metric=design.metric if design.transform == "none" else f"{design.transform}({design.metric})",
        mode=design.mode,
        contrast=contrast.name,
        plus=contrast.plus,
        minus=contrast.minus,
        aliases=" = ".join(contrast.aliases),
        n_planned=len(one.seeds),
        n_complete=one.pairs,
        n_cached=sum(len(set(context.cached.get(name, ())) & set(one.seeds)) for name in contrast.weights),
        failed_arm=f"{arm.account.diverged}/{arm.account.tried}",
        failed_ref=f"{reference.account.diverged}/{reference.account.tried}",
        failure_classes=failure_classes(one),
        mean_ref=its.mean,
        sd_ref=its.sd,
        mean_arm=mine.mean,
        sd_arm=mine.sd,
        iqm_arm=float(iqm(sorted_values(arm.values))) if arm.values else None,
        effect=size.effect,
        se=size.se,
        df=size.df,
        ci_lo=size.lo,
        ci_hi=size.hi,
        conf=context.conf(contrast.name, design.alpha),
        test=plan.test if how.p is not None else "",
        p_t=effect.p_t if effect else None,
        p_sign_flip=effect.p_sign_flip if effect else None,
        p_wilcoxon=effect.p_wilcoxon if effect else None,
        p=how.p,
        p_holm=how.p_holm,
        m=plan.m if contrast.claim and how.p is not None else None,
        effect_sd=size.effect / context.unit if size.effect is not None and context.unit else None,
        seed_sd=context.unit,
        p_better=p_better(arm.outcomes.values(), reference.outcomes.values(), design.mode),
        wins=won,
        ties=tied,
        rho=correlation(*one.common),
        margin=design.margin,
        p_eq=equal.p if equal else None,
        p_eq_holm=how.p_eq_holm,
        eq_lo=equal.lo if equal else None,
        eq_hi=equal.hi if equal else None,
        mde=size.mde,
        power=design.power,
        stopped_at=standing.stopped_at if standing else None,
        verdict=str(how.verdict) if how.verdict else "",
        reading=reading(plan, contrast, how.verdict, len(one.seeds)) if how.verdict else "",
        notes="; ".join(how.notes),
        ss=size.ss,
        partial_eta2=size.partial_eta2,
        ci_lo_seed=effect.lo if factorial and effect else None,
        ci_hi_seed=effect.hi if factorial and effect else None,
        p_seq=standing.p_seq if standing else None,
        level=standing.level if standing else None,
    )


@dataclass(frozen=True)
class Size:
    """The estimate that a row shows."""

    effect: float | None = None
    se: float | None = None
    df: float | None = None
    lo: float | None = None
    hi: float | None = None
    mde: float | None = None
    ss: float | None = None
    partial_eta2: float | None = None


def sized(plan: Plan, one: Estimate, fit: Fit | None) -> Size:
    """The estimate of the least-squares fit where it decides or all its cells are there, else that of complete seeds.

    Effect, interval and decision thus belong together. The minimum detectable effect is at Holm's first step.
    """
    level, target = plan.design.alpha / max(1, plan.m), plan.design.power
    if fit is not None and one.contrast.claim and (plan.test in ("ols", "lenth") or fit.n == plan.runs):
        its = fit[one.contrast.name]
        mde = its.se * detectable(fit.df, level, target) if its.se is not None else None
        return Size(its.effect, its.se, fit.df, its.lo, its.hi, mde, its.ss, its.partial_eta2)
    if one.effect is None:
        return Size()
    effect = one.effect
    mde = None if effect.se is None else effect.se * detectable(effect.df, level, target)
    return Size(effect.mean, effect.se, effect.df, effect.lo, effect.hi, mde)


def failure_classes(one: Estimate) -> str:
    """`2 diverged, 1 infra` of the arm's cells, then those of the reference behind its name."""
    mine, its = one.arm.account.reasons, one.reference.account.reasons
    return "; ".join([mine] * bool(mine) + [f"{one.contrast.minus}: {its}"] * bool(its))


def sorted_values(values: Mapping[int, float]) -> list[float]:
    """Values by seed."""
    return [value for _, value in sorted(values.items())]
