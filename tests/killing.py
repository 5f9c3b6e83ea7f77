"""A call killed by SIGKILL before each of its steps on the file system, in processes of its own."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "open"}
_TOO_MANY = 500


def killed_at_each_step(call: Callable[[], object], begin: Callable[[], object], below: Path) -> Iterator[int]:
    """Runs `begin`, then `call` in a process that is killed before step 0, 1, 2, ... of those below a folder.

    Yields:
        The number of each step, after the kill; ends when the call comes to its own end.
    """
    for step in range(_TOO_MANY):
        begin()
        if not _is_killed_at(call, step, below):
            return
        yield step
    raise AssertionError(f"more than {_TOO_MANY} steps")


def _is_killed_at(call: Callable[[], object], step: int, below: Path) -> bool:
    sys.stdout.flush()
    process = os.fork()
    if not process:
        _call_and_end(call, step, below)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, f"the call failed at step {step}, see above"
    return False


def _call_and_end(call: Callable[[], object], step: int, below: Path) -> None:
    """Never returns, whatever comes: what is behind belongs to the other process."""
    left = step
    own = os.getpid()
    counting = True

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        if not counting or event not in _STEPS or os.getpid() != own:
            return
        path = arguments[0]
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(f"{below}/"):
            if not left:
                os.kill(own, signal.SIGKILL)
            left -= 1

    code = 1
    try:
        sys.addaudithook(count)
        call()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        counting = False
        sys.stderr.flush()
        os._exit(code)
