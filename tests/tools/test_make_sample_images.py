from __future__ import annotations

import shutil

import numpy as np
import pytest
from fuzzing import tree
from PIL import Image, UnidentifiedImageError

from dogcat.core import files
from dogcat.core.options import InputError
from tools import make_sample_images as samples_tool


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}


def odd_ones(folder, train):
    """Path of each oddity; they are numbered after the flawless pictures, cats and dogs in turn."""
    for i, kind in enumerate(samples_tool.ODDITIES):
        index = train + i
        yield kind, folder / f"{('cat', 'dog')[index % 2]}.{index // 2}.jpg"


def test_names_and_counts(samples):
    cats = sorted(int(path.name.split(".")[1]) for path in (samples / "train").glob("cat.*.jpg"))
    dogs = sorted(int(path.name.split(".")[1]) for path in (samples / "train").glob("dog.*.jpg"))
    assert cats == list(range(25)) and dogs == list(range(24))
    assert sorted(int(path.stem) for path in (samples / "test").glob("*.jpg")) == list(range(1, 13))


def test_the_same_seed_gives_the_same_bytes_whatever_the_number(samples, tmp_path):
    made = samples_tool.make_sample_images(tmp_path / "a", train=10, test=2, seed=0)
    assert made == samples_tool.Samples({"cat": 10, "dog": 9}, 3)
    before = contents(samples)
    again = contents(tmp_path / "a")
    for i in range(5):
        assert again[f"train/cat.{i}.jpg"] == before[f"train/cat.{i}.jpg"]
    samples_tool.make_sample_images(tmp_path / "b", train=10, test=2, seed=0)
    assert contents(tmp_path / "b") == again
    samples_tool.make_sample_images(tmp_path / "b", train=4, test=1, seed=1)
    other = contents(tmp_path / "b")
    assert len(other) == 4 + 9 + 2
    assert other["train/cat.0.jpg"] != again["train/cat.0.jpg"]


def test_each_oddity_is_what_it_claims(samples):
    opened = {}
    for kind, path in odd_ones(samples / "train", 40):
        if kind == "text":
            with pytest.raises(UnidentifiedImageError):
                Image.open(path)
            continue
        opened[kind] = Image.open(path)
    with pytest.raises(OSError, match="truncated"):
        opened.pop("truncated").load()
    told = {kind: (image.format, image.mode) for kind, image in opened.items()}
    # Pillow names 16-bit grey after its version's liking.
    assert told.pop("16-bit")[1].startswith("I")
    assert told == {
        "png": ("PNG", "RGB"),
        "gif": ("GIF", "P"),
        "cmyk": ("JPEG", "CMYK"),
        "exif-rotated": ("JPEG", "RGB"),
        "grey": ("JPEG", "L"),
        "alpha": ("PNG", "RGBA"),
    }
    assert opened["exif-rotated"].getexif()[0x0112] == 6
    assert np.asarray(opened["16-bit"]).max() > 255


def test_sizes_vary_and_mean_colour_does_not_tell_the_species(tmp_path):
    samples_tool.make_sample_images(tmp_path, train=120, test=1, seed=3)
    sizes, colours, labels = [], [], []
    for i in range(60):
        for label, name in enumerate(("cat", "dog")):
            with Image.open(tmp_path / "train" / f"{name}.{i}.jpg") as image:
                sizes.append(image.size)
                colours.append(np.asarray(image).mean((0, 1)))
                labels.append(label)
    sides = np.array(sizes)
    assert sides.min() >= 40 and sides.max() <= 1000
    assert len(set(sizes)) > 60
    for channel in np.array(colours).T:
        right = [np.mean((channel > threshold) == labels) for threshold in channel]
        assert max(*right, *(1 - np.array(right))) < 0.75


def test_a_users_pictures_are_left_alone(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "cat.0.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"cat\.0\.jpg: is in the way"):
        samples_tool.make_sample_images(tmp_path, train=2, test=1, seed=0)
    assert contents(tmp_path) == {"train/cat.0.jpg": b"mine"}
    assert not (tmp_path / "test").exists()


@pytest.fixture(scope="module")
def drawn_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    samples_tool.make_sample_images(folder, train=2, test=1, seed=0, faults=1)
    return folder


@pytest.fixture
def drawn(drawn_once, tmp_path):
    """A folder of drawn pictures, with faults."""
    return shutil.copytree(drawn_once, tmp_path / "drawn")


def test_a_users_picture_among_drawn_ones_is_left_alone(drawn):
    (drawn / "train" / "cat.5000.jpg").write_bytes(b"mine")
    before = contents(drawn)
    with pytest.raises(InputError, match=r"cat\.5000\.jpg: is in the way"):
        samples_tool.make_sample_images(drawn, train=2, test=1, seed=1)
    assert contents(drawn) == before


@pytest.mark.parametrize("name", ["train/cat.0.jpg", "test/1.jpg", "faults.csv"])
def test_what_has_become_a_users_own_is_left_alone(drawn, name):
    (drawn / name).write_bytes(b"mine")
    before = tree(drawn)
    with pytest.raises(InputError, match=f"{name}: is in the way"):
        samples_tool.make_sample_images(drawn, train=2, test=1, seed=0)
    assert tree(drawn) == before


def test_what_a_killed_run_left_does_not_matter(drawn):
    before = contents(drawn)
    left = files.temporary_beside(drawn / "train" / "cat.0.jpg")
    (drawn / "train" / "cat.0.jpg").rename(left)
    samples_tool.make_sample_images(drawn, train=2, test=1, seed=0, faults=1)
    assert contents(drawn) == before
    assert left.exists()


def test_the_command_leads_to_the_next(run, tmp_path):
    done = run("tools.make_sample_images", f"--output={tmp_path}", "--train=2", "--test=1")
    assert (done.code, done.err) == (0, "")
    assert f"drew 11 training pictures (6 cats, 5 dogs; 9 of them odd on purpose, 2 unreadable) in {tmp_path}" in (
        done.out
    )
    assert f"python -m tools.make_tfrecords {tmp_path}/train --output=" in done.out.splitlines()[-1]


def test_faults_are_planted_on_top_and_listed(call, tmp_path):
    done = call("tools.make_sample_images", f"--output={tmp_path}", "--train=4", "--test=1", "--faults=2")
    assert done.code == 0 and "2 each of neither, wrong label, duplicate" in done.out
    lines = [line.split(",") for line in (tmp_path / "faults.csv").read_text().splitlines()]
    assert lines[0] == ["path", "fault", "detail"]
    assert [fault for _, fault, _ in lines[1:]] == ["neither"] * 2 + ["wrong label"] * 2 + ["duplicate"] * 2
    for path, fault, detail in lines[1:]:
        assert (tmp_path / "train" / path).is_file()
        if fault == "wrong label":
            assert detail != path.split(".")[0]
        if fault == "duplicate":
            copy, original = (Image.open(tmp_path / "train" / name).convert("L") for name in (path, detail))
            difference = np.subtract(copy.resize((32, 32)), original.resize((32, 32)), dtype=float)
            assert np.abs(difference).mean() < 5
    samples_tool.make_sample_images(tmp_path, train=4, test=1, seed=0)
    assert not (tmp_path / "faults.csv").exists()
    assert len(list((tmp_path / "train").glob("*.jpg"))) == 4 + len(samples_tool.ODDITIES)
