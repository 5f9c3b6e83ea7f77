from __future__ import annotations

import os
import time
from pathlib import Path

import fuzzing
import pytest
from conftest import touch

from dogcat.core.options import InputError
from dogcat.pictures import labels
from dogcat.pictures.folders import Listing, list_images
from dogcat.pictures.labels import label_keys


def listing(keys):
    return Listing(Path("in"), keys, other=0)


def classes_of(keys, given=None, order=None):
    labelled = label_keys(listing(keys), given or {}, order or [])
    return {key: labelled.classes[label] for key, label in zip(labelled.keys, labelled.labels)}


def test_the_label_is_in_the_file_name():
    assert classes_of(["cat.0.jpg", "dog.0.jpg", "dog.12.jpeg"]) == {
        "cat.0.jpg": "cat",
        "dog.0.jpg": "dog",
        "dog.12.jpeg": "dog",
    }


def test_the_label_is_the_class_folder():
    assert classes_of(["Cat/0.jpg", "Cat/IMG.7.jpg", "Dog/deep/er/1.jpg"]) == {
        "Cat/0.jpg": "Cat",
        "Cat/IMG.7.jpg": "Cat",
        "Dog/deep/er/1.jpg": "Dog",
    }


def test_names_under_class_folders():
    assert classes_of(["cat/cat.1.jpg", "dog/dog.1.jpg"]) == {"cat/cat.1.jpg": "cat", "dog/dog.1.jpg": "dog"}


def test_nothing_above_the_folder_changes_a_label(tmp_path):
    root = tmp_path / "dogcat" / "cat.1.jpg" / "train"
    touch(root, "cat.0.jpg", "dog.0.jpg")
    assert classes_of(list_images(root).keys) == {"cat.0.jpg": "cat", "dog.0.jpg": "dog"}


def test_where_folder_and_name_disagree_the_folder_counts_and_it_is_said(capsys):
    keys = ["cat/1.jpg", "dog/2.jpg", "drawn/cat.0.jpg", "drawn/dog.1.jpg", "cat/dog.3.jpg"]
    folder = Path("said once")
    labelled = label_keys(Listing(folder, keys, other=0), {}, [])
    assert [labelled.classes[label] for label in labelled.labels] == ["cat", "dog", "drawn", "drawn", "cat"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "3 pictures lie in the folder of one class" in said and "said once/drawn/cat.0.jpg" in said


@pytest.mark.parametrize(
    ("keys", "folder", "instead"),
    [
        (["train/cats/1", "train/dogs/1", "validation/cats/2", "validation/dogs/2"], "train", "train"),
        (["Train/a/1", "Train/b/1", "Test/a/2", "Test/b/2", "val/a/3"], "Train", "Train"),
        (["training_set/cats/1", "training_set/dogs/1"], "training_set", "training_set"),
        (["training_set/training_set/cats/1", "training_set/training_set/dogs/1", "test_set/test_set/cats/2"],)
        + ("training_set", "training_set/training_set"),
        (["PetImages/Cat/1", "PetImages/Dog/1"], "PetImages", "PetImages"),
        (["data/train/cats/1", "data/train/dogs/1", "data/test/1"], "data", "data/train"),
        (["a/b/train/x/1", "a/b/train/y/1", "a/b/val/x/2"], "a", "a/b/train"),
        (["train/train/cat.0.jpg", "train/train/dog.0.jpg"], "train", "train/train"),
        (["train/train/cat.0.jpg", "train/train/dog.0.jpg", "test1/test1/1.jpg"], "train", "train/train"),
        (["set1/cats/1", "set1/dogs/1", "set2/cats/2", "set2/dogs/2"], "set1", "set1"),
        (["1.jpg", "train/cats/1", "train/dogs/1"], "train", "train"),
        (["cats/1", "dogs/1", "train/cats/2"], "train", "train"),
        (["cats/1", "dogs/1", "test/5"], "test", None),
        (["train/1", "train/2", "test/3"], "train", None),
    ],
)
def test_a_folder_above_the_classes_is_refused_and_the_one_to_give_named(keys, folder, instead):
    with pytest.raises(InputError) as caught:
        label_keys(listing(keys), {}, [])
    assert str(caught.value).startswith(f"in/{folder}: is not a class")
    if instead:
        assert str(caught.value).endswith(f"; give --images=in/{instead}")
        # Which then is the right one.
        inside = [key[len(instead) + 1 :] for key in keys if key.startswith(f"{instead}/")]
        label_keys(listing(inside), {}, [])


@pytest.mark.parametrize(
    "keys",
    [
        ["cat/2019/1", "cat/2020/2", "dog/2019/3", "dog/2020/4"],
        ["cat/train/1", "cat/test/2", "dog/train/3", "dog/test/4"],
        ["cats/kittens/1", "cats/cats/2", "dogs/puppies/3", "dogs/dogs/4"],
        ["bus/1", "car/1", "train/1"],
        ["indoor/red/1", "outdoor/red/1", "outdoor/blue/1"],
        ["holiday/2019/1", "holiday/2020/2"],
    ],
)
def test_folders_within_classes_are_welcome(keys):
    assert classes_of(keys) == {key: key.split("/")[0] for key in keys}


def test_a_class_that_is_called_like_a_split_can_be_given():
    keys = ["bus/x/1", "train/x/1"]
    with pytest.raises(InputError, match="is not a class"):
        label_keys(listing(keys), {}, [])
    assert classes_of(keys, order=["bus", "train"]) == {"bus/x/1": "bus", "train/x/1": "train"}


def test_the_folder_above_the_pictures_is_refused():
    with pytest.raises(InputError, match=r"in/train: is not a class.*cat, dog.*give --images=in/train"):
        label_keys(listing(["train/cat.0.jpg", "train/dog.0.jpg"]), {}, [])


def test_the_folder_above_is_refused_beside_a_folder_of_test_pictures():
    with pytest.raises(InputError, match="in/train: is not a class"):
        label_keys(listing(["test1/1.jpg", "train/cat.0.jpg", "train/dog.0.jpg"]), {}, [])


def test_pictures_without_a_class_are_named():
    labelled = label_keys(listing(["cat.0.jpg", "dog.0.jpg", "holiday.jpg"]), {}, [])
    assert labelled.unlabelled == ["holiday.jpg"]
    with pytest.raises(InputError, match=r"have no class; .* dog\.0\.jpg, or give --labels$"):
        label_keys(listing(["1.jpg", "2.jpg"]), {}, [], ", or give --labels")


def test_given_labels_win_and_may_name_new_classes():
    keys = ["cat/1.jpg", "cat/dog.2.jpg", "dog/dog.1.jpg", "x.jpg"]
    given = {"cat/dog.2.jpg": "dog", "x.jpg": "fox"}
    assert classes_of(keys, given) == {
        "cat/1.jpg": "cat",
        "cat/dog.2.jpg": "dog",
        "dog/dog.1.jpg": "dog",
        "x.jpg": "fox",
    }


def test_the_order_of_the_classes_is_given():
    labelled = label_keys(listing(["cat.0.jpg", "dog.0.jpg"]), {}, ["dog", "cat"])
    assert labelled.classes == ["dog", "cat"]
    assert labelled.labels.tolist() == [1, 0]
    for order in (["dog"], ["cat", "dog", "fox"], ["cat", "cat"]):
        with pytest.raises(InputError, match=r"--classes=.*have the classes cat, dog"):
            label_keys(listing(["cat.0.jpg", "dog.0.jpg"]), {}, order)


def test_without_labels():
    labelled = labels.without_labels(listing(["1.jpg", "2.jpg"]))
    assert (labelled.classes, labelled.labels.tolist()) == ([], [-1, -1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first line must be path,label"),
        ("cat.0.jpg,dog\n", "the first line must be path,label"),
        ("path,label\ncat.0.jpg\n", "line 2 is 'cat.0.jpg'; write path,label"),
        ("path,class\ncat.0.jpg,dog\n", "the first line must be path,label and not 'path,class'"),
        ("path,label\ncat.0.jpg,\n", "line 2 has no label for 'cat.0.jpg'"),
        ('path,label\n"cat.0.jpg,' + "x" * 200_000, "field larger than field limit"),
        ("path,label\n" + "x" * 100_000 + ",cat\n", "line 2: 'xxx"),
        ("path,label\nno.jpg,cat\n", "'no.jpg' not among the pictures of in"),
        ("path,label\ncat.0.jpg,cat\ncat.0.jpg,dog\n", "line 3 names 'cat.0.jpg' again"),
    ],
)
def test_a_wrong_file_of_labels_is_refused(tmp_path, text, said):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        labels.read_labels(path, listing(["cat.0.jpg"]))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_files_of_labels_and_of_exclusions_take_names_of_any_bytes(tmp_path):
    keys = ["a b.jpg", "caf\udce9.jpg", "new\nline.jpg", "x,y.jpg"]
    path = tmp_path / "labels.csv"
    path.write_bytes(b'path,label\ncaf\xe9.jpg,cat\n"x,y.jpg",dog\n"new\nline.jpg",dog\n')
    assert labels.read_labels(path, listing(keys)) == {
        "caf\udce9.jpg": "cat",
        "x,y.jpg": "dog",
        "new\nline.jpg": "dog",
    }
    path.write_bytes(b"caf\xe9.jpg\na b.jpg\n\n")
    assert labels.exclude(path, listing(keys)).keys == ["new\nline.jpg", "x,y.jpg"]


def test_every_name_comes_back_from_a_file_of_exclusions(tmp_path):
    keys = [
        "\n.jpg",
        "\ufeffx.jpg",
        "a\r.jpg",
        '"a".jpg',
        '"a"',
        '"a.jpg',
        "caf\udce9.jpg",
        "new\nline.jpg",
        "é\u2028.jpg",
        "\\n.jpg",
    ]
    path = tmp_path / "exclude.txt"
    path.write_text("".join(map(labels.exclusion_line, keys)))
    assert labels.exclude(path, listing([*keys, "left.jpg"])).keys == ["left.jpg"]
    assert labels.exclusion_line("dog/a é.jpg") == "dog/a é.jpg\n"
    assert labels.exclusion_line("new\nline.jpg") == '"new\\nline.jpg"\n'
    path.write_text('a.jpg\r\n"b.jpg"\r\n"c\\d.jpg"\r\n')
    with pytest.raises(
        InputError, match=r'exclude\.txt: line 3: "c\\d\.jpg" is not a path as a JSON string .*without quotes'
    ):
        labels.exclude(path, listing(["a.jpg", "b.jpg", "c.jpg"]))
    for line in (r'"a\u0000.jpg"', r'"a\ud83d.jpg"'):
        with pytest.raises(InputError, match="is not a path as a JSON string"):
            labels.key_of_line(line, "here")


def test_files_as_spreadsheets_write_them(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfpath,label\r\na.jpg,cat\r\n")
    assert labels.read_labels(path, listing(["a.jpg", "b.jpg"])) == {"a.jpg": "cat"}
    path.write_bytes(b"\xef\xbb\xbfa.jpg\r\n")
    assert labels.exclude(path, listing(["a.jpg", "b.jpg"])).keys == ["b.jpg"]


def test_exclusions_that_match_nothing_or_leave_nothing_are_refused(tmp_path):
    path = tmp_path / "exclude.txt"
    with pytest.raises(InputError, match=r"--exclude=.*no such file"):
        labels.exclude(path, listing(["a.jpg"]))
    path.write_text("a.jpg\nb.jpg\nc.jpg\n")
    with pytest.raises(InputError, match=r"line 2: 'b\.jpg' and 1 others not among"):
        labels.exclude(path, listing(["a.jpg"]))
    path.write_text("a.jpg\n")
    with pytest.raises(InputError, match="leaves no picture"):
        labels.exclude(path, listing(["a.jpg"]))


def test_how_many_pictures_a_file_of_labels_changes():
    keys = listing(["cat.0.jpg", "cat.1.jpg", "holiday.jpg"])
    given = {"cat.0.jpg": "dog", "cat.1.jpg": "cat", "holiday.jpg": "cat", "excluded.jpg": "dog"}
    assert labels.relabelled(keys, given) == 2
    folders_too = listing(["cat/1.jpg", "cat/dog.2.jpg", "dog/3.jpg"])
    assert labels.relabelled(folders_too, {"cat/1.jpg": "cat", "cat/dog.2.jpg": "dog", "dog/3.jpg": "cat"}) == 2


COMPOSED, DECOMPOSED, LATIN_1 = "caf\u00e9", "cafe\u0301", os.fsdecode(b"caf\xe9")
SPELLINGS = {"composed": COMPOSED, "decomposed": DECOMPOSED, "latin-1": LATIN_1}


@pytest.mark.parametrize("on_disk", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("written", SPELLINGS.values(), ids=SPELLINGS)
def test_names_are_found_whatever_their_spelling(tmp_path, on_disk, written):
    keys = listing([f"{on_disk}/1.jpg", f"{on_disk}/2.jpg", "dog/3.jpg", "4.jpg"])
    path = tmp_path / "given"
    path.write_bytes(os.fsencode(f"path;label\r\n{written}/1.jpg;dog\r\n.\\4.jpg;{written}\r\n"))
    given = labels.read_labels(path, keys)
    assert given == {f"{on_disk}/1.jpg": "dog", "4.jpg": on_disk}
    assert labels.relabelled(keys, given) == 2
    labelled = label_keys(keys, given, ["dog", written])
    assert (labelled.classes, labelled.labels.tolist()) == (["dog", on_disk], [0, 1, 0, 1])
    path.write_bytes(os.fsencode(f"\n{written}/1.jpg\n\n./dog/3.jpg  \n"))
    assert labels.exclude(path, keys).keys == [f"{on_disk}/2.jpg", "4.jpg"]


def test_names_that_differ_in_spelling_alone_are_refused(tmp_path):
    both = listing([f"{COMPOSED}/1.jpg", f"{DECOMPOSED}/1.jpg"])
    with pytest.raises(InputError, match=r"^in: the classes: .* are one name in two spellings; rename one of them$"):
        label_keys(both, {}, [])
    path = tmp_path / "given"
    path.write_text(f"{DECOMPOSED}/1.jpg\n")
    assert labels.exclude(path, both).keys == [f"{COMPOSED}/1.jpg"]
    path.write_bytes(os.fsencode(f"{COMPOSED}/1.jpg\n{LATIN_1}/1.jpg\n"))
    with pytest.raises(InputError, match=r"given: line 2: .* may be .*, which differ in spelling alone; rename one"):
        labels.exclude(path, both)
    # Twice the same picture.
    path.write_bytes(os.fsencode(f"path,label\n{COMPOSED}/1.jpg,dog\n{DECOMPOSED}/1.jpg,cat\n"))
    with pytest.raises(InputError, match="line 3 names .* again; name it once"):
        labels.read_labels(path, listing([f"{COMPOSED}/1.jpg", "dog/2.jpg"]))


def test_lists_and_tables_in_utf16(tmp_path):
    path = tmp_path / "given"
    path.write_bytes("path\tlabel\r\n\u732b/1.jpg\t\u72d7\r\n".encode("utf-16"))
    keys = listing(["\u732b/1.jpg", "x/2.jpg"])
    assert labels.read_labels(path, keys) == {"\u732b/1.jpg": "\u72d7"}
    path.write_bytes("\u732b/1.jpg\r\n".encode("utf-16"))
    assert labels.exclude(path, keys).keys == ["x/2.jpg"]


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
def test_mutated_files_of_labels_and_exclusions(tmp_path, count):
    path, keys = tmp_path / "given", listing([f"{COMPOSED}/1.jpg", "x y.jpg", "dog/3.jpg", "new\nline.jpg"])
    table = f'path,label\n{COMPOSED}/1.jpg,dog\n"new\nline.jpg",cat\nx y.jpg,cat\n'
    text = f'{COMPOSED}/1.jpg\n"new\\nline.jpg"\n'

    def read(data):
        path.write_bytes(data)
        labels.read_labels(path, keys) if b"label" in data else labels.exclude(path, keys)

    for seed, sound in enumerate((table.encode(), table.encode("utf-16"), text.encode(), text.encode("utf-16"))):
        fuzzing.check(read, fuzzing.mutations(sound, count // 4, seed))


def test_a_folder_for_each_of_many_classes_takes_seconds():
    keys = [f"c{number:06}/p.jpg" for number in range(labels.MOST_CLASSES)]
    began = time.monotonic()
    assert len(label_keys(listing(keys), {}, []).classes) == labels.MOST_CLASSES
    assert time.monotonic() - began < 20
    with pytest.raises(InputError, match="65,537 classes, as c000000/p.jpg and d/p.jpg have, are more than the 65,536"):
        label_keys(listing([*keys, "d/p.jpg"]), {}, [])
