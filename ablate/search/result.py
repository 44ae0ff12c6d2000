"""What a sweep leaves in hand, and the ways in which it ends before its plan."""

import os
import signal
from dataclasses import dataclass, field

from ablate.search.confirm import Candidate
from ablate.search.plan import Cell, Outcome


@dataclass
class Result:
    """What a sweep leaves in hand for the closing tables."""

    found: list[tuple[Cell, Outcome]] = field(default_factory=list)  # of the search or the design, in its order
    chosen: list[Candidate] = field(default_factory=list)
    confirmed: dict[str, Outcome] = field(default_factory=dict)  # by cell key
    cells: list[Cell] = field(default_factory=list)  # of the confirmation
    failed: list[str] = field(default_factory=list)
    interrupted: str = ""  # why, if the sweep ended before its plan
    backlog: int = 0  # records that wait for MLflow
    ran: int = 0  # cells trained by this process
    given_up: list[str] = field(default_factory=list)  # contrasts of a design that its budget ended
    reused: set[str] = field(default_factory=set)  # keys of cells that another study ran
    full_disk: bool = False
    levels: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # untrained encoder, raw features


class Interrupted(Exception):
    """The sweep was asked to stop; what has not ended is marked as stopped."""


class Stop:
    """Ends the sweep in order, from any thread: the same path as Ctrl-C."""

    def __init__(self) -> None:
        self.reason = ""

    def __call__(self, reason: str) -> None:
        """Ask for the end; the first reason is the one that is told."""
        self.reason = self.reason or reason
        os.kill(os.getpid(), signal.SIGINT)
