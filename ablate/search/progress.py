"""The board a person watches: trials done, running and failed, the best so far, and the time that is left."""

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from ablate.search.plan import Outcome

SHOWN = 8  # running trials listed at once


class Board:
    """Live on a terminal, a line per finished trial elsewhere."""

    def __init__(self, console: Console, mode: str = "max"):
        self.console, self.mode = console, mode
        self.best: tuple[float, str] | None = None
        self.failed: list[str] = []  # one line each
        self.retried = 0
        self._running: dict[str, tuple[str, int, float]] = {}  # cell -> (label, epoch, objective)
        self._counts = {"complete": 0, "pruned": 0, "failed": 0, "stopped": 0}
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: Any = None
        self._live: Live | None = None
        self._started = time.monotonic()

    def phase(self, title: str, total: int, done: int = 0) -> None:
        """Begin a phase of `total` trials of which `done` are known already."""
        self.close()
        self._counts = dict.fromkeys(self._counts, 0)
        self._started = time.monotonic()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(title, total=total, completed=done)
        known = f", {done} of them in the record" if done else ""
        self.console.print(f"[bold]{title}[/]: {total} trials{known}")
        if self.console.is_terminal:
            self._live = Live(self._render(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def start(self, cell: dict[str, Any]) -> None:
        """A trial has begun."""
        self._running[cell["cell"]] = (label(cell), 0, float("nan"))
        self._refresh()

    def report(self, cell: dict[str, Any], epoch: int, objective: float) -> None:
        """A trial has completed an epoch."""
        self._running[cell["cell"]] = (label(cell), epoch, objective)
        self._refresh()

    def end(self, cell: dict[str, Any], outcome: Outcome) -> None:
        """A trial has ended."""
        self._running.pop(cell["cell"], None)
        self._counts[outcome.status] += 1
        value = outcome.objective
        if outcome.status == "complete" and (self.best is None or self._better(value, self.best[0])):
            self.best = (value, label(cell))
        if outcome.status == "failed":
            self.failed.append(f"{label(cell)}: {outcome.failure}: {outcome.why}")
        if self._task is not None:
            self._bar.advance(self._task)
        if self._live is None or outcome.status in ("failed", "stopped"):
            score = (
                f" {value:.4f}" if outcome.status in ("complete", "pruned") else f" {outcome.failure}: {outcome.why}"
            )
            done, total = self._progress()
            self.say(f"[{done}/{total}] {outcome.status}{score}  {label(cell)}")
        self._refresh()

    def say(self, line: str) -> None:
        """One line above the board."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _progress(self) -> tuple[int, int]:
        done = [(int(task.completed), int(task.total or 0)) for task in self._bar.tasks]
        return done[0] if done else (0, 0)

    def _better(self, value: float, best: float) -> bool:
        return value > best if self.mode == "max" else value < best

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._render())

    def _render(self) -> Group:
        counts = ", ".join(f"{count} {status}" for status, count in self._counts.items() if count)
        best = f"best {self.best[0]:.4f}  {self.best[1]}" if self.best else "no best yet"
        lines = [
            Text(f"  epoch {epoch:>3}  {objective:.4f}  {name}")
            for name, epoch, objective in list(self._running.values())[:SHOWN]
        ]
        return Group(
            self._bar, Text(f"  {len(self._running)} running{', ' + counts if counts else ''}; {best}"), *lines
        )


def label(cell: dict[str, Any]) -> str:
    """`scc=10 z_dim=4 (seed 1000)`."""
    return f"{cell['name']} (seed {cell['seed']})"
