"""What the printed scripts complete, in a real bash and, where there is one, zsh."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from dogcat import completion
from dogcat.core import commands
from dogcat.core.help_text import positional_field

# Calls the function as bash does at TAB behind a line, whose words it cuts at `=`.
_TAB = """
COMP_LINE=$1 COMP_POINT=${#1}
read -ra COMP_WORDS <<<"${1//=/ = }"
[[ $1 != *[[:space:]=] ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_dogcat
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "script"
    path.write_text(completion.bash() + _TAB)
    return path


@pytest.fixture
def completed(bash_script, tmp_path):
    """What bash offers behind a line, in a folder with `data/test` and `data set`."""
    (tmp_path / "data" / "test").mkdir(parents=True)
    (tmp_path / "data set").mkdir()

    def complete(line: str, before: str = "") -> set[str]:
        command = ["bash", "--norc", "-c", f'{before} set -- "$1"; . "$0"', str(bash_script), line]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return set(done.stdout.split("\n")) - {""}

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dogcat ", set(commands.COMMANDS)),
        ("dogcat make-t", {"make-tfrecords"}),
        ("dogcat predict --av", {"--average="}),
        ("dogcat predict --average=", {"logits", "probabilities"}),
        ("dogcat predict --average l", {"logits"}),
        ("dogcat train --nor", {"--noresume", "--noreport"}),
        ("dogcat train --resume da", {"data", "data set"}),
        ("dogcat train --tfrecords=data/", {"data/test"}),
        ("dogcat train --preset=best --tfrecords da", {"data", "data set"}),
        ("dogcat train --epochs=", set()),
        ("dogcat make-report runs/a da", {"data", "data set"}),
        ("dogcat completion ", {"bash", "zsh"}),
        ("dogcat nope --", set()),
    ],
)
def test_bash_completes(completed, line, offered):
    assert completed(line) == offered


def test_bash_completes_whole_words_where_it_does_not_cut_at_the_equals_sign(completed):
    assert completed("dogcat predict --average=l", "COMP_WORDBREAKS=' ';") == {"--average=logits"}


def test_bash_completes_all_flags_of_all_commands(completed):
    for command, options_class in completion._commands():
        flags = {word.rstrip("=") for word in completed(f"dogcat {command} --")}
        assert flags >= {f"--{name}" for name in options_class.__dataclass_fields__}, command


def test_every_command_takes_its_main_input_as_a_bare_word():
    without = [command for command, options_class in completion._commands() if not positional_field(options_class)]
    assert without == ["doctor"]


def test_the_script_for_zsh_is_one():
    text = completion.zsh()
    for command in commands.COMMANDS:
        assert f"        {command}) _arguments " in text
    assert "--average=[What is averaged over the models of an ensemble, each ...]: :(logits probabilities)" in text
    if shell := shutil.which("zsh"):
        done = subprocess.run([shell, "-nf"], input=text, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_command_prints_the_script_without_tensorflow():
    code = "import sys; sys.modules['tensorflow'] = None; from dogcat import completion, console; "
    code += "completion.main(completion.CompletionOptions())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("complete -F _dogcat dogcat\n") and done.stderr == ""
