from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import resource
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


def test_names_are_printed_without_what_a_terminal_would_obey(run, tmp_path):
    images = draw(tmp_path / "in", "caf\udce9/1.png", "caf\udce9/2.png", "\x1b[31m\n/1.png", "\x1b[31m\n/2.png")
    done = run("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/out")
    assert (done.code, done.err) == (0, "")
    assert r"\x1b[31m\n 1, caf\xe9 1" in done.out
    (images / "\x1b[31m\n" / "caf\udce9.1.jpg").write_text("")
    done = run("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/other")
    assert done.code == 2
    assert r"\x1b[31m\n/caf\xe9.1.jpg: the folder says \x1b[31m\n, the name says caf\xe9;" in done.err


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


def test_killed_between_the_last_renames_the_old_data_set_comes_back(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    make(images, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "out.before")
    with pytest.raises(InputError, match="already holds a data set"):
        make(images, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert not (tmp_path / "out.before").exists()


def test_a_share_of_validation_that_leaves_no_training_picture_is_refused_at_once(tmp_path):
    images = draw(tmp_path / "in", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg")
    with pytest.raises(InputError, match=r"--validation=0\.9: leaves none of class cat"):
        make(images, tmp_path / "out", validation=0.9)


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


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """80 pictures that take a while, two of them unusable."""
    images = tmp_path_factory.mktemp("noisy")
    for i in range(40):
        for name in ("cat", "dog"):
            noise = Image.effect_noise((150, 150), 20 + i).resize((1200, 900))
            # As PNG, which is always decoded whole: 10 ms each, so that there is time to interrupt.
            noise.save(images / f"{name}.{i}.jpg", "PNG", compress_level=1)
    (images / "cat.3.jpg").write_text("no picture")
    (images / "dog.7.jpg").write_bytes((images / "dog.8.jpg").read_bytes()[:5000])
    return images


@pytest.fixture(scope="module")
def unbroken(noisy, tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken") / "out"
    make(noisy, output, shards=6, workers=2)
    return contents(output)


def start(noisy, output, *flags, **options):
    command = [sys.executable, "-m", "tools.make_tfrecords", f"--images={noisy}", f"--output={output}"]
    command += ["--image_size=32", "--shards=6", "--workers=2", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )


def wait_for_shards(partial, count):
    deadline = time.monotonic() + 60
    while len(list(partial.glob("*.tfrecord"))) < count and time.monotonic() < deadline:
        time.sleep(0.005)


def test_killed_again_and_again_it_goes_on_to_the_same_bytes(noisy, unbroken, tmp_path):
    output, partial = tmp_path / "out", tmp_path / "out.partial"
    random = np.random.default_rng(0)
    started = time.monotonic()
    start(noisy, output).communicate()
    # However quick the machine is and whatever else it does.
    seconds = time.monotonic() - started
    shutil.rmtree(output)
    kills = gone_on = 0
    for _ in range(40):
        process = start(noisy, output)
        time.sleep(random.uniform(0.2, 1.1) * seconds)
        if process.poll() is None:
            process.kill()
            kills += 1
        out, err = process.communicate()
        gone_on += "going on after" in out and "after 0" not in out
        if process.returncode == 0:
            assert err == ""
        if output.exists():
            # Complete, even where the kill came after that: begin anew, so that every state is met.
            assert contents(output) == unbroken
            shutil.rmtree(output)
            if kills >= 12 and gone_on:
                break
        else:
            assert process.returncode == -signal.SIGKILL
            if partial.exists():
                with pytest.raises(InputError, match="no finished data set"):
                    manifest.load(partial)
        wait_for_no_process_of(process.pid)
    assert kills >= 10 and gone_on
    make(noisy, output, shards=6, workers=2)
    assert contents(output) == unbroken
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def wait_for_no_process_of(session):
    """The workers end with their parent."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and processes_of_session(session):
        time.sleep(0.01)
    assert processes_of_session(session) == []


@pytest.fixture
def interrupted(noisy, tmp_path):
    """An output whose making was killed after some shards."""
    process = start(noisy, tmp_path / "out")
    wait_for_shards(tmp_path / "out.partial", 2)
    process.kill()
    process.communicate()
    wait_for_no_process_of(process.pid)
    return tmp_path / "out"


def test_a_finished_shard_that_was_damaged_is_written_again(noisy, unbroken, interrupted):
    shard = sorted(interrupted.with_name("out.partial").glob("*.tfrecord"))[0]
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    make(noisy, interrupted, shards=6)
    assert contents(interrupted) == unbroken


def test_a_line_of_the_note_that_a_kill_cut_short_is_passed_over(noisy, unbroken, interrupted, capsys):
    note = interrupted.with_name("out.partial") / "finished.jsonl"
    plan, first, second = note.read_bytes().splitlines(keepends=True)[:3]
    note.write_bytes(plan + first + second[:-1])
    make(noisy, interrupted, shards=6)
    assert "going on after 1 finished shards" in capsys.readouterr().out
    assert contents(interrupted) == unbroken


@pytest.mark.parametrize("change", ["option", "picture"])
def test_unfinished_work_of_another_call_is_not_mixed_in(noisy, unbroken, interrupted, tmp_path, capsys, change):
    if change == "option":
        made = make(noisy, interrupted, shards=6, quality=80)
        assert made.options["quality"] == 80
    else:
        copy = shutil.copytree(noisy, tmp_path / "copy")
        Image.new("RGB", (50, 50)).save(copy / "cat.0.jpg", "JPEG")
        make(copy, interrupted, shards=6)
    assert "discarding unfinished work" in capsys.readouterr().out
    expected = tmp_path / "expected"
    make(noisy if change == "option" else copy, expected, shards=6, **({"quality": 80} if change == "option" else {}))
    assert contents(interrupted) == contents(expected) != unbroken


def test_a_killed_worker_leaves_the_finished_shards(noisy, unbroken, tmp_path):
    process = start(noisy, tmp_path / "out")
    wait_for_shards(tmp_path / "out.partial", 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    # The resource tracker is a child too; without it nothing more happens than a warning.
    for child in children:
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(int(child), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a worker was killed" in err and "the same command goes on after them" in err
    make(noisy, tmp_path / "out", shards=6)
    assert contents(tmp_path / "out") == unbroken


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(noisy, unbroken, tmp_path):
    # A shell starts what runs in the background with the signal ignored; so may these tests have been started.
    process = start(noisy, tmp_path / "out", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for_shards(tmp_path / "out.partial", 2)
    started = time.monotonic()
    # As a terminal does: to the parent and its workers.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 2
    assert process.returncode == 130
    assert "the same command goes on after them" in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()
    make(noisy, tmp_path / "out", shards=6)
    assert contents(tmp_path / "out") == unbroken


def test_a_full_disk_is_one_line_and_no_data_set(noisy, unbroken, tmp_path):
    def little_space():
        # A file may not grow beyond a shard's part: writing fails as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    process = start(noisy, tmp_path / "out", preexec_fn=little_space)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert len(err.splitlines()) == 1 and ".tfrecord: File too large" in err
    assert not (tmp_path / "out").exists()
    make(noisy, tmp_path / "out", shards=6)
    assert contents(tmp_path / "out") == unbroken


def test_two_at_once_do_not_write_into_each_other(noisy, unbroken, tmp_path):
    first = start(noisy, tmp_path / "out")
    wait_for_shards(tmp_path / "out.partial", 1)
    second = start(noisy, tmp_path / "out")
    _, err = second.communicate()
    assert second.returncode == 2 and "is being written by another process" in err
    assert first.wait() == 0
    assert contents(tmp_path / "out") == unbroken


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
        (["train/cat.0.jpg", "train/dog.0.jpg"], "train: is no class"),
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
