"""TFRecords that other programs wrote: what is found in them, what is read, and what is refused."""

from __future__ import annotations

import io
import os
import re
import struct

import numpy as np
import pytest
from conftest import contents, make
from foreign_records import CLASSES, example, of_keras, of_slim, of_tfds, picture, write, write_set
from picture_files import encoded
from PIL import Image

from dogcat.core.options import InputError
from dogcat.dataset import foreign_files
from dogcat.dataset.foreign_features import Keys
from dogcat.loading import damage, foreign_set, pipeline, readers
from dogcat.loading.foreign_set import Part, Reading
from dogcat.pictures import decode, resizing
from dogcat.pictures.geometry import MAX_PIXELS

SIZE = 32
LAYOUTS = pytest.mark.parametrize("layout", [of_tfds, of_slim, of_keras])

pytestmark = pytest.mark.usefixtures("empty_cache")


def load(pattern, validation="", classes=(), image_key="", label_key="", first_label="auto", size=SIZE):
    parts = [Part("train", str(pattern), "tfrecords")]
    if validation:
        parts.append(Part("validation", str(validation), "validation_tfrecords"))
    return foreign_set.load(parts, Reading(Keys(image_key, label_key), list(classes), first_label, size))


def refused(*arguments, **options):
    """What is said of files that cannot be used: one line."""
    with pytest.raises(InputError) as error:
        load(*arguments, **options)
    [line] = str(error.value).splitlines()
    return line


def pixels_of(made, split="train"):
    pictures = readers.open_split(None, made, split)
    return readers.take(pictures, np.arange(len(pictures.labels)))


@pytest.mark.parametrize("gzip", [False, True])
@LAYOUTS
def test_pictures_are_what_plain_tensorflow_reads(tmp_path, layout, gzip):
    import tensorflow as tf

    write_set(tmp_path / "data", layout, gzip=gzip)
    before = contents(tmp_path / "data")
    made = load(tmp_path / "data/train*")
    key = "image/encoded" if layout is of_slim else "image"
    features = {key: tf.io.FixedLenFeature([], tf.string)}
    names = sorted(str(path) for path in (tmp_path / "data").glob("train*"))
    expected = []
    for record in tf.data.TFRecordDataset(names, "GZIP" if gzip else ""):
        encoded = tf.io.parse_single_example(record, features)[key]
        pixels = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        resized = tf.image.resize(pixels, (SIZE, SIZE), antialias=True)
        expected.append(tf.cast(tf.round(resized), tf.uint8).numpy())
    assert np.array_equal(pixels_of(made), expected)
    pictures = readers.open_split(None, made, "train")
    assert pictures.labels.tolist() == [number % 2 for number in range(24)]
    assert pictures.keys[:2] == ["train.tfrecord-00000-of-00002:0", "train.tfrecord-00000-of-00002:1"]
    assert pictures.keys[-1] == "train.tfrecord-00001-of-00002:10"
    assert made.splits["train"].counts == [12, 12]
    assert contents(tmp_path / "data") == before


@pytest.mark.parametrize("gzip", [False, True])
def test_training_takes_each_picture_once_and_begins_at_any_step(tmp_path, gzip):
    write_set(tmp_path / "data", gzip=gzip)
    pictures = readers.open_split(None, load(tmp_path / "data/train*"), "train")
    # In blocks, so that neighbours in two files are read in one go.
    order = pipeline.TrainingOrder(batch_size=4, steps=6, seed=3, block=3)
    batches = pipeline.train_dataset(pictures, order).take(9).as_numpy_iterator()
    whole = [pixels for pixels, _ in batches]
    own = {row.tobytes() for row in readers.take(pictures, np.arange(24))}
    assert {row.tobytes() for row in np.concatenate(whole[:6])} == own and len(own) == 24
    later = pipeline.train_dataset(pictures, order, pipeline.Position(0, 4)).take(5).as_numpy_iterator()
    assert all(np.array_equal(one, other) for (one, _), other in zip(later, whole[4:]))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP"])
def test_pictures_of_four_formats_are_stretched_as_the_shard_tool_does(tmp_path, form):
    files = [picture(number, 0, form, size) for number, size in enumerate([(320, 200), (20, 90), (SIZE, SIZE)])]
    write(tmp_path / "a", [example(image=[one], label=[0]) for one in files])
    pixels = pixels_of(load(tmp_path / "a")).astype(int)
    for one, found in zip(files, pixels):
        own = resizing.resize(decode.decode(one, MAX_PIXELS).rgbx, SIZE, "stretch")[:, :, :3]
        assert np.abs(found - own).max() <= 1


def test_grey_cmyk_palettes_and_transparency_become_rgb(tmp_path):
    rgb = Image.open(io.BytesIO(picture(0, 1, "PNG", (SIZE, SIZE))))
    images = [
        (rgb.convert(mode), form) for mode, form in (("L", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG"), ("RGBA", "BMP"))
    ]
    files = [encoded(image, form) for image, form in images]
    write(tmp_path / "a", [example(image=[one], label=[0]) for one in files])
    expected = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in files]
    assert np.abs(pixels_of(load(tmp_path / "a")).astype(int) - expected).max() <= 1
    write(tmp_path / "a", [example(image=[encoded(rgb.convert("P"), "BMP")], label=[0])])
    assert "a: record 0: image is a BMP with a palette" in refused(tmp_path / "a")


def test_an_index_is_made_once_and_again_for_a_file_that_changed(tmp_path, monkeypatch):
    write_set(tmp_path / "data")
    write_set(tmp_path / "packed", gzip=True)
    read = []
    real = foreign_files.opened
    monkeypatch.setattr(foreign_files, "opened", lambda file: read.append(file.path.name) or real(file))
    digests = [load(tmp_path / folder / "train*").digest() for folder in ("data", "packed")]
    assert len(read) == 4
    assert [load(tmp_path / folder / "train*").digest() for folder in ("data", "packed")] == digests
    assert len(read) == 4
    # The same content at another time, or in another place, is the same data set.
    changed = tmp_path / "data" / read[0]
    os.utime(changed, (1, 1))
    assert load(tmp_path / "data/train*").digest() == digests[0]
    (tmp_path / "data").rename(tmp_path / "moved")
    assert load(tmp_path / "moved/train*").digest() == digests[0]
    assert len(read) == 7
    changed = tmp_path / "moved" / changed.name
    content = contents(changed.parent)[changed.name]
    write(changed, [of_tfds(number + 100, number % 2) for number in range(13)])
    assert contents(changed.parent)[changed.name] != content
    assert load(tmp_path / "moved/train*").digest() != digests[0]


def test_a_damaged_entry_of_the_cache_counts_as_none(tmp_path, capsys):
    write_set(tmp_path / "data", gzip=True)
    digest = load(tmp_path / "data/train*").digest()
    for entry in [*(tmp_path / "cache/indexes").iterdir(), *(tmp_path / "cache/unpacked").iterdir()]:
        entry.write_bytes(entry.read_bytes()[:-5])
    made = load(tmp_path / "data/train*")
    assert made.digest() == digest and len(pixels_of(made)) == 24
    assert "counts as none" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_costs_the_index_alone(tmp_path, capsys):
    write_set(tmp_path / "data")
    (tmp_path / "cache").write_text("in the way")
    assert len(pixels_of(load(tmp_path / "data/train*"))) == 24
    assert "no index is kept" in capsys.readouterr().err
    write_set(tmp_path / "packed", gzip=True)
    with pytest.raises(OSError, match="unpacked"):
        load(tmp_path / "packed/train*")


def test_unpacked_files_have_a_bound(tmp_path, monkeypatch):
    write_set(tmp_path / "data", gzip=True)
    monkeypatch.setattr("dogcat.loading.foreign_index._MOST_UNPACKED", 50_000)
    assert "unpack the files yourself, with gunzip" in refused(tmp_path / "data/train*")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name.endswith(".tmp")]


def labelled(folder, *labels, name="a", **others):
    folder.mkdir(exist_ok=True)
    write(folder / name, [example(image=[picture(0, 0)], label=[label], **others) for label in labels])
    return folder / name


@pytest.mark.parametrize(
    ("labels", "options", "classes", "found"),
    [
        ([0, 2, 1], {}, ["0", "1", "2"], [0, 2, 1]),
        ([1, 2], {}, ["1", "2"], [0, 1]),
        ([1, 2], {"classes": CLASSES}, ["cat", "dog"], [0, 1]),
        ([1, 0], {"classes": CLASSES}, ["cat", "dog"], [1, 0]),
        ([1, 1], {"classes": CLASSES, "first_label": "0"}, ["cat", "dog"], [1, 1]),
        ([b"dog", b"cat"], {}, ["cat", "dog"], [1, 0]),
        ([b"dog", b"cat"], {"classes": ("dog", "cat")}, ["dog", "cat"], [0, 1]),
        ([b"dog", b"dog"], {"classes": CLASSES}, ["cat", "dog"], [1, 1]),
        ([b"\xff", b"caf\xc3\xa9"], {}, ["caf\xe9", "\udcff"], [1, 0]),
    ],
)
def test_labels_are_texts_or_numbers_from_0_or_1(tmp_path, labels, options, classes, found):
    made = load(labelled(tmp_path, *labels), **options)
    again = load(tmp_path / "a", **options)
    assert made.classes == again.classes == classes
    assert made.records["train"].labels.tolist() == again.records["train"].labels.tolist() == found


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        ([0, 3], {"classes": CLASSES}, "a: record 1: label is 3, not one of 0 to 1, for cat, dog"),
        ([1, 2, 0], {"classes": CLASSES}, "a: record 1: label is 2, not one of 0 to 1"),
        ([1, 2], {"classes": CLASSES, "first_label": "0"}, "a: record 1: label is 2, not one of 0 to 1"),
        ([-1, 0], {}, "a: record 0: label is -1, not one of 0 to 0"),
        ([1, 1], {"classes": CLASSES}, "may count from 0 or from 1; say which with --first_label"),
        ([0, 10**9], {}, "make 1,000,000,001 classes"),
        ([0, 2**62], {"classes": CLASSES}, "record 1: label is 4611686018427387904, not one of 0 to 1"),
        (
            [b"cat", b"dog"],
            {"first_label": "1"},
            "--first_label=1: goes with labels that are numbers",
        ),
        ([b"cat", b"bird"], {"classes": CLASSES}, "a: record 1: label is 'bird', none of the classes, cat, dog"),
        ([b"cat", 1], {}, "a: record 1: label is a number, and was a text before"),
        ([1, b"cat"], {}, "a: record 1: label is a text, and was a number before"),
        ([0.5, 1.0], {}, "a: record 0: label is the fraction 0.5"),
        ([b"cat", b""], {}, "a: record 1: label is an empty text"),
        ([b"cat", b"dog"], {"classes": ("cat", "cat")}, "--classes=cat,cat: name each class once"),
    ],
)
def test_labels_that_are_no_class_are_named(tmp_path, labels, options, said):
    assert said in refused(labelled(tmp_path, *labels), **options)


def test_validation_takes_the_features_and_classes_of_training(tmp_path):
    labelled(tmp_path, b"cat", b"dog")
    assert f"{tmp_path}/a belongs to --tfrecords=" in refused(tmp_path / "[a]", tmp_path / "a*")
    made = load(tmp_path / "a", labelled(tmp_path, b"dog", name="b"))
    assert made.splits["validation"].counts == [0, 1]
    assert "b: record 0: label is 'bird', none of" in refused(tmp_path / "a", labelled(tmp_path, b"bird", name="b"))
    assert "b: record 0: label is a number, others have texts" in refused(
        tmp_path / "a", labelled(tmp_path, 1, name="b")
    )
    write(tmp_path / "b", [of_slim(0, 0)])
    assert "b: record 0: it has no feature image, but image/class/label (number)" in refused(
        tmp_path / "a", tmp_path / "b"
    )


PICTURE = picture(0, 0)
BITMAP = picture(0, 0, "BMP")


@pytest.mark.parametrize(
    ("features", "options", "said"),
    [
        ({"x": [PICTURE], "label": [0]}, {}, ""),
        ({"x": [PICTURE], "image": [PICTURE], "label": [0]}, {}, ""),
        ({"x": [PICTURE], "y": [PICTURE], "label": [0]}, {}, "several features may be a picture: x, y; give one by"),
        ({"x": [PICTURE], "y": [PICTURE], "label": [0]}, {"image_key": "y"}, ""),
        ({"image": [bytes(300)], "label": [0]}, {}, "no feature is known to be a picture; there are image (bytes), l"),
        ({"image": [bytes(300)], "label": [0]}, {"image_key": "image"}, "image is not a picture that TensorFlow deco"),
        ({"image": [PICTURE], "kind": [0]}, {}, "no feature is known to be a label by its name; there are image (JP"),
        ({"image": [PICTURE], "kind": [0]}, {"label_key": "kind"}, ""),
        ({"image": [PICTURE], "label": [0], "target": [1]}, {}, "several features may be a label by its name: label,"),
        ({"image": [PICTURE], "label": [0]}, {"label_key": "class"}, "it has no feature class, but image (JPEG), labe"),
        ({"image": [PICTURE], "label": [0, 1]}, {"label_key": "label"}, "label has 2 values instead of one"),
        ({"image": [7], "label": [0]}, {"image_key": "image"}, "image is a number, not a picture"),
        ({"image": [PICTURE[:30]], "label": [0]}, {}, "image cannot be read as JPEG"),
        ({"image": [b"RIFF\0\0\0\0WEBP" + bytes(20)], "label": [0]}, {"image_key": "image"}, "BMP), but WEBP"),
        (
            {"image": [BITMAP[:18] + struct.pack("<2i", 2**15, 2**15) + BITMAP[26:]], "label": [0]},
            {},
            "image has 32768x32768 pixels, more than the 80,000,000",
        ),
    ],
)
def test_features_are_found_or_one_line_says_what_there_is(tmp_path, features, options, said):
    write(tmp_path / "a", [example(**features)])
    if said:
        line = refused(tmp_path / "a", **options)
        assert line.startswith(f"{tmp_path}/a: record 0: ") and said in line
    else:
        assert len(pixels_of(load(tmp_path / "a", **options))) == 1


def test_a_feature_that_a_later_record_lacks_is_named(tmp_path):
    write(tmp_path / "a", [of_tfds(0, 0), of_tfds(1, 1), of_slim(2, 0)])
    assert f"{tmp_path}/a: record 2: it has no feature image, but image/class/label" in refused(tmp_path / "a")


@pytest.mark.parametrize("gzip", [False, True])
def test_damaged_files_are_named_with_the_record(tmp_path, gzip):
    path = write(tmp_path / "a", [of_tfds(number, number % 2) for number in range(5)], gzip)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert re.search(r"a: record [34]: the (gzip )?file is cut short; make the file again", refused(path))
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    assert re.search(
        r"a: record [12]: (the data do not match their checksum|the gzip file is damaged|its )", refused(path)
    )
    path.write_bytes(b"")
    assert "has no record" in refused(path)
    assert "no file matches" in refused(tmp_path / "b*")
    (tmp_path / "ab").mkdir()
    assert f"--tfrecords={tmp_path}/a*: {tmp_path}/ab is a folder; give" in refused(tmp_path / "a*")
    path.write_text("text")
    assert f"{path} is not a TFRecord file, since it begins with b'text'" in refused(path)


def test_empty_files_among_others_hold_nothing(tmp_path):
    for name in ("a0", "a2", "a4"):
        write(tmp_path / name, [], gzip=name == "a2")
    write(tmp_path / "a1", [of_tfds(0, 0)], gzip=True)
    write(tmp_path / "a3", [of_tfds(1, 1)], gzip=True)
    made = load(tmp_path / "a*")
    assert [shard.name for shard in made.splits["train"].shards] == ["a1", "a3"]
    assert np.array_equal(pixels_of(made)[1:], pixels_of(load(tmp_path / "a3")))


def test_a_pattern_that_matches_more_than_shards_is_refused(tmp_path, samples):
    make(samples / "train", tmp_path / "own", image_size=SIZE)
    assert len(pixels_of(load(tmp_path / "own/train-*.tfrecord"))) > 20
    said = refused(tmp_path / "own/train-*")
    assert ".tfrecord.index is not a TFRecord file" in said and "like 'folder/train-*.tfrecord'" in said
    assert "dataset.json is not a TFRecord file" in refused(tmp_path / "own/*")


@pytest.mark.parametrize("gzip", [False, True])
def test_a_picture_that_cannot_be_decoded_is_named(tmp_path, gzip):
    records = [of_tfds(number, number % 2) for number in range(4)]
    png = picture(9, 0, "PNG")
    records.insert(2, example(image=[png[:-60]], label=[0]))
    write(tmp_path / "a", records, gzip)
    pictures = readers.open_split(None, load(tmp_path / "a"), "train")
    with pytest.raises(InputError, match=r"/a: record 2: TensorFlow cannot decode the picture"), damage.naming_damage():
        list(pipeline.evaluation_dataset(pictures, 2))


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path):
    path = write(tmp_path / "a", [of_tfds(number, number % 2) for number in range(4)])
    pictures = readers.open_split(None, load(path), "train")
    whole = bytearray(path.read_bytes())
    whole[-100] ^= 255
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"/a: record 3: the data do not match"), damage.naming_damage():
        list(pipeline.evaluation_dataset(pictures, 2))


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a", [of_tfds(0, 0), of_tfds(1, 1)])
    keys = load(tmp_path / "*/a").records["train"].keys
    assert keys == [f"{tmp_path}/{folder}/a:{number}" for folder in ("x", "y") for number in range(2)]
