from __future__ import annotations

import hashlib

import pytest
import tensorflow as tf

from dogcat.dataset import tfrecord

RECORDS = [b"", b"a", bytes(range(256)) * 100]


def test_bytes_equal_those_of_tensorflow(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in RECORDS:
            writer.write(record)
    ours = b"".join(map(tfrecord.frame, RECORDS))
    assert ours == (tmp_path / "theirs").read_bytes()


def test_reads_what_tensorflow_wrote(tmp_path):
    path = tmp_path / "theirs"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    digest = hashlib.sha256()
    read = list(tfrecord.read_records(path, digest))
    assert [record.data for record in read] == RECORDS
    assert [record.offset for record in read] == [0, 16, 33]
    assert all(record.trusted and not record.damage for record in read)
    assert digest.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("block", [20, 1 << 20])
@pytest.mark.parametrize("bit", range(0, 12 * 8, 5))
def test_records_behind_a_damaged_length_are_read_and_every_byte_is_hashed_once(tmp_path, monkeypatch, bit, block):
    monkeypatch.setattr(tfrecord, "_SCAN_BYTES", block)
    framed = [tfrecord.frame(data) for data in (b"first", b"second" * 50, b"", b"last")]
    content = bytearray(b"".join(framed))
    content[len(framed[0]) + bit // 8] ^= 1 << bit % 8
    (tmp_path / "file").write_bytes(content)
    digest = hashlib.sha256()
    read = list(tfrecord.read_records(tmp_path / "file", digest))
    assert [record.data for record in read] == [b"first", b"second" * 50, b"", b"last"]
    assert [bool(record.damage) for record in read] == [False, True, False, False]
    assert digest.hexdigest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 11, 12, 15, 16, 5000])
def test_what_is_no_record_comes_as_one_damaged_stretch(tmp_path, size):
    content = bytes(range(1, 256)) * 20
    (tmp_path / "file").write_bytes(content[:size])
    read = list(tfrecord.read_records(tmp_path / "file"))
    assert [(record.number, record.offset, record.data) for record in read] == [(0, 0, None)][: min(size, 1)]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(OSError, match="file"):
        list(tfrecord.read_records(tmp_path / "file"))


def test_a_shard_appears_when_it_is_finished(tmp_path):
    path = tmp_path / "train-00000-of-00001.tfrecord"
    with tfrecord.ShardFile(path) as shard:
        for record in RECORDS:
            shard.append(tfrecord.frame(record), 1)
        assert not path.exists()
        sha256 = shard.finish()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert shard.records == 3
    assert shard.bytes == path.stat().st_size
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert read == RECORDS
