"""The verdict on one contrast, by the ordered rules of statistics.md 4.10."""

from dataclasses import dataclass

from ablate.design.failures import Seeds
from ablate.design.paired import MIN_PAIRS, Mode, Paired

BETTER, WORSE, UNDECIDED = "better", "worse", "within seed noise - undecided"


@dataclass(frozen=True)
class Verdict:
    """One of the words above, the reason in brackets behind it, and what a reader must know beside it."""

    word: str
    reason: str = ""  # empty where the adjusted p decided
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.word + (f" ({self.reason})" if self.reason else "")


def verdict(
    effect: Paired | None,
    p_holm: float | None,
    arm: Seeds,
    reference: Seeds,
    settled: int,
    mode: Mode,
    alpha: float = 0.05,
) -> Verdict:
    """What the data say of an arm against its reference; the first rule that applies decides.

    `effect` is that of the complete pairs (None if there is none), `p_holm` its adjusted p by the test that the plan
    fixed; `settled` counts the seeds on which both trained or diverged. Equivalence, which needs a margin, is not among
    the rules of a confirmation.
    """
    pairs = effect.n if effect else 0
    noted = notes(effect, pairs, arm, reference, settled)
    if arm.finished == 0 and arm.tried >= MIN_PAIRS and reference.diverged == 0:
        return Verdict(WORSE, f"never trained: 0/{arm.tried}", noted)
    if effect is None or p_holm is None or pairs < MIN_PAIRS:
        return Verdict(UNDECIDED, f"incomplete {pairs}/{arm.planned}", noted)
    word = tested(effect, p_holm, mode, alpha)
    if word == BETTER and arm.diverged > reference.diverged:
        fails = f"fails more often: {arm.diverged}/{arm.tried} against {reference.diverged}/{reference.tried}"
        return Verdict(UNDECIDED, fails, noted)
    return Verdict(word, notes=noted)


def tested(effect: Paired, p_holm: float, mode: Mode, alpha: float) -> str:
    """The verdict by the adjusted p alone."""
    if p_holm > alpha:
        return UNDECIDED
    return BETTER if (effect.mean > 0) == (mode == "max") else WORSE


def notes(effect: Paired | None, pairs: int, arm: Seeds, reference: Seeds, settled: int) -> tuple[str, ...]:
    """Provisional, computed on survivors, identical or no differences."""
    found = []
    if arm.absent or reference.absent:
        found.append(f"provisional, {settled}/{arm.planned} seeds")
    if arm.diverged or reference.diverged:
        found.append(f"computed on the {pairs} of {arm.planned} seeds where both trained")
    if effect is not None and effect.n > 1:
        if effect.unchanged:
            found.append("changes nothing: the difference is 0 on every seed")
        elif effect.identical:
            found.append("identical differences on every seed")
    return tuple(found)
