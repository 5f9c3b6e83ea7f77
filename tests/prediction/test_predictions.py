"""Predictions as files: CSV and JSON lines."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from fuzzing import full_disk, tree

from dogcat.core.options import InputError
from dogcat.dataset.encoding import Rejection
from dogcat.prediction import predictions, submission_csv
from dogcat.prediction.options import EvaluationOptions, PredictionOptions
from dogcat.prediction.predictions import Predictions


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def write(path, probabilities, classes, unreadable=(), keys=None, clip=0.0, columns=""):
    with np.errstate(divide="ignore"):
        log_probabilities = np.log(np.array(probabilities))
    ids = [str(number) for number in range(1, len(probabilities) + 1)]
    keys = keys or [f"{id_}.jpg" for id_ in ids]
    predicted = Predictions(ids, keys, log_probabilities, list(unreadable), list(classes))
    return predictions.write(predicted, PredictionOptions(output=str(path), clip=clip, columns=columns))


def test_clipping_and_the_list_of_unreadable_pictures(tmp_path):
    path = tmp_path / "out.csv"
    bad = Rejection("3.jpg", "truncated", "x, y")
    assert write(path, [[1, 0], [0.75, 0.25], [0.5, 0.5]], ["cat", "dog"], [bad], clip=0.01) == (
        tmp_path / "out.unreadable.csv"
    )
    assert rows_of(path) == [["id", "label"], ["1", "0.01"], ["2", "0.25"], ["3", "0.5"]]
    assert rows_of(tmp_path / "out.unreadable.csv") == [
        ["path", "reason", "detail", "output"],
        ["3.jpg", "truncated", "x, y", "out.csv"],
    ]
    # A later prediction without trouble takes the list away.
    assert write(path, [[0, 1]], ["cat", "dog"]) is None
    assert rows_of(path) == [["id", "label"], ["1", "1"]]
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_more_classes_have_a_column_each(tmp_path):
    path = tmp_path / "out.csv"
    write(path, [[1, 0, 0, 0], [0.4, 0.3, 0.2, 0.1]], ["a", "b,c", "d", "e"], clip=0.02)
    assert rows_of(path) == [
        ["id", "a", "b,c", "d", "e"],
        ["1", "0.97", "0.01", "0.01", "0.01"],
        ["2", "0.4", "0.3", "0.2", "0.1"],
    ]


def test_more_columns(tmp_path):
    bad = Rejection("b\udce9.jpg", "empty", "")
    given = {"unreadable": [bad], "keys": ["a/1.jpg", bad.key], "columns": "class,path,probabilities,logit"}
    write(tmp_path / "out.csv", [[0.8, 0.2], [0.5, 0.5]], ["cat", "dog"], **given)
    content = (tmp_path / "out.csv").read_bytes().decode("utf-8", "surrogateescape")
    assert content.splitlines() == [
        "id,label,class,path,p_cat,p_dog,logit",
        "1,0.2,cat,a/1.jpg,0.8,0.2,-1.38629",
        "2,0.5,,b\udce9.jpg,0.5,0.5,0",
    ]
    write(tmp_path / "out.jsonl", [[0.8, 0.2], [0.5, 0.5]], ["cat", "dog"], **given)
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first == {
        **{"id": "1", "label": 0.2, "class": "cat", "path": "a/1.jpg"},
        **{"p_cat": 0.8, "p_dog": 0.2, "logit": -1.38629},
    }
    assert second["class"] is None and second["path"] == bad.key


def test_logits_of_more_classes(tmp_path):
    write(tmp_path / "out.jsonl", [[0.5, 0.25, 0.25]], ["a", "b", "c"], columns="logit")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row == {
        **{"id": "1", "a": 0.5, "b": 0.25, "c": 0.25},
        **{"logit_a": 0, "logit_b": -1.09861, "logit_c": -1.09861},
    }


def test_what_was_written_can_be_read(tmp_path):
    write(tmp_path / "p.csv", [[0.25, 0.75], [0.5, 0.5]], ["cat", "dog"])
    (tmp_path / "l.csv").write_text("\ufeffid,label\r\n1,dog\r\n2,cat\r\n")
    options = EvaluationOptions(predictions=str(tmp_path / "p.csv"), labels=str(tmp_path / "l.csv"))
    found = submission_csv.read_labelled(options)
    assert found.keys == ["1", "2"]
    np.testing.assert_allclose(np.exp(found.log_probabilities[0]), [[0.25, 0.75], [0.5, 0.5]], atol=1e-12)


@pytest.mark.parametrize(
    ("output", "columns", "classes", "said"),
    [
        ("folder.csv", "", ["cat", "dog"], "is not a file"),
        ("list.csv", "", ["cat", "dog"], "list.csv: is the file of --images"),
        ("none/out.csv", "", ["cat", "dog"], "does not exist; make it first"),
        ("out.csv", "path,path", ["cat", "dog"], "would be called 'path'"),
        ("out.csv", "", ["id", "cat", "dog"], "would be called 'id'"),
        ("out.csv", "class", ["class", "cat", "dog"], "would be called 'class'"),
    ],
)
def test_what_could_not_be_written_is_refused_before(tmp_path, output, columns, classes, said):
    (tmp_path / "folder.csv").mkdir()
    options = PredictionOptions(output=str(tmp_path / output), columns=columns, images=str(tmp_path / "list.csv"))
    with pytest.raises(InputError) as caught:
        predictions.check_output(options, classes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "theirs",
    [
        b"",
        b"mine",
        b"path,reason,detail\n",
        b"path,reason,detail\n3.jpg,truncated,x\n",
        b"path,reason,detail,output\n",
        b"path,reason,detail,output\n3.jpg,truncated,x,other.csv\n",
        b"path,reason,detail,output\n3.jpg,truncated,x,out.csv\nmine\n",
        b"path,reason,detail,output\n" + b"x" * 200_000,
        b"path,reason,detail,output\n\0\xff\n",
    ],
)
def test_a_list_of_somebody_else_stays(tmp_path, theirs):
    path, beside = tmp_path / "out.csv", tmp_path / "out.unreadable.csv"
    beside.write_bytes(theirs)
    with pytest.raises(InputError, match=r"out\.unreadable\.csv: is in the way"):
        predictions.check_output(PredictionOptions(output=str(path)), ["cat", "dog"])
    for unreadable in ([], [Rejection("2.jpg", "truncated", "")]):
        with pytest.raises(InputError, match=r"out\.unreadable\.csv: is in the way"):
            write(path, [[1, 0], [0.5, 0.5]], ["cat", "dog"], unreadable)
    assert beside.read_bytes() == theirs and not path.exists()


def test_a_link_in_the_lists_place_stays(tmp_path):
    (tmp_path / "out.unreadable.csv").symlink_to(tmp_path / "target")
    with pytest.raises(InputError, match="in the way"):
        write(tmp_path / "out.csv", [[1, 0], [0.5, 0.5]], ["cat", "dog"], [Rejection("2.jpg", "truncated", "")])
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("room", [0, 40, 150])
def test_a_full_disk_leaves_output_and_list_as_they_were(tmp_path, room):
    path = tmp_path / "out.csv"
    bad = [Rejection("1.jpg", "truncated", "")]
    write(path, [[0.5, 0.5]], ["cat", "dog"], bad)
    before = tree(tmp_path)
    for unreadable in ([], [Rejection(f"{number}.jpg", "truncated", "x" * 20) for number in range(1, 11)]):
        with full_disk(room), pytest.raises(OSError) as error:
            write(path, [[0.9, 0.1]] * 10, ["cat", "dog"], unreadable, columns="path,probabilities")
        assert error.value.filename in (str(path), str(tmp_path / "out.unreadable.csv"))
        assert tree(tmp_path) == before
