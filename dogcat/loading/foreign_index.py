"""Where the records of other programs' TFRecords lie, and the label of each: found in one pass, then kept.

A file that is gzip has no offsets to read from, so it is unpacked into the cache in the same pass. No TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from tqdm import tqdm

from dogcat.core import cache, files
from dogcat.core.cache import Entry
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.progress import mib_bar
from dogcat.dataset import foreign_features, foreign_files, tfrecord
from dogcat.dataset.foreign_features import Keys
from dogcat.dataset.foreign_files import ForeignFile

_MIB = 2**20
# Bytes that are kept of all indexes, and of all unpacked files; those used longest ago go first.
_MOST_INDEXES = 2**30
_MOST_UNPACKED = 64 * 2**30
_INDEX, _UNPACKED = ".foreign", ".unpacked"


class ForeignIndex(NamedTuple):
    """What is known of a file's records, in their order.

    Attributes:
        path: The file to read them from: itself or, of one that is gzip, the unpacked one in the cache.
        sha256: Hash of the length and the data of each record, hex.
        keys: The features that were read.
        texts: What labels are, where they are texts; empty where they are numbers.
        lengths: Bytes of each record's data, int64 [records].
        labels: Label of each, or its place in `texts`; int64 [records].
    """

    path: str
    sha256: str
    keys: Keys
    texts: list[str]
    lengths: np.ndarray
    labels: np.ndarray


def of_files(found: list[ForeignFile], keys: Keys) -> Iterator[ForeignIndex]:
    """The index of each file; those that are not kept from before are read, with progress.

    The features that are found in the first record are those of all files.

    Raises:
        InputError: A record is damaged, or does not hold a picture and a label.
        OSError: A file cannot be read, or not be unpacked.
    """
    unpacked_bytes = done = 0
    with mib_bar(sum(file.bytes for file in found), "indexing") as bar:
        for file in found:
            index = _kept(file, keys)
            if index is None:
                if file.is_gzip and not unpacked_bytes:
                    tell(f"gzip files are unpacked into {_unpacked(file).path.parent}")
                index = _read_through(file, keys, bar, _MOST_UNPACKED - unpacked_bytes)
            done += file.bytes
            bar.update(done // _MIB - bar.n)
            if file.is_gzip:
                unpacked_bytes += int(index.lengths.sum())
            if index.keys.image:
                keys = index.keys
            yield index


def _entry(file: ForeignFile, keys: Keys) -> Entry:
    return Entry(cache.cache_folder() / "indexes", ["foreign", *file.identity, *keys], _INDEX)


def _unpacked(file: ForeignFile) -> Entry:
    return Entry(cache.cache_folder() / "unpacked", file.identity, _UNPACKED)


def _read_through(file: ForeignFile, keys: Keys, bar: tqdm, room: int) -> ForeignIndex:
    """Reads a file once: indexes it, and unpacks it if it is gzip, into `room` bytes at most."""
    entry = _entry(file, keys)
    if file.is_gzip:
        unpacked = _unpacked(file)
        with unpacked.writing() as copy:
            index = _indexed(file, keys, bar, str(unpacked.path), copy, room)
        cache.remove_oldest(unpacked.path.parent, _UNPACKED, _MOST_UNPACKED)
    else:
        index = _indexed(file, keys, bar, str(file.path))
    try:
        with entry.writing() as written:
            written.write(_to_bytes(index))
    except OSError as error:
        files.note(f"no index is kept, since {entry.path.parent} cannot be written: {error.strerror}")
    cache.remove_oldest(entry.path.parent, _INDEX, _MOST_INDEXES)
    return index


def _indexed(
    file: ForeignFile, keys: Keys, bar: tqdm, path: str, copy: BinaryIO | None = None, room: int = 0
) -> ForeignIndex:
    """The index of a file that is read, and copied unpacked into `copy`."""
    lengths: list[int] = []
    labels: list[int] = []
    texts: dict[str, int] = {}
    hash_ = hashlib.sha256()
    before, size = bar.n, 0
    with foreign_files.opened(file) as stream:
        try:
            for data in foreign_files.records_of(stream):
                if not lengths:
                    keys = _found_keys(file, data, keys)
                hash_.update(tfrecord.frame_header(len(data)))
                hash_.update(data)
                if copy:
                    size += len(data) + tfrecord.FRAME_BYTES
                    if size > room:
                        raise InputError(
                            f"{file.path}: takes more than the {_MOST_UNPACKED // 2**30} GiB that unpacked files may "
                            "have together in the cache; unpack the files yourself, with gunzip"
                        )
                    copy.write(tfrecord.frame(data))
                label = foreign_features.parse(data, keys).label
                if lengths and isinstance(label, str) != bool(texts):
                    this, before_it = ("number", "text") if texts else ("text", "number")
                    raise ValueError(f"{keys.label} is a {this}, and was a {before_it} before")
                labels.append(texts.setdefault(label, len(texts)) if isinstance(label, str) else label)
                lengths.append(len(data))
                bar.update(before + foreign_files.bytes_read(stream) // _MIB - bar.n)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise foreign_files.damaged(file.path, len(lengths), error) from error
    return ForeignIndex(
        path,
        hash_.hexdigest(),
        keys if lengths else Keys("", ""),
        list(texts),
        np.array(lengths, np.int64),
        np.array(labels, np.int64),
    )


def _found_keys(file: ForeignFile, data: bytes, keys: Keys) -> Keys:
    """The keys, completed by the first record of a file."""
    try:
        return foreign_features.find_keys(data, keys)
    except InputError as error:
        raise InputError(f"{file.path}: record 0: {error}") from error


def _to_bytes(index: ForeignIndex) -> bytes:
    """An index as it is kept: a line of JSON, then a column after the other, little-endian."""
    head = {"sha256": index.sha256, "keys": index.keys, "texts": index.texts, "records": len(index.lengths)}
    columns = (index.lengths.astype("<i8").tobytes(), index.labels.astype("<i8").tobytes())
    return b"".join([json.dumps(head).encode(), b"\n", *columns])


def _kept(file: ForeignFile, keys: Keys) -> ForeignIndex | None:
    """The index of a file from the cache, if it is there, and the unpacked file of one that is gzip."""
    entry = _entry(file, keys)
    opened = entry.open()
    if opened is None:
        return None
    with opened:
        head, _, columns = opened.read().partition(b"\n")
    try:
        told = json.loads(head)
        lengths, labels = np.frombuffer(columns, "<i8").reshape(2, told["records"]).astype(np.int64)
        index = ForeignIndex(str(file.path), told["sha256"], Keys(*told["keys"]), told["texts"], lengths, labels)
    except (ValueError, KeyError, TypeError):
        entry.say_damaged()
        return None
    if not file.is_gzip:
        return index
    unpacked = _unpacked(file)
    copy = unpacked.open()
    if copy is None:
        return None
    with copy:
        if copy.seek(0, 2) != cache.HEAD_BYTES + int(np.sum(lengths + tfrecord.FRAME_BYTES)):
            unpacked.say_damaged()
            return None
    return index._replace(path=str(unpacked.path))
