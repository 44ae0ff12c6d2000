"""The rules of the house, read from its source: who imports whom, what is heavy, how long a file is."""

import ast
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "ablate").rglob("*.py"))
ORDER = """
    errors
    registry random positions records spool
    design
    trial types pictures
    signature
    naming ranges
    study sentences
    draft
    rules
    search_rules
    design_rules baselines
    config
    schema
    data
    models
    losses
    metrics
    training
    sqlite_record
    tracking
    delivery lock
    writer
    search
    cost outlook
    check
    reporting
    generation
    garbage
    doctor
    bench
    cli
"""  # a room imports rooms of higher lines only; rooms of one line do not import each other
RANK = {room: rank for rank, line in enumerate(ORDER.split("\n")) for room in line.split()}
ONLY_IN = {
    "ray": ("training/distributed.py", "search/"),
    "optuna": ("search/",),
    "mlflow": ("tracking.py",),
    "librosa": ("data/",),
    "soundfile": ("data/",),
    "pyarrow": ("data/", "reporting/cached.py"),
    "pydantic": ("config.py",),
    "ruamel": ("positions.py",),
    "typer": ("cli.py",),
    "matplotlib": ("pictures.py", "reporting/"),
    "pandas": ("reporting/",),
    "jinja2": ("reporting/page.py",),
}
LIGHT = ("models", "losses", "training", "metrics", "data")  # rooms that need torch, numpy and scipy alone
NEEDS_RAY = "ablate.training.distributed"
TESTED = ("models", "losses", "data", "metrics")  # rooms whose every file has its test
PUBLISHED_ALL_THE_SAME = ("motion_srnn",)  # studies whose published recipe is warned of: its weight never becomes 1
LISTED, LONGEST = 300, 450  # lines
HEAVY = ("torch", "ray", "mlflow", "optuna", "numpy", "pandas", "matplotlib", "librosa")


def module(file: Path) -> str:
    """`ablate.data.store` for its file, `ablate.data` for the `__init__` of a package."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """`data` for ablate.data.store, `cli` for ablate.cli."""
    return name.split(".")[1]


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path, for_types: bool = True) -> Iterator[str]:
    """Full names of all that a file imports, wherever; without those under TYPE_CHECKING where asked."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if not for_types and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{file}:{child.lineno}: write imports in full"
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            yield from walk(child)

    return walk(tree(file))


MODULES = {module(file): file for file in FILES}


def ours(file: Path, for_types: bool = True) -> set[str]:
    """Modules of ours that a file imports: `ablate.data.store` for `from ablate.data.store import find`."""
    found = set()
    for name in imports(file, for_types):
        if name.partition(".")[0] == "ablate":
            found.add(name if name in MODULES else name.rpartition(".")[0])
    return found - {"ablate"}


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python process."""
    command = [sys.executable, "-c", textwrap.dedent(code), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


def test_every_room_has_its_place():
    missing = {room(name) for name in MODULES if name != "ablate"} - set(RANK)
    assert not missing, f"give {sorted(missing)} a line in ORDER"


def test_lower_rooms_import_no_higher_ones():
    wrong = [
        f"{name} imports {other}"
        for name, file in MODULES.items()
        for other in ours(file)
        if name != "ablate" and room(other) != room(name) and RANK[room(other)] >= RANK[room(name)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_two_files_import_each_other():
    graph = {name: ours(file, for_types=False) for name, file in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "import cycle: " + " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_room(library):
    users = [its for its in FILES if any(name.partition(".")[0] == library for name in imports(its))]
    allowed = tuple(str(ROOT / "ablate" / place) for place in ONLY_IN[library])
    assert [str(its) for its in users if not str(its).startswith(allowed)] == []


@pytest.mark.parametrize("package", TESTED)
def test_every_file_has_its_test(package):
    files = {its.stem for its in (ROOT / "ablate" / package).glob("*.py")} - {"__init__"}
    tests = {its.stem.removeprefix("test_") for its in (ROOT / "tests" / package).glob("test_*.py")}
    assert files <= tests, f"without a test: {sorted(files - tests)}"


def test_files_are_short():
    lengths = {its: its.read_text().count("\n") for its in [*FILES, *(ROOT / "tests").rglob("*.py")]}
    for file, lines in sorted(lengths.items(), key=lambda one: -one[1]):
        if lines > LISTED:
            warnings.warn(f"{file.relative_to(ROOT)} has {lines} lines", stacklevel=1)
    assert [str(its) for its, lines in lengths.items() if lines > LONGEST] == []


def test_files_are_named_for_what_they_hold():
    assert [str(its) for its in FILES if its.stem in ("utils", "util", "helpers", "common", "misc", "base")] == []


def test_classes_of_ours_inherit_from_no_class_of_ours():
    """Records may extend records by fields."""
    classes = {node.name: node for its in FILES for node in ast.walk(tree(its)) if isinstance(node, ast.ClassDef)}
    heirs = [
        f"{name}({base.id})"
        for name, node in classes.items()
        for base in node.bases
        if isinstance(base, ast.Name) and base.id in classes and not is_record(node)
    ]
    assert heirs == []


def is_record(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(its) for its in node.decorator_list)


def test_nothing_is_left_for_later():
    later = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError|NotImplemented)\b")
    here = Path(__file__)
    sources = [*FILES, *(its for its in (ROOT / "tests").rglob("*.py") if its != here)]
    assert [f"{its}: {found[0]}" for its in sources if (found := later.search(its.read_text()))] == []


def test_failures_never_vanish_in_a_mean():
    """A mean that leaves out what is not a number would drop diverged seeds from a table."""
    skips = re.compile(r"\bnan(mean|median|std|var|sum|percentile|quantile|min|max)\b|skipna")
    places = [*(ROOT / "ablate" / "design").glob("*.py"), *(ROOT / "ablate" / "reporting").glob("*.py")]
    assert [f"{its}: {found[0]}" for its in places if (found := skips.search(its.read_text()))] == []


def test_importing_ablate_and_asking_for_help_are_light():
    done = run(
        """
        import sys
        import ablate
        heavy = set(sys.argv[1:])
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        from ablate.cli import main
        sys.argv = ["ablate", "--help"]
        try:
            main()
        except SystemExit as end:
            assert not end.code
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """,
        *HEAVY,
    )
    assert done.returncode == 0, done.stderr
    assert "sweep" in done.stdout


def test_science_needs_torch_numpy_and_scipy_alone():
    """So models, terms, training and metrics also run on a machine without Ray, MLflow and the readers of files."""
    names = [name for name in MODULES if name.split(".")[1:2] and room(name) in LIGHT and name != NEEDS_RAY]
    refused = {"ray", "optuna", "mlflow", "librosa", "soundfile", "pandas", "pyarrow", "matplotlib"}
    refused |= {"pydantic", "ruamel", "typer", "rich", "psutil", "pynvml", "sklearn", "joblib", "PIL"}
    done = run(
        """
        import importlib, sys

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in refused:
                    raise ModuleNotFoundError(f"refused: {name}", name=name)

        refused = set(sys.argv[1].split(","))
        sys.meta_path.insert(0, Refuse())
        for name in sys.argv[2].split(","):
            importlib.import_module(name)
        from ablate.registry import DATASETS, LOSSES, METRICS, MODELS
        assert all(registry.names() for registry in (DATASETS, LOSSES, METRICS, MODELS))
        """,
        ",".join(sorted(refused)),
        ",".join(names),
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda its: its.stem)
def test_every_search_space_is_a_study(file, monkeypatch):
    from ablate.config import load_study

    monkeypatch.chdir(ROOT)
    study = load_study(file)
    assert study.name == file.stem
    assert [its for its in study.warnings if file.stem not in PUBLISHED_ALL_THE_SAME] == []
    assert file.read_text().startswith("# "), "the first line is the question, as a comment"
