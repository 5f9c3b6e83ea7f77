from __future__ import annotations

import pytest

from dogcat import outputs
from dogcat.config import InputError


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
