"""Ctrl-C, SIGTERM and `ablate stop` are one thing: the first ends the sweep in order, the second at once."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def handling(number: int, handler: Any) -> Iterator[None]:
    """Another handler of a signal for a while; nothing in a thread that is not the main one, which cannot have any."""
    try:
        before = signal.signal(number, handler)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(number, before)


def as_interrupt(number: int, frame: FrameType | None) -> None:
    """Handler that makes another signal the same as Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


class Orderly:
    """While Tune runs: the first SIGINT ends its run after the current event, the second raises KeyboardInterrupt.

    Tune's own handler of SIGINT is not enough: it stays when the run is over and swallows the next Ctrl-C, and nobody
    can ask it whether it was called. Tune heeds SIGUSR1 as well, which is how it is told.
    """

    def __init__(self) -> None:
        self.called = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block the handlers are ours; afterwards what they were."""
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        with handling(signal.SIGUSR1, signal.SIG_IGN), handling(signal.SIGINT, self.interrupt):
            yield

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handler of SIGINT."""
        again, self.called = self.called, True
        if again or signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN:  # Tune's run has not begun
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGUSR1)
