from __future__ import annotations

import os
import threading

import pytest
from fuzzing import full_disk, tree

from dogcat.core import files, outputs
from dogcat.core.options import InputError


def test_own_files_are_replaced_and_others_are_not(tmp_path):
    folder = tmp_path / "out"
    outputs.write(folder, {"a.csv": b"1", "b.json": b"2"})
    outputs.write(folder, {"a.csv": b"3", "b.json": b"4"})
    assert (folder / "a.csv").read_bytes() == b"3"
    (folder / "b.json").write_bytes(b"edited")
    with pytest.raises(InputError, match=r"b\.json: is in the way"):
        outputs.write(folder, {"a.csv": b"5", "b.json": b"6"})
    assert (folder / "a.csv").read_bytes() == b"3"
    assert (folder / "b.json").read_bytes() == b"edited"


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder"])
def test_what_was_there_before_is_in_the_way(tmp_path, kind):
    path, target = tmp_path / "a.csv", tmp_path / "target"
    if kind == "file":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
        if kind == "link":
            target.write_bytes(b"theirs")
    with pytest.raises(InputError, match=r"a\.csv: is in the way"):
        outputs.require_own(tmp_path, ["a.csv"])
    with pytest.raises(InputError, match=r"a\.csv: is in the way"):
        outputs.write(tmp_path, {"a.csv": b"1"})
    assert not (tmp_path / outputs.MARKER).exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"files": {"a": 1}}', b"\xff", b"[" * 100000])
def test_a_damaged_marker_is_named(tmp_path, content):
    (tmp_path / outputs.MARKER).write_bytes(content)
    with pytest.raises(InputError, match="dogcat-outputs"):
        outputs.write(tmp_path, {"a.csv": b"1"})


@pytest.mark.parametrize("room", [0, 100, 5000])
@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, there, room):
    folder = tmp_path / "out" / "in"
    if there:
        outputs.write(folder, {"a.csv": b"1", "b.json": b"2"})
    before = tree(tmp_path)
    with full_disk(room), pytest.raises(OSError) as error:
        outputs.write(folder, {"a.csv": b"3", "b.json": b"4" * 9999})
    assert str(folder) in error.value.filename
    after = tree(tmp_path)
    # The marker may know more than is there.
    for found in (before, after):
        found.pop(f"out/in/{outputs.MARKER}", None)
    assert after == before
    outputs.write(folder, {"a.csv": b"5", "b.json": b"6"})


def test_sets_of_writers_at_once_are_never_mixed(tmp_path):
    folder = tmp_path / "out"
    failures = []

    def write(letter: bytes) -> None:
        try:
            for _ in range(10):
                outputs.write(folder, {"a.csv": letter * 500, "b.json": letter * 900})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(bytes([letter]),)) for letter in b"abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (folder / "a.csv").read_bytes()[:1] == (folder / "b.json").read_bytes()[:1]
    assert sorted(os.listdir(folder)) == [outputs.MARKER, "a.csv", "b.json"]


def test_a_writer_that_does_not_end_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "_SECONDS_TO_WAIT", 0.1)
    with outputs._locked(tmp_path), pytest.raises(InputError, match="is being written by another process"):
        outputs.write(tmp_path, {"a.csv": b"1"})
    outputs.write(tmp_path, {"a.csv": b"1"})


def test_what_another_command_wrote_is_noted_and_removed(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1")
    with pytest.raises(InputError):
        outputs.remove(tmp_path, ["a.csv"])
    outputs.note(tmp_path, ["a.csv", "none.csv"])
    assert outputs.names_in(tmp_path) == ["a.csv"]
    outputs.require_nothing_else(tmp_path)
    files.temporary_beside(tmp_path / "a.csv").touch()
    outputs.require_nothing_else(tmp_path)
    outputs.remove(tmp_path, ["a.csv"])
    assert not (tmp_path / "a.csv").exists() and outputs.names_in(tmp_path) == []
    (tmp_path / "theirs").touch()
    with pytest.raises(InputError, match="theirs: is in the way"):
        outputs.require_nothing_else(tmp_path)


def test_a_file_in_place_of_a_folder_is_told_from_one_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch(0o755)
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=f"^{tmp_path / 'file'}: is not a folder; "):
            outputs.require_own(folder, ["x"])
    outputs.require_own(tmp_path / "new" / "below", ["x"])
