"""From rows to the closing tables: who is confirmed, what the table says, and the sentence below it."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from ablate.design.confirm import Arm, confirm
from ablate.reporting.cells import CellRow, recorded_rows
from ablate.reporting.closing import shown
from ablate.reporting.confirmed import accounts, chosen, confirmation, ranked
from ablate.reporting.effects import (
    BESIDE,
    Level,
    against_table,
    caption,
    conclusion,
    confirmation_table,
    metrics_table,
    seeds_table,
)
from ablate.reporting.question import Question
from ablate.reporting.ranking import ranking_table
from ablate.reporting.terminal import closing, confirmation_markdown
from ablate.tracking import CUT

from .studies import DESIGN, QUESTION, SIGNATURES, confirmed, searched, study

EXAMPLE = {
    "trial_4": ("best", [0.6270, 0.6391, 0.6188, 0.6344, 0.6242], 0.6490),
    "trial_10": ("best", [0.6335, 0.6402, 0.6251, 0.6298, 0.6329], 0.6401),
    "default": ("default", [0.6150, 0.6289, 0.6071, 0.6233, 0.6140], None),
    "vae": ("baseline", [0.26, 0.27, 0.25, 0.26, 0.28], None),
}


@pytest.fixture(scope="module")
def rows() -> list[CellRow]:
    """The small study."""
    return recorded_rows(QUESTION, *study())


def example(*names: str):
    """The confirmation of statistics.md 9.9, and a baseline."""
    arms = [
        Arm(name, role, dict(zip(range(1000, 1005), values, strict=True)), score)
        for name, (role, values, score) in EXAMPLE.items()
        if name in names or not names
    ]
    return confirm(arms, "default", searched=12)


def test_a_question_from_a_design():
    assert (QUESTION.planned, QUESTION.role, QUESTION.sign) == (4, "grid", 1)
    assert QUESTION.confirmed_metric == "test/probe_gap"
    design = DESIGN | {
        "search": {"metric": ["valid/eer_f"], "mode": ["min"], "algorithm": "tpe", "trials": 9, "confirm": None}
    }
    its = Question.of(design)
    assert (its.planned, its.role, its.sign, its.top, its.baselines) == (9, "search", -1, 0, ())
    ints = Question.of(DESIGN | {"space": {"model.z_dim": {"int": [2, 5], "default": 3}}})
    assert ints.planned == 4


def test_ranking_ignores_what_did_not_complete(rows: list[CellRow]):
    assert [row.name for row in ranked(QUESTION, rows)] == ["scc=10", "default", "factorised", "factorised scc=10"]
    pruned = [replace(row, status="pruned") if row.name == "scc=10" else row for row in rows]
    assert ranked(QUESTION, pruned)[0].name == "default"
    ties = [replace(row, values={"objective": 0.5}) for row in rows]
    assert [row.signature[0] for row in ranked(QUESTION, ties)] == ["0", "1", "d", "f"]


def test_the_default_among_the_best_appears_once(rows: list[CellRow]):
    arms = chosen(QUESTION, rows)
    assert [(its.name, its.role, its.search_score) for its in arms] == [
        ("scc=10", "best", 0.61),
        ("default", "default", 0.6),
        ("vae", "baseline", None),
    ]
    assert arms[0].values == {1000: 0.55, 1001: 0.57, 1002: 0.56}
    assert arms[0].selected == pytest.approx({1000: 0.65, 1001: 0.67, 1002: 0.66})
    assert [its.signature for its in arms] == [SIGNATURES[name] for name in ("scc=10", "default", "vae")]


def test_optimism_is_on_the_split_of_the_search(rows: list[CellRow]):
    its = confirmation(QUESTION, rows)
    assert its["scc=10"].score.mean == pytest.approx(0.56)
    assert its["scc=10"].optimism == pytest.approx(0.61 - 0.66)
    assert its.searched == 4


def test_confirmed_earlier_but_no_longer_best(rows: list[CellRow]):
    more = [
        replace(row, values={"objective": 0.1}) if row.name == "scc=10" and row.role == "grid" else row for row in rows
    ]
    arms = chosen(QUESTION, more)
    assert [its.name for its in arms] == ["factorised", "default", "vae"]
    assert arms[0].values == {}
    assert str(confirmation(QUESTION, more)["factorised"].seeds) == "0/3 (3 pending)"


def test_failures_reach_the_confirmation():
    cells, arms = study()
    cells = [c for c in cells if c.name not in ("scc=10 s1001", "vae s1002")]
    lost = confirmed("scc=10")[1]
    cells.append(replace(lost, status="failed", failure="diverged", metrics={}))
    cells[4] = replace(cells[4], metrics={"objective": 0.65})  # complete, but the metric is not defined
    its = confirmation(QUESTION, recorded_rows(QUESTION, cells, arms))
    assert str(its["scc=10"].seeds) == "1/3 (1 diverged, 1 unmeasured)"
    assert str(its["vae"].seeds) == "2/3 (1 pending)"


def test_no_confirmation_before_it_began(rows: list[CellRow]):
    assert confirmation(QUESTION, [row for row in rows if row.role != "confirm"]) is None
    assert confirmation(replace(QUESTION, top=0), rows) is None


def test_accounts_of_both_parts(rows: list[CellRow]):
    assert [str(its) for its in accounts(QUESTION, rows)] == ["4 planned: 4 complete", "9 planned: 9 complete"]
    early = [row for row in rows if row.role == "grid"][:2]
    assert [str(its) for its in accounts(QUESTION, early)] == [
        "4 planned: 2 complete, 2 missing",
        "12 planned: 12 missing",  # two best, default and baseline on three seeds
    ]


def test_the_table_of_the_worked_example():
    table = confirmation_table(QUESTION, example())
    assert [its.head for its in table.columns] == [
        *("configuration", "seeds", "score", "effect [95 % CI]", "p", "p Holm", "P(better)", "P(first)"),
        *("verdict", "search score", "optimism"),
    ]
    assert table.rows == (
        (
            *("trial_4", "5/5", "0.6287 ± 0.0081", "+0.0110 [+0.0100, +0.0121]", "<.001", "<.001", "0.84", "0.07"),
            *("better", "0.6490", "+0.0203"),
        ),
        (
            *("trial_10", "5/5", "0.6323 ± 0.0055", "+0.0146 [+0.0078, +0.0215]", ".004", ".004", "0.96", "0.93"),
            *("better", "0.6401", "+0.0078"),
        ),
        ("default", "5/5", "0.6177 ± 0.0085", "", "", "", "", "0.00", "reference", "", ""),
        ("vae", "5/5", "0.264 ± 0.011", "-0.354 [-0.368, -0.339]", "", "", "0.00", "0.00", "baseline", "", ""),
    )


def test_the_caption_says_how():
    text = caption(QUESTION, example())
    assert text.startswith(
        "test/probe_gap, higher is better; score = mean ± sd over seeds. Effects are arm minus default"
    )
    assert "on the same 5 fresh seeds (1000-1004). Paired t-test, Holm over 2 contrasts at 5 %;" in text
    assert "the best of 12 equal trials would by chance alone show 0.014." in text
    assert text.endswith("Baselines are no part of the claim.")
    assert "Holm" not in caption(QUESTION, example("default", "vae"))


def test_an_undecided_row_says_what_it_could_have_seen(rows: list[CellRow]):
    its = confirmation(QUESTION, rows)
    row = confirmation_table(QUESTION, its).rows[0]
    assert row[8] == "within seed noise - undecided (MDE 0.033)"
    assert row[3] == "-0.010 [-0.035, +0.015]"


def test_conclusions():
    assert conclusion(example()) == (
        "On 5 fresh seeds trial_4 is better than default (+0.0110 [+0.0100, +0.0121]); "
        "trial_10 is better than default (+0.0146 [+0.0078, +0.0215])."
    )
    assert conclusion(example("default", "vae")) == "The search found nothing above default."


def test_no_effect_is_an_ordinary_conclusion(rows: list[CellRow]):
    assert conclusion(confirmation(QUESTION, rows)) == (
        "On 3 fresh seeds no advantage over default was shown for scc=10 (-0.010 [-0.035, +0.015])."
    )


def test_against_the_baselines():
    table = against_table(example())
    assert [row[:2] for row in table.rows] == [("trial_4", "vae"), ("trial_10", "vae"), ("default", "vae")]
    assert table.rows[2][2:4] == ("5/5", "+0.354 [+0.339, +0.368]")
    assert against_table(example("trial_4", "default")) is None


def test_all_seeds():
    table = seeds_table(QUESTION, example("trial_4", "default"))
    assert [its.head for its in table.columns] == ["configuration", "1000", "1001", "1002", "1003", "1004"]
    assert table.rows[0] == ("trial_4", "0.6270", "0.6391", "0.6188", "0.6344", "0.6242")


def test_seeds_without_a_value_say_why():
    arms = [
        Arm("a", "best", {0: 0.5, 2: 0.25}, failures={1: "diverged", 3: "infra"}),
        Arm("default", "default", dict.fromkeys(range(5), 0.5)),
    ]
    assert seeds_table(QUESTION, confirm(arms, "default")).rows[0] == (
        "a",
        "0.5000",
        "diverged",
        "0.2500",
        "infra",
        "-",
    )


def test_many_seeds_are_rows():
    arms = [
        Arm(name, role, {seed: seed / 100 for seed in range(9)})
        for name, role in (("a", "best"), ("default", "default"))
    ]
    table = seeds_table(QUESTION, confirm(arms, "default"))
    assert [its.head for its in table.columns] == ["seed", "a", "default"]
    assert table.rows[8] == ("8", "0.0800", "0.0800")


def test_probes_and_what_needs_no_training(rows: list[CellRow]):
    levels = [Level("raw features", {"probe_gap": [0.33]}), Level("untrained encoder", {"probe_gap": [0.1, 0.2, 0.3]})]
    table = metrics_table(QUESTION, confirmation(QUESTION, rows), rows, levels)
    assert [its.head for its in table.columns] == ["configuration", "probe gap", "static from f"]
    assert table.rows == (
        ("scc=10", "0.560 ± 0.010", "0.9800 ± 0.0000"),
        ("default", "0.570 ± 0.010", "0.9800 ± 0.0000"),
        ("vae", "0.260 ± 0.010", "0.9800 ± 0.0000"),
        ("raw features", "0.3300", ""),
        ("untrained encoder", "0.20 ± 0.10", ""),
    )


def test_ranking_table(rows: list[CellRow]):
    table = ranking_table(QUESTION, rows, shown=2)
    assert [its.head for its in table.columns] == ["#", "configuration", "valid/probe_gap", "static from z", "epochs"]
    assert table.rows == (("1", "scc=10", "0.6100", "0.300", "8"), ("2", "default", "0.6000", "0.300", "8"))
    assert table.caption.startswith("4 planned: 4 complete. ")
    assert table.caption.endswith("One seed each (0): these scores choose, they prove nothing.")


def test_closing_tables_of_a_search_that_found_nothing():
    out = io.StringIO()
    broken = [searched("default", status="failed", failure="diverged", metrics={})]
    closing(Console(file=out, width=80), QUESTION, recorded_rows(QUESTION, broken, []))
    assert "4 planned: 3 missing, 1 failed (1 diverged)." in out.getvalue()


def test_the_page(rows: list[CellRow]):
    text = confirmation_markdown(QUESTION, confirmation(QUESTION, rows), rows)
    assert text.startswith("# s: confirmation\n\nOn 3 fresh seeds no advantage over default was shown")
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## Confirmed on fresh seeds",
        "## Against the baselines",
        "## All seeds: test/probe_gap",
        "## Probes beside it",
    ]
    assert text.endswith("\n") and "significant" not in text and "nan" not in text


def test_levels_of_many_seeds_fit_into_the_record():
    """Nine metrics that tables show on 60 seeds, of forty that were measured, in six digits: less than a tag holds."""
    measured = {name: [1 / (3 + seed) for seed in range(60)] for name in [*BESIDE, *(f"other_{i}" for i in range(31))]}
    kept = shown(measured)
    assert list(kept) == list(BESIDE) and kept["probe_gap"][0] == 0.333333
    assert len(json.dumps({"untrained encoder": kept}, separators=(",", ":"))) < CUT["tag"]
