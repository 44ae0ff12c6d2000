"""What can be named in a study: models, loss terms, datasets, metrics, and which model can carry which term."""

import inspect
import re
import sys

from ablate.errors import Mistake
from ablate.registry import DATASETS, LOSSES, METRICS, MODELS, Entry, Registry, unknown
from ablate.reporting.table import Column, Table
from ablate.rules import offers

KINDS: dict[str, Registry] = {"models": MODELS, "losses": LOSSES, "datasets": DATASETS, "metrics": METRICS}
MATRIX = "matrix"
WHAT = (*KINDS, MATRIX)
ARXIV = re.compile(r"arXiv[: ]\s*(\d{4}\.\d{4,5})")


def tables(what: str | None) -> list[Table]:
    """The table of one kind, or all of them; raises Mistake for an unknown kind."""
    if what is None:
        return [*(listing(name, its) for name, its in KINDS.items()), matrix()]
    if what not in WHAT:
        raise Mistake(unknown("list", what, list(WHAT)))
    return [matrix() if what == MATRIX else listing(what, KINDS[what])]


def listing(title: str, registry: Registry) -> Table:
    """Name, first line of the docstring, paper."""
    columns = (Column("name"), Column("what it is", wrap=True), Column("paper"))
    return Table(title, columns, tuple((its.name, its.doc, paper(its)) for its in registry))


def paper(entry: Entry) -> str:
    """The first arXiv number in the docstring of the entry, else in that of its file; empty where none is named."""
    texts = (inspect.getdoc(entry.make), sys.modules[entry.make.__module__].__doc__)
    found = next((match for text in texts if (match := ARXIV.search(text or ""))), None)
    return f"arXiv {found[1]}" if found else ""


def matrix() -> Table:
    """Model by loss term: what stands in the way where a model cannot carry a term."""
    terms, models = list(LOSSES), list(MODELS)
    columns = (Column("model"), *(Column(term.name) for term in terms))
    rows = tuple((model.name, *(fit(model, term) for term in terms)) for model in models)
    return Table("model x loss term", columns, rows, "yes: the model can carry the term; else what it lacks.")


def fit(model: Entry, term: Entry) -> str:
    """`yes`, or what the model lacks: `no static`, `no f`."""
    missing = sorted(set(term.meta.get("needs", ())) - offers(model))
    return "yes" if not missing else "no " + ", ".join(need.removeprefix("latent:") for need in missing)
