"""Checks one record of a data set, its picture included, against the manifest."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from dogcat.core.text import printable
from dogcat.dataset import example_proto, manifest, raw_layout, shard_plan, stored_picture, tfrecord
from dogcat.dataset.manifest import Manifest
from dogcat.dataset.problems import Problem
from dogcat.dataset.tfrecord import Record
from dogcat.pictures.labels import UNLABELED


class CheckedRecord(NamedTuple):
    """What a record turned out to be.

    Attributes:
        number: Its place in the file.
        whole: Whether its data can be trusted.
        length: Bytes of its data; 0 where they cannot be told.
        label: Its label, if it is one of the data set's; else None.
        key_hash: Hash of its picture's key, if it has one.
        problem: What is wrong with it, or None.
    """

    number: int
    whole: bool
    length: int
    label: int | None
    key_hash: int | None
    problem: Problem | None


def check_record(shard: str, record: Record, split: str, made: Manifest) -> CheckedRecord:
    """Checks one record, its picture included.

    Args:
        shard: Name of the file it is from.
        record: The record.
        split: The split that lists the shard.
        made: The manifest.
    """
    label = key_hash = filename = None
    wrong = [record.damage] if record.damage else []
    try:
        if record.data is not None:
            picture = stored_picture.parse_picture(record.data)
            filename = picture.key
            if record.trusted:
                key_hash = hash_key(picture.key)
                label_is_right, found = _check_picture(picture, split, made)
                found += _check_layout(record.data, made)
                label = picture.label if label_is_right else None
                # The damage of a record is told once, whatever follows from it.
                wrong = wrong or found
    except ValueError as error:
        wrong = wrong or [str(error)]
    problem = Problem(shard, "; ".join(wrong), record.number, record.offset, filename) if wrong else None
    return CheckedRecord(record.number, record.trusted, len(record.data or b""), label, key_hash, problem)


def _check_picture(picture: stored_picture.StoredPicture, split: str, made: Manifest) -> tuple[bool, list[str]]:
    """Compares a picture with the manifest: whether its label is one of the data set's, and what is wrong."""
    wrong = []
    if not picture.key:
        wrong.append(f"{example_proto.FILENAME} is empty")
    size = made.image_size
    if (picture.height, picture.width) != (size, size):
        found = f"{picture.height}x{picture.width}"
        wrong.append(f"{example_proto.HEIGHT} x {example_proto.WIDTH} is {found}, not {size}x{size}")
    if picture.format != made.encoding and picture.format in manifest.FORMATS:
        wrong.append(f"{example_proto.FORMAT} is {picture.format}, the manifest says {made.encoding}")
    label_is_right = 0 <= picture.label < len(made.classes)
    if label_is_right:
        text = made.classes[picture.label]
    else:
        text = ""
        label_is_right = picture.label == UNLABELED and split == shard_plan.TEST
    if not label_is_right:
        wrong.append(f"{example_proto.LABEL} is {picture.label}, the manifest has {len(made.classes)} classes")
    elif picture.text != text:
        found = f"{printable(picture.text)!r}, label {picture.label} is {printable(text)!r}"
        wrong.append(f"{example_proto.TEXT} is {found}")
    try:
        height, width, _ = stored_picture.pixels_of(picture).shape
        if (height, width) != (size, size):
            wrong.append(f"the picture has {height}x{width} pixels, not {size}x{size}")
    except ValueError as error:
        wrong.append(str(error))
    return label_is_right, wrong


def _check_layout(data: bytes, made: Manifest) -> list[str]:
    """What is wrong with the length of a record of raw pixels, and with their place in it."""
    layout = raw_layout.layout_of(made.options)
    if not layout:
        return []
    if len(data) + tfrecord.FRAME_BYTES != layout.record_bytes:
        return [f"has {len(data) + tfrecord.FRAME_BYTES} bytes, the manifest says {layout.record_bytes}"]
    pixels_at = layout.pixels_offset - tfrecord.HEADER_BYTES
    if not data[:pixels_at].endswith(raw_layout.pixels_start(made.image_size)):
        return [f"its pixels do not begin at {layout.pixels_offset}, where the manifest says"]
    return []


def hash_key(key: str) -> int:
    """A hash of a key, of 64 bits."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(key), digest_size=8).digest(), "little")
