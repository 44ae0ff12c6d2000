"""Signals: the first ends Tune's run in order, the second at once, and afterwards everything is as before."""

import os
import signal
import threading

import pytest

from ablate.search.interrupts import Orderly, as_interrupt, handling
from ablate.search.result import Stop


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_before_tune_listens_the_first_ctrl_c_ends_at_once() -> None:
    its, before = Orderly(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), its.watching():
        send(signal.SIGINT)
    assert its.called and signal.getsignal(signal.SIGINT) == before


def test_while_tune_listens_it_is_told_and_the_second_ends_at_once() -> None:
    its, told = Orderly(), []

    def run() -> None:
        with its.watching():
            signal.signal(signal.SIGUSR1, lambda *_: told.append(1))  # as Tune does when its run begins
            send(signal.SIGINT)
            assert told == [1] and its.called
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert told == [1]
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_without_a_signal_nothing_was_called() -> None:
    its = Orderly()
    with its.watching():
        pass
    assert not its.called


def test_sigterm_is_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), handling(signal.SIGTERM, as_interrupt):
        send(signal.SIGTERM)


def test_handlers_are_restored_and_other_threads_leave_them_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with handling(signal.SIGTERM, signal.SIG_IGN):
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == before
    seen = []

    def elsewhere() -> None:
        with handling(signal.SIGTERM, signal.SIG_IGN):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_stop_from_any_thread_is_ctrl_c_with_a_reason() -> None:
    its = Stop()
    for reason in ("`ablate stop` asked for it", "later"):
        with pytest.raises(KeyboardInterrupt):
            its(reason)
    assert its.reason == "`ablate stop` asked for it"
