"""Whether there is room for a cache that is worth gigabytes, and where: in memory or on disk."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from dogcat.core import files
from dogcat.core.options import InputError

GIB = 2**30
# Share of the free memory, or of the free space of a disk, that a cache may take without being asked for by name.
_SHARE_OF_FREE = 0.5
# The control groups of this process, and by controller where they lie: the folder, the files of limit and use, and the
# name in memory.stat of what is cached of files; of the second version, then of the first.
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = {
    "": ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


@dataclasses.dataclass(frozen=True)
class CacheRoom:
    """What the user lets a cache have.

    Attributes:
        flag: Name of the option that says where.
        where: memory; disk; auto, the first of them with room enough.
        gib: Largest size of all that is kept on disk, or of a run's in memory, in GiB.
        folder: The folder on disk, there or not.
    """

    flag: str
    where: str
    gib: float
    folder: Path

    @property
    def most_bytes(self) -> float:
        """The largest size in bytes."""
        return self.gib * GIB

    def choose(self, size: int, taken: int, path: Path) -> tuple[str, str]:
        """Where `size` bytes go beside those that are `taken`: memory, disk or none; and why there.

        Args:
            size: Bytes.
            taken: Bytes of the same run that are there already.
            path: A file that is there if the bytes may be on disk from an earlier run.

        Raises:
            InputError: Memory is asked for, and files cannot be kept in it.
        """
        if size > self.most_bytes:
            return "none", f"--cache_gib={self.gib:g} is less"
        if taken + size > self.most_bytes:
            return "none", f"--cache_gib={self.gib:g} has no room beside the {size_text(taken)} before it"
        if self.where == "memory" and not _has_memory():
            raise InputError(f"--{self.flag}=memory: {files.MEMORY} is not there or cannot be written; use disk")
        if self.where != "auto":
            return self.where, f"--{self.flag}={self.where}"
        if os.path.isfile(path):
            return "disk", f"it may be in {self.folder}"
        memory = free_memory()
        if size <= _SHARE_OF_FREE * memory:
            return "memory", f"{size_text(memory)} are free"
        existing = files.nearest_there(self.folder)
        disk = shutil.disk_usage(existing).free
        if size <= _SHARE_OF_FREE * disk:
            return "disk", f"{size_text(memory)} of memory are free, {size_text(disk)} of {existing}"
        return "none", f"only {size_text(memory)} of memory are free and {size_text(disk)} of {existing}"


def size_text(size: float) -> str:
    """A number of bytes for a person, like 1.9 GiB."""
    for unit, name in ((GIB, "GiB"), (2**20, "MiB")):
        if size >= unit / 10:
            return f"{size / unit:.1f} {name}"
    return f"{size:,.0f} bytes"


def require_free(folder: Path, size: int) -> None:
    """Looks for room before hours of work, where the system can tell.

    Raises:
        OSError: The folder's file system has not `size` bytes free.
    """
    if not has_free(folder, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def has_free(folder: Path, size: int) -> bool:
    """Whether the file system of a folder, there or not, has `size` bytes free."""
    return shutil.disk_usage(files.nearest_there(folder)).free >= size


def free_memory() -> int:
    """Memory that files can have without programs being swapped out, in bytes; 0 where the system does not say."""
    match = re.search(r"^MemAvailable:\s*(\d+) kB$", _read(Path("/proc/meminfo")), re.MULTILINE)
    if not match or not _has_memory():
        return 0
    # Containers often give files in memory less than there is, and a job that takes more than its group has is killed.
    return min(int(match[1]) * 1024, shutil.disk_usage(files.MEMORY).free, *_left_in_groups())


def _left_in_groups() -> Iterator[int]:
    """The memory that each of Linux' control groups around this process has left, in bytes, where it has a limit."""
    for line in _read(_OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        for name in _GROUPS.keys() & set(controllers.split(",")):
            yield from _left_in(path, *_GROUPS[name])


def _left_in(path: str, folder: str, limit_file: str, used_file: str, cached: str) -> Iterator[int]:
    """The memory that a group and those around it have left; the other arguments are those of `_GROUPS`."""
    own = Path(f"{folder}{path}")
    # In a container the path may be one of the host; then the limit is at the top.
    for group in (own, *own.parents):
        limit, used = _read(group / limit_file).strip(), _read(group / used_file).strip()
        if limit.isdecimal() and used.isdecimal():
            # What is cached of files on disk gives way.
            match = re.search(rf"^{cached} (\d+)$", _read(group / "memory.stat"), re.MULTILINE)
            yield max(0, int(limit) - int(used) + (int(match[1]) if match else 0))


def _read(path: Path) -> str:
    """A small file of the system; empty where it is not there or not for us."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _has_memory() -> bool:
    """Whether files can be kept in memory."""
    return os.access(files.MEMORY, os.W_OK)
