from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from conftest import contents, draw, make
from fuzzing import tree
from PIL import Image

from dogcat.core.options import InputError
from dogcat.dataset import manifest, output_folder, unfinished_work
from dogcat.dataset.options import ShardOptions
from tools import make_tfrecords


def features_of(folder, made, split="train"):
    """Features of each record, read by TensorFlow alone."""
    for shard in made.splits[split].shards:
        for record in tf.data.TFRecordDataset(str(folder / shard.name)):
            yield tf.train.Example.FromString(record.numpy()).features.feature


def test_every_sample_is_written_once_or_rejected_with_its_reason(samples, tfrecords):
    made = manifest.load(tfrecords)
    names = [
        feature["image/filename"].bytes_list.value[0].decode()
        for split in made.splits
        for feature in features_of(tfrecords, made, split)
    ]
    with open(tfrecords / "rejected.csv", newline="") as file:
        rejected = list(csv.DictReader(file))
    on_disk = [path.name for path in (samples / "train").glob("*.jpg")]
    assert sorted(names + [row["path"] for row in rejected]) == sorted(on_disk)
    assert sorted(row["reason"] for row in rejected) == ["not_a_picture", "truncated"]
    assert made.rejected == {"not_a_picture": 1, "truncated": 1}
    assert sum(split.pictures for split in made.splits.values()) == len(names)


def test_the_manifest_tells_what_the_shards_hold(tfrecords):
    made = manifest.load(tfrecords)
    assert len(made.splits["train"].shards) == 3
    for split, part in made.splits.items():
        labels = [f["image/class/label"].int64_list.value[0] for f in features_of(tfrecords, made, split)]
        assert np.bincount(labels).tolist() == part.counts
        for shard in part.shards:
            content = (tfrecords / shard.name).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.bytes, shard.sha256)


def test_the_bytes_do_not_depend_on_the_number_of_workers_or_the_order_of_files(samples, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in sorted((samples / "train").iterdir(), reverse=True):
        shutil.copy(path, copy)
    make(samples / "train", tmp_path / "one", workers=1)
    make(copy, tmp_path / "three", workers=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    make(copy, tmp_path / "seed", workers=2, seed=1)
    assert contents(tmp_path / "seed") != contents(tmp_path / "one")


def test_pure_red_stays_red_and_a_parent_called_dogcat_changes_no_label(tmp_path):
    images = tmp_path / "dogcat" / "cats"
    draw(images, *(f"cat.{i}.jpg" for i in range(3)), *(f"dog.{i}.jpg" for i in range(2)))
    made = make(images, tmp_path / "out", validation=0.0)
    assert made.splits["train"].counts == [3, 2]
    for feature in features_of(tmp_path / "out", made):
        name = feature["image/filename"].bytes_list.value[0].decode()
        assert feature["image/class/text"].bytes_list.value[0].decode() == name[:3]
        picture = tf.io.decode_jpeg(feature["image/encoded"].bytes_list.value[0]).numpy()
        assert picture.shape == (32, 32, 3)
        assert np.abs(picture.astype(int) - (255, 0, 0)).max() <= 2


def test_names_of_any_bytes(tmp_path):
    images = draw(tmp_path / "in", "cat/a b\n.png", "cat/caf\udce9.png", "dog/1.png", "dog/2.png")
    (images / "dog" / "br\udcffken.jpg").write_text("no picture")
    made = make(images, tmp_path / "out", validation=0.0)
    names = {f["image/filename"].bytes_list.value[0] for f in features_of(tmp_path / "out", made)}
    assert names == {b"cat/a b\n.png", b"cat/caf\xe9.png", b"dog/1.png", b"dog/2.png"}
    assert b"dog/br\xffken.jpg,not_a_picture" in (tmp_path / "out" / "rejected.csv").read_bytes()


def test_names_are_printed_without_what_a_terminal_would_obey(run, tmp_path):
    images = draw(tmp_path / "in", "caf\udce9/1.png", "caf\udce9/2.png", "\x1b[31m\n/1.png", "\x1b[31m\n/2.png")
    done = run("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/out")
    assert (done.code, done.err) == (0, "")
    assert r"\x1b[31m\n 1, caf\xe9 1" in done.out
    (images / "\x1b[31m\n" / "caf\udce9.1.jpg").write_text("")
    done = run("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/other")
    assert done.code == 0
    assert r"\x1b[31m\n/caf\xe9.1.jpg; the folder counts (\x1b[31m\n)" in done.err


def test_a_picture_without_a_class_is_listed(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg", "holiday.jpg")
    assert make(images, tmp_path / "out").rejected == {"no_class": 1}
    assert "holiday.jpg,no_class" in (tmp_path / "out" / "rejected.csv").read_text()


def test_a_data_set_is_replaced_only_when_asked_and_other_files_never(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    output = tmp_path / "out"
    make(images, output)
    before = contents(output)
    with pytest.raises(InputError, match="--overwrite"):
        make(images, output, quality=50)
    assert contents(output) == before
    make(images, output, quality=50, overwrite=True)
    assert contents(output) != before
    (output / manifest.FILE_NAME).unlink()
    with pytest.raises(InputError, match="holds other files"):
        make(images, output, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("place", ["out.partial/notes.txt", "out.before/precious", "out/dataset.json", "out/x.txt"])
def test_what_others_put_there_is_never_removed(tmp_path, place):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    (tmp_path / place).parent.mkdir()
    (tmp_path / place).write_text('{"name": "somebody else\'s"}')
    with pytest.raises(InputError):
        make(images, tmp_path / "out", overwrite=True)
    assert (tmp_path / place).read_text() == '{"name": "somebody else\'s"}'


@pytest.mark.parametrize("ending", [".before", ".partial"])
@pytest.mark.parametrize(
    "kind", ["data set", "former work", "work for another output", "empty", "link", "dangling link"]
)
@pytest.mark.parametrize("exists", [True, False])
def test_what_is_called_like_unfinished_work_is_named_and_stays(tmp_path, ending, kind, exists):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    output, theirs = tmp_path / "out", tmp_path / f"out{ending}"
    if kind == "data set":
        make(images, theirs)
    elif kind == "former work":
        theirs.mkdir()
        (theirs / ".lock").touch()
        (theirs / "finished.jsonl").write_text('{"plan": "x"}\n')
        (theirs / "train-00000-of-00002.tfrecord").write_text("shard")
    elif kind == "work for another output":
        os.close(unfinished_work.take_or_begin(tmp_path / "other.partial", tmp_path / "other"))
        (tmp_path / "other.partial").rename(theirs)
    elif kind == "empty":
        theirs.mkdir()
    else:
        theirs.symlink_to(tmp_path / ("in" if kind == "link" else "nowhere"))
    if exists:
        shutil.copytree(theirs if kind == "data set" else make_elsewhere(images, tmp_path), output)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=f"out{ending}: is in the way"):
        make(images, output, overwrite=True)
    assert tree(tmp_path) == before


def make_elsewhere(images, folder):
    make(images, folder / "elsewhere")
    return folder / "elsewhere"


def test_the_pictures_are_never_overwritten_by_the_data_set(tmp_path):
    images = draw(tmp_path / "c" / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    for output in (tmp_path / "c", images):
        with pytest.raises(InputError, match="the pictures of --images lie in it"):
            make(images, output, overwrite=True)
    assert len(list(images.iterdir())) == 4


def test_an_output_that_is_a_link_stays_one(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for _ in range(2):
        make(images, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / manifest.FILE_NAME).is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "link", "real"]


def test_a_mount_point_is_refused_at_once(tmp_path, monkeypatch):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr(output_folder, "_MOUNTS", tmp_path / "mountinfo")
    escaped = str(tmp_path / "a b").replace(" ", r"\040")
    (tmp_path / "mountinfo").write_text(
        f"22 27 0:21 / /sys rw - sysfs sysfs rw\n31 27 0:2 /x {escaped} rw - ext4 a rw\n"
    )
    with pytest.raises(InputError, match="is a mount point"):
        make(images, tmp_path / "a b")
    make(images, tmp_path / "a")


def test_a_share_of_validation_that_leaves_no_training_picture_is_refused_at_once(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    with pytest.raises(InputError, match=r"--validation=0\.9: leaves none of class cat"):
        make(images, tmp_path / "out", validation=0.9)


def test_more_shards_than_pictures_are_refused_at_once(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    with pytest.raises(InputError, match="--shards=5: split train has 4 pictures"):
        make(images, tmp_path / "out", validation=0.0, shards=5)
    assert not (tmp_path / "out.partial").exists()
    assert len(make(images, tmp_path / "out", validation=0.0, shards=4).splits["train"].shards) == 4


def test_a_pipe_among_the_pictures_is_rejected(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    os.mkfifo(images / "cat.9.jpg")
    assert make(images, tmp_path / "out").rejected == {"unreadable": 1}


def test_a_failed_overwrite_keeps_the_old_data_set(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    output = tmp_path / "out"
    make(images, output)
    before = contents(output)
    for path in images.glob("dog.*"):
        path.write_text("no longer a picture")
    with pytest.raises(InputError, match="no picture of class dog"):
        make(images, output, overwrite=True)
    assert contents(output) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_options_shape_the_pictures(tmp_path):
    images = tmp_path / "in"
    draw(images, "cat.0.jpg", "dog.0.jpg", size=(40, 20))
    # The left half of the wide pictures is blue.
    for path in images.iterdir():
        picture = Image.open(path)
        picture.paste((0, 0, 255), (0, 0, 20, 20))
        picture.save(path, "PNG")
    for how, encoding in (("stretch", "png"), ("crop", "png"), ("pad", "png"), ("stretch", "jpeg")):
        output = tmp_path / f"{how}-{encoding}"
        made = make(images, output, resize=how, encoding=encoding, validation=0.0)
        assert (made.resize, made.options["encoding"]) == (how, encoding)
        for feature in features_of(output, made):
            assert feature["image/format"].bytes_list.value[0].decode() == encoding
            assert feature["image/original/width"].int64_list.value[0] == 40
            assert feature["image/original/height"].int64_list.value[0] == 20
            data = feature["image/encoded"].bytes_list.value[0]
            assert Image.open(io.BytesIO(data)).format == encoding.upper()
            pixels = tf.io.decode_image(data).numpy()
            assert pixels.shape == (32, 32, 3)
            top, left_part = pixels[0, 0].tolist(), (pixels[16] == (0, 0, 255)).all(-1).mean()
            if how == "pad":
                assert top == [0, 0, 0]
            elif encoding == "png":
                assert top == [0, 0, 255] and 0.4 < left_part < 0.6


def test_mean_and_deviation_are_those_of_the_pictures(tfrecords):
    made = manifest.load(tfrecords)
    pixels = np.concatenate(
        [
            tf.io.decode_jpeg(feature["image/encoded"].bytes_list.value[0]).numpy().reshape(-1, 3)
            for feature in features_of(tfrecords, made)
        ]
    )
    # Taken from every 8th row and column of pictures of 96, before the JPEG.
    np.testing.assert_allclose(made.mean, pixels.mean(0), atol=4)
    np.testing.assert_allclose(made.deviation, pixels.std(0), atol=4)


def test_unlabeled_pictures_make_a_test_split(run, samples, tmp_path):
    output = tmp_path / "out"
    done = run("tools.make_tfrecords", f"--images={samples}/test", f"--output={output}", "--unlabeled")
    assert (done.code, done.err) == (0, "")
    made = manifest.load(output)
    assert (made.classes, list(made.splits), made.splits["test"].pictures) == ([], ["test"], 11)
    for feature in features_of(output, made, "test"):
        assert feature["image/class/label"].int64_list.value[0] == -1
        assert feature["image/class/text"].bytes_list.value[0] == b""


def test_labels_exclusions_and_classes_come_from_files_and_flags(run, tmp_path):
    images = draw(tmp_path / "in", *(f"{name}.{i}.jpg" for name in ("cat", "dog") for i in range(4)), "x.jpg")
    (tmp_path / "labels.csv").write_text("path,label\ncat.1.jpg,dog\nx.jpg,fox\n")
    (tmp_path / "exclude.txt").write_text("dog.0.jpg\n")
    done = run(
        *("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/out", "--validation=0"),
        *(f"--labels={tmp_path}/labels.csv", f"--exclude={tmp_path}/exclude.txt", "--classes=fox,dog,cat"),
    )
    assert (done.code, done.err) == (0, "")
    made = manifest.load(tmp_path / "out")
    assert made.classes == ["fox", "dog", "cat"]
    assert made.splits["train"].counts == [1, 4, 3]
    (tmp_path / "exclude.txt").write_text("dog.99.jpg\n")
    done = run(
        *("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/other"),
        f"--exclude={tmp_path}/exclude.txt",
    )
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "'dog.99.jpg' not among the pictures" in done.err


@pytest.mark.shared
def test_every_real_picture_is_accounted_for(shared, tmp_path):
    images = shared / "data" / "dogs-vs-cats-2k" / "train"
    made = make(images, tmp_path / "out", workers=2, image_size=64)
    written = sum(split.pictures for split in made.splits.values())
    assert written + sum(made.rejected.values()) == len(list(images.iterdir())) == 2002
    assert {name: split.counts for name, split in made.splits.items()} == {
        "train": [901, 901],
        "validation": [100, 100],
    }


def test_the_command_says_what_it_did(run, samples, tmp_path):
    done = run("tools.make_tfrecords", f"--images={samples}/train", f"--output={tmp_path}/out")
    assert done.code == 0 and done.err == ""
    assert f"wrote {tmp_path}/out" in done.out
    assert "left out: not_a_picture 1, truncated 1" in done.out
    assert done.out.splitlines()[-1].startswith("next: python -m dogcat.train")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["image_size"] == 299


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (None, "does not exist"),
        ([], "holds no picture"),
        (["cat.0.jpg", "cat.1.jpg"], r"holds one class only (cat)"),
        (["1.jpg", "2.jpg"], "have no class"),
        (["train/cat.0.jpg", "train/dog.0.jpg"], "train: is not a class"),
        (["train/cats/1.jpg", "val/dogs/1.jpg"], "train: is not a class"),
        (["all/x/1.jpg", "all/y/2.jpg"], "one class only (all); training needs two; if the folders in all are the"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, tmp_path, keys, said):
    images = tmp_path / "in"
    if keys is not None:
        images.mkdir()
        draw(images, *keys)
    done = run("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/out")
    assert done.code == 2
    assert said in done.err and str(images) in done.err
    assert len(done.err.splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_what_lossless_pictures_have_no_use_for_is_refused(samples, tmp_path):
    for encoding in ("png", "raw"):
        with pytest.raises(InputError, match=f"--quality=80: goes with --encoding=jpeg, not {encoding}"):
            ShardOptions.from_given({"encoding": encoding, "quality": 80})
        made = make(samples / "train", tmp_path / encoding, encoding=encoding)
        assert not {"quality", "chroma"} & made.options.keys()


def test_a_blank_beside_a_label_makes_no_class(tmp_path):
    draw(tmp_path / "in", "cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg")
    (tmp_path / "labels.csv").write_text("path,label\ncat.1.jpg, dog\n")
    made = make(tmp_path / "in", tmp_path / "out", labels=str(tmp_path / "labels.csv"), validation=0)
    assert made.classes == ["cat", "dog"] and made.splits["train"].counts == [1, 3]


def test_without_validation_pictures_training_is_not_the_next_step(samples, tmp_path, capsys):
    made_by = {"images": str(samples / "train"), "output": str(tmp_path / "out"), "image_size": 32, "validation": 0.0}
    make_tfrecords.main(ShardOptions(**made_by))
    assert "next: training needs validation pictures" in capsys.readouterr().out


def test_a_read_only_place_is_one_line(run, samples):
    done = run("tools.make_tfrecords", f"--images={samples}/train", "--output=/proc/nowhere/out")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "/proc/nowhere" in done.err


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_shards_have_about_the_wanted_size(tmp_path, encoding):
    images = tmp_path / "in"
    images.mkdir()
    generator = np.random.default_rng(0)
    for number in range(15):
        pixels = generator.integers(0, 256, (299, 299, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    made = make(images, tmp_path / "out", unlabeled=True, encoding=encoding, image_size=299, shard_mib=1)
    split = made.splits["test"]
    assert len(split.shards) == 4 and split.pictures == 15
    assert all(0.7 * 2**20 < shard.bytes < 1.3 * 2**20 for shard in split.shards)
