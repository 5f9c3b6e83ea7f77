"""The folder of a plan, where workers find it and note the shards that they have written: on disk, or at an address.

On disk shards lie in it, too, until they are taken from there. At an address they lie in the output at once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Callable, Union

from dogcat.core import files
from dogcat.core.places import Address, Place
from dogcat.core.stores import Entry, Store
from dogcat.dataset import shard_index, staging, unfinished_work
from dogcat.dataset.staging import FinishedShard

_LARGEST_PLAN = 2**28
# Name of a file that is written to see whether one can be.
_TRIED = "plan.json"


class PlanOnDisk:
    """The folder of a plan on a file system that all workers see."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder."""
        self._folder = folder

    def read(self, name: str) -> bytes:
        """Reads a file of the plan."""
        return files.read_bounded(self._folder / name, _LARGEST_PLAN)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Reads a byte range of a file of the plan."""
        with files.open_regular(self._folder / name) as file:
            file.seek(start)
            return file.read(length)

    def write(self, name: str, write_to: Callable[[Path], FinishedShard]) -> None:
        """Has a shard written to a path that is given, then notes it."""
        staging.note_piece(self._folder / name, write_to(self._folder / name))

    def noted(self, name: str) -> FinishedShard | None:
        """What is noted of a shard that is there; None: it is to be written."""
        return staging.noted_piece(self._folder / name)

    def is_written(self, name: str) -> bool:
        """Whether a shard is there, whole."""
        part = self.noted(name)
        return part is not None and staging.is_whole(self._folder, part.shard)

    def try_writing(self) -> None:
        """Raises OSError where nothing can be written."""
        probe = files.temporary_beside(self._folder / _TRIED)
        files.create(probe).close()
        probe.unlink()


class PlanAtAddress:
    """The folder of a plan at an address; the same for it."""

    def __init__(self, folder: str) -> None:
        """Takes the folder's address."""
        self._plan = Store(folder)
        self._shards = Store(folder.rpartition("/")[0].removesuffix(unfinished_work.ENDING))

    def read(self, name: str) -> bytes:
        """Reads a file of the plan."""
        return self._plan.read(name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Reads a byte range of a file of the plan."""
        return self._plan.read(name, start, start + length)

    def write(self, name: str, write_to: Callable[[Path], FinishedShard]) -> None:
        """Has a shard written to a path of this machine, uploads it, then notes it."""
        with tempfile.TemporaryDirectory(prefix="dogcat-shard-") as folder:
            path = Path(folder) / name
            self.upload(path, write_to(path))

    def upload(self, path: Path, part: FinishedShard) -> None:
        """Uploads a shard and its index, then notes the shard."""
        for file in (shard_index.path_beside(path), path):
            self._shards.upload(file, file.name)
        self._plan.write(staging.note_name(path.name), staging.note_of(part))

    def noted(self, name: str) -> FinishedShard | None:
        """What is noted of a shard; None: it is to be written."""
        try:
            return staging.parse_note(self._plan.read(staging.note_name(name)))
        except FileNotFoundError:
            return None

    def is_written(self, name: str) -> bool:
        """Whether a shard is noted, and there as it is noted."""
        part = self.noted(name)
        return part is not None and is_there(part, self._shards.files())

    def written(self) -> dict[str, FinishedShard]:
        """All shards of which that is so, by name."""
        there = self._shards.files()
        notes = self._plan.read_each([name for name in self._plan.files() if staging.is_note(name)])
        parts = [staging.parse_note(note) for note in notes if isinstance(note, bytes)]
        return {part.shard.name: part for part in parts if part and is_there(part, there)}

    def try_writing(self) -> None:
        """Raises InputError where nothing can be written."""
        name = files.temporary_beside(Path(_TRIED)).name
        self._plan.write(name, b"")
        self._plan.remove([name])


PlanFolder = Union[PlanOnDisk, PlanAtAddress]


def plan_folder_at(place: Place) -> PlanFolder:
    """The folder of a plan at a place."""
    return PlanAtAddress(place.text) if isinstance(place, Address) else PlanOnDisk(place)


def is_there(part: FinishedShard, there: dict[str, Entry]) -> bool:
    """Whether a list of files has a shard in its size, and its index: an upload that was broken off left neither."""
    shard = there.get(part.shard.name)
    index = shard_index.path_beside(Path(part.shard.name)).name
    return shard is not None and shard.size == part.shard.bytes and index in there
