"""Commands whose standard streams are closed, full or no longer read: the work is done, the exit code is honest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import environment

# More than a pipe holds.
LINES = 3000
PROGRAM = f"""
import dataclasses, sys, warnings
from pathlib import Path
from dogcat.core import flags
from dogcat.core.options import Options, option

@dataclasses.dataclass(frozen=True)
class WritingOptions(Options):
    output: str = option("", "File.", path=True)
    must_print: bool = option(False, "Whether.")

def main(options):
    with open(options.output, "w") as file:
        for _ in range({LINES}):
            print("-" * 100)
        print("said", file=sys.stderr)
        warnings.warn("of a library")
        file.write("whole")

flags.run(main, WritingOptions, must_print="--must_print" in sys.argv)
"""
NEVER_READ = "error: standard output: "


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


def call(program, redirected, *more):
    """Runs the program in a shell with streams redirected; returns its exit code, its output and what it wrote."""
    written = program.with_name("written")
    words = [sys.executable, str(program), f"--output={written}", *more]
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirected}; exit ${{PIPESTATUS[0]}}', "bash", *words],
        env=environment(PYTHONWARNINGS="error"),
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr, written.read_text() if written.exists() else None


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("", 0, "said\n"),
        (">&-", 2, f"said\n{NEVER_READ}Bad file descriptor; what was printed is lost, the files are complete\n"),
        (
            ">/dev/full",
            2,
            f"said\n{NEVER_READ}No space left on device; what was printed is lost, the files are complete\n",
        ),
        ("| head -1", 141, "said\n"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("2> >(true)", 0, ""),
        ("<&- >&- 2>&-", 2, ""),
        ("<&-", 0, "said\n"),
    ],
)
def test_work_that_is_written_is_done_whatever_becomes_of_what_is_printed(program, redirected, code, said):
    returned, out, err, written = call(program, redirected)
    assert (returned, err, written) == (code, said, "whole")
    if not re.search(r"^>| >&-|\|", redirected):
        assert len(out.splitlines()) == LINES


@pytest.mark.parametrize(("redirected", "code"), [(">&-", 2), (">/dev/full", 2), ("| head -1", 141)])
def test_a_command_that_only_prints_ends_where_that_is_lost(program, redirected, code):
    returned, _, err, written = call(program, redirected, "--must_print")
    assert (returned, written) == (code, "")
    assert err.startswith(NEVER_READ) == (code == 2) and len(err.splitlines()) == (code == 2)


@pytest.mark.parametrize("redirected", [">&-", ">/dev/full", "| true"])
@pytest.mark.parametrize("arguments", [["--help"], ["--hlep"]])
def test_help_and_a_wrong_flag(program, redirected, arguments):
    returned, _, err, written = call(program, redirected, *arguments)
    if arguments == ["--hlep"]:
        assert (returned, err.splitlines()[0][:6], written) == (2, "error:", None)
    else:
        assert (returned, written) == (141 if "|" in redirected else 2, None)
        assert err.startswith(NEVER_READ) == (returned == 2)


def test_a_descriptor_that_does_not_wait_is_waited_for(program):
    """Other programs of a terminal or a pipe may set it so for all."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [sys.executable, program, f"--output={program.with_name('written')}"]
    with subprocess.Popen(command, stdout=writer, env=environment()) as process:
        os.close(writer)
        time.sleep(1)
        with open(reader) as file:
            assert len(file.readlines()) == LINES
    assert process.returncode == 0


WAITING = """
import dataclasses, time
from dogcat.core import flags
from dogcat.core.options import Options

@dataclasses.dataclass(frozen=True)
class NoOptions(Options):
    pass

def main(options):
    print("ready")
    time.sleep(1)
    print("done")

flags.run(main, NoOptions)
"""


def start_waiting(tmp_path, before):
    (tmp_path / "waiting.py").write_text(WAITING)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "waiting.py"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 75, "terminated\n"),
        (signal.SIGHUP, 75, "terminated\n"),
        (signal.SIGINT, 130, "\nstopped\n"),
    ],
)
def test_a_signal_ends_a_command_in_one_line(tmp_path, number, code, said):
    process = start_waiting(tmp_path, lambda: signal.signal(number, signal.SIG_DFL))
    process.send_signal(number)
    assert process.communicate() == ("", said) and process.returncode == code


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_was_ignored_at_the_start_stays_ignored(tmp_path, number):
    process = start_waiting(tmp_path, lambda: signal.signal(number, signal.SIG_IGN))
    process.send_signal(number)
    assert process.communicate() == ("done\n", "") and process.returncode == 0


def test_a_terminal_that_goes_stops_no_work_that_ignores_it(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", f"--output={tmp_path / 'written'}"],
        env=environment(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    os.read(master, 1)
    os.close(master)
    # What was printed is lost, and nobody hears that.
    assert process.wait(timeout=60) == 2
    assert (tmp_path / "written").read_text() == "whole"
