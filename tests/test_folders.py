from __future__ import annotations

from pathlib import Path

import pytest

from dogcat import folders
from dogcat.config import InputError


def touch(root, *keys):
    for key in keys:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def listing(keys):
    return folders.Listing(Path("in"), keys, other=0)


def labels(keys):
    labelled = folders.label_keys(listing(keys))
    return {key: labelled.classes[label] for key, label in zip(labelled.keys, labelled.labels)}


def test_lists_pictures_by_extension_sorted_without_hidden_ones(tmp_path):
    touch(tmp_path, "b.JPG", "a.png", "sub/c d.jpeg", ".hidden.jpg", ".git/x.jpg", "notes.txt", "Thumbs.db")
    listing = folders.list_images(tmp_path)
    assert listing.keys == ["a.png", "b.JPG", "sub/c d.jpeg"]
    assert listing.other == 2


def test_a_loop_of_links_ends_and_names_of_any_bytes_work(tmp_path):
    touch(tmp_path, "real/a.jpg", "new\nline.jpg", "caf\udce9.jpg")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    assert folders.list_images(tmp_path).keys == ["caf\udce9.jpg", "new\nline.jpg", "real/a.jpg"]


def test_a_link_to_a_folder_is_followed(tmp_path):
    touch(tmp_path / "elsewhere", "1.jpg")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat").symlink_to(tmp_path / "elsewhere")
    assert folders.list_images(tmp_path / "images").keys == ["cat/1.jpg"]


@pytest.mark.parametrize("make", ["missing", "empty", "file"])
def test_no_pictures_is_said(tmp_path, make):
    folder = tmp_path / "pictures"
    if make == "empty":
        folder.mkdir()
    elif make == "file":
        folder.write_text("")
    with pytest.raises(InputError, match="pictures"):
        folders.list_images(folder)


def test_the_label_is_in_the_file_name():
    assert labels(["cat.0.jpg", "dog.0.jpg", "dog.12.jpeg"]) == {
        "cat.0.jpg": "cat",
        "dog.0.jpg": "dog",
        "dog.12.jpeg": "dog",
    }


def test_the_label_is_the_class_folder():
    assert labels(["Cat/0.jpg", "Cat/IMG.7.jpg", "Dog/deep/er/1.jpg"]) == {
        "Cat/0.jpg": "Cat",
        "Cat/IMG.7.jpg": "Cat",
        "Dog/deep/er/1.jpg": "Dog",
    }


def test_names_under_class_folders():
    assert labels(["cat/cat.1.jpg", "dog/dog.1.jpg"]) == {"cat/cat.1.jpg": "cat", "dog/dog.1.jpg": "dog"}


def test_nothing_above_the_folder_changes_a_label(tmp_path):
    root = tmp_path / "dogcat" / "cat.1.jpg" / "train"
    touch(root, "cat.0.jpg", "dog.0.jpg")
    assert labels(folders.list_images(root).keys) == {"cat.0.jpg": "cat", "dog.0.jpg": "dog"}


def test_folder_and_name_that_disagree_are_refused():
    with pytest.raises(InputError, match=r"cat/dog\.2\.jpg: the folder says cat, the name says dog"):
        folders.label_keys(listing(["cat/dog.2.jpg", "dog/dog.1.jpg"]))


def test_the_folder_above_the_pictures_is_refused():
    with pytest.raises(InputError, match="--images=.*/train"):
        folders.label_keys(listing(["train/cat.0.jpg", "train/dog.0.jpg"]))


def test_pictures_without_a_class_are_named():
    labelled = folders.label_keys(listing(["cat.0.jpg", "dog.0.jpg", "holiday.jpg"]))
    assert labelled.unlabelled == ["holiday.jpg"]
    with pytest.raises(InputError, match="have no class"):
        folders.label_keys(listing(["1.jpg", "2.jpg"]))


def test_ids_sort_as_integers():
    pairs = folders.submission_order(["10.jpg", "9.png", "x.jpg", "100.jpg"])
    assert [id_ for id_, _ in pairs] == ["9", "10", "100", "x"]


def test_ids_are_whole_paths_where_names_repeat():
    pairs = folders.submission_order(["b/1.jpg", "a/1.jpg"])
    assert pairs == [("a/1.jpg", "a/1.jpg"), ("b/1.jpg", "b/1.jpg")]
