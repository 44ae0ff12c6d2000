"""What a verdict says of a component, in the words of its design (statistics.md 4.10)."""

from ablate.design.arms import Contrast
from ablate.design.plan import Plan
from ablate.design.verdict import BETTER, EQUIVALENT, UNDECIDED, Verdict


def reading(plan: Plan, contrast: Contrast, verdict: Verdict, seeds: int) -> str:
    """`scc helps`, `mi does not matter within ±0.01`, `not shown at 9 seeds`."""
    if verdict.word == UNDECIDED:
        return f"not shown at {seeds} seeds"
    if verdict.word == EQUIVALENT:
        said = f"{subject(contrast)} {without_effect(contrast)} within ±{plan.design.margin:g}"
    else:
        said = claim(plan, contrast, verdict.word == BETTER)
    return f"screening: {said}" if plan.screening else said


def subject(contrast: Contrast) -> str:
    """`scc`, `scc and mi`; the arm where the contrast is about no component."""
    return " and ".join(contrast.components) or contrast.plus


def without_effect(contrast: Contrast) -> str:
    """What a component does that does nothing that matters."""
    if len(contrast.components) > 1:
        return "act independently"
    return "does not matter" if contrast.components else f"is as good as {contrast.minus}"


def claim(plan: Plan, contrast: Contrast, better: bool) -> str:
    """What a difference means: an arm that lost a component and became worse shows that the component helps."""
    if not contrast.components:
        return f"{contrast.plus} is {'better' if better else 'worse'} than {contrast.minus}"
    if len(contrast.components) > 1:
        said = f"{subject(contrast)} {'reinforce' if better else 'weaken'} each other"
    else:
        helps = better != (plan.design.kind == "leave_one_out")
        said = f"{subject(contrast)} {'helps' if helps else 'hurts'}"
    return f"{said}, or its aliases" if contrast.aliases else said
