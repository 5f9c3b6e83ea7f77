from __future__ import annotations

import errno
import os
import threading

import pytest

from dogcat.core import files
from dogcat.core.options import InputError


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(TypeError):
        files.write_atomically(path, "no bytes")
    assert path.read_bytes() == b"before"
    files.write_atomically(path, b"after")
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_taken_away_while_it_is_looked_at_is_free(tmp_path, monkeypatch):
    """As where two processes clear one cache."""
    path = tmp_path / "file"
    path.write_bytes(b"before")
    looked_up = os.stat

    def look_up_once(name, *args, **kwargs):
        found = looked_up(name, *args, **kwargs)
        if os.fspath(name) == str(path):
            path.unlink()
        return found

    monkeypatch.setattr(os, "stat", look_up_once)
    files.write_atomically(path, b"after")
    monkeypatch.undo()
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize("as_link", [False, True])
def test_what_others_keep_under_a_likely_temporary_name_stays(tmp_path, as_link):
    path, others = tmp_path / "o.jpg", tmp_path / "o.jpg.tmp"
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    if as_link:
        others.symlink_to(target)
    else:
        others.write_bytes(b"theirs")
    files.write_atomically(path, b"ours")
    assert path.read_bytes() == b"ours"
    assert others.read_bytes() == target.read_bytes() == b"theirs"
    assert others.is_symlink() == as_link


def test_writers_at_once_never_mix(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([letter]) * (1000 + letter) for letter in b"abcdefgh"]
    failures = []

    def write(content: bytes) -> None:
        try:
            for _ in range(20):
                files.write_atomically(path, content)
                assert path.read_bytes() in contents
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("links", [True, False])
def test_a_set_appears_together_or_not_at_all(tmp_path, monkeypatch, failing, links):
    if not links:

        def refuse(*_):
            raise OSError(errno.EPERM, "no links")

        monkeypatch.setattr(os, "link", refuse)
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"before")
    replace, calls = os.replace, []

    def failing_replace(source, target):
        calls.append(target)
        if len(calls) == failing + 1:
            raise OSError(errno.EIO, "broken", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing_replace)
    with pytest.raises(OSError, match="broken"), files.FileSet() as written:
        written.write(old, b"after")
        written.write(new, b"after")
    assert old.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [old]
    with files.FileSet() as written:
        written.write(old, b"after")
        written.write(new, b"after")
    assert old.read_bytes() == new.read_bytes() == b"after"
    assert sorted(tmp_path.iterdir()) == [new, old]


def test_only_regular_files_are_read_and_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path):
        with pytest.raises(InputError, match="is not a regular file"):
            files.open_regular(place)
        with pytest.raises(InputError, match="is not a regular file"):
            files.write_atomically(place, b"")
    with pytest.raises(InputError, match="more than 2 bytes"):
        (tmp_path / "file").write_bytes(b"123")
        files.read_bounded(tmp_path / "file", 2)
    assert files.read_bounded(tmp_path / "file", 3) == b"123"


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as error:
        files.write_atomically(tmp_path / "missing" / "file", b"")
    assert error.value.filename == str(tmp_path / "missing" / "file")


def test_a_lock_is_held_by_one(tmp_path):
    path = tmp_path / "lock"
    with open(path, "w") as one, open(path) as other:
        assert files.lock(one.fileno(), path)
        assert not files.lock(other.fileno(), path)
