"""The verdict on one contrast, by the ordered rules of statistics.md 4.10."""

from dataclasses import dataclass

from ablate.design.failures import Seeds
from ablate.design.paired import MIN_PAIRS, Mode, Paired

BETTER, WORSE, EQUIVALENT = "better", "worse", "equivalent"
UNDECIDED = "within seed noise - undecided"
DISTINCT = "distinct, but below the margin"


@dataclass(frozen=True)
class Verdict:
    """One of the words above, the reason in brackets behind it, and what a reader must know beside it."""

    word: str
    reason: str = ""  # empty where the adjusted p decided
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.word + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Evidence:
    """What is known of a contrast when its verdict is due."""

    pairs: int  # complete seeds
    planned: int
    gain: float | None  # effect in the direction of better; None without a complete pair
    differs: bool  # the adjusted p of the deciding test allows the claim of a difference
    equivalent: bool = False  # the adjusted p of equivalence does; never without a margin
    enough: bool = True  # whether the deciding test had enough to go by
    settled: int = 0  # seeds on which all cells of both sides trained or diverged


def verdict(
    effect: Paired | None,
    p_holm: float | None,
    arm: Seeds,
    reference: Seeds,
    settled: int,
    mode: Mode,
    alpha: float = 0.05,
    *,
    p_eq_holm: float | None = None,
) -> Verdict:
    """What the data say of an arm against its reference.

    `effect` is that of the complete pairs (None if there is none), `p_holm` its adjusted p by the test that the plan
    fixed, `p_eq_holm` that of equivalence where there is a margin; `settled` counts the seeds on which both trained or
    diverged.
    """
    pairs = effect.n if effect else 0
    gain = None if effect is None else effect.mean if mode == "max" else -effect.mean
    evidence = Evidence(
        pairs,
        arm.planned,
        gain,
        differs=p_holm is not None and p_holm <= alpha,
        equivalent=p_eq_holm is not None and p_eq_holm <= alpha,
        enough=effect is not None and p_holm is not None and pairs >= MIN_PAIRS,
        settled=settled,
    )
    return ruled(evidence, arm, reference, notes(effect, arm.planned, arm, reference, settled))


def ruled(its: Evidence, arm: Seeds, reference: Seeds, noted: tuple[str, ...] = ()) -> Verdict:
    """The verdict by the first rule that applies; `arm` and `reference` account for the two sides of the contrast."""
    whole = not reference.diverged and not reference.missing  # so that all settled seeds have a trained reference
    if arm.finished == 0 and its.settled >= MIN_PAIRS and whole:
        return Verdict(WORSE, f"never trained: 0/{arm.tried}", noted)
    if not its.enough or its.gain is None:
        return Verdict(UNDECIDED, f"incomplete {its.pairs}/{its.planned}", noted)
    word = EQUIVALENT if its.equivalent else UNDECIDED
    if its.differs and not its.equivalent:
        word = BETTER if its.gain > 0 else WORSE
    if word in (BETTER, EQUIVALENT) and arm.diverged > reference.diverged:
        fails = f"fails more often: {arm.diverged}/{arm.tried} against {reference.diverged}/{reference.tried}"
        return Verdict(UNDECIDED, fails, noted)
    return Verdict(word, notes=(*noted, DISTINCT) if its.equivalent and its.differs else noted)


def notes(
    effect: Paired | None, planned: int, arm: Seeds, reference: Seeds, settled: int, cells: str = "both"
) -> tuple[str, ...]:
    """Provisional, computed on survivors, identical or no differences; `planned` seeds per arm.

    `cells` names those that a seed needs to count; empty where the estimate takes incomplete seeds too.
    """
    found = []
    pairs = effect.n if effect else 0
    if arm.absent or reference.absent:
        found.append(f"provisional, {settled}/{planned} seeds")
    if cells and (arm.diverged or reference.diverged):
        found.append(f"computed on the {pairs} of {planned} seeds where {cells} trained")
    if effect is not None and effect.n > 1:
        if effect.unchanged:
            found.append("changes nothing: the difference is 0 on every seed")
        elif effect.identical:
            found.append("identical differences on every seed")
    return tuple(found)
