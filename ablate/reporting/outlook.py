"""The plan of an ablation as a person reads it, before it begins (statistics.md 12)."""

from collections.abc import Iterator

from ablate.check import Plan as Checked
from ablate.check import duration
from ablate.design.forecast import Pilot, alternative, reach, warnings
from ablate.design.fraction import letters
from ablate.design.options import Sequential
from ablate.design.plan import Plan
from ablate.design.power import seeds_for_sign_flip
from ablate.outlook import COPIES, Outlook
from ablate.reporting.answer import QUESTIONS
from ablate.reporting.numbers import decimals, fixed, percent, seeds_text

BYTES = 4  # of a parameter
PULLED = 8  # arms whose gradients are listed
WEAK = 0.01  # of the gradient of recon: a term that pulls less is hardly ablated


def lines(checked: Checked) -> list[tuple[str, str]]:
    """(label, text) of what an ablation asks, runs, can show and costs."""
    plan = checked.study.plan
    assert plan is not None
    its = checked.outlook or Outlook()
    pilot = its.pilot
    rows = [
        ("design", asked(plan)),
        ("question", QUESTIONS[plan.design.kind]),
        ("cells", cells(checked, plan)),
        ("decides by", decides(plan)),
        ("detects", detects(plan, pilot)),
        ("equivalence", equivalence(plan, pilot)),
        ("aliases", aliases(plan)),
        ("alternative", other(plan)),
        ("gradients", gradients(its)),
    ]
    return [row for row in rows if row[1]]


def cautions(checked: Checked) -> Iterator[str]:
    """What is legal but likely to disappoint."""
    plan, its = checked.study.plan, checked.outlook or Outlook()
    assert plan is not None
    yield from warnings(plan, its.pilot, searched_seeds=its.searched, mixed_devices=its.devices)
    for arm, pulls in its.pulls.items():
        names = {its.name for its in plan.components}
        for name in [name for name, share in pulls.items() if share < WEAK and name in names]:
            yield f"{name} pulls with {pulls[name]:.2g} of the gradient of recon in arm {arm}: it hardly acts there"


def asked(plan: Plan) -> str:
    """`leave_one_out, 4 components (scc cyclic mi kl_f), reference: full; test/probe_gap (max)`."""
    names = " ".join(its.name for its in plan.components)
    count = len(plan.components)
    reference = f", reference: {plan.reference}" if plan.reference else ""
    words = f"{plan.design.kind}, {count} component{'s' * (count != 1)} ({names}){reference}"
    return f"{words}; {plan.design.metric} ({plan.design.mode})"


def cells(checked: Checked, plan: Plan) -> str:
    """`5 arms x 9 seeds = 45;  9 already in the record, 36 to run`."""
    its = checked.outlook
    seeds = f"{len(plan.seeds)} seeds ({seeds_text(plan.seeds)})"
    most = "at most " if isinstance(plan.design.seeds, Sequential) else ""
    if plan.design.kind == "path":
        k = len(plan.components)
        text = f"at most {1 + k * (k + 1) // 2} configurations x {seeds}"
        return text + (f"; {its.settled} of its two ends in the record" if its and its.settled else "")
    text = f"{len(plan.arms)} arms x {most}{seeds} = {plan.runs}"
    if plan.design.retune is not None:
        text += f", after at most {plan.design.retune.trials} trials that tune each arm"
    if its is None:
        return text
    others = f" ({its.reused} run by other studies)" if its.reused else ""
    return f"{text}; {its.settled} in the record{others}, {sum(its.left.values())} to run"


def decides(plan: Plan) -> str:
    """Which test, in which family, within which margin."""
    design = plan.design
    margin = f", margin {design.margin:g}" if design.margin is not None else ""
    holm = f"Holm {percent(design.alpha)} over {plan.m} contrasts" if plan.m > 1 else percent(design.alpha)
    enough = seeds_for_sign_flip(plan.m, design.alpha)
    match plan.test:
        case "none" | "lenth":
            return "nothing is decided" + ("; effects are marked by Lenth's margin" if plan.test == "lenth" else "")
        case "sequential":
            looks = ", ".join(map(str, plan.looks))
            return f"group-sequential sign flip at {looks} seeds, {holm}{margin}"
        case "ols":
            return f"least squares with seeds as blocks (sign flip from {enough} seeds), {holm}{margin}"
        case "t":
            return f"paired t (exact sign flip reachable from {enough} seeds), {holm}{margin}"
    name = {"sign_flip": "exact sign flip", "wilcoxon": "exact signed rank"}[plan.test]
    return f"{name} (reachable from {enough} seeds), {holm}{margin}"


def detects(plan: Plan, pilot: Pilot | None) -> str:
    """The smallest difference that so many seeds find."""
    its = reach(plan, pilot)
    if its is None:
        return ""
    by_rho = its.in_seed_sd
    text = (
        f"{percent(plan.design.power)} power: {by_rho[0.6]:.2f} seed sd if seeds correlate by .6 ({by_rho[0.0]:.2f} if "
        f"by 0, {by_rho[0.9]:.2f} if by .9)"
    )
    if pilot is None or its.detectable is None:
        return text
    places = decimals(pilot.sigma)
    return (
        f"{text}; record: correlation {pilot.rho:.2f}, seed sd {fixed(pilot.sigma, places)} -> "
        f"{fixed(its.detectable, decimals(its.detectable))}"
    )


def equivalence(plan: Plan, pilot: Pilot | None) -> str:
    """How many seeds it takes to show that nothing matters."""
    its, margin = reach(plan, pilot), plan.design.margin
    if its is None or pilot is None or margin is None or its.equivalence_power is None:
        return ""
    power, rho = percent(plan.design.power), f"{pilot.rho:.2f}"
    seeds = f"needs {its.equivalence_seeds} seeds at correlation {rho}" if its.equivalence_seeds else "is out of reach"
    first = f" ({its.equivalence_seeds_first} at Holm's first step)" if its.equivalence_seeds_first else ""
    return (
        f"±{margin:g} = {margin / pilot.sigma:.2f} seed sd: {power} power {seeds}{first}; {its.n} seeds give "
        f"{percent(round(its.equivalence_power, 2))}"
    )


def aliases(plan: Plan) -> str:
    """Defining relation and effects that share a column."""
    if plan.fraction is None or not plan.fraction.words:
        return ""
    named = " ".join(f"{chr(ord('A') + i)}={its.name}" for i, its in enumerate(plan.components))
    shared = " ".join(pair for pair, _ in plan.aliases()) or "none up to two-way effects"
    return f"resolution {plan.fraction.resolution}, {plan.fraction.relation}: {shared}; {named}"


def other(plan: Plan) -> str:
    """A design of about as many runs that estimates average effects more precisely."""
    its = alternative(plan)
    if its is None:
        return ""
    k, p = len(plan.components), (len(its.fraction.words) + 1).bit_length() - 1  # words are products of p generators
    shared = " ".join("=".join(map(letters, one)) for one in its.fraction.classes(2) if len(one) > 1)
    clear = f"; two-way effects aliased {shared}" if shared else ""
    kind = f"2^({k}-{p}) fraction" if p else f"2^{k} factorial"
    runs = f"{kind} x {its.seeds} seeds = {its.runs} runs"
    return f"{runs}: average effects with {its.gain:.1f} times smaller variance{clear}"


def gradients(its: Outlook) -> str:
    """How strongly each term pulls, against the reconstruction, after three steps."""
    shown = []
    for arm, pulls in list(its.pulls.items())[:PULLED]:
        terms = ", ".join(f"{name} {share:.2g}" for name, share in pulls.items())
        shown.append(f"{arm}: {terms or 'recon alone'}")
    more = len(its.pulls) - PULLED
    return (
        "of recon's, after 3 steps: " + "; ".join(shown) + (f"; {more} arms more" if more > 0 else "") if shown else ""
    )


def cost(checked: Checked) -> str:
    """CPU or GPU hours with retries, the time it takes, room on disk."""
    plan, its = checked.study.plan, checked.outlook
    assert plan is not None
    bill = its.bill if its else None
    if bill is None:
        return f"unknown: {checked.unknown_cost or 'the record knows no run of these arms'}"
    if not bill.runs:
        return "nothing is left to run"
    kind = "GPU" if checked.study.resources.gpus_per_worker else "CPU"
    open_ended = isinstance(plan.design.seeds, Sequential) or plan.design.kind == "path"
    most = "at most " * open_ended
    parameters = max((max(counts) for counts in checked.parameters.values()), default=0)
    disk = parameters * COPIES * BYTES * bill.runs / 2**20
    source = "ten steps of each kind of arm" if bill.measured else "earlier runs in the record"
    return (
        f"{most}{bill.hours:.3g} {kind}-h with 5 % for retries ({bill.runs} x {duration(bill.seconds)}), "
        f"{duration(bill.wall)} with {checked.at_once} at once; disk {disk:.3g} MB; from {source}"
    )
