from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, make

from dogcat import examples, manifest, pipeline, readers, records, stored
from dogcat.config import InputError
from dogcat.mapped import MappedPixels
from dogcat.mapped_file import MappedFile, MappedStretches, Spans

SPLITS = ("train", "validation")


@pytest.fixture(scope="module")
def data_sets(samples, tmp_path_factory):
    """The same pictures as raw pixels, in one shard and in three, as PNG and as JPEG; keys of many lengths."""
    folder = tmp_path_factory.mktemp("data_sets")
    images = folder / "images"
    for number, path in enumerate(sorted((samples / "train").iterdir())):
        # The class is told by the folder.
        target = images / path.name.split(".")[0] / ("deep/" * (number % 40)) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name, options in {
        "raw": {"encoding": "raw"},
        "raw3": {"encoding": "raw", "shards": 3},
        "png": {"encoding": "png", "shards": 2},
        "jpeg": {"shards": 2},
    }.items():
        make(images, folder / name, validation=0.3, **options)
    return folder


def open_split(folder, split="train"):
    return readers.open_split(folder, manifest.load(folder), split)


def batches_of(reader, *batches):
    places = [np.array(batch, np.int64) for batch in batches]
    return list(reader.dataset(lambda: iter(places)).as_numpy_iterator())


def on_disk(folder, split):
    """Pictures and labels as `TFRecordDataset` gives them, for raw pixels."""
    schema = {
        examples.ENCODED: tf.io.FixedLenFeature((), tf.string),
        examples.FORMAT: tf.io.FixedLenFeature((), tf.string),
        examples.LABEL: tf.io.FixedLenFeature((), tf.int64),
    }
    names = [str(folder / shard.name) for shard in manifest.load(folder).splits[split].shards]
    pictures, labels = [], []
    for record in tf.data.TFRecordDataset(names):
        example = tf.io.parse_single_example(record, schema)
        assert example[examples.FORMAT] == b"raw"
        pictures.append(tf.reshape(tf.io.decode_raw(example[examples.ENCODED], tf.uint8), (32, 32, 3)).numpy())
        labels.append(int(example[examples.LABEL]))
    return np.stack(pictures), np.array(labels)


@pytest.mark.parametrize("name", ["raw", "raw3"])
@pytest.mark.parametrize("split", SPLITS)
def test_mapped_pictures_are_those_that_any_tensorflow_program_reads(data_sets, name, split):
    pictures, labels = on_disk(data_sets / name, split)
    reader = open_split(data_sets / name, split)
    assert isinstance(reader.pixels, MappedPixels)
    np.testing.assert_array_equal(reader.labels, labels)
    order = np.random.default_rng(0).permutation(len(labels))
    batches = batches_of(reader, order[:5], order[5:6], order[6:])
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in batches]), pictures[order])
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), labels[order])


def test_all_encodings_hold_the_same_pictures_in_the_same_order(data_sets):
    for split in SPLITS:
        of_raw = open_split(data_sets / "raw", split)
        places = range(len(of_raw.labels))
        [(pictures, labels)] = batches_of(of_raw, places)
        for name in ("raw3", "png", "jpeg"):
            reader = open_split(data_sets / name, split)
            [(its, its_labels)] = batches_of(reader, places)
            assert reader.keys() == of_raw.keys()
            np.testing.assert_array_equal(its_labels, labels)
            # Chroma of half the resolution moves single pixels far, and means by little.
            differences = np.abs(its.astype(int) - pictures).mean(axis=(1, 2, 3))
            assert differences.max() < (20 if name == "jpeg" else 1e-9)


@pytest.mark.parametrize("name", ["raw3", "jpeg"])
def test_keys_and_labels_are_those_of_the_records(data_sets, name):
    folder = data_sets / name
    pictures = [
        stored.parse_picture(record.data)
        for shard in manifest.load(folder).splits["train"].shards
        for record in records.read_records(folder / shard.name)
    ]
    reader = open_split(folder)
    assert reader.keys() == [picture.key for picture in pictures]
    assert reader.labels.tolist() == [picture.label for picture in pictures]


def test_raw_shards_train_and_evaluate_as_others(data_sets):
    batches = {}
    for name in ("raw", "png"):
        reader = open_split(data_sets / name)
        training = pipeline.train_dataset(reader, pipeline.TrainingOrder(4, 2, seed=1), pipeline.Position(0, 1)).take(3)
        batches[name] = [*training.as_numpy_iterator(), *pipeline.evaluation_dataset(reader, 4).as_numpy_iterator()]
    for ours, theirs in zip(batches["raw"], batches["png"]):
        for one, other in zip(ours, theirs):
            np.testing.assert_array_equal(one, other)


def copy_of(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    return copy, copy / manifest.load(copy).splits["train"].shards[0].name


def with_sizes_on_disk(folder):
    """The manifest, with the sizes that the shards have by now."""
    made = manifest.read(folder)
    splits = {
        name: dataclasses.replace(
            split,
            shards=[dataclasses.replace(shard, bytes=os.path.getsize(folder / shard.name)) for shard in split.shards],
        )
        for name, split in made.splits.items()
    }
    return dataclasses.replace(made, splits=splits)


def refused(folder, made):
    with pytest.raises(InputError) as caught:
        readers.open_split(folder, made, "train")
    assert "\n" not in str(caught.value) and "--verify says where" in str(caught.value)
    return str(caught.value)


def test_a_raw_shard_cut_short_is_refused(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "raw", tmp_path)
    made = manifest.load(folder)
    os.truncate(shard, shard.stat().st_size - 1)
    with pytest.raises(InputError, match="the manifest says"):
        manifest.load(folder)
    assert f"the manifest says {shard.stat().st_size + 1}" in refused(folder, made)
    assert "no whole number of records" in refused(folder, with_sizes_on_disk(folder))
    # By whole records: what is left is a right shard of fewer pictures than the manifest lists.
    record_bytes = made.options["record_bytes"]
    os.truncate(shard, (shard.stat().st_size // record_bytes - 1) * record_bytes)
    assert "holds" in refused(folder, with_sizes_on_disk(folder))


def test_a_raw_shard_with_a_record_of_another_length_is_refused(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "raw", tmp_path)
    made = manifest.load(folder)
    framed = [records.frame(record.data) for record in records.read_records(shard)]
    # Whole records with right checksums, and a file of the promised size: lengths alone tell.
    size = len(framed[2])
    longer, shorter = framed[2][12:-4] + b"\x1a\x02\0\0", framed[3][12:-4][:-4]
    framed[2:4] = [records.frame(longer), records.frame(shorter)]
    shard.write_bytes(b"".join(framed))
    assert shard.stat().st_size == len(framed) * size
    assert "record 2 is not one of" in refused(folder, made)


def test_a_raw_shard_with_pixels_elsewhere_is_refused(data_sets, tmp_path):
    folder, _ = copy_of(data_sets / "raw", tmp_path)
    made = manifest.load(folder)
    options = {**made.options, "pixels_offset": made.options["pixels_offset"] - 1}
    assert "record 0 is not one of" in refused(folder, dataclasses.replace(made, options=options))
    # Nor are pixels read from where no whole picture can be.
    for offset in (1, made.options["record_bytes"] - 32 * 32 * 3 + 1):
        options = {**made.options, "pixels_offset": offset}
        assert "hold no picture of 32" in refused(folder, dataclasses.replace(made, options=options))


def test_records_that_are_laid_out_otherwise_are_refused(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "jpeg", tmp_path)
    found = list(records.read_records(shard))
    lacking = tf.train.Example.FromString(found[1].data)
    del lacking.features.feature[examples.LABEL]
    framed = [records.frame(record.data) for record in found]
    framed[1] = records.frame(lacking.SerializeToString(deterministic=True))
    shard.write_bytes(b"".join(framed))
    assert "records differ in their features" in refused(folder, with_sizes_on_disk(folder))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert "ends behind the end of the file" in refused(folder, with_sizes_on_disk(folder))


def test_a_damaged_jpeg_is_never_given_as_a_picture(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "jpeg", tmp_path)
    made = manifest.load(folder)
    content = bytearray(shard.read_bytes())
    content[shard.stat().st_size // 2] ^= 1
    shard.write_bytes(content)
    reader = readers.open_split(folder, made, "train")
    with pytest.raises(InputError, match=f"{shard} is damaged"), pipeline.naming_damaged_shards(folder, made):
        batches_of(reader, range(len(reader.labels)))


def test_a_file_that_has_taken_anothers_name_is_mapped_anew(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "raw", tmp_path)
    [(first, _)] = batches_of(open_split(folder), range(3))
    content = bytearray(shard.read_bytes())
    shard.unlink()
    at = manifest.load(data_sets / "raw").options["pixels_offset"]
    content[at] ^= 255
    shard.write_bytes(content)
    [(second, _)] = batches_of(open_split(folder), range(3))
    assert np.flatnonzero(first != second).tolist() == [0]


def resident_mib():
    """What of this process is in memory and not in a file."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def test_mapped_pixels_are_not_copied_into_memory(tmp_path):
    path, pictures, size = tmp_path / "pixels", 1000, 299
    with open(path, "wb") as file:
        file.truncate(pictures * size * size * 3)
    before = resident_mib()
    picture = size * size * 3
    spans = Spans(np.arange(pictures) * picture, np.full(pictures, picture))
    pixels = MappedPixels(MappedStretches([MappedFile(path)], [spans]))
    reader = readers.Reader(np.zeros(pictures, np.int32), size, list, pixels)
    assert len(batches_of(reader, range(4), range(4, 8))) == 2
    assert resident_mib() - before < path.stat().st_size / 2**20 / 2


def test_memory_is_taken_again_only_when_a_batch_is_dropped(data_sets):
    reader = open_split(data_sets / "png")
    places = [np.arange(start, start + 4, dtype=np.int64) for start in range(0, 16, 4)] * 10
    expected = [pictures for pictures, _ in batches_of(reader, *places[:4])]
    assert len({pictures.tobytes() for pictures in expected}) == 4
    kept, addresses = [], set()
    for number, (pictures, _) in enumerate(reader.dataset(lambda: iter(places))):
        addresses.add(pictures.numpy().ctypes.data)
        if number < 4:
            kept.append(pictures)
        del pictures
    for pictures, wanted in zip(kept, expected):
        np.testing.assert_array_equal(pictures, wanted)
    # Those that are kept, those read ahead, and the one in hand.
    assert len(addresses) < 12


@pytest.mark.parametrize("name", ["jpeg", "raw"])
def test_a_process_ends_while_batches_are_read_ahead(data_sets, name):
    script = """
import itertools, pathlib, sys
import numpy as np
from dogcat import manifest, readers
folder = pathlib.Path(sys.argv[1])
reader = readers.open_split(folder, manifest.load(folder), "train")
dataset = reader.dataset(lambda: itertools.repeat(np.zeros(10_000, np.int64))).prefetch(50)
batches = iter(dataset)
next(batches)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, data_sets / name], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
