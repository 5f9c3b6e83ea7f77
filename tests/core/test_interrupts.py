from __future__ import annotations

import signal
import sys
import threading
import time
import weakref

import pytest

from dogcat.core.interrupts import Interrupts, Terminated

ALL = [(signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated), (signal.SIGINT, KeyboardInterrupt)]


def hear(number, frame):
    """Handles a signal as another part of the program would; without it one that is not caught ends all tests."""


@pytest.fixture(autouse=True)
def heard():
    """Handlers that ignore nothing, whatever started these tests."""
    before = {number: signal.signal(number, hear) for number, _ in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "error"), ALL)
def test_a_signal_becomes_an_exception(number, error):
    before = signal.getsignal(number)
    with pytest.raises(error), Interrupts():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "error"), ALL)
def test_a_deferred_block_ends_first(number, error):
    done = []
    with Interrupts() as interrupts:
        with pytest.raises(error), interrupts.deferred():
            signal.raise_signal(number)
            done.append("the rest of the block")
        with interrupts.deferred():
            done.append("a block without a signal")
    assert done == ["the rest of the block", "a block without a signal"]


class RaisesAtItsEnd:
    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.mark.parametrize(("number", "error"), ALL)
def test_a_signal_that_comes_in_a_finalizer_is_not_lost(number, error, capsys):
    began = time.monotonic()
    with pytest.raises(error), Interrupts():
        RaisesAtItsEnd(number)
        time.sleep(30)
    assert time.monotonic() - began < 20
    assert capsys.readouterr().err == ""


def test_in_another_thread_nothing_changes():
    entered, may_end = threading.Event(), threading.Event()

    def elsewhere():
        with Interrupts():
            entered.set()
            may_end.wait(30)

    hook = sys.unraisablehook
    thread = threading.Thread(target=elsewhere)
    with Interrupts():
        thread.start()
        assert entered.wait(30)
    may_end.set()
    thread.join()
    assert sys.unraisablehook == hook


def test_what_else_is_dropped_is_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with Interrupts():
        before = weakref.ref(Interrupts(), lambda _: 1 / 0)
    assert before() is None and [each.exc_type for each in told] == [ZeroDivisionError]
    assert sys.unraisablehook == told.append


def test_signals_can_be_ignored_to_the_end():
    with Interrupts() as interrupts:
        interrupts.ignore()
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN


@pytest.mark.parametrize(("number", "error"), ALL)
def test_what_is_ignored_stays_ignored(number, error):
    signal.signal(number, signal.SIG_IGN)
    with Interrupts():
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_IGN


def test_after_the_work_only_ctrl_c_is_heard_and_ends_the_process():
    with Interrupts() as interrupts:
        interrupts.leave()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
