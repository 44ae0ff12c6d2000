"""The board: lines where nobody watches, a live picture on a terminal, and counts that add up."""

import io
import math
from typing import Any

import pytest
from rich.console import Console

from ablate.search.plan import Outcome
from ablate.search.progress import Board, label


def cell(number: int, seed: int = 0) -> dict[str, Any]:
    return {"cell": f"c{number}", "name": f"z_dim={number}", "seed": seed}


def done(number: int, status: str = "complete", value: float = 0.5, **more: Any) -> Outcome:
    return Outcome(f"c{number}", status, {"objective": value} if status in ("complete", "pruned") else {}, **more)


def board(mode: str = "max", terminal: bool = False) -> tuple[Board, io.StringIO]:
    out = io.StringIO()
    return Board(Console(file=out, width=120, force_terminal=terminal), mode), out


def test_elsewhere_than_on_a_terminal_there_is_a_line_per_trial() -> None:
    its, out = board()
    its.phase("search (tpe)", 4, 1)
    for number in (1, 2, 3):
        its.start(cell(number))
        its.report(cell(number), 1, 0.1)
    its.end(cell(1), done(1, value=0.61234))
    its.end(cell(2), done(2, "pruned", 0.2))
    its.end(cell(3), done(3, "failed", failure="diverged", why="nan: kl_z [epoch 7]"))
    its.close()
    assert out.getvalue().splitlines() == [
        "search (tpe): 4 trials, 1 of them in the record",
        "[2/4] complete 0.6123  z_dim=1 (seed 0)",
        "[3/4] pruned 0.2000  z_dim=2 (seed 0)",
        "[4/4] failed diverged: nan: kl_z [epoch 7]  z_dim=3 (seed 0)",
    ]
    assert "\x1b" not in out.getvalue()
    assert its.failed == ["z_dim=3 (seed 0): diverged: nan: kl_z [epoch 7]"]


@pytest.mark.parametrize(("mode", "best"), [("max", 0.9), ("min", 0.1)])
def test_the_best_is_that_of_the_complete_trials(mode: str, best: float) -> None:
    its, _ = board(mode)
    its.phase("search", 5)
    for number, value in enumerate((0.5, 0.9, 0.1)):
        its.end(cell(number), done(number, value=value))
    its.end(cell(3), done(3, "pruned", 99.0 if mode == "max" else -99.0))
    its.end(cell(4), done(4, "failed", failure="code", why="x"))
    assert its.best is not None and its.best[0] == best


def test_a_stopped_trial_says_why_and_is_no_failure() -> None:
    its, out = board()
    its.phase("confirm", 1)
    its.end(cell(1, seed=1000), done(1, "stopped", failure="stopped", why="interrupted"))
    assert "stopped stopped: interrupted  z_dim=1 (seed 1000)" in out.getvalue() and its.failed == []


def test_a_second_phase_counts_anew_and_keeps_failures() -> None:
    its, out = board()
    its.phase("search", 2)
    its.end(cell(1), done(1, "failed", failure="code", why="x"))
    its.phase("confirm", 3)
    its.end(cell(2), done(2))
    assert "[1/3] complete" in out.getvalue() and len(its.failed) == 1


def test_on_a_terminal_the_running_trials_are_shown() -> None:
    its, out = board(terminal=True)
    its.phase("search", 20)
    for number in range(10):
        its.start(cell(number))
    its.report(cell(0), 3, 0.25)
    its.end(cell(1), done(1, value=0.75))
    picture = render(its)
    assert "epoch   3  0.2500  z_dim=0 (seed 0)" in picture
    assert "epoch   0  nan  z_dim=2 (seed 0)" in picture
    assert picture.count("z_dim=") == 8 + 1  # so many running trials at once, and the best
    assert "9 running, 1 complete; best 0.7500  z_dim=1 (seed 0)" in picture and "1/20" in picture
    its.close()
    its.close()
    assert "[1/20]" not in out.getvalue()  # a finished trial needs no line where the board is live


def render(its: Board) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(its._render())
    return out.getvalue()


def test_failures_get_a_line_on_a_terminal_too() -> None:
    its, out = board(terminal=True)
    its.phase("search", 2)
    its.end(cell(1), done(1, "failed", failure="code", why="ValueError: x"))
    its.close()
    assert "[1/2] failed code: ValueError: x  z_dim=1 (seed 0)" in out.getvalue()


def test_before_anything_ended_there_is_no_best() -> None:
    its, _ = board()
    its.phase("search", 2)
    assert "0 running; no best yet" in render(its)


def test_what_is_said_is_printed_as_it_is() -> None:
    its, out = board()
    its.say("data: [bold]2 files[/] skipped")
    assert out.getvalue() == "data: [bold]2 files[/] skipped\n"


def test_an_end_before_any_phase_is_no_error() -> None:
    its, _ = board()
    its.end(cell(1), done(1, "stopped", failure="stopped", why="x"))


def test_a_label_names_configuration_and_seed() -> None:
    assert label(cell(4, seed=1000)) == "z_dim=4 (seed 1000)"
    assert math.isnan(Outcome("c", "failed", {}).objective)
