"""A plan as a person reads it: what `ablate check` prints."""

from rich.console import Console
from rich.text import Text

from ablate.check import Plan, duration, seeds
from ablate.cost import Cost
from ablate.reporting import outlook
from ablate.reporting.numbers import seeds_text
from ablate.study import Study

LABEL = 13  # characters of the first column


def show(plan: Plan, console: Console) -> None:
    """Print the plan, warnings last."""
    draw(lines(plan), console)


def draw(rows: list[tuple[str, str]], console: Console) -> None:
    """A line per row, its label in front."""
    for label, text in rows:
        head = Text(label.ljust(LABEL), style="yellow" if label == "warning" else "bold")
        console.print(head + Text(text, style="not bold"), soft_wrap=True, highlight=False)


def tell(study: Study, console: Console) -> None:
    """The plan of an ablation, as far as it is known without a look at anything: a sweep says it before it starts."""
    if study.plan is not None:
        draw(outlook.lines(Plan(study)), console)


def lines(plan: Plan) -> list[tuple[str, str]]:
    """(label, text) in the order of interest."""
    study = plan.study
    designed = outlook.lines(plan) if study.plan is not None else []
    rows = [
        ("study", asked(study)),
        ("space", space(study)),
        *(designed or [("trials", trials(plan))]),
        ("record", record(plan)),
        ("data", data(plan)),
        ("model", model(plan)),
        ("machine", machine(plan)),
        ("cost", cost(plan)),
    ]
    cautions = [*study.warnings, *(outlook.cautions(plan) if study.plan is not None else ())]
    return [row for row in rows if row[1]] + [("warning", its) for its in cautions]


def asked(study: Study) -> str:
    """Name, algorithm and what is searched for."""
    if study.design is not None:
        return study.name
    if study.search is None:
        return f"{study.name}: one configuration, no search"
    wanted = ", ".join(
        f"{metric} ({mode})" for metric, mode in zip(study.search.metric, study.search.mode, strict=True)
    )
    scheduler = f", {study.search.scheduler.name} ends bad trials early" if study.search.scheduler else ""
    return f"{study.name}: {study.search.algorithm} on {wanted}{scheduler}"


def space(study: Study) -> str:
    """How large it is, and its leaves."""
    if not study.space:
        return ""
    points = f"{study.points:,} points" if study.points is not None else "continuous"
    return f"{points}: {', '.join(study.space)}"


def trials(plan: Plan) -> str:
    """How many runs of which kind."""
    if plan.study.search is None:
        return "1; `ablate train` runs it"
    kind = "points of the grid" if plan.study.search.algorithm == "grid" else "searched"
    text = f"{plan.searched} {kind}"
    confirm = plan.study.search.confirm
    if confirm is not None:
        baselines = len(plan.study.baselines)
        arms = [f"{confirm.top} best", "the default", f"{baselines} baseline{'s' * (baselines != 1)}"][
            : 2 + bool(baselines)
        ]
        text += f", then {plan.confirmed} to confirm: {', '.join(arms)} on seeds {seeds_text(seeds(plan.study))}"
    return text


def record(plan: Plan) -> str:
    """What need not be run again."""
    if plan.cells is None:
        return "none yet"
    if plan.complete:
        return "this very study is in it, complete"
    if plan.study.plan is not None:
        count = plan.settled()[0]
        return "" if plan.outlook else f"{count or 'no'} cells of this study are in it"
    searched, confirmed = plan.settled()
    if not searched + confirmed:
        return f"nothing of this study among {len(plan.cells)} cells"
    both = f"{searched} of {plan.searched} searched and {confirmed} of {plan.confirmed} confirmed cells"
    return f"{both} are in it; {sum(plan.left())} are left to run"


def data(plan: Plan) -> str:
    """Size of the splits, what was left out."""
    name = plan.study.base.data.name
    if plan.data is None:
        return f"{name}: not prepared yet"
    its = plan.data
    windows = ", ".join(
        f"{split.n:,} {part}" for part, split in (("train", its.train), ("valid", its.valid), ("test", its.test))
    )
    shape = " x ".join(map(str, its.frame))
    left_out = f"; {'; '.join(its.report.lines())}" if its.report.lines() else ""
    return f"{name}: windows of {its.train.window} frames of {shape}: {windows}{left_out}"


def model(plan: Plan) -> str:
    """Parameters of the default and over the space, of the baselines too."""
    if not plan.parameters:
        return ""
    texts = []
    for name, (default, *ends) in plan.parameters.items():
        over = "arms" if plan.study.plan is not None else "space"
        span = f" ({min(ends):,} to {max(ends):,} over the {over})" if len(set(ends)) > 1 else ""
        texts.append(f"{name} {default:,} parameters{span}")
    return "; ".join(texts)


def machine(plan: Plan) -> str:
    """What a trial occupies and how many run side by side."""
    its = plan.study.resources
    gpus = f" and {its.gpus_per_worker:g} GPU" if its.gpus_per_worker else ""
    each = f"{its.cpus_per_worker:g} CPU{gpus}"
    need = each if its.workers == 1 else f"{its.workers} workers of {each}"
    return f"a trial takes {need}; {plan.at_once} at once on {plan.where}" if plan.fits else f"a trial takes {need}"


def cost(plan: Plan) -> str:
    """The estimate, or why there is none."""
    if plan.study.plan is not None:
        return outlook.cost(plan)
    its = plan.cost
    if its is None:
        return f"unknown: {plan.unknown_cost}"
    if not its.trials:
        return "nothing is left to run"
    most = "at most " if its.early else ""
    apart = f" ({duration(its.trials)} one after the other)" if plan.at_once > 1 else ""
    return f"{most}about {duration(its.wall)}{apart}, from {steps(its)}"


def steps(its: Cost) -> str:
    """What was measured."""
    low, high = (f"{1000 * each:.3g}" for each in its.step)
    return f"ten steps of {low} ms by default and of {high} ms with every weight and size at its largest"
