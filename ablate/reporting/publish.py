"""Writes the page and the figures of a study, and hands them to its run in the record as artifacts."""

import tempfile
from pathlib import Path

from rich.console import Console

from ablate.errors import Mistake
from ablate.reporting.figures import figures
from ablate.reporting.page import page, question_of
from ablate.reporting.plots import KINDS, Plot, render
from ablate.reporting.recorded import Recorded
from ablate.tracking import first_line, passing

PAGE, FIGURES = "report.html", "figures"  # among the artifacts of the study's run
Files = dict[str, bytes]  # path in a folder -> content


def publish(its: Recorded, study: Path, html: Path | None, drawn: Path | None, fanova: bool, console: Console) -> None:
    """Write the page to `html`, the figures into the folder `drawn`; `study` is the study's own folder.

    Both become artifacts of the study's run. Raises Mistake where something cannot be written.
    """
    plots = figures(its, fanova)
    files = {name: content for plot in plots for name, content in figure_files(plot).items()} if drawn else {}
    if html is not None:
        text = page(its, plots, question_of(study)).encode()
        put({html.name: text}, html.parent)
        told(console, f"page     {html}")
        hand_over(its, {PAGE: text}, console)
    if drawn is not None:
        put(files, drawn)
        told(console, f"figures  {len(plots)} in {drawn}")
        hand_over(its, {f"{FIGURES}/{name}": content for name, content in files.items()}, console)


def figure_files(plot: Plot) -> Files:
    """A figure in every kind, and its numbers."""
    made = {f"{plot.name}.{kind}": content for kind, content in render(plot, KINDS).items()}
    return made | {f"{plot.name}.csv": plot.csv().encode()}


def put(files: Files, folder: Path) -> None:
    """Write files; raises Mistake where that is refused."""
    try:
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    except OSError as error:
        raise Mistake(f"{error.filename or folder} cannot be written ({error.strerror}); name another place") from error


def hand_over(its: Recorded, files: Files, console: Console) -> None:
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
        told(console, f"not handed to the record, which cannot be written ({first_line(error)})")


def told(console: Console, line: str) -> None:
    """A line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
