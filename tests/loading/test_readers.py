from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, make
from PIL import Image

from dogcat.core import files
from dogcat.core.options import InputError
from dogcat.dataset import example_proto, manifest, shard_index, stored_picture, tfrecord, verify
from dogcat.dataset.shard_index import ShardIndex
from dogcat.loading import damage, pipeline, readers
from dogcat.loading.byte_ranges import ByteRanges, RangeFile, Spans
from dogcat.loading.raw_pictures import RawPictures
from dogcat.loading.records import DamagedShardError
from dogcat.loading.stoppable import Stoppable

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
    runs = [tf.data.Dataset.from_tensors(np.array(batch, np.int64)) for batch in batches]
    return [
        batch for run, places in zip(runs, batches) for batch in reader.dataset(run, len(places)).as_numpy_iterator()
    ]


def on_disk(folder, split):
    """Pictures and labels as `TFRecordDataset` gives them, for raw pixels."""
    schema = {
        example_proto.ENCODED: tf.io.FixedLenFeature((), tf.string),
        example_proto.FORMAT: tf.io.FixedLenFeature((), tf.string),
        example_proto.LABEL: tf.io.FixedLenFeature((), tf.int64),
    }
    names = [str(folder / shard.name) for shard in manifest.load(folder).splits[split].shards]
    pictures, labels = [], []
    for record in tf.data.TFRecordDataset(names):
        example = tf.io.parse_single_example(record, schema)
        assert example[example_proto.FORMAT] == b"raw"
        pictures.append(tf.reshape(tf.io.decode_raw(example[example_proto.ENCODED], tf.uint8), (32, 32, 3)).numpy())
        labels.append(int(example[example_proto.LABEL]))
    return np.stack(pictures), np.array(labels)


@pytest.mark.parametrize("name", ["raw", "raw3"])
@pytest.mark.parametrize("split", SPLITS)
def test_raw_pictures_are_those_that_any_tensorflow_program_reads(data_sets, name, split):
    pictures, labels = on_disk(data_sets / name, split)
    reader = open_split(data_sets / name, split)
    assert isinstance(reader, RawPictures)
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
            assert reader.keys == of_raw.keys
            np.testing.assert_array_equal(its_labels, labels)
            # Chroma of half the resolution moves single pixels far, and means by little.
            differences = np.abs(its.astype(int) - pictures).mean(axis=(1, 2, 3))
            assert differences.max() < (20 if name == "jpeg" else 1e-9)


@pytest.mark.parametrize("name", ["raw3", "jpeg"])
def test_keys_and_labels_are_those_of_the_records(data_sets, name):
    folder = data_sets / name
    pictures = [
        stored_picture.parse_picture(record.data)
        for shard in manifest.load(folder).splits["train"].shards
        for record in tfrecord.read_records(folder / shard.name)
    ]
    reader = open_split(folder)
    assert reader.keys == [picture.key for picture in pictures]
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


def rewrite(folder, shard, framed):
    """Puts records into a shard, with the size and hash of which the manifest and the index agree."""
    shard.write_bytes(b"".join(framed))
    lengths = np.array([len(record) - tfrecord.FRAME_BYTES for record in framed])
    labels, keys = [], []
    for record in framed:
        features = tf.train.Example.FromString(record[12:-4]).features.feature
        labels += list(features[example_proto.LABEL].int64_list.value) or [0]
        keys += [key.decode() for key in features[example_proto.FILENAME].bytes_list.value] or [""]
    index = ShardIndex(lengths, np.array(labels), keys).to_bytes()
    shard_index.path_beside(shard).write_bytes(index)
    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())
    [entry] = [
        entry for split in content["splits"].values() for entry in split["shards"] if entry["name"] == shard.name
    ]
    hashes = {"sha256": files.sha256_of(shard), "index": hashlib.sha256(index).hexdigest()}
    entry.update(bytes=shard.stat().st_size, **hashes)
    path.write_text(json.dumps(content))


def framed_records(shard):
    return [tfrecord.frame(record.data) for record in tfrecord.read_records(shard)]


def changed(framed, **features):
    """A record of encoded pictures with other values of some features."""
    values = {key: values[0] for key, values in example_proto.decode_example(framed[12:-4]).items() if key != "padding"}
    return tfrecord.frame(
        example_proto.encode_example(
            {**values, **{getattr(example_proto, key): value for key, value in features.items()}}
        )
    )


def refused(folder, split="train"):
    """What is said when a split is read as training does, from the manifest to the last picture."""
    with pytest.raises(InputError) as caught, damage.naming_damage():
        reader = open_split(folder, split)
        batches_of(reader, range(len(reader.labels)))
    said = str(caught.value)
    assert "\n" not in said and len(said) < 400
    return said


def test_a_shard_of_another_size_is_refused(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "raw", tmp_path)
    made = manifest.load(folder)
    size = shard.stat().st_size
    os.truncate(shard, size - 1)
    assert f"{shard} has {size - 1} bytes, the manifest says {size}; copy it again" in refused(folder)
    # Cut short after the manifest was read.
    with pytest.raises(DamagedShardError, match=f"it has {size - 1} bytes, the manifest says {size}"):
        readers.open_split(folder, made, "train")


@pytest.mark.parametrize("name", ["raw", "jpeg", "png"])
@pytest.mark.parametrize("left", [0, 1000, 0.5])
def test_a_shard_that_is_cut_short_while_it_is_read_is_named(data_sets, tmp_path, name, left):
    folder, shard = copy_of(data_sets / name, tmp_path)
    reader = open_split(folder)
    os.truncate(shard, int(left * shard.stat().st_size) if left < 1 else left)
    with pytest.raises(DamagedShardError) as caught, damage.naming_damage():
        batches_of(reader, range(len(reader.labels)))
    assert re.fullmatch(
        rf"{shard} is damaged: record \d+: it ends at byte \d+, .* --verify says more",
        str(caught.value),
    )


def test_a_raw_shard_with_a_record_of_another_length_is_refused(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "raw", tmp_path)
    framed = framed_records(shard)
    # Whole records with right checksums, and a file of the promised size: lengths alone tell.
    size = len(framed[2])
    longer, shorter = framed[2][12:-4] + b"\x1a\x02\0\0", framed[3][12:-4][:-4]
    framed[2:4] = [tfrecord.frame(longer), tfrecord.frame(shorter)]
    shard.write_bytes(b"".join(framed))
    assert shard.stat().st_size == len(framed) * size
    assert f"{shard} is damaged: record 2: its length is not what the index says" in refused(folder)


def test_a_raw_record_is_checked_when_it_is_first_read(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "raw", tmp_path)
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    reader = open_split(folder)
    last = len(reader.labels) - 1
    assert len(batches_of(reader, range(last))) == 1
    assert f"{shard} is damaged: record {last}: the data do not match their checksum" in refused(folder)


@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_a_record_that_is_laid_out_otherwise_is_named(data_sets, tmp_path, name):
    folder, shard = copy_of(data_sets / name, tmp_path)
    framed = framed_records(shard)
    lacking = tf.train.Example.FromString(framed[3][12:-4])
    del lacking.features.feature[example_proto.ENCODED]
    index = shard_index.path_beside(shard)
    for number, wrong, file, said in (
        (0, changed(framed[0], LABEL=2), index, "its label is 2, the data set has 2 classes"),
        (1, changed(framed[1], LABEL=-1), index, "its label is -1"),
        (2, tfrecord.frame(b""), shard, "image/filename is missing"),
        (3, tfrecord.frame(lacking.SerializeToString(deterministic=True)), shard, "image/encoded is missing"),
        (4, framed[4][:5] + b"\1" + framed[4][6:], shard, "its length is not what the index says"),
        (5, framed[5][:-1] + bytes([framed[5][-1] ^ 1]), shard, "the data do not match their checksum"),
    ):
        rewrite(folder, shard, [*framed[:number], wrong, *framed[number + 1 :]])
        assert f"{file} is damaged: record {number}: {said}" in refused(folder)
    index.write_bytes(index.read_bytes()[:-1])
    assert f"{index} is damaged: its sha256 is not what the manifest says; copy it again" in refused(folder)
    index.unlink()
    assert f"{index} is missing; copy it again" in refused(folder)


def picture(size, form):
    buffer = io.BytesIO()
    Image.new("RGB", size, (10, 20, 30)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["jpeg", "png"])
@pytest.mark.parametrize(
    ("size", "form"),
    [(size, "") for size in ((1, 1), (32, 1), (1, 32), (64, 16), (33, 32))]
    + [((32, 32), form) for form in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP")],
)
def test_a_picture_of_another_size_or_format_is_never_spread_over_one(data_sets, tmp_path, name, size, form):
    form = form or name.upper()
    if form.lower() == name and size == (32, 32):
        form = "PPM"
    folder, shard = copy_of(data_sets / name, tmp_path)
    framed = framed_records(shard)
    rewrite(folder, shard, [*framed[:4], changed(framed[4], ENCODED=picture(size, form)), *framed[5:]])
    wanted = f"the picture has {size[0]}x{size[1]} pixels, not 32x32"
    said = refused(folder)
    assert f"{shard} is damaged: record 4: the picture " in said and "--verify says more" in said
    assert (wanted if form.lower() == name else f"is not {name.upper()}, as the manifest says") in said
    assert [problem.record for problem in verify.verify(folder, manifest.read(folder))] == [4]


def test_a_damaged_jpeg_is_never_given_as_a_picture(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "jpeg", tmp_path)
    made = manifest.load(folder)
    content = bytearray(shard.read_bytes())
    content[shard.stat().st_size // 2] ^= 1
    shard.write_bytes(content)
    reader = readers.open_split(folder, made, "train")
    with pytest.raises(InputError, match=f"{shard} is damaged"), damage.naming_damage():
        batches_of(reader, range(len(reader.labels)))


def test_a_file_that_has_taken_anothers_name_is_read_anew(data_sets, tmp_path):
    folder, shard = copy_of(data_sets / "raw", tmp_path)
    [(first, _)] = batches_of(open_split(folder), range(3))
    content = bytearray(shard.read_bytes())
    shard.unlink()
    at = manifest.load(data_sets / "raw").options["pixels_offset"]
    content[at] ^= 255
    record_bytes = manifest.load(data_sets / "raw").options["record_bytes"]
    content[:record_bytes] = tfrecord.frame(bytes(content[12 : record_bytes - 4]))
    shard.write_bytes(content)
    [(second, _)] = batches_of(open_split(folder), range(3))
    assert np.flatnonzero(first != second).tolist() == [0]


def resident_mib():
    """What of this process is in memory and not in a file."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def test_pixels_are_not_kept_in_memory(tmp_path):
    path, pictures, size = tmp_path / "pixels", 1000, 299
    with open(path, "wb") as file:
        file.truncate(pictures * size * size * 3)
    before = resident_mib()
    picture = size * size * 3
    spans = Spans(np.arange(pictures) * picture, np.full(pictures, picture))
    labels = np.zeros(pictures, np.int32)
    reader = RawPictures(ByteRanges([RangeFile(path)], [spans]), labels, [], (size, size, 3), None, None)
    assert len(batches_of(reader, range(4), range(4, 8))) == 2
    assert resident_mib() - before < path.stat().st_size / 2**20 / 2


def test_memory_is_taken_again_only_when_a_batch_is_dropped(data_sets):
    reader = open_split(data_sets / "raw")
    places = [np.arange(start, start + 4, dtype=np.int64) for start in range(0, 16, 4)]
    expected = [pictures for pictures, _ in batches_of(reader, *places)]
    assert len({pictures.tobytes() for pictures in expected}) == 4
    kept, addresses = [], set()
    for number, (pictures, _) in enumerate(reader.dataset(tf.data.Dataset.from_tensor_slices(places).repeat(10), 4)):
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
import pathlib, sys
import numpy as np
import tensorflow as tf
from dogcat.dataset import manifest
from dogcat.loading import readers
folder = pathlib.Path(sys.argv[1])
reader = readers.open_split(folder, manifest.load(folder), "train")
runs = tf.data.Dataset.from_tensors(np.zeros(10_000, np.int64)).repeat()
dataset = reader.dataset(runs, 200).prefetch(50)
batches = iter(dataset)
next(batches)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, data_sets / name], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_data_sets_that_are_read_at_once_do_not_wait_for_each_other():
    together = threading.Barrier(2)

    def batches():
        # There only while the other is asked, too.
        together.wait(timeout=30)
        yield 7

    def numbers(_):
        spec = tf.TensorSpec((), tf.int32)
        dataset = tf.data.Dataset.from_generator(lambda: Stoppable(batches()), output_signature=spec)
        return [int(number) for number in dataset]

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(numbers, range(2))) == [[7], [7]]
