from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import fuzzing
import pytest

from dogcat.core import cache, files
from dogcat.core.cache import Entry

CONTENT = b"content" * 1000
NOBODY = 65534


def keep(entry, content=CONTENT):
    with entry.writing() as file:
        file.write(content)


def read(entry):
    file = entry.open()
    if file is None:
        return None
    with file:
        return file.read()


@pytest.fixture(autouse=True)
def new_notes():
    files.note.cache_clear()


@pytest.fixture
def open_folder():
    """A folder that every user may enter."""
    # The folder of the tests' temporary files is their user's alone.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextlib.contextmanager
def as_another_user():
    """A block that runs as a user without rights, where the tests run as root, who may write anywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_content_comes_back(tmp_path):
    entry = Entry(tmp_path / "not" / "yet", ["a", 1], ".x")
    assert read(entry) is None
    keep(entry)
    assert read(entry) == CONTENT and read(Entry(tmp_path / "not" / "yet", ["a", 2], ".x")) is None
    assert [path.name for path in entry.path.parent.iterdir()] == [entry.path.name]


def test_an_error_while_writing_leaves_nothing(tmp_path):
    entry = Entry(tmp_path, "a", ".x")
    keep(entry, b"before")
    with pytest.raises(KeyboardInterrupt), entry.writing() as file:
        file.write(CONTENT)
        raise KeyboardInterrupt
    assert read(entry) == b"before" and len(list(tmp_path.iterdir())) == 1


def test_only_what_this_program_wrote_is_removed(tmp_path):
    entries = [Entry(tmp_path, number, ".x") for number in range(4)]
    for age, entry in enumerate(entries):
        keep(entry)
        os.utime(entry.path, (1000 - age,) * 2)
    marked = entries[3].path.read_bytes()
    # By name, by content, or by both but for the kind of file: none of them is an entry.
    hexadecimal = "0123456789abcdef" * 2
    others = tmp_path / "others"
    for path, content in {
        tmp_path / "mine.x": marked,
        tmp_path / f"{hexadecimal}.x": b"mine",
        tmp_path / f"{hexadecimal[::-1]}.x": b"",
        tmp_path / f"{hexadecimal}.x.backup": marked,
        tmp_path / f".{hexadecimal}.x.abc.tmp": b"mine",
        tmp_path / ".writing-x" / "mine": b"mine",
        tmp_path / f"{'a' * 32}.x" / "mine": b"mine",
        others: marked,
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1, 1))
    (tmp_path / f"{'b' * 32}.x").symlink_to(others)
    (tmp_path / f"{'c' * 32}.x").symlink_to("nowhere")
    os.mkfifo(tmp_path / f"{'d' * 32}.x")
    before = {name: fuzzing.tree(tmp_path)[name] for name in fuzzing.tree(tmp_path)}
    cache.remove_oldest(tmp_path, ".x", 2.5 * len(marked))
    gone = {entry.path.name for entry in entries[2:]}
    assert fuzzing.tree(tmp_path) == {name: what for name, what in before.items() if name not in gone}
    cache.remove_oldest(tmp_path / "no folder", ".x", 0)


def run_processes(function, arguments):
    """Runs a function in a process for each of the arguments, all at once; returns their exit codes."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=function, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _die_writing(entry: Entry) -> None:
    with entry.writing():
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    entry = Entry(tmp_path, "a", ".x")
    [killed] = run_processes(_die_writing, [(entry,)])
    assert killed == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    assert left != entry.path
    cache.remove_oldest(tmp_path, ".x", 0)
    assert left.exists()
    os.utime(left, (time.time() - 25 * 3600,) * 2)
    cache.remove_oldest(tmp_path, ".x", 0)
    assert not left.exists()


def test_entries_from_before_a_clock_was_set_back_go_first(tmp_path):
    year = 365 * 24 * 3600
    entries = {used: Entry(tmp_path, used, ".x") for used in (year, 2 * year, -year, 0, 60)}
    for used, entry in entries.items():
        keep(entry)
        os.utime(entry.path, (time.time() + used,) * 2)
    size = entries[0].path.stat().st_size
    # A minute ahead is another machine's clock.
    for gone in (year, 2 * year, -year, 0):
        cache.remove_oldest(tmp_path, ".x", (sum(entry.path.exists() for entry in entries.values()) - 1) * size)
        assert not entries[gone].path.exists()
    assert entries[60].path.exists()


def test_an_entry_that_is_used_is_not_of_the_future_any_more(tmp_path):
    entry = Entry(tmp_path, "a", ".x")
    keep(entry)
    os.utime(entry.path, (time.time() + 10**8,) * 2)
    assert read(entry) == CONTENT
    assert abs(entry.path.stat().st_mtime - time.time()) < 3600


@pytest.mark.parametrize(("days", "stays"), [(-1.1, False), (-0.9, True), (0.9, True), (1.1, False), (10**4, False)])
def test_an_unfinished_file_of_whatever_date_goes(tmp_path, days, stays):
    entry = Entry(tmp_path, "a", ".x")
    keep(entry)
    left = files.temporary_beside(entry.path)
    entry.path.rename(left)
    os.utime(left, (time.time() + days * 24 * 3600,) * 2)
    cache.remove_oldest(tmp_path, ".x", 0)
    assert left.exists() == stays


def test_another_users_cache_is_read_and_not_written(open_folder, capsys):
    ours, theirs = Entry(open_folder, "ours", ".x"), Entry(open_folder, "theirs", ".x")
    keep(ours)
    os.chmod(open_folder, 0o555)
    before = fuzzing.tree(open_folder)
    with as_another_user():
        assert read(ours) == CONTENT
        assert read(theirs) is None
        with pytest.raises(PermissionError) as caught:
            keep(theirs)
        assert caught.value.filename == str(theirs.path)
        cache.remove_oldest(open_folder, ".x", 0)
    assert fuzzing.tree(open_folder) == before
    assert capsys.readouterr().err == ""
    # An entry that is only its owner's to read counts as none.
    os.chmod(open_folder, 0o777)
    os.chmod(ours.path, 0o000)
    with as_another_user():
        assert read(ours) is None
        assert capsys.readouterr().err == f"note: {ours.path}: cannot be read (Permission denied) and counts as none\n"
        keep(ours, b"of another")
        assert read(ours) == b"of another"


def test_a_folder_that_cannot_be_entered_holds_nothing(open_folder, capsys):
    folder = open_folder / "private"
    entry = Entry(folder, "a", ".x")
    keep(entry)
    os.chmod(folder, 0o000)
    with as_another_user():
        assert read(entry) is None
        with pytest.raises(PermissionError):
            keep(entry)
        cache.remove_oldest(folder, ".x", 0)
    os.chmod(folder, 0o755)
    assert "cannot be read (Permission denied)" in capsys.readouterr().err
    assert read(entry) == CONTENT


def _write_and_remove(folder: Path, seed: int) -> None:
    """Writes, reads and removes the same entries as others at once."""
    for turn in range(60):
        entry = Entry(folder, (turn + seed) % 3, ".x")
        found = read(entry)
        assert found in (None, CONTENT), found
        keep(entry)
        cache.remove_oldest(folder, ".x", (turn % 3) * len(CONTENT))


def test_processes_at_one_cache_never_see_half_an_entry(tmp_path, capfd):
    assert run_processes(_write_and_remove, [(tmp_path, seed) for seed in range(4)]) == [0] * 4
    assert capfd.readouterr().err == ""
    assert {path.suffix for path in tmp_path.iterdir()} <= {".x"}
