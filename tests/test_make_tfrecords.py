from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dogcat import manifest
from dogcat.config import InputError, ShardOptions
from tools import make_tfrecords

ROOT = Path(__file__).parents[1]


def draw(folder, *keys, size=(40, 30), colour=(255, 0, 0)):
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path, "PNG")
    return folder


def make(images, output, **options):
    return make_tfrecords.make_data_set(
        ShardOptions(images=str(images), output=str(output), **{"image_size": 32, "workers": 1, **options})
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


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


def test_killed_in_the_middle_nothing_is_taken_for_a_data_set(tmp_path):
    images = draw(tmp_path / "in", *(f"{name}.{i}.jpg" for name in ("cat", "dog") for i in range(300)))
    for path in images.iterdir():
        Image.effect_noise((900, 900), 60).save(path, "JPEG")
        break
    # Large pictures, so that there is time to kill.
    large = next(images.iterdir()).read_bytes()
    for path in images.iterdir():
        path.write_bytes(large)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "tools.make_tfrecords", f"--images={images}", f"--output={output}"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    partial = tmp_path / "out.partial"
    deadline = time.monotonic() + 60
    while not list(partial.glob("*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    with pytest.raises(InputError, match="no finished data set"):
        manifest.load(partial)
    # The workers end with their parent.
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and processes_of_session(process.pid):
        time.sleep(0.1)
    assert processes_of_session(process.pid) == []
    made = make(images, output)
    assert sum(split.pictures for split in made.splits.values()) == 600
    assert not partial.exists()


def processes_of_session(session):
    """Live processes of a session, from /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(status.parent.name)
    return found


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
        (["train/cat.0.jpg", "train/dog.0.jpg"], "give the folder that holds the pictures"),
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


def test_a_read_only_place_is_one_line(run, samples):
    done = run("tools.make_tfrecords", f"--images={samples}/train", "--output=/proc/nowhere/out")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "/proc/nowhere" in done.err
