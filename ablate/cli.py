"""The command line: one verb, one function; heavy imports happen inside the verb that needs them."""

import json
import logging
import os
import sys
from glob import glob
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler

from ablate.errors import Mistake

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Hyperparameter and ablation studies of disentangled sequential autoencoders.",
)
console = Console()
DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def yaml_files(incomplete: str) -> list[str]:
    """Files to complete `incomplete` with: here, and one folder down."""
    return sorted(its for pattern in ("*.yaml", "*/*.yaml") for its in glob(incomplete + pattern))


def study_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Studies to complete `incomplete` with."""
    folder = Path(ctx.params.get("folder") or "runs")
    return sorted(its.parent.name for its in folder.glob(f"{incomplete}*/study.yaml"))


StudyFile = typer.Argument(help="A study file, such as search_spaces/dsae_losses.yaml.", autocompletion=yaml_files)
File = Annotated[Path, StudyFile]
Name = Annotated[str, typer.Argument(help="The name of a study.", autocompletion=study_names)]
OneOrAll = Annotated[
    str | None, typer.Argument(help="A study; all of the folder without one.", autocompletion=study_names)
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Override a leaf: --set train.epochs=2.")]
Address = Annotated[
    str | None, typer.Option(help="A running Ray cluster (auto, host:port); without it Ray starts here.")
]
Cpus = Annotated[float | None, typer.Option(help="CPUs that Ray may use here; all by default.")]
Folder = Annotated[str, typer.Option(help="The folder that holds the studies and their record.")]
Retry = Annotated[bool, typer.Option(help="Run cells again that failed by their own fault.")]
Extend = Annotated[int, typer.Option(metavar="K", help="So many trials more than the file says.")]


def main() -> None:
    """Entry point of `ablate`: mistakes become sentences, Ctrl-C becomes 130."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_time=False)],
    )
    try:
        app()
    except Mistake as mistake:
        for sentence in mistake.sentences:
            sys.stderr.write(sentence + "\n")
        sys.exit(MISTAKE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@app.command()
def sweep(
    file: File,
    set_: Set = None,
    address: Address = None,
    cpus: Cpus = None,
    extend: Extend = 0,
    retry_failed: Retry = False,
    fresh: Annotated[
        bool, typer.Option(help="Begin anew: what ran before, here or elsewhere, does not count.")
    ] = False,
) -> None:
    """Run a study: search, then confirm. The same study again continues it."""
    from ablate.config import load_study

    run_sweep(load_study(file, overrides(set_ or [], extend, file)), address, cpus, retry_failed, fresh)


@app.command()
def resume(
    study: Name,
    address: Address = None,
    cpus: Cpus = None,
    folder: Folder = "runs",
    extend: Extend = 0,
    retry_failed: Retry = False,
) -> None:
    """Go on with a study that was interrupted or killed; finished trials are not run again."""
    from ablate.config import load_study
    from ablate.search.identity import kept_file

    file, settings = kept_file(Path(folder) / study)
    run_sweep(load_study(file, overrides(settings, extend, file)), address, cpus, retry_failed, False)


def overrides(settings: list[str], extend: int, file: Path) -> list[str]:
    """The `--set`s, and what `--extend` adds to the number of trials."""
    if not extend:
        return settings
    from ablate.config import load_study

    search = load_study(file, settings).search
    if search is None or search.trials is None:
        raise Mistake(
            "--extend adds trials to a search that has a number of them; a design gets seeds by --set design.seeds=N"
        )
    return [*settings, f"search.trials={search.trials + extend}"]


def run_sweep(study: Any, address: str | None, cpus: float | None, retry_failed: bool, fresh: bool) -> None:
    """Sweep, then the closing tables and the exit code."""
    from ablate.reporting.closing import leave, show
    from ablate.reporting.planned import tell
    from ablate.search.runner import Flags
    from ablate.search.runner import sweep as run

    if study.search is None and study.design is None:
        raise Mistake(f"{study.source}: there is no `search` and no `design`; `ablate train` runs one configuration")
    result = run(study, Flags(address, cpus, retry_failed, fresh), console, leave, tell)
    faults = show(study, result, console)
    if result.ran and not (result.interrupted or result.backlog) and os.environ.get("ABLATE_PAGE") != "off":
        from ablate.reporting.publish import leave_page

        leave_page(Path(study.tracking.folder), study.name, console)
    raise typer.Exit(exit_code(result) or (FAILED if faults else DONE))


def exit_code(result: Any) -> int:
    """0 done, 1 trials failed or the disk is full, 130 interrupted."""
    if result.full_disk:
        return FAILED
    if result.interrupted:
        return INTERRUPTED
    return FAILED if result.failed else DONE


@app.command()
def train(
    file: File,
    set_: Set = None,
    folder: Annotated[Path | None, typer.Option(help="Checkpoints and pictures; default: runs/<name>-train.")] = None,
    test: Annotated[bool, typer.Option(help="Score the test split at the end.")] = False,
) -> None:
    """Train one configuration of a study in this process, without Ray; goes on from its checkpoint."""
    from ablate.config import load_study
    from ablate.data.dataset import load_data
    from ablate.reporting.closing import show_epoch
    from ablate.signature import cell_key
    from ablate.training.cell import run_cell
    from ablate.training.measures import check_measures

    study = load_study(file, set_ or [])
    data = load_data((study.base.data.name, study.base.data.options), progress=True)
    key, metrics = study.measured
    check_measures(study.base, data, metrics, key)
    for line in data.report.lines():
        console.print(f"data: {line}", markup=False, highlight=False, soft_wrap=True)
    place = (folder or Path(study.tracking.folder) / f"{study.name}-train").resolve()
    config = {
        "trial": study.base.plain(),
        "cell": cell_key(study.base, data.digest),
        "folder": str(place),
        "test": test,
        "pictures": True,
    }
    run_cell(config, lambda report: show_epoch(report, console))
    console.print(f"checkpoints and pictures in {place}", soft_wrap=True)


@app.command()
def check(
    file: File,
    set_: Set = None,
    probe: Annotated[bool, typer.Option(help="Time ten training steps for the estimate of the cost.")] = True,
    budget: Annotated[str | None, typer.Option(help="Refuse a study that takes longer: 45m, 4h, 2d.")] = None,
    address: Address = None,
    cpus: Cpus = None,
) -> None:
    """Say everything that is wrong with a study, its plan and its cost; start nothing."""
    from ablate.check import examine, refuse
    from ablate.config import load_study
    from ablate.reporting.planned import show

    plan = examine(load_study(file, set_ or []), probe, address, cpus)
    show(plan, console)
    refuse(plan, budget)


@app.command()
def status(
    study: OneOrAll = None,
    folder: Folder = "runs",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Where studies stand. Works when Ray is down, and from the spool when MLflow is."""
    from ablate.reporting.status import gather, table

    found = gather(Path(folder), study)
    if as_json:
        console.print_json(json.dumps(found))
    else:
        console.print(table(found))


@app.command()
def stop(study: Name, folder: Folder = "runs") -> None:
    """Ask the process that runs a study, on whatever machine, to end it in order; `ablate resume` goes on."""
    from ablate.lock import lives
    from ablate.reporting.status import find

    record, known = find(Path(folder), study)
    if not lives(known):
        raise Mistake(f"study {study!r} is not running; there is nothing to stop")
    record.request_stop(known.run_id)
    console.print(f"asked {known.owner} to stop {study}; it does so within half a minute")


@app.command()
def report(
    study: Name,
    path: Annotated[
        Path | None, typer.Argument(help="Of the page, with --html; default: report/report.html of the study's folder.")
    ] = None,
    folder: Folder = "runs",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="The effects of an ablation as CSV; of a search all cells and metrics.")
    ] = False,
    as_cells: Annotated[bool, typer.Option("--cells", help="All cells and metrics as CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The tables as Markdown.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="The main table for a paper (booktabs).")] = False,
    html: Annotated[
        bool, typer.Option("--html", help="One page to hand on, into PATH and to the study's run in MLflow.")
    ] = False,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Every figure as PDF, SVG and PNG, with its numbers as CSV.")
    ] = None,
    everything: Annotated[
        Path | None,
        typer.Option(
            "--all", metavar="DIR", help="Page, tables, figures, all runs with their cost, digests of it all."
        ),
    ] = None,
    fanova: Annotated[bool, typer.Option("--fanova", help="Importance by fANOVA too, which takes longer.")] = False,
) -> None:
    """Tables of a study, from the record alone; `--html` a page, `--figures` its figures, `--all` all of it."""
    from ablate.reporting.recorded import recorded

    if path is not None and not html:
        raise Mistake(f"{path}: a second name is where `--html` writes its page; leave it out, or say --html")
    its = recorded(Path(folder), study)
    if html or figures is not None:
        from ablate.reporting.publish import publish

        home = Path(folder) / study
        publish(its, home, (path or home / "report" / "report.html") if html else None, figures, fanova, console)
    if everything is not None:
        from ablate.reporting.folder import write_folder

        write_folder(its, Path(folder) / study, everything, fanova, console)
    forms = {its.csv: as_csv, its.cells: as_cells, its.markdown: as_markdown, its.latex: as_latex}
    for write in [form for form, asked in forms.items() if asked]:
        sys.stdout.write(write())
    if not any((*forms.values(), html, figures, everything)):
        its.show(console)
    raise typer.Exit(FAILED if its.faults else DONE)


@app.command()
def generate(
    run: Annotated[
        str, typer.Argument(help="A run: STUDY/LABEL, a folder with best.pt, an id in MLflow, or a study (its best).")
    ],
    mode: Annotated[
        str,
        typer.Option(
            help="unconditional, conditional-f, conditional-z, swap, replacement, traversal-f, traversal-z, "
            "interpolation or prediction."
        ),
    ] = "unconditional",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="A new folder; default: generated-MODE here.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Sequences made.")] = None,
    length: Annotated[int | None, typer.Option(help="Frames of each; the window of the data.")] = None,
    prefix: Annotated[int | None, typer.Option(help="Frames that a prediction reads; half the window.")] = None,
    split: Annotated[str, typer.Option(help="Where sequences are read from: train, valid or test.")] = "test",
    item: Annotated[list[str] | None, typer.Option(help="What is read, by its id; drawn without it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    folder: Folder = "runs",
) -> None:
    """What a trained model makes: arrays (npz), pictures (png, gif) and sounds (wav), with a manifest."""
    from ablate.generation.write import Asked
    from ablate.generation.write import generate as write

    asked = Asked(mode, count, length, prefix, split, tuple(item or ()), seed)
    for file in write(run, Path(folder), asked, out or Path(f"generated-{mode}")):
        console.print(str(file), highlight=False, soft_wrap=True)


@app.command()
def ui(
    port: Annotated[int | None, typer.Option(help="Of the MLflow server; the first free one from 5000 on.")] = None,
    folder: Folder = "runs",
) -> None:
    """Serve MLflow's pages on the record, until Ctrl-C; name the other two dashboards."""
    from ablate.reporting.ui import open_ui

    open_ui(Path(folder), port).serve(console)


@app.command()
def ls(
    what: Annotated[str | None, typer.Argument(help="models, losses, datasets, metrics or matrix.")] = None,
) -> None:
    """What can be named in a study file, and which model can carry which loss term."""
    from ablate.reporting.catalogue import tables
    from ablate.reporting.terminal import show

    for table in tables(what):
        show(console, table)


@app.command()
def schema() -> None:
    """JSON schema of study files, for editors."""
    from ablate.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@app.command()
def doctor(folder: Folder = "runs") -> None:
    """Whether this machine can run studies: versions, hardware, disks, Ray, record, store."""
    from ablate.doctor import broken

    raise typer.Exit(FAILED if broken(Path(folder), console) else DONE)


@app.command()
def gc(
    study: OneOrAll = None,
    folder: Folder = "runs",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove last checkpoints of complete cells (best ones stay) and Ray sessions that died more than a week ago."""
    from ablate.garbage import collect

    console.print(collect(Path(folder), study, dry), highlight=False, soft_wrap=True)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="Such as jobs/dsae_losses.yaml.", autocompletion=yaml_files)],
    address: Annotated[str | None, typer.Option(help="Of the cluster's dashboard: http://head:8265.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the job; default: the study's.")] = None,
    set_: Set = None,
) -> None:
    """Run a study as a job of a Ray cluster; a job of that name that runs already is left alone."""
    from ablate.search.jobs import submit as send

    job = send(file, address, name, set_ or [])
    did = "submitted" if job.new else f"nothing was submitted, for it is {job.status.lower()} already:"
    console.print(f"{did} {job.id}; {job.follow}", highlight=False, soft_wrap=True)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="The name of a job.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Until the job ends; its failure is exit code 1.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="Of the cluster's dashboard: http://head:8265.")] = None,
) -> None:
    """What a job has written."""
    from ablate.search.jobs import logs as read
    from ablate.search.jobs import outcome

    for text in read(name, follow, address):
        sys.stdout.write(text)
        sys.stdout.flush()
    if follow and outcome(name, address) != "SUCCEEDED":
        raise typer.Exit(FAILED)


@app.command()
def bench(
    parts: Annotated[
        list[str] | None, typer.Argument(help="models, terms, overhead, store, features; all by default.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, for the training steps.")] = "cpu",
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Sequences per step of the part models; may be repeated.")
    ] = None,
) -> None:
    """Measure training steps, trial overhead, the store and feature extraction on this machine."""
    from ablate.bench import Settings
    from ablate.bench import bench as measure

    measure(parts or [], console, file, Settings(device, tuple(batch or ())))


if __name__ == "__main__":
    main()
