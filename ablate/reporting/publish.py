"""Writes the page and the figures of a study, and hands them to its run in the record as artifacts."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ablate.errors import Mistake
from ablate.reporting.figures import figures
from ablate.reporting.page import page, question_of
from ablate.reporting.plots import Plot, render
from ablate.reporting.recorded import Recorded, recorded
from ablate.tracking import first_line, passing

log = logging.getLogger("ablate")
PAGE = Path("report") / "report.html"  # in the folder of a study
FIGURES = "figures"  # among the artifacts of the study's run
Files = dict[str, bytes]  # path in a folder -> content


def publish(its: Recorded, home: Path, html: Path | None, drawn: Path | None, fanova: bool, console: Console) -> None:
    """Write the page to `html`, the figures into the folder `drawn`; `home` is the study's own folder.

    Both become artifacts of the study's run. Raises Mistake where something cannot be written.
    """
    plots = figures(its, fanova)
    artifacts: Files = {}
    if html is not None:
        artifacts |= page_files(its, plots, home)
        put({html.name: artifacts[PAGE.name]}, html.parent)
        told(console, f"page     {html}")
    if drawn is not None:
        files = {name: content for plot in plots for name, content in figure_files(plot).items()}
        put(files, drawn)
        told(console, f"figures  {len(plots)} in {drawn}")
        artifacts |= {f"{FIGURES}/{name}": content for name, content in files.items()}
    hand_over(its, artifacts)


def leave_page(folder: Path, study: str, console: Console) -> None:
    """What a complete sweep does at its very end: the page in the study's folder and on its run.

    The study is over by then: what goes wrong here is told, and no failure.
    """
    try:
        its = recorded(folder, study)
        files = page_files(its, figures(its), folder / study)
        put({str(PAGE): files[PAGE.name]}, folder / study)
        hand_over(its, files)
        told(console, f"page           {folder / study / PAGE}")
    except Exception as error:
        log.warning("no page was made (%s); `ablate report %s --html` makes it", first_line(error), study)


def page_files(its: Recorded, plots: Sequence[Plot], home: Path) -> Files:
    """The page, and its figures as files of their own."""
    made = {PAGE.name: page(its, plots, question_of(home)).encode()}
    return made | {f"{FIGURES}/{plot.name}.svg": plot.svg for plot in plots}


def figure_files(plot: Plot) -> Files:
    """A figure in every kind, and its numbers."""
    made = {f"{plot.name}.svg": plot.svg, f"{plot.name}.csv": plot.csv().encode()}
    return made | {f"{plot.name}.{kind}": content for kind, content in render(plot, ("pdf", "png")).items()}


def put(files: Files, folder: Path) -> None:
    """Write files; raises Mistake where that is refused."""
    try:
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    except OSError as error:
        raise Mistake(f"{error.filename or folder} cannot be written ({error.strerror}); name another place") from error


def hand_over(its: Recorded, files: Files) -> None:
    """Files as artifacts of the study's run; a record that is away is told, and no error."""
    if its.record is None or its.known is None:
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            put(files, Path(folder))
            its.record.upload(its.known.run_id, Path(folder))
    except Exception as error:
        if not passing(error) and not isinstance(error, OSError):
            raise
        log.warning("the page is not in the record, which cannot be written (%s)", first_line(error))


def told(console: Console, line: str) -> None:
    """A line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
