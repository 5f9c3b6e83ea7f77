"""Shards of a data set taken apart, changed and written again, and what verification says of them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from conftest import make

from dogcat.dataset import example_proto, manifest, shard_index, stored_picture, tfrecord, verify
from dogcat.dataset.shard_index import ShardIndex
from dogcat.pictures.labels import UNLABELED

ENCODINGS = ("jpeg", "png", "raw")
HEADER = 12
FOOTER = 4


def make_in_each_encoding(images, folder):
    """Makes a small data set in each of `ENCODINGS`, by its name in the folder; returns the folder."""
    for encoding in ENCODINGS:
        make(images, folder / encoding, encoding=encoding, validation=0.3, shards=2)
    return folder


def problems_of(folder, **options):
    return verify.verify(folder, manifest.read(folder), **options)


def shards_of(folder):
    return [shard for split in manifest.read(folder).splits.values() for shard in split.shards]


def flip_bit(folder):
    """Changes a bit in the middle of the second training shard; returns its path."""
    shard = sorted(folder.glob("train-*.tfrecord"))[1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    return shard


def data_of(path):
    """The data of each record, read by the lengths alone."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        found.append(content[at + HEADER : at + HEADER + length])
        at += HEADER + length + FOOTER
    return found


def offsets_of(path):
    offsets = [0]
    for data in data_of(path):
        offsets.append(offsets[-1] + len(data) + tfrecord.FRAME_BYTES)
    return offsets


def features_of(data):
    return {key: values[0] for key, values in example_proto.decode_example(data).items()}


def keys_of(path):
    return [features_of(data)[example_proto.FILENAME].decode() for data in data_of(path)]


def rewrite(folder, name, all_data):
    """Writes a shard with right checksums and its index, and size, number and hashes into the manifest."""
    content = b"".join(map(tfrecord.frame, all_data))
    (folder / name).write_bytes(content)
    facts = {"records": len(all_data), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_manifest(folder, lambda made: entry_of(made, name).update(facts))
    write_index(folder, name, index_of(all_data))


def index_of(all_data):
    """The index of some records; those that are no pictures have no label and no key."""
    labels, keys = [], []
    for data in all_data:
        try:
            picture = stored_picture.parse_picture(data)
        except ValueError:
            picture = None
        labels.append(picture.label if picture else UNLABELED)
        keys.append(picture.key if picture else "")
    return ShardIndex(np.array(list(map(len, all_data)), np.int64), np.array(labels, np.int64), keys)


def write_index(folder, name, index):
    """Writes the index beside a shard, and its hash into the manifest."""
    content = index.to_bytes()
    shard_index.path_beside(folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(folder, lambda made: entry_of(made, name).update(index=digest))


def make_version_1(folder):
    """Makes a data set one of version 1, which has no indexes."""

    def without_indexes(made):
        made["format_version"] = 1
        for shard in all_shards(made):
            del shard["index"]

    edit_manifest(folder, without_indexes)
    for path in folder.glob("*.index"):
        path.unlink()


def entry_of(made, name):
    """What a manifest says of a shard."""
    [entry] = (shard for shard in all_shards(made) if shard["name"] == name)
    return entry


def all_shards(content):
    return [shard for split in content["splits"].values() for shard in split["shards"]]


def edit_manifest(folder, edit):
    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def change(folder, name, number, **features):
    """Changes features of one record: encoded=..., label=... and so on."""
    all_data = data_of(folder / name)
    changed = features_of(all_data[number])
    changed.update({getattr(example_proto, key): value for key, value in features.items()})
    all_data[number] = example_proto.encode_example({key: value for key, value in changed.items() if value is not None})
    rewrite(folder, name, all_data)
