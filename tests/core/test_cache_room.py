from __future__ import annotations

import shutil

import pytest

from dogcat.core import cache_room, files


def test_what_a_container_gives_files_in_memory_is_heeded(monkeypatch):
    free = cache_room.free_memory()
    assert 2**26 < free <= shutil.disk_usage(files.MEMORY).free
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=2**26))
    assert cache_room.free_memory() == 2**26


@pytest.mark.parametrize(
    ("line", "names", "cached"),
    [
        ("0::/job/step", ("memory.max", "memory.current"), "inactive_file"),
        ("4:memory:/job/step", ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file"),
    ],
)
def test_what_a_job_may_still_take_is_heeded(tmp_path, monkeypatch, line, names, cached):
    own = tmp_path / "groups" / "job" / "step"
    own.mkdir(parents=True)
    (tmp_path / "own").write_text(f"9:pids:/elsewhere\n{line}\n")
    for name, of_step, of_job in zip(names, ("max", "1000"), ("70000000", "5000000")):
        (own / name).write_text(f"{of_step}\n")
        (own.parent / name).write_text(f"{of_job}\n")
    (own.parent / "memory.stat").write_text(f"active_file 7\n{cached} 2000000\n")
    groups = {kind: (str(tmp_path / "groups"), *rest) for kind, (_, *rest) in cache_room._GROUPS.items()}
    monkeypatch.setattr(cache_room, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(cache_room, "_GROUPS", groups)
    assert cache_room.free_memory() == 67_000_000


def test_what_is_no_file_at_an_entrys_place_is_no_reason_for_the_disk(tmp_path):
    room = cache_room.CacheRoom("cache", "auto", 1, tmp_path)
    (tmp_path / "entry").touch()
    (tmp_path / "folder").mkdir()
    assert room.choose(1000, 0, tmp_path / "entry")[0] == "disk"
    assert room.choose(1000, 0, tmp_path / "folder")[0] == "memory"


@pytest.mark.parametrize(("size", "text"), [(2 * 2**30, "2.0 GiB"), (3 * 2**20, "3.0 MiB"), (1234, "1,234 bytes")])
def test_sizes_are_told_in_a_unit_that_fits(size, text):
    assert cache_room.size_text(size) == text
