"""The table of cells: order, content, reuse, and the same bytes however the cells came to be."""

import csv
import io
import json
import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.delivery import Delivery
from ablate.reporting.cells import account, recorded_rows, swept_rows, unique_digits, write_csv
from ablate.reporting.question import Question
from ablate.search.plan import Outcome
from ablate.spool import Spool, Tail
from ablate.tracking import Record

from .studies import DESIGN, POINTS, QUESTION, SIGNATURES, arm, cell, searched, study


def table(cells: list, arms: list) -> str:
    """The CSV of a record."""
    return write_csv(QUESTION, recorded_rows(QUESTION, cells, arms))


def parsed(text: str) -> list[dict[str, str]]:
    """Its rows."""
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_stand_in_the_order_of_the_study():
    rows = parsed(table(*study()))
    assert [row["name"] for row in rows[:4]] == ["scc=10", "default", "factorised scc=10", "factorised"]
    assert [(row["name"], row["seed"]) for row in rows[4:]] == [
        (name, seed) for name in ("scc=10", "default", "vae") for seed in ("1000", "1001", "1002")
    ]
    assert [row["role"] for row in rows] == ["grid"] * 4 + ["confirm"] * 9


def test_columns():
    rows = parsed(table(*study()))
    assert list(rows[0]) == [
        *("study", "role", "name", "signature", "seed", "model.inference", "loss.scc.weight"),
        *("status", "failure", "epochs", "best_epoch", "objective"),
        *("test/probe_gap", "test/static_from_f", "valid/probe_gap", "valid/static_from_z"),
    ]
    assert rows[0] == {
        "study": "s",
        "role": "grid",
        "name": "scc=10",
        "signature": "dddddddd",
        "seed": "0",
        "model.inference": "full",
        "loss.scc.weight": "10",
        "status": "complete",
        "failure": "",
        "epochs": "8",
        "best_epoch": "7",
        "objective": "0.61",
        "test/probe_gap": "",
        "test/static_from_f": "",
        "valid/probe_gap": "0.6",
        "valid/static_from_z": "0.3",
    }
    assert (rows[-1]["model.inference"], rows[-1]["test/probe_gap"]) == ("", "0.25")


def test_numbers_read_back_exactly():
    value = 0.1 + 0.2
    text = table([searched("default", metrics={"objective": value})], [])
    assert float(parsed(text)[0]["objective"]) == value
    assert text.endswith("\n") and "\r" not in text


def test_what_is_no_number_is_empty():
    broken = searched("default", status="failed", failure="diverged", metrics={"objective": math.nan})
    row = parsed(table([broken], []))[0]
    assert (row["status"], row["failure"], row["objective"]) == ("failed", "diverged", "")
    assert "nan" not in table([broken], [])


def test_same_bytes_in_any_order_of_the_record():
    cells, arms = study()
    expected = table(cells, arms)
    for seed in range(5):
        random.Random(seed).shuffle(cells)
        random.Random(seed).shuffle(arms)
        assert table(cells, arms) == expected


def test_times_runs_and_processes_leave_no_trace():
    cells, arms = study()
    other = [
        replace(
            its, run_id=f"x{i}", started=10**6 - i, ended=None, why="host b", tags=its.tags | {"ablate.device": "gpu"}
        )
        for i, its in enumerate(cells)
    ]
    assert table(other, arms) == table(cells, arms)


def test_earlier_attempts_leave_no_trace():
    cells, arms = study()
    lost = replace(cells[0], run_id="lost", status="failed", failure="infra", metrics={}, started=5)
    again = replace(cells[1], attempt=2, status="stopped", metrics={}, started=9)
    assert table([*cells, lost, again], arms) == table(cells, arms)


def test_same_bytes_whatever_the_hash_seed():
    script = (
        "from reporting.studies import *; from ablate.reporting.cells import *; import sys;"
        "sys.stdout.write(write_csv(QUESTION, recorded_rows(QUESTION, *study())))"
    )
    tests = Path(__file__).parents[1]
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tests,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {table(*study())}


def test_cells_that_another_study_ran_are_rows_of_this_one():
    cells, _ = study()
    elsewhere = replace(
        cells[0], study="earlier", run_id="there", name="other name s0", point={"loss.scc.weight": 10, "train.lr": 1}
    )
    stranger = replace(elsewhere, run_id="unlinked", cell="unlinked")
    point = json.dumps(POINTS["scc=10"])
    arms = [arm("scc=10", **{"ablate.run.0": "there", "ablate.point": point})]
    rows = recorded_rows(QUESTION, [elsewhere, stranger, *cells[1:]], arms)
    assert (rows[0].name, rows[0].role, rows[0].reused, rows[0].point) == ("scc=10", "grid", True, POINTS["scc=10"])
    assert [row.reused for row in rows].count(True) == 1
    assert write_csv(QUESTION, rows) == table(*study())


def test_a_cell_reused_for_the_confirmation_is_a_confirmed_one():
    elsewhere = replace(cell("default", "search", 1000), study="earlier", run_id="there")
    rows = recorded_rows(QUESTION, [elsewhere], [arm("default", **{"ablate.run.1000": "there"})])
    assert [(row.role, row.seed) for row in rows] == [("confirm", 1000)]


def test_own_complete_cell_wins_over_a_linked_one():
    own, linked = searched("default"), replace(searched("default"), study="earlier", run_id="there")
    arms = [arm("default", **{"ablate.run.0": "there"})]
    assert [row.reused for row in recorded_rows(QUESTION, [own, linked], arms)] == [False]
    pruned = replace(own, status="pruned")
    assert [row.reused for row in recorded_rows(QUESTION, [pruned, linked], arms)] == [True]


def test_signatures_show_as_many_digits_as_tell_them_apart():
    assert unique_digits(SIGNATURES.values()) == 8
    assert unique_digits(["a" * 64, "a" * 10 + "b" * 54]) == 11
    assert unique_digits([]) == 8


def test_a_continuous_space_is_ordered_by_its_numbers():
    design = DESIGN | {"space": {"loss.beta": {"loguniform": [0.1, 10], "default": 1}}, "baselines": {}}
    design["search"] = DESIGN["search"] | {"algorithm": "tpe", "trials": 3}
    question = Question.of(design)
    cells = [
        cell(name, "search", 0, point={"loss.beta": beta}) for name, beta in zip(POINTS, (3.5, 0.2, 10.0), strict=False)
    ]
    rows = recorded_rows(question, cells, [])
    assert [row.point["loss.beta"] for row in rows] == [0.2, 3.5, 10.0]


@pytest.mark.parametrize("planned", [6, 2])
def test_the_account_adds_up(planned: int):
    status = ["complete", "pruned", "failed", "running"]
    cells = [searched(name, status=its) for name, its in zip(POINTS, status, strict=True)]
    cells[2] = replace(cells[2], failure="diverged")
    its = account("grid", planned, recorded_rows(QUESTION, cells, []))
    failed = sum(its.failed.values())
    assert its.planned == its.complete + its.pruned + failed + its.running + its.missing == max(planned, 4)
    assert its.failed == {"diverged": 1}


def test_an_account_in_words():
    rows = recorded_rows(QUESTION, [searched("default"), searched("scc=10", status="stopped")], [])
    assert str(account("grid", 4, rows)) == "4 planned: 1 complete, 3 missing"
    assert str(account("grid", 4, [])) == "4 planned: 4 missing"


class Planned:
    """The parts of a cell that a row shows."""

    def __init__(self, name: str):
        self.name, self.signature, self.key, self.role = name, SIGNATURES[name], f"{name}-0", "grid"
        self.seed, self.point = 0, POINTS[name]


def test_what_a_sweep_holds_gives_the_rows_of_the_record():
    cells = [searched(name) for name in POINTS]
    cells[3] = replace(cells[3], status="failed", failure="code", metrics={}, tags={"ablate.role": "grid"})
    found = [
        (Planned(name), Outcome(its.cell, its.status, its.metrics, its.failure, history=((1, 0.1), (8, 0.2))))
        for name, its in zip(POINTS, cells[:3], strict=False)
    ]
    found.append((Planned("factorised"), Outcome("factorised-0", "failed", {}, "code")))
    assert write_csv(QUESTION, swept_rows(QUESTION, found)) == table(cells, [])
    pending = swept_rows(QUESTION, [(Planned("default"), None)])
    assert [row.status for row in pending] == ["pending"]


def test_from_a_real_record(record: Record, tmp_path: Path):
    """Through spool and MLflow: an interrupted and resumed study gives the bytes of the uninterrupted one."""

    def run(name: str, order: list[str], interrupted: str | None) -> str:
        spool = Spool(tmp_path / name, "p")
        tail, delivery = Tail(spool.file), Delivery(record, name, record.open_study(name, {}), tmp_path / name)
        for at, its in enumerate(order):
            opening = {
                "event": "open",
                "cell": f"{its}-0",
                "name": f"{its} s0",
                "parent": {"arm": SIGNATURES[its], "name": its},
                "seed": 0,
                "point": POINTS[its],
                "tags": {"ablate.role": "grid"},
                "at": at,
            }
            values = {"objective": 1 / (3 + len(its)), "valid/elbo": -len(its) / 7, "system/cpu_seconds": at + 0.5}
            reports = [
                {
                    "event": "metrics",
                    "cell": f"{its}-0",
                    "epoch": e,
                    "values": {k: v * e for k, v in values.items()},
                    "at": e,
                }
                for e in (1, 2, 3)
            ]
            end = {"event": "end", "cell": f"{its}-0", "status": "complete", "at": 99}
            tags = {"event": "tags", "cell": f"{its}-0", "tags": {"ablate.epochs": "3"}}
            events = [opening, *reports, tags, end]
            if its == interrupted:
                stop = {"event": "end", "cell": f"{its}-0", "status": "stopped", "failure": "stopped", "at": 50}
                events = [opening, *reports[:2], stop, opening, *reports[1:], tags, end]
            for event in events:
                spool.append(event)
        delivery.bring(tail)
        question = replace(QUESTION, study=name)
        return write_csv(question, recorded_rows(question, record.cells(), record.arms(name)))

    whole = run("whole", list(POINTS), None)
    resumed = run("resumed", list(reversed(POINTS)), "default")
    assert resumed.replace("resumed,", "whole,") == whole
    assert len(whole.splitlines()) == 5
    assert parsed(whole)[1]["objective"] == repr(3 * (1 / 10))
