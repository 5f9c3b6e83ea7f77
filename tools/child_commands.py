"""Commands of the project that a command runs one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from dogcat.core import commands
from dogcat.core.interrupts import Interrupts, Terminated
from dogcat.core.options import InputError

# Where the tools are: a wheel holds them as `dogcat.tools`.
TOOLS = __package__


def call(module: str, *arguments: str) -> None:
    """Runs a command, which prints for itself.

    Args:
        module: Its module, as Python finds it here.
        arguments: Its command line.

    Raises:
        InputError: It failed.
        Terminated, KeyboardInterrupt: This process was told to stop; the command has ended.
    """
    shown = " ".join((commands.spelled_module(module), *arguments))
    print(f"\n$ {shown}", flush=True)
    stopped: BaseException | None = None
    process: subprocess.Popen[bytes] | None = None
    with Interrupts() as interrupts:
        while process is None or process.returncode is None:
            try:
                if process is None:
                    # A signal while the command is being started would leave nobody to wait for it.
                    with interrupts.deferred():
                        process = subprocess.Popen([sys.executable, "-m", module, *arguments])
                process.wait()
            # Ctrl-C comes to the command too, which may have to save.
            except (Terminated, KeyboardInterrupt) as stop:
                stopped = type(stop)("the same command goes on from there")
                if process is not None and isinstance(stop, Terminated):
                    process.terminate()
    if stopped:
        raise stopped
    if process.returncode:
        raise InputError(f"{shown} ended with exit code {process.returncode}, see above")
