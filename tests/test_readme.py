"""The README says what is true: its study loads, its table is current, its four examples work as a plugin."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
STUDY = """\
name: tones
data: {name: tones, window: 20, shift: 10}
model: {name: linear, f_dim: 6}
loss: {recon: {weight: 1, options: {variance: 0.3}}, kl_f: 1, kl_z: 1, smooth: 0.01, scc: 0}
train: {epochs: 2, lr: 1e-2}
"""
RUN = """\
import json, sys
from pathlib import Path
from ablate.config import load_study
from ablate.data.dataset import load_data
from ablate.signature import cell_key, plugins
from ablate.training.cell import run_cell

base, reports = load_study("tones.yaml").base, []
data = load_data((base.data.name, base.data.options))
config = {"trial": base.plain(), "cell": cell_key(base, data.digest), "folder": str(Path("cell").resolve())}
run_cell(config, reports.append)
print(json.dumps({"report": reports[-1], "plugins": plugins(base)}))
"""


def blocks(language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def examples() -> dict[str, str]:
    """Path in the first line of a Python block -> the rest of it."""
    found = [block.partition("\n") for block in blocks("python")]
    return {head.removeprefix("# "): body for head, _, body in found}


@pytest.fixture
def plugin(tmp_path):
    """The examples as an installed distribution `ablate-extra` 1.0, found through its entry points."""
    package, info = tmp_path / "site" / "ablate_extra", tmp_path / "site" / "ablate_extra-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("")
    for path, body in examples().items():
        (package / Path(path).name).write_text(body)
    names = [Path(path).stem for path in examples()]
    points = "".join(f"{name} = ablate_extra.{name}\n" for name in names)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ablate-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ablate.plugins]\n{points}")
    (info / "top_level.txt").write_text("ablate_extra\n")
    (tmp_path / "tones.yaml").write_text(STUDY)
    return tmp_path


def test_examples_are_one_of_each():
    assert [Path(path).parent.name for path in examples()] == ["losses", "models", "data", "metrics"]


@pytest.mark.long
def test_examples_work_as_a_plugin(plugin):
    environment = os.environ | {"PYTHONPATH": str(plugin / "site"), "ABLATE_STORE": str(plugin / "store")}
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=plugin, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    report = told["report"]
    assert told["plugins"] == [["ablate-extra", "1.0"]]  # they are part of a cell's identity
    assert report["epoch"] == 2 and report["valid/smooth"] > 0 and report["train/smooth"] > 0
    assert 1 <= report["valid/active_z"] <= 4 and 1 <= report["valid/active_f"] <= 6
    assert report["valid/note_from_z"] > 0.9 and report["valid/speaker_from_f"] > 0.9
    assert "train/scc" not in report and "valid/scc" in report


def test_examples_keep_the_rules_of_the_house(plugin):
    config = ["--config", str(ROOT / "pyproject.toml")]
    files = [str(its) for its in (plugin / "site" / "ablate_extra").glob("*.py")]
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, *config, *files], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_study_is_one_without_mistakes(tmp_path, monkeypatch):
    from ablate.config import load_study

    (tmp_path / "digits.yaml").write_text(blocks("yaml")[0])
    study = load_study(tmp_path / "digits.yaml")
    assert not study.warnings and set(study.space) == {
        "model.z_dim",
        "loss.beta",
        "loss.scc.weight",
        "loss.cyclic.weight",
    }


def test_the_shown_mistake_is_what_check_says(tmp_path, monkeypatch):
    from ablate.config import load_study
    from ablate.errors import Mistake

    shown = re.search(r"^study.yaml:.* \(known: ", README, re.MULTILINE)
    assert shown is not None
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(
        "name: mine\ndata: {name: simvowels}\nmodel: {name: dsae}\nloss:\n  recon: 1\n  sccc: 1\n"
    )
    with pytest.raises(Mistake) as caught:
        load_study("study.yaml")
    assert [its.startswith(shown[0]) for its in caught.value.sentences] == [True]


def test_the_matrix_is_right():
    """It may lack what is newer; `ablate ls matrix` prints the whole."""
    from ablate.registry import LOSSES, MODELS
    from ablate.reporting.catalogue import fit

    between = re.search(r"<!-- matrix:begin -->\n(.*?)<!-- matrix:end -->", README, re.DOTALL)
    assert between is not None
    head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in between[1].splitlines()]
    assert len(rows) >= 2 and len(head) >= 7
    for model, *cells in rows:
        assert cells == [fit(MODELS[model], LOSSES[term]) for term in head[1:]]


def test_every_command_is_named():
    from ablate.cli import app

    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    table = README.partition("## Commands")[2].partition("\n## ")[0]
    assert {name for name in names if f"{name}" not in re.findall(r"\b[a-z]+\b", table)} == set()


@pytest.mark.parametrize("file", TEXTS, ids=lambda its: its.name)
def test_files_that_are_named_exist(file):
    named = set(re.findall(r"\b(?:docs|docker|jobs|search_spaces|tests)/[\w./-]+\.\w+", file.read_text()))
    shown = {f"tests/{Path(path).parent.name}/test_{Path(path).name}" for path in examples()}
    assert [its for its in sorted(named - shown) if "NAME" not in its and not (ROOT / its).exists()] == []
