from __future__ import annotations

import hashlib

import pytest
import tensorflow as tf

from dogcat import records

RECORDS = [b"", b"a", bytes(range(256)) * 100]


def test_bytes_equal_those_of_tensorflow(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in RECORDS:
            writer.write(record)
    ours = b"".join(map(records.frame, RECORDS))
    assert ours == (tmp_path / "theirs").read_bytes()


def test_a_shard_appears_when_it_is_finished(tmp_path):
    path = tmp_path / "train-00000-of-00001.tfrecord"
    with records.ShardFile(path) as shard:
        for record in RECORDS:
            shard.append(records.frame(record), 1)
        assert not path.exists()
        sha256 = shard.finish()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert shard.records == 3
    assert shard.bytes == path.stat().st_size
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert read == RECORDS


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(TypeError):
        records.write_atomically(path, "no bytes")
    assert path.read_bytes() == b"before"
    records.write_atomically(path, b"after")
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]
