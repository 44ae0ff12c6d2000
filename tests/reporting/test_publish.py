"""The page and the figures on disk and on the study's run: where they lie, and what stands in the way."""

import logging
import shutil
from pathlib import Path

import pytest
from command import Call, call, own_runs, recorded_once, runs, sentence
from rich.console import Console

from ablate.reporting.publish import leave_page
from ablate.reporting.recorded import recorded

__all__ = ["call", "own_runs", "recorded_once", "runs"]


def artifacts(folder: Path) -> Path:
    """The artifacts of the study's run."""
    its = recorded(folder, "small")
    assert its.known is not None
    return folder / "artifacts" / its.known.run_id / "artifacts"


def test_the_page_lies_in_the_study_s_folder_and_on_its_run(call: Call, own_runs: Path) -> None:
    said = call("report", "small", "--html")
    page = own_runs / "small" / "report" / "report.html"
    assert (said.code, said.err) == (0, "") and "runs/small/report/report.html" in said.out
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "<h1>small</h1>" in text
    assert (artifacts(own_runs) / "report.html").read_text() == text
    drawn = {its.name for its in (artifacts(own_runs) / "figures").iterdir()}
    assert {"forest.svg", "paired.svg", "parallel.svg"} & drawn and all(its.endswith(".svg") for its in drawn)
    assert call("report", "small", "--html").code == 0
    assert page.read_text() == text, "the same record, the same bytes"


def test_the_page_goes_where_it_is_asked_to(call: Call, own_runs: Path, tmp_path: Path) -> None:
    said = call("report", "small", "away/page.html", "--html")
    assert said.code == 0 and (tmp_path / "away" / "page.html").exists()
    assert not (own_runs / "small" / "report").exists()


def test_figures_come_in_every_kind_with_their_numbers(call: Call, own_runs: Path, tmp_path: Path) -> None:
    said = call("report", "small", "--figures", "drawn")
    files = sorted(its.name for its in (tmp_path / "drawn").iterdir())
    names = {its.partition(".")[0] for its in files}
    assert said.code == 0 and "parallel" in names
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("csv", "pdf", "png", "svg"))
    kept = artifacts(own_runs) / "figures"
    assert {its.name: its.read_bytes() for its in kept.iterdir()} == {
        its.name: its.read_bytes() for its in (tmp_path / "drawn").iterdir()
    }


def test_tables_can_be_asked_for_beside_it(call: Call, own_runs: Path) -> None:
    out = call("report", "small", "--html", "--csv").out
    assert "report.html" in out and "study,role,name,signature,seed" in out


def test_a_place_that_cannot_be_written(call: Call, own_runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence(call("report", "small", "file/page.html", "--html"), "file", "cannot be written", "name another place")
    sentence(call("report", "small", "--figures", "file/drawn"), "cannot be written")


def test_a_path_without_a_page_is_a_mistake(call: Call, runs: Path) -> None:
    sentence(call("report", "small", "page.html"), "page.html", "--html")


def test_a_sweep_leaves_its_page(own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_page(own_runs, "small", Console())
    assert (own_runs / "small" / "report" / "report.html").exists() and (artifacts(own_runs) / "report.html").exists()
    assert "report.html" in capsys.readouterr().out.replace("\n", "")


def test_a_page_that_cannot_be_made_fails_no_sweep(own_runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        leave_page(own_runs, "gone", Console())
    assert "no page was made (there is no study 'gone'" in caplog.text
    assert "`ablate report gone --html` makes it" in caplog.text


def test_a_record_that_takes_no_files_keeps_no_page_from_the_folder(
    own_runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(own_runs / "artifacts", ignore_errors=True)
    (own_runs / "artifacts").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        leave_page(own_runs, "small", Console())
    assert "the page is not in the record" in caplog.text and "no page was made" not in caplog.text
    assert (own_runs / "small" / "report" / "report.html").exists()
