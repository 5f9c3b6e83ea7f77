from __future__ import annotations

import os

import pytest
from conftest import touch
from PIL import Image

from dogcat.core.options import InputError
from dogcat.pictures import folders


def test_lists_pictures_by_extension_sorted_without_hidden_ones(tmp_path):
    touch(tmp_path, "b.JPG", "a.png", "sub/c d.jpeg", ".hidden.jpg", ".git/x.jpg", "notes.txt", "Thumbs.db")
    listing = folders.list_images(tmp_path)
    assert listing.keys == ["a.png", "b.JPG", "sub/c d.jpeg"]
    assert (listing.other, listing.first_other, listing.litter) == (1, "notes.txt", 3)
    said = listing.summary("here")
    assert said == (
        "reading 3 pictures in here, leaving out 1 that are no pictures, as notes.txt and 3 hidden or of the system"
    )


def test_a_file_of_any_name_is_a_picture_by_its_first_bytes(tmp_path):
    formats = {"1": "JPEG", "2.jfif": "JPEG", "3.heic": "JPEG", "4.jpg_large": "PNG", "5.txt": "GIF", "6.x": "WEBP"}
    for name, format in {**formats, "7.jpe": "TIFF", "8.dib": "BMP"}.items():
        Image.new("RGB", (4, 4)).save(tmp_path / name, format)
    (tmp_path / "9.heic").write_bytes(b"\0\0\0\x20ftypheic" + bytes(40))
    (tmp_path / "BMW.txt").write_text("BM is how this text begins, as a BMP does, and it goes on for some time.")
    Image.new("RGB", (4, 4)).save(tmp_path / "raw.NEF", "TIFF")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    listing = folders.list_images(tmp_path)
    assert listing.keys == ["1", "2.jfif", "3.heic", "4.jpg_large", "5.txt", "6.x", "7.jpe", "8.dib", "9.heic"]
    assert (listing.other, listing.first_other) == (5, "BMW.txt")


def test_litter_of_systems_and_servers_is_counted_and_left_out(tmp_path):
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg", "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", "__MACOSX/cat/._1.jpg")
    touch(tmp_path, "lost+found/3.jpg", "cat/._1.jpg", "dog/desktop.ini", "4.jpg.crdownload", "5.jpg.part", "6.jpg~")
    listing = folders.list_images(tmp_path)
    assert listing.keys == ["cat/1.jpg", "dog/2.jpg"]
    assert (listing.other, listing.litter) == (0, 8)


def test_a_folder_without_pictures_says_what_is_there(tmp_path):
    touch(tmp_path, "notes.txt", ".DS_Store")
    with pytest.raises(
        InputError, match=r"holds no picture \(nothing but 1 that are no pictures, as notes.txt and 1 h"
    ):
        folders.list_images(tmp_path)


def test_a_loop_of_links_ends_and_names_of_any_bytes_work(tmp_path):
    touch(tmp_path, "real/a.jpg", "new\nline.jpg", "caf\udce9.jpg")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    assert folders.list_images(tmp_path).keys == ["caf\udce9.jpg", "new\nline.jpg", "real/a.jpg"]


def test_keys_are_in_the_order_of_their_bytes(tmp_path):
    # As characters, the byte 0xff, which is no UTF-8, comes before the face.
    names = ["Z.jpg", "a.jpg", "é.jpg", "\N{GRINNING FACE}.jpg", "\udcff.jpg"]
    touch(tmp_path, *names)
    assert folders.list_images(tmp_path).keys == names and sorted(names) != names


def test_a_link_to_a_folder_is_followed(tmp_path):
    touch(tmp_path / "elsewhere", "1.jpg")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat").symlink_to(tmp_path / "elsewhere")
    assert folders.list_images(tmp_path / "images").keys == ["cat/1.jpg"]


def test_a_link_never_takes_the_pictures_of_a_real_folder(tmp_path):
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg")
    (tmp_path / "dog" / "also").symlink_to(tmp_path / "cat")
    (tmp_path / "a-link").symlink_to(tmp_path / "cat")
    (tmp_path / "zz").symlink_to(tmp_path / "cat")
    assert folders.list_images(tmp_path).keys == ["cat/1.jpg", "dog/2.jpg"]


def test_a_link_to_itself_is_a_file_that_cannot_be_read(tmp_path):
    touch(tmp_path, "cat.1.jpg")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    assert folders.list_images(tmp_path).keys == ["cat.1.jpg", "self.jpg"]
    with pytest.raises(OSError):
        folders.open_file(tmp_path / "self.jpg")


@pytest.mark.parametrize("make", ["missing", "empty", "file"])
def test_no_pictures_is_said(tmp_path, make):
    folder = tmp_path / "pictures"
    if make == "empty":
        folder.mkdir()
    elif make == "file":
        folder.write_text("")
    with pytest.raises(InputError, match="pictures"):
        folders.list_images(folder)


def test_ids_sort_as_integers():
    pairs = folders.submission_order(["10.jpg", "9.png", "x.jpg", "100.jpg"])
    assert pairs == [("9", 1), ("10", 0), ("100", 3), ("x", 2)]
    longest = "1" * 5000
    ids = ["0", "x", "00", "7", "007", longest, "9" * 4999]
    assert [id_ for id_, _ in folders.submission_order([f"{id_}.jpg" for id_ in ids])] == [
        *("0", "00", "007", "7", "9" * 4999, longest, "x")
    ]


def test_ids_are_whole_paths_where_names_repeat():
    pairs = folders.submission_order(["b/1.jpg", "a/1.jpg"])
    assert pairs == [("a/1.jpg", 1), ("b/1.jpg", 0)]
