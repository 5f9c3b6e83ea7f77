from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment

import dogcat
from dogcat import console
from dogcat.core import commands
from dogcat.core.options import InputError


def call(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "dogcat", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)


def test_help_lists_the_commands_on_one_screen():
    text = console.usage("dogcat")
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 120
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == list(commands.COMMANDS)
    for line in lines[6:-2]:
        assert len(line.split(maxsplit=1)[1]) > 20


def test_version_and_help_of_a_command():
    assert call("--version").stdout == f"dogcat {dogcat.__version__}\n"
    done = call("make-tfrecords", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: python -m dogcat make-tfrecords ")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("trian", "did you mean train?"), ("make_tfrecord", "did you mean make-tfrecords?"), ("xyz", "use one of make-")],
)
def test_a_mistyped_command_is_told_the_nearest(word, meant):
    with pytest.raises(InputError, match=f"'{word}' is not a command of dogcat; .*{meant}"):
        console.module_of(word)


def test_a_mistyped_command_and_flag_end_with_exit_code_2():
    done = call("predit")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: 'predit' is not a command of dogcat; ")
    assert done.stderr.endswith("; did you mean predict?\n")
    done = call("make-tfrecords", "--imges=x")
    assert done.returncode == 2
    assert done.stderr == "error: --imges: there is no such flag; did you mean --images?\n"


def test_a_command_names_the_next_one_as_it_was_called(tmp_path):
    done = call("make-sample-images", f"--output={tmp_path}/data", "--train=2", "--test=1")
    assert done.returncode == 0, done.stderr
    assert "next: python -m dogcat fetch-weights" in done.stdout
