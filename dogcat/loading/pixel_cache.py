"""Pictures of a split decoded once, and read from then on as records of raw pixels, on disk or in memory."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
from pathlib import Path
from typing import IO, Callable

import numpy as np

from dogcat.core import cache, files
from dogcat.core.cache import Entry
from dogcat.core.cache_room import GIB, CacheRoom, require_free, size_text
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.progress import pictures_bar
from dogcat.dataset import example_proto, raw_layout, tfrecord
from dogcat.dataset.manifest import Manifest
from dogcat.loading import pipeline
from dogcat.loading.byte_ranges import ByteRanges, RangeFile, Spans
from dogcat.loading.pictures import Pictures
from dogcat.loading.raw_pictures import RawPictures

# Pictures decoded at a time.
_BATCH = 128
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
        of_split, taken = dict(sources), 0
        for split, source in sources.items():
            if self.where == "none" or not len(source.labels) or isinstance(source, RawPictures):
                continue
            pixels = _Pixels(source, data, split)
            # Also the place of pixels without checksums that earlier versions kept, which are replaced.
            entry = Entry(self.folder, [data.digest(), split, len(source.labels)], _ENDING)
            if kept := self._kept(pixels, entry, taken):
                of_split[split] = kept
                taken += pixels.size
        return of_split

    def _kept(self, pixels: _Pixels, entry: Entry, taken: int) -> Pictures | None:
        """A reader of one split's pictures, kept beside `taken` bytes of others; None where they are not kept."""
        room = CacheRoom("cache", self.where, self.gib, self.folder)
        where, reason = room.choose(pixels.size, taken, entry.path)
        tell(f"pixel cache of {pixels.split}, {size_text(pixels.size)}: {where}, since {reason}")
        if where == "none":
            return None
        try:
            if where == "memory":
                # Without a name, so that it goes with the process, however that ends.
                with files.naming(files.MEMORY), tempfile.TemporaryFile(dir=files.MEMORY) as nameless:
                    pixels.write(nameless)
                    return pixels.reader(Path(f"/proc/self/fd/{nameless.fileno()}"), 0, _damaged_in_memory)
            if not _is_there(entry, pixels.size):
                cache.remove_oldest(self.folder, _ENDING, self.gib * GIB - pixels.size)
                with entry.writing() as file:
                    require_free(self.folder, pixels.size)
                    pixels.write(file)
            return pixels.reader(entry.path, cache.HEAD_BYTES, _damaged)
        except OSError as error:
            place = files.MEMORY if where == "memory" else self.folder
            files.note(f"no pixel cache of {pixels.split}, since {place} cannot be written: {error.strerror}")
            return None


class _Pixels:
    """The pixels of a split's pictures, as records of a shard of raw pixels.

    Attributes:
        split: Name of the split.
        size: Bytes of all records.
    """

    def __init__(self, source: Pictures, data: Manifest, split: str) -> None:
        """Takes what decodes the pictures."""
        self.split = split
        self._source = source
        self._classes = data.classes
        self._layout = raw_layout.layout_for(source.image_size, source.keys, data.classes)
        self.size = len(source.labels) * self._layout.record_bytes

    def write(self, file: IO[bytes]) -> None:
        """Writes the records, one after the other."""
        source = self._source
        count = len(source.labels)
        with pictures_bar(count, f"decoding {self.split}") as progress:
            batches = pipeline.evaluation_dataset(source, _BATCH).as_numpy_iterator()
            # What is behind the last picture is padding.
            in_order = itertools.islice(itertools.chain.from_iterable(batches), count)
            for key, label, picture in zip(source.keys, source.labels.tolist(), in_order):
                features = example_proto.picture_features(
                    key, label, self._classes[label], picture.tobytes(), raw_layout.FORMAT, source.image_size
                )
                file.write(tfrecord.frame(raw_layout.encode_example(features, self._layout)))
                progress.update()
        file.flush()
        os.fsync(file.fileno())

    def reader(self, path: Path, start: int, damaged: Callable[[RangeFile, str, int], InputError]) -> Pictures:
        """A reader of the records in a file from byte `start` on, each of which is checked when it is first read.

        Args:
            path: The file.
            start: Where the first record begins.
            damaged: From the file, what is wrong, and the number of the record to the error to raise.
        """
        source, layout = self._source, self._layout
        count, side = len(source.labels), source.image_size
        starts = start + layout.pixels_offset + np.arange(count) * layout.record_bytes
        spans = Spans(starts, np.full(count, raw_layout.picture_bytes(side)))
        pixels = ByteRanges([RangeFile(path)], [spans])
        return RawPictures(pixels, source.labels, source.keys, (side, side, 3), layout, damaged)


def _damaged(file: RangeFile, what: str, number: int) -> InputError:
    return InputError(f"{file.path} is damaged: record {number}: {what}; delete this file of the cache and start again")


def _damaged_in_memory(_: RangeFile, what: str, number: int) -> InputError:
    return InputError(
        f"the pixel cache in memory is damaged: record {number}: {what}; start again, and if that happens again have "
        "the machine's memory tested"
    )


def _is_there(entry: Entry, size: int) -> bool:
    """Whether an entry is there with `size` bytes of records."""
    file = entry.open()
    if file is None:
        return False
    with file:
        if os.fstat(file.fileno()).st_size == cache.HEAD_BYTES + size:
            return True
    entry.say_damaged()
    return False
