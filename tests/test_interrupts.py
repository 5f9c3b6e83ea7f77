from __future__ import annotations

import os
import signal

import pytest

from dogcat.interrupts import Interrupts, Terminated


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_becomes_an_exception(number, error):
    before = signal.getsignal(number)
    with pytest.raises(error), Interrupts():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_deferred_block_ends_first(number, error):
    done = []
    with Interrupts() as interrupts:
        with pytest.raises(error), interrupts.deferred():
            os.kill(os.getpid(), number)
            done.append("the rest of the block")
        with interrupts.deferred():
            done.append("a block without a signal")
    assert done == ["the rest of the block", "a block without a signal"]


def test_signals_can_be_ignored_to_the_end():
    with Interrupts() as interrupts:
        interrupts.ignore()
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
