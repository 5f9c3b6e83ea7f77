"""What precision, oneDNN, XLA and the allocator are worth to Xception, and what another TensorFlow is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

from . import rounds
from .peer_writers import Work
from .processes import environment_of_project

# What a process does, and how that is called.
WORK = {"forward": "forward", "trained": "trained from layer 96"}


@dataclasses.dataclass(frozen=True)
class _Setting:
    """A contestant: arguments of `network_rates`, variables, and what it does; the rest as of `rounds.Contestant`."""

    name: str
    title: str
    note: str
    precision: str = "auto"
    jit_compile: str = "auto"
    prepared: bool = True
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    python: str = sys.executable
    work: Sequence[str] = tuple(WORK)


_WITHOUT_ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "0"}
_CHOSEN = _Setting("dogcat", "dogcat", "as it sets all by itself")
# Some train so slowly (bfloat16 without oneDNN: 0.7 pictures/s), or in so much memory (XLA on a processor: 12 GB for a
# batch), that only their batches forward are measured.
_OTHERS = (
    _Setting("float32", "float32", "", precision="float32"),
    _Setting("bfloat16", "bfloat16", "", precision="mixed_bfloat16"),
    _Setting("float32-plain", "float32 without oneDNN", "", precision="float32", variables=_WITHOUT_ONEDNN),
    _Setting(
        "bfloat16-plain",
        "bfloat16 without oneDNN",
        "",
        precision="mixed_bfloat16",
        variables=_WITHOUT_ONEDNN,
        work=("forward",),
    ),
    _Setting("xla", "XLA", "--jit_compile=on", jit_compile="on", work=("forward",)),
    _Setting("as-it-comes", "nothing set", "oneDNN and malloc as they come", prepared=False),
)


@contextlib.contextmanager
def contestants(other_python: str) -> Iterator[dict[str, list[rounds.Contestant]]]:
    """What dogcat sets beside each other setting, forward and in training steps, each in a process that stays.

    Args:
        other_python: A Python with dogcat and another TensorFlow, which takes part as dogcat sets it; empty: none.

    Yields:
        The contestants of each of `WORK`, which work while the block lasts.
    """
    settings = [_CHOSEN, *_OTHERS]
    if other_python:
        settings.append(dataclasses.replace(_CHOSEN, name="other", title="dogcat with", python=other_python))
    with contextlib.ExitStack() as running:
        started = [(each, running.enter_context(_running(each))) for each in settings]
        yield {
            word: [_contestant(setting, work, word) for setting, work in started if word in setting.work]
            for word in WORK
        }


def _contestant(setting: _Setting, work: Callable[[str], Work], word: str) -> rounds.Contestant:
    ours = setting.name in ("dogcat", "other")
    return rounds.Contestant(setting.name, setting.title, setting.note, lambda: work(word), ours)


@contextlib.contextmanager
def _running(setting: _Setting) -> Iterator[Callable[[str], Work]]:
    """A block with a process of `network_rates`; yields what lets it do a word's work once, or raises CannotRun."""
    prepared = "prepared" if setting.prepared else "as-it-comes"
    program = [setting.python, "-s", "-m", "tools.benchmarks.network_rates"]
    variables = environment_of_project(with_others=setting.python == sys.executable)
    # Of the shell that it was called from, which may have set it.
    variables.pop("TF_ENABLE_ONEDNN_OPTS", None)
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*program, "xception", setting.precision, setting.jit_compile, prepared],
            env={**variables, "TF_CPP_MIN_LOG_LEVEL": "3", **setting.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        asked, answers = process.stdin, process.stdout
        assert asked and answers

        def work(word: str) -> Work:
            with contextlib.suppress(BrokenPipeError):
                # Past the buffer, which would be written once more when the pipe is closed.
                os.write(asked.fileno(), f"{word}\n".encode())
            answer = answers.readline()
            if not answer:
                errors.seek(0)
                lines = errors.read().strip().splitlines()
                raise rounds.CannotRun(lines[-1] if lines else f"exit code {process.wait()}")
            return Work(**json.loads(answer))

        try:
            # It is ready, or has ended; one after the other, since the first is measured while others wait.
            answers.readline()
            yield work
        finally:
            process.kill()
