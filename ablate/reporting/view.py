"""The runs of a study as MLflow's table should show them: what differs first, then the score, then the probes."""

import json

from ablate.naming import short_path
from ablate.reporting.effects import PROBES
from ablate.reporting.question import Question
from ablate.tracking import Record

TAG = "mlflow.sharedViewState."  # + key: where MLflow's own pages keep a view that is shared by its link
WIDTH, PER_CHARACTER = 36, 7  # pixels of a column: its margins and the letters of its name


def link(base: str, record: Record, question: Question) -> str:
    """Address of the study's runs in a prepared view, which is stored with the experiment."""
    key = f"ablate-{question.study}"
    record.tag_experiment(TAG + key, json.dumps(state(question), separators=(",", ":")))
    return f"{base}/#/experiments/{record.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={key}"


def state(question: Question) -> dict[str, object]:
    """The view: the study's seed runs, best first; model, searched leaves, seed, score and probes as columns."""
    params = ["model", *(short_path(path) for path in question.space if "." in path), "seed"]
    design = question.plan is not None
    first, split = (question.metric, question.metric.partition("/")[0]) if design else ("objective", "valid")
    metrics = [first, *(f"{split}/{name}" for name in PROBES if f"{split}/{name}" != question.metric)]
    columns = [*(column("params", name) for name in params), *(column("metrics", name) for name in metrics)]
    return {
        "searchFilter": f"tags.`ablate.study` = '{question.study}' and tags.`ablate.kind` = 'seed'",
        "orderByKey": column("metrics", first),
        "orderByAsc": question.mode == "min",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {its: width(its) for its in columns},
    }


def column(kind: str, name: str) -> str:
    """A column as MLflow names it."""
    return f"{kind}.`{name}`"


def width(its: str) -> int:
    """Pixels that show the whole name of a column."""
    return WIDTH + PER_CHARACTER * max(5, len(its.partition(".")[2]) - 2)
