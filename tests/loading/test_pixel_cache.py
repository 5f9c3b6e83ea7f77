from __future__ import annotations

import contextlib
import errno
import os
import shutil

import fuzzing
import numpy as np
import pytest
import tensorflow as tf
from conftest import make

from dogcat.core import cache as cache_files
from dogcat.core import cache_room, files
from dogcat.core.options import InputError
from dogcat.dataset import manifest, stored_picture
from dogcat.loading import damage, pipeline, readers
from dogcat.loading.encoded_pictures import EncodedPictures
from dogcat.loading.pixel_cache import PixelCache, _Pixels
from dogcat.loading.raw_pictures import RawPictures


def reader_of(folder, split="train"):
    return readers.open_split(folder, manifest.load(folder), split)


def pictures_of(reader):
    batches = pipeline.evaluation_dataset(reader, 7).as_numpy_iterator()
    return np.concatenate(list(batches))[: len(reader.labels)]


def cached(cache, folder, split="train"):
    return cache.readers({split: reader_of(folder, split)}, manifest.load(folder))[split]


@pytest.fixture
def other(samples, tmp_path):
    """A data set of the same options and sizes with other pictures."""
    make(samples / "train", tmp_path / "other", image_size=96, shards=3, validation=0.3, seed=1)
    return tmp_path / "other"


@pytest.fixture
def never_decodes(monkeypatch):
    """Lets no picture be decoded from its call on."""
    return lambda: monkeypatch.setattr(EncodedPictures, "dataset", None)


@pytest.mark.parametrize("where", ["memory", "disk", "auto"])
def test_the_cache_gives_the_same_pictures(tfrecords, tmp_path, where, capsys):
    source = reader_of(tfrecords)
    reader = cached(PixelCache(where, 1.0, tmp_path), tfrecords)
    assert isinstance(reader, RawPictures)
    np.testing.assert_array_equal(pictures_of(reader), pictures_of(source))
    np.testing.assert_array_equal(reader.labels, source.labels)
    assert reader.keys == source.keys
    said = capsys.readouterr().out
    assert said.startswith("pixel cache of train, 0.9 MiB: " + ("memory" if where == "auto" else where))
    assert len(list(tmp_path.iterdir())) == (where == "disk")


def test_what_is_written_into_memory_has_no_name_that_a_kill_could_leave(tfrecords, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MEMORY", tmp_path)
    write = _Pixels.write

    def look(self, file):
        write(self, file)
        assert os.fstat(file.fileno()).st_size and list(tmp_path.iterdir()) == []

    monkeypatch.setattr(_Pixels, "write", look)
    reader = cached(PixelCache("memory", 1.0, tmp_path), tfrecords)
    np.testing.assert_array_equal(pictures_of(reader), pictures_of(reader_of(tfrecords)))


def test_a_file_on_disk_is_used_again(tfrecords, tmp_path, never_decodes):
    cache = PixelCache("disk", 1.0, tmp_path)
    first = pictures_of(cached(cache, tfrecords))
    never_decodes()
    np.testing.assert_array_equal(pictures_of(cached(cache, tfrecords)), first)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_of_other_data_is_never_used(tfrecords, other, tmp_path):
    cache = PixelCache("disk", 1.0, tmp_path / "cache")
    mine, theirs = pictures_of(cached(cache, tfrecords)), pictures_of(cached(cache, other))
    np.testing.assert_array_equal(mine, pictures_of(reader_of(tfrecords)))
    np.testing.assert_array_equal(theirs, pictures_of(reader_of(other)))
    assert not np.array_equal(mine, theirs)
    # Nor is one that has come under another's name, or was cut short, or is of another program.
    own, foreign = sorted((tmp_path / "cache").iterdir(), key=os.path.getmtime)
    content = own.read_bytes()
    records = content[cache_files.HEAD_BYTES :]
    for wrong in (foreign.read_bytes(), content[:-1], content + b"x", b"x" + content[1:], records, b""):
        own.write_bytes(wrong)
        np.testing.assert_array_equal(pictures_of(cached(cache, tfrecords)), mine)
        assert own.read_bytes() == content


def test_what_was_changed_within_a_file_is_never_shown(tfrecords, tmp_path):
    cache = PixelCache("disk", 1.0, tmp_path)
    cached(cache, tfrecords)
    [file] = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    damaged = rf"^{file} is damaged: record 32: the data do not match their checksum; delete this file of the cache"
    with pytest.raises(InputError, match=damaged), damage.naming_damage():
        pictures_of(cached(cache, tfrecords))


def test_what_changed_in_memory_is_never_shown(tfrecords, tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    reader = cached(PixelCache("memory", 1.0, tmp_path), tfrecords)
    [kept] = [
        file
        for file in map("/proc/self/fd/{}".format, set(os.listdir("/proc/self/fd")) - before)
        if os.path.exists(file) and os.readlink(file).startswith(str(files.MEMORY))
    ]
    with open(kept, "r+b") as file:
        file.seek(-100, os.SEEK_END)
        [last] = file.read(1)
        file.seek(-100, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    damaged = "^the pixel cache in memory is damaged: record 32: the data do not match their checksum; start again"
    with pytest.raises(InputError, match=damaged), damage.naming_damage():
        pictures_of(reader)


def test_a_file_holds_records_of_a_raw_shard(tfrecords, tmp_path):
    source = reader_of(tfrecords)
    cached(PixelCache("disk", 1.0, tmp_path / "cache"), tfrecords)
    [file] = (tmp_path / "cache").iterdir()
    shard = tmp_path / "train.tfrecord"
    shard.write_bytes(file.read_bytes()[cache_files.HEAD_BYTES :])
    pictures = [stored_picture.parse_picture(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
    assert [picture.key for picture in pictures] == source.keys
    assert [picture.label for picture in pictures] == source.labels.tolist()
    np.testing.assert_array_equal([stored_picture.pixels_of(picture) for picture in pictures], pictures_of(source))


def test_the_limit_is_kept(tfrecords, tmp_path, capsys):
    size = len(reader_of(tfrecords).labels) * 96 * 96 * 3 / 2**30
    reader = cached(PixelCache("auto", size * 0.9, tmp_path), tfrecords)
    assert isinstance(reader, EncodedPictures)
    assert "none, since --cache_gib=" in capsys.readouterr().out
    cache = PixelCache("disk", size * 1.1, tmp_path)
    cached(cache, tfrecords, "validation")
    [before] = tmp_path.iterdir()
    cached(cache, tfrecords)
    [after] = tmp_path.iterdir()
    assert before != after


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_splits_of_a_run_do_not_drive_out_each_other(tfrecords, tmp_path, capsys, where):
    sources = {split: reader_of(tfrecords, split) for split in ("train", "validation")}
    size = len(sources["train"].labels) * 96 * 96 * 3 / 2**30
    for _ in range(2):
        found = PixelCache(where, size * 1.1, tmp_path).readers(sources, manifest.load(tfrecords))
        assert isinstance(found["train"], RawPictures) and found["validation"] is sources["validation"]
        assert "validation, 0.4 MiB: none, since --cache_gib=" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == (where == "disk")


def test_auto_says_what_is_free(tfrecords, tmp_path, monkeypatch, capsys):
    cache = PixelCache("auto", 1.0, tmp_path / "not" / "yet")
    monkeypatch.setattr(cache_room, "free_memory", lambda: 1000)
    assert isinstance(cached(cache, tfrecords), RawPictures)
    assert "disk, since 1,000 bytes of memory are free" in capsys.readouterr().out
    monkeypatch.setattr(cache_room, "_SHARE_OF_FREE", 0)
    assert isinstance(cached(cache, tfrecords, "validation"), EncodedPictures)
    assert "none, since only 1,000 bytes of memory are free" in capsys.readouterr().out


def test_files_that_another_run_removes_meanwhile_are_no_hindrance(tfrecords, tmp_path):
    (tmp_path / "gone.pixels").symlink_to("nowhere")
    assert isinstance(cached(PixelCache("disk", 1.0, tmp_path), tfrecords), RawPictures)


def test_no_cache_is_made_of_raw_pixels_or_unasked(tfrecords, samples, tmp_path):
    make(samples / "train", tmp_path / "raw", encoding="raw")
    for where, folder in (("disk", tmp_path / "raw"), ("none", tfrecords)):
        source = reader_of(folder)
        assert PixelCache(where, 1.0, tmp_path).readers({"train": source}, manifest.load(folder))["train"] is source


@pytest.fixture(autouse=True)
def new_notes():
    files.note.cache_clear()


def test_a_cache_that_cannot_be_written_is_done_without(tfrecords, tmp_path, monkeypatch, capsys):
    expected = pictures_of(reader_of(tfrecords))
    (tmp_path / "file").write_text("in the way")
    usage = shutil.disk_usage(tmp_path)

    def works_without(cache):
        files.note.cache_clear()
        reader = cached(cache, tfrecords)
        assert isinstance(reader, EncodedPictures)
        np.testing.assert_array_equal(pictures_of(reader), expected)
        [said] = capsys.readouterr().err.splitlines()
        return said

    place = tmp_path / "file"
    assert works_without(PixelCache("disk", 1.0, place)) == (
        f"note: no pixel cache of train, since {place} cannot be written: Not a directory"
    )
    for where in ("disk", "memory"):

        def fill_up(self, file):
            file.write(b"x")
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(_Pixels, "write", fill_up)
            assert works_without(PixelCache(where, 1.0, tmp_path)).endswith(
                "cannot be written: No space left on device"
            )
    # Nothing is decoded for a disk without room.
    monkeypatch.setattr(_Pixels, "write", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1000))
    assert works_without(PixelCache("disk", 1.0, tmp_path)).endswith("cannot be written: No space left on device")
    assert fuzzing.tree(tmp_path) == {"file": (place.stat().st_mode, b"in the way")}


def test_what_lies_in_the_folder_is_left_alone(tfrecords, tmp_path):
    (tmp_path / ".writing-x").mkdir()
    for name in (".writing-x/mine", "mine.pixels", f"{'0' * 32}.pixels"):
        (tmp_path / name).write_bytes(b"mine")
        os.utime(tmp_path / name, (1, 1))
    os.utime(tmp_path / ".writing-x", (1, 1))
    before = fuzzing.tree(tmp_path)
    size = len(reader_of(tfrecords).labels) * 96 * 96 * 3 / 2**30
    for split in ("train", "validation", "train"):
        cached(PixelCache("disk", size * 1.1, tmp_path), tfrecords, split)
    after = fuzzing.tree(tmp_path)
    assert before.items() <= after.items() and len(after) == len(before) + 1


@pytest.mark.parametrize("count", [10, pytest.param(1000, marks=pytest.mark.long)])
def test_mutated_entries_are_never_taken_for_other_pictures(tfrecords, tmp_path, count, monkeypatch):
    data, source = manifest.load(tfrecords), reader_of(tfrecords, "validation")
    cache = PixelCache("disk", 1.0, tmp_path)
    expected = pictures_of(cache.readers({"validation": source}, data)["validation"])
    [file] = tmp_path.iterdir()

    def read(damaged):
        file.write_bytes(damaged)
        with contextlib.suppress(InputError), damage.naming_damage():
            pictures = pictures_of(cache.readers({"validation": source}, data)["validation"])
            np.testing.assert_array_equal(pictures, expected)

    fuzzing.check(read, fuzzing.mutations(file.read_bytes(), count, seed=2))
