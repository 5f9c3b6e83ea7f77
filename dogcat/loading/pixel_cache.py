"""Pictures of a split decoded once, and read from then on as a file of pixels, on disk or in memory."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from dogcat.core import cache, files
from dogcat.core.cache import Entry
from dogcat.core.cache_room import GIB, CacheRoom, require_free, size_text
from dogcat.core.log import tell
from dogcat.core.progress import pictures_bar
from dogcat.dataset import raw_layout
from dogcat.dataset.manifest import Manifest
from dogcat.loading import pipeline, readers
from dogcat.loading.byte_ranges import ByteRanges, RangeFile, Spans
from dogcat.loading.pictures import Pictures
from dogcat.loading.raw_pictures import RawPictures

# Pictures decoded at a time, and those that are decoded again to check a file from an earlier run.
_BATCH, _CHECKED = 128, 16
_ENDING = ".pixels"


@dataclasses.dataclass(frozen=True)
class PixelCache:
    """Where decoded pictures may be kept.

    Attributes:
        where: memory; disk, where other runs find them; auto, the first of them with room enough; or none.
        gib: Largest size of all that is kept on disk, or of a run's pictures in memory, in GiB.
        folder: The folder on disk, made if need be.
    """

    where: str
    gib: float
    folder: Path

    def readers(self, sources: dict[str, Pictures], data: Manifest) -> dict[str, Pictures]:
        """Readers of the same pictures by split, from the cache where that is wanted and there is room.

        Args:
            sources: What decodes the pictures of each split.
            data: The data set's manifest.
        """
        of_split, taken = {}, 0
        for split, source in sources.items():
            of_split[split] = self._reader(source, data, split, taken)
            if of_split[split] is not source:
                taken += _size(source)
        return of_split

    def _reader(self, source: Pictures, data: Manifest, split: str, taken: int) -> Pictures:
        """That of one split, beside `taken` bytes of others."""
        if self.where == "none" or not len(source.labels) or isinstance(source, RawPictures):
            return source
        size = _size(source)
        entry = Entry(self.folder, [data.digest(), split, len(source.labels)], _ENDING)
        room = CacheRoom("cache", self.where, self.gib, self.folder)
        where, reason = room.choose(size, taken, entry.path)
        tell(f"pixel cache of {split}, {size_text(size)}: {where}, since {reason}")
        if where == "none":
            return source
        try:
            if where == "memory":
                # Without a name, so that it goes with the process, however that ends.
                with files.naming(files.MEMORY), tempfile.TemporaryFile(dir=files.MEMORY) as file:
                    _write(file, source, split)
                    return _kept(Path(f"/proc/self/fd/{file.fileno()}"), source, 0)
            found = _find(entry, source)
            return self._keep(entry, source, split) if found is None else found
        except OSError as error:
            place = files.MEMORY if where == "memory" else self.folder
            files.note(f"no pixel cache of {split}, since {place} cannot be written: {error.strerror}")
            return source

    def _keep(self, entry: Entry, source: Pictures, split: str) -> Pictures:
        """Writes an entry and reads from it.

        Raises:
            OSError: It cannot be written.
        """
        cache.remove_oldest(self.folder, _ENDING, self.gib * GIB - _size(source))
        with entry.writing() as file:
            require_free(self.folder, _size(source))
            _write(file, source, split)
        return _kept(entry.path, source, cache.HEAD_BYTES)


def _size(source: Pictures) -> int:
    return len(source.labels) * raw_layout.picture_bytes(source.image_size)


def _write(file: IO[bytes], source: Pictures, split: str) -> None:
    """Writes the pixels of all pictures, decoded, one after the other."""
    count = len(source.labels)
    with pictures_bar(count, f"decoding {split}") as progress:
        for first, pictures in enumerate(pipeline.evaluation_dataset(source, _BATCH).as_numpy_iterator()):
            # What is behind the last one is padding.
            pictures = pictures[: count - first * _BATCH]
            file.write(pictures.data)
            progress.update(len(pictures))
    file.flush()
    os.fsync(file.fileno())


def _find(entry: Entry, source: Pictures) -> Pictures | None:
    """A reader of an entry, if some of its pictures, spread over all of it, are what the records hold by now."""
    file = entry.open()
    if file is None:
        return None
    with file:
        size = os.fstat(file.fileno()).st_size
    places = np.unique(np.linspace(0, len(source.labels) - 1, _CHECKED).astype(np.int64))
    if size == cache.HEAD_BYTES + _size(source):
        found = _kept(entry.path, source, cache.HEAD_BYTES)
        if np.array_equal(readers.take(found, places), readers.take(source, places)):
            return found
    entry.say_damaged()
    return None


def _kept(path: Path, source: Pictures, start: int) -> Pictures:
    """A reader of the pixels in a file from byte `start` on."""
    size, count = raw_layout.picture_bytes(source.image_size), len(source.labels)
    pixels = ByteRanges([RangeFile(path)], [Spans(start + np.arange(count) * size, np.full(count, size))])
    return RawPictures(pixels, source.labels, source.keys, (source.image_size, source.image_size, 3), None)
