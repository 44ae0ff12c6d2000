"""The report of a study as one HTML page that needs nothing else: no script, no network, figures inside."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ablate.design.verdict import BETTER, EQUIVALENT, WORSE
from ablate.reporting.heading import Head, head
from ablate.reporting.latex import right
from ablate.reporting.plots import Plot, inline
from ablate.reporting.provenance import Runs, linked_runs, page_of
from ablate.reporting.recorded import Recorded
from ablate.reporting.sections import Section, sections
from ablate.reporting.table import Table

WORDS = (BETTER, WORSE, EQUIVALENT)  # verdicts that have a colour
WHOLE = 14  # letters of a cell that are never broken into lines


@dataclass(frozen=True)
class Block:
    """A part of a section: a table or a drawn figure."""

    table: Table | None = None
    plot: Plot | None = None
    svg: str = ""  # safe in the template: all text in it is escaped


@dataclass(frozen=True)
class Part:
    """A section with its figures drawn."""

    section: Section
    blocks: tuple[Block, ...]


def page(its: Recorded, figures: Sequence[Plot], asked: str = "") -> str:
    """The whole page; `asked` is the question in the words of the study file. The same record gives the same text."""
    by_name = {plot.name: plot for plot in figures}
    parts = [part for one in sections(its) if (part := drawn(one, by_name)).blocks or one.words]
    runs, more = linked_runs(its)
    return render(its, head(its), asked, parts, runs, more)


def drawn(section: Section, figures: dict[str, Plot]) -> Part:
    """A section with those of its figures that the study has."""
    return Part(section, tuple(blocks(section, figures)))


def blocks(section: Section, figures: dict[str, Plot]) -> Iterator[Block]:
    """Tables and figures in the order of the section."""
    for one in section.items:
        if isinstance(one, Table):
            yield Block(table=one)
        elif one in figures:
            yield Block(plot=figures[one], svg=Markup(inline(figures[one])))  # nothing in it is the user's, unescaped


def render(its: Recorded, top: Head, asked: str, parts: Sequence[Part], runs: Sequence[Runs], more: int) -> str:
    """The template, filled."""
    environment = Environment(
        loader=PackageLoader("ablate.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"looks": looks, "aligned": aligned}
    text = environment.get_template("page.html.j2").render(
        study=its.question.study,
        head=top,
        asked=asked,
        parts=parts,
        runs=runs,
        more=more,
        study_link=page_of(its, its.known.run_id) if its.known else "",
        served=its.record is not None and str(its.record.uri).startswith("http"),
        again=again(its),
        configuration=configuration(its),
    )
    return re.sub(r"\n{2,}", "\n", text)


def looks(cell: str, right: bool, wrap: bool) -> str | None:
    """Classes of a cell: `number`, the first word of a verdict, `words` where it may be broken into lines."""
    word = next((word for word in WORDS if cell == word or cell.startswith((f"{word} ", f"{word}("))), "")
    classes = ["number"] * right + [word] * bool(word) + ["words"] * (wrap and len(cell) > WHOLE)
    return " ".join(classes) or None


def aligned(table: Table) -> list[bool]:
    """Which columns stand at the right: those of numbers, but never words of the first one."""
    return [column.right or (i > 0 and right(table, i)) for i, column in enumerate(table.columns)]


def again(its: Recorded) -> list[str]:
    """Commands that run the study again from its file."""
    if its.known is None:
        return []
    commits = sorted({run.tags.get("ablate.commit", "") for run in its.cells_by_run.values()} - {""})
    settings = json.loads(its.known.tags.get("ablate.overrides", "[]"))
    checkout = [f"git checkout {commits[0].partition('+')[0]}"] if len(commits) == 1 else []
    return [*checkout, f"ablate sweep {its.question.study}.yaml" + "".join(f" --set {one}" for one in settings)]


def configuration(its: Recorded) -> list[tuple[str, str]]:
    """(path, value) of the configuration that all others start from; without folders of this machine."""
    from ablate.search.identity import flatten, unpack

    if its.known is None or "ablate.design" not in its.known.tags:
        return []
    leaves = flatten(unpack(its.known.tags["ablate.design"]).get("base", {}))
    shown = {path: json.dumps(value) for path, value in leaves.items() if value is not None}
    return [(path, value) for path, value in sorted(shown.items()) if not value.startswith(('"/', '"~'))]


def question_of(folder: Path) -> str:
    """The comment that a study's file begins with, as its author's question; empty without one."""
    file = folder / "study.yaml"
    lines = file.read_text().splitlines() if file.exists() else []
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# ").strip())
    return " ".join(comment)
