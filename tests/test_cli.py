"""The command line: what each verb prints, and that every mistake gets one sentence and exit code 2."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from command import Call, Said, call, own_runs, recorded_once, runs, sentence
from finished import BASELINE, SMALL, files

from ablate import cli
from ablate.registry import DATASETS, LOSSES, METRICS, MODELS
from ablate.reporting.cells import write_csv
from ablate.reporting.question import Question
from ablate.reporting.recorded import recorded
from ablate.reporting.view import state
from ablate.schema import json_schema
from ablate.tracking import Record

__all__ = ["call", "own_runs", "recorded_once", "runs"]

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


# ---- mistakes


@pytest.mark.parametrize("verb", ["resume", "report", "status", "stop", "gc"])
def test_an_unknown_study(call: Call, runs: Path, verb: str) -> None:
    sentence(call(verb, "tiny"), "no study", "tiny")


@pytest.mark.parametrize("verb", ["report", "status", "ui", "gc"])
def test_no_record_at_all(call: Call, verb: str) -> None:
    words = [verb, *(["small"] if verb in ("report", "gc") else [])]
    sentence(call(*words), "there is no record in", "--folder")


@pytest.mark.parametrize("verb", ["sweep", "check", "train", "submit"])
def test_a_missing_file(call: Call, verb: str) -> None:
    sentence(call(verb, "absent.yaml"), "absent.yaml", "cannot be read")


def test_all_mistakes_of_a_file_at_once(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(SMALL.replace("scc:", "sccc:").replace("epochs: 2", "epochs: two"))
    (tmp_path / "baseline.yaml").write_text(BASELINE)
    said = call("check", "bad.yaml")
    assert said.code == 2 and "Traceback" not in said.err
    first, second = said.err.splitlines()
    assert first.startswith("bad.yaml:8:3: unknown loss term 'sccc'; did you mean 'scc'?")
    assert second.startswith("bad.yaml:9:17: train.epochs must be a whole number")


@pytest.mark.parametrize("verb", ["sweep", "check"])
def test_a_name_that_stands_for_another_study(call: Call, runs: Path, verb: str) -> None:
    before = (runs / "small" / "study.yaml").read_text()
    said = call(verb, "small.yaml", "--set", "train.epochs=3")
    sentence(said, "study 'small' is in the record with train.epochs = 2, this file has 3", "another name")
    assert (runs / "small" / "study.yaml").read_text() == before


@pytest.mark.parametrize("verb", ["sweep", "check"])
def test_a_folder_that_cannot_be_written(call: Call, tmp_path: Path, verb: str) -> None:
    files(tmp_path)
    (tmp_path / "blocked").write_text("a file where a folder should be")
    sentence(call(verb, "small.yaml", "--set", "tracking.folder=blocked"), "blocked/small cannot be written")


@pytest.mark.parametrize("verb", ["sweep", "check"])
def test_a_record_that_does_not_answer(call: Call, tmp_path: Path, verb: str) -> None:
    files(tmp_path)
    sentence(call(verb, "small.yaml", "--set", f"tracking.uri={NOBODY}"), NOBODY, "cannot be opened", "tracking.uri")


@pytest.mark.parametrize("words", [("submit", "job.yaml"), ("logs", "small")])
def test_a_cluster_that_does_not_answer(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    files(tmp_path)
    (tmp_path / "job.yaml").write_text("study: small.yaml\n")
    sentence(call(*words, "--address", NOBODY), f"no Ray cluster answers at {NOBODY}", "--address")


def test_all_mistakes_of_a_jobs_file_at_once(call: Call, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("stduy: small.yaml\nset: tracking.uri=x\nenv_vars: []\naddress: 8265\n")
    said = call("submit", "job.yaml")
    assert said.code == 2
    assert [line.removeprefix("job.yaml:") for line in said.err.splitlines()] == [
        "1:1: study is missing: the study file that the job runs",
        "1:1: unknown jobs key 'stduy'; did you mean 'study'? (known: study, name, address, folder, set, env_vars, "
        "runtime_env)",
        "2:6: set must be a list of texts",
        "3:11: env_vars must be a mapping",
        "4:10: address must be text",
    ]


def test_a_job_whose_study_is_not_here(call: Call, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("study: gone.yaml\n")
    sentence(call("submit", "job.yaml"), "there is no study file gone.yaml here")


def test_a_port_that_is_taken(call: Call, runs: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        sentence(call("ui", "--port", str(port)), f"port {port} is taken", "--port")


def test_a_study_without_search_cannot_be_swept(call: Call, tmp_path: Path) -> None:
    (tmp_path / "baseline.yaml").write_text(BASELINE)
    sentence(call("sweep", "baseline.yaml"), "there is no `search`", "ablate train")


REFUSED = """\
name: refused
data: {name: simvowels, utterances: [16, 10, 10], segments: 8, n_mels: 12, hop_ms: 20, window: 10}
model: {name: srnn, likelihood: LIKELIHOOD}
loss: {recon: {options: {likelihood: LIKELIHOOD}}, kl_z: 1}
"""


@pytest.mark.parametrize(
    ("likelihood", "needs"), [("mpjpe", "positions of joints"), ("itakura_saito", "power spectra")]
)
def test_values_that_the_likelihood_cannot_take_are_not_trained(
    call: Call, tmp_path: Path, likelihood: str, needs: str
) -> None:
    (tmp_path / "refused.yaml").write_text(REFUSED.replace("LIKELIHOOD", likelihood))
    said = call("train", "refused.yaml")
    assert said.code == 2 and not (tmp_path / "runs").exists()
    told = [line for line in said.err.splitlines() if not line.startswith("preparing")]
    assert len(told) == 1 and f"likelihood {likelihood} needs {needs}" in told[0]


def test_an_unknown_option_is_a_mistake_too(call: Call) -> None:
    assert call("sweep", "--no-such-option").code == 2


# ---- what the verbs print


def test_report_prints_the_table_of_cells_exactly(call: Call, runs: Path) -> None:
    its = recorded(runs, "small")
    said = call("report", "small", "--csv")
    assert said == Said(0, write_csv(its.question, its.rows), "")
    lines = said.out.splitlines()
    assert len(lines) == 1 + 4 and lines[0].startswith("study,role,name,signature,seed,model.z_dim,loss.scc.weight,")
    assert lines[1].startswith("small,search,z_dim=2,") and lines[3].startswith("small,confirm,default,")


def test_report_as_markdown(call: Call, runs: Path) -> None:
    out = call("report", "small", "--markdown").out
    assert "### Best of the search" in out and "### Confirmed on fresh seeds" in out
    assert "3 planned: 2 complete, 1 missing" in out


def test_status_as_json(call: Call, runs: Path) -> None:
    (found,) = json.loads(call("status", "--json").out)
    assert (found["study"], found["state"], found["cells"]) == ("small", "interrupted", {"complete": 4})


def test_ls_names_everything_with_its_first_line(call: Call) -> None:
    out = call("ls").out
    for registry in (MODELS, LOSSES, DATASETS, METRICS):
        for entry in registry:
            assert entry.name in out and entry.doc.replace("|", "\\|") in out
    assert "arXiv 1803.02991" in call("ls", "models").out
    sentence(call("ls", "losss"), "unknown list 'losss'", "did you mean 'losses'?")


def test_the_matrix_says_what_a_model_lacks(call: Call) -> None:
    head, _, *rows = [line for line in call("ls", "matrix").out.splitlines() if line.startswith("|")]
    cells = {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]] for row in rows}
    terms = [cell.strip() for cell in head.split("|")[2:-1]]
    assert terms == LOSSES.names() and set(cells) == set(MODELS.names())
    dsae = dict(zip(terms, cells["dsae"], strict=True))
    own = ("cyclic", "kl_f", "kl_z", "mi", "recon", "scc")
    assert dsae["kl_a"] == "no a" and dsae["dfp"] == "no predictor" and {dsae[term] for term in own} == {"yes"}
    vae = dict(zip(terms, cells["vae"], strict=True))
    assert (vae["kl_z"], vae["recon"], vae["kl_f"], vae["scc"]) == ("yes", "yes", "no f", "no static")


def test_schema_is_json(call: Call) -> None:
    assert json.loads(call("schema").out) == json.loads(json.dumps(json_schema()))


def test_help_lists_every_verb(call: Call) -> None:
    out = call("--help").out
    for verb in ("sweep", "resume", "train", "check", "status", "stop", "report", "ui", "ls", "schema", "doctor", "gc"):
        assert f" {verb} " in out


# ---- completion


def test_files_and_studies_are_completed(call: Call, tmp_path: Path) -> None:
    for name in ("one.yaml", "deep/two.yaml", "deep/notes.txt", "runs/s1/study.yaml", "runs/s2/study.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert cli.yaml_files("") == ["deep/two.yaml", "one.yaml"]
    assert cli.yaml_files("de") == cli.yaml_files("deep/") == ["deep/two.yaml"]
    assert cli.yaml_files(f"{tmp_path}/o") == [f"{tmp_path}/one.yaml"]
    typed = {"COMP_WORDS": "ablate resume s", "COMP_CWORD": "2", "_ABLATE_COMPLETE": "complete_bash"}
    ablate = Path(sys.executable).with_name("ablate")
    done = subprocess.run([ablate], env=os.environ | typed, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["s1", "s2"]


# ---- ui


def test_the_view_shows_what_differs_then_the_score_then_the_probes() -> None:
    space = {"model.z_dim": {"choice": [2, 4]}, "loss.scc.weight": {"choice": [0, 1]}}
    its = state(Question("s", "valid/probe_gap", "max", "tpe", space))
    assert its["selectedColumns"] == [
        *("params.`model`", "params.`z_dim`", "params.`scc`", "params.`seed`", "metrics.`objective`"),
        *(f"metrics.`valid/{name}`" for name in ("static_from_f", "static_from_z", "dynamic_from_z", "dynamic_from_f")),
        *("metrics.`valid/eer_f`", "metrics.`valid/eer_z`"),
    ]
    assert its["orderByKey"] == "metrics.`objective`" and its["orderByAsc"] is False
    assert its["searchFilter"] == "tags.`ablate.study` = 's' and tags.`ablate.kind` = 'seed'"


@pytest.mark.slow
def test_ui_serves_the_record_until_it_is_interrupted(own_runs: Path) -> None:
    command = [sys.executable, "-m", "ablate.cli", "ui", "--folder", str(own_runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=own_runs)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("MLflow         http://127.0.0.1:") and "viewStateShareKey=ablate-small" in line
        base = line.split()[1].partition("/#/")[0]
        with urllib.request.urlopen(f"{base}/health", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{base}/health", timeout=5)
    finally:
        if process.poll() is None:
            process.kill()
    record = Record(f"sqlite:///{own_runs}/mlflow.db", "ablate")
    view = json.loads(record._client.get_experiment(record.experiment_id).tags["mlflow.sharedViewState.ablate-small"])
    assert "params.`z_dim`" in view["selectedColumns"]
