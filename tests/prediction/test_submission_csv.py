"""The CSV of a submission, read beside the right classes."""

from __future__ import annotations

import os
import threading

import fuzzing
import numpy as np
import pytest
from sklearn import metrics

from dogcat.core.options import InputError
from dogcat.prediction import submission_csv
from dogcat.prediction.options import EvaluationOptions


def read(folder, predictions, labels, against=None, **options):
    """Reads files with these lines."""
    files = {"predictions": predictions, "labels": labels, **({"against": against} if against else {})}
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))
    return submission_csv.read_labelled(
        EvaluationOptions(**{name: str(folder / f"{name}.csv") for name in files}, **options)
    )


TWO = ["id,label", "1,0.25", "2,1", "3,0"]
LABELS = ["id,label", "2,dog", "1,cat", "3,dog"]
THREE = ["id,cat,dog,owl", "1,0.2,0.3,0.5", "2,1,0,0"]
LABELS_OF_THREE = ["id,label", "1,owl", "2,cat"]


def test_predictions_and_labels_are_joined_by_id(tmp_path):
    found = read(tmp_path, [*TWO, "4,0.5"], LABELS)
    assert (found.keys, found.labels.tolist(), found.classes) == (["2", "1", "3"], [1, 0, 1], ["cat", "dog"])
    [log_probabilities] = found.log_probabilities
    np.testing.assert_allclose(np.exp(log_probabilities), [[0, 1], [0.75, 0.25], [1, 0]], atol=1e-12)
    expected = metrics.log_loss([1, 0, 1], [1, 0.25, 0])
    assert -log_probabilities[[0, 1, 2], found.labels].mean() == pytest.approx(expected, abs=1e-9)
    assert found.left_out == {"4": "no label"}


def test_the_classes_of_the_column_label_are_given(tmp_path):
    found = read(tmp_path, TWO, LABELS, classes="dog,cat")
    assert (found.labels.tolist(), found.classes) == ([0, 1, 0], ["dog", "cat"])
    np.testing.assert_allclose(np.exp(found.log_probabilities[0]), [[0, 1], [0.75, 0.25], [1, 0]], atol=1e-12)
    for classes in ("dog,owl", "dog", "cat,dog,cat"):
        with pytest.raises(InputError, match=f"--classes={classes}: goes with two classes"):
            read(tmp_path, TWO, LABELS, classes=classes)
    with pytest.raises(InputError, match="columns id,label .it has id,cat,dog,owl"):
        read(tmp_path, THREE, LABELS_OF_THREE, classes="cat,owl")


def test_more_columns_of_the_prediction_are_passed_over(tmp_path):
    plain = read(tmp_path, TWO, LABELS)
    more = ["id,label,path,class,logit,p_cat,p_dog"] + [f"{line},a/b.jpg,cat,-1.1,0.75,0.25" for line in TWO[1:]]
    found = read(tmp_path, more, LABELS)
    assert found.classes == plain.classes
    np.testing.assert_array_equal(found.log_probabilities, plain.log_probabilities)
    more = ["id,path,owl,logit", "1,0.2,0.8,7", "2,1,0,7"]
    assert read(tmp_path, more, ["id,label", "1,owl", "2,path"]).classes == ["path", "owl"]


def test_json_lines_are_no_csv(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"id": "1", "label": 0.5}\n')
    (tmp_path / "labels.csv").write_text("".join(f"{line}\n" for line in LABELS))
    options = EvaluationOptions(predictions=str(tmp_path / "p.jsonl"), labels=str(tmp_path / "labels.csv"))
    with pytest.raises(InputError, match="p.jsonl: holds JSON lines; predict with an --output that ends in .csv"):
        submission_csv.read_labelled(options)


def test_a_column_for_each_class(tmp_path):
    found = read(tmp_path, THREE, LABELS_OF_THREE)
    assert (found.labels.tolist(), found.classes) == ([2, 0], ["cat", "dog", "owl"])
    np.testing.assert_allclose(np.exp(found.log_probabilities[0]), [[0.2, 0.3, 0.5], [1, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("predictions", "labels", "against", "said"),
    [
        (
            ["path,label", "1,1"],
            LABELS,
            None,
            "predictions.csv: line 1 is 'path,label'; the first line must be id,label",
        ),
        ([], LABELS, None, "predictions.csv: is empty; the first line must be id,label"),
        (["", ""], LABELS, None, "predictions.csv: is empty; the first line must be id,label"),
        (["id,label"], LABELS, None, "has no row for '2' and 2 other ids"),
        (["id"], LABELS, None, "the first line is 'id'; write id,label, or id and each class once"),
        (["1,0.5", "2,0.5"], LABELS, None, "line 1 is '1,0.5'; the first line must be id,label"),
        ([*TWO, "4,0.5,0.5"], LABELS, None, "line 5 is '4,0.5,0.5'; write id,label"),
        ([*TWO, ",0.5"], LABELS, None, "line 5 has no id; write one"),
        ([*TWO, "4," + "9" * 100_000], LABELS, None, "are no probabilities"),
        ([*TWO, "4," + "x" * 100_000], LABELS, None, "could not convert string to float"),
        (TWO, [*LABELS, "4,"], None, "labels.csv: line 5 has no label"),
        (TWO, ["id,label", "1,caf\u00e9", "2,cafe\u0301"], None, "are one name in two spellings"),
        (["id,cat,cat", "1,1,0"], LABELS, None, "each class once"),
        (["id,cat,owl", "1,1,0"], LABELS, None, "has no column for 'dog'"),
        ([*TWO, "1,0.5"], LABELS, None, "line 5 names '1' again"),
        ([*TWO, "4"], LABELS, None, "line 5 is '4'; write id,label"),
        ([*TWO, "4,"], LABELS, None, "line 5: could not convert string to float: ''"),
        ([*TWO, "4,high"], LABELS, None, "line 5: could not convert string to float: 'high'"),
        ([*TWO, "4,1.5"], LABELS, None, "line 5: 1.5 are no probabilities"),
        ([*TWO, "4,nan"], LABELS, None, "line 5: nan are no probabilities"),
        ([*THREE, "3,1,1,0"], LABELS_OF_THREE, None, "line 4: 1,1,0 are no probabilities"),
        (TWO[:2], LABELS, None, "has no row for '2' and 1 other ids"),
        (TWO, LABELS[:1], None, "labels.csv: names 0 pictures"),
        (TWO, ["path,label", "1,cat"], None, "labels.csv: line 1 is 'path,label'"),
        (TWO, ["id,class", "1,cat"], None, "labels.csv: the first line is 'id,class'; it must be id,label"),
        (TWO, ["id,label", "1,cat", "2,cat"], None, "--labels names 1 (cat)"),
        (TWO, [*LABELS, "1,dog"], None, "labels.csv: line 5 names '1' again"),
        (TWO, LABELS, TWO[:2], "against.csv: has no row for '2'"),
        (
            ["id,dog,cat", *(f"{i},0.5,0.5" for i in (1, 2, 3))],
            LABELS,
            TWO,
            "predicts cat, dog, --predictions dog, cat",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, predictions, labels, against, said):
    with pytest.raises(InputError) as caught:
        read(tmp_path, predictions, labels, against)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(tmp_path)) + 300


def test_tables_of_other_programs(tmp_path):
    expected = read(tmp_path, TWO, LABELS)
    for predictions, labels in (
        (["ID;Label", "1;0,25", "", "2;1,0", "3;0", ";"], ["Id\tLABEL", "2\tdog", "1\tcat ", "\t", "3\tdog"]),
        (["sep=;", "id;label", "1;,25", "2;1", "3;0,0e0"], ["id, label", '2, "dog"', "1, cat", "3, dog"]),
        (["id,label", '"1","0,25"', "2,1", "3,0"], ["\ufeffid,label,", "2,dog,", "1,cat,", "3,dog,"]),
        (["Id,Label,Path,CLASS,Logit", "1,0.25,a/1.jpg,,0", "2,1,,,", "3,0,,,"], LABELS),
    ):
        found = read(tmp_path, predictions, labels)
        assert (found.keys, found.classes) == (expected.keys, expected.classes)
        np.testing.assert_array_equal(found.log_probabilities, expected.log_probabilities)


def test_ids_and_classes_are_joined_whatever_their_spelling(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    found = read(
        tmp_path,
        [f"id,dog,{decomposed}", f"{decomposed} 1,0.2,0.8", "2,1,0", "3,1,0"],
        ["id,label", f"{composed} 1,{composed}", "2,dog"],
    )
    assert (found.keys, found.classes, found.labels.tolist()) == ([f"{composed} 1", "2"], ["dog", composed], [1, 0])
    np.testing.assert_allclose(np.exp(found.log_probabilities[0]), [[0.2, 0.8], [1, 0]], atol=1e-12)
    assert found.left_out == {"3": "no label"}
    found = read(tmp_path, TWO[:3], ["id,label", f"1,{composed}", "2,dog"], classes=f"dog,{decomposed}")
    assert found.classes == ["dog", composed]
    # One row is not taken for two pictures.
    with pytest.raises(InputError, match="^--labels: .* are one name in two spellings"):
        read(tmp_path, ["id,label", f"{composed},1"], ["id,label", f"{composed},cat", f"{decomposed},dog"])


def test_predictions_and_labels_from_pipes(tmp_path):
    pipes = {name: tmp_path / name for name in ("predictions", "labels")}
    threads = []
    for pipe, lines in zip(pipes.values(), (TWO, LABELS)):
        os.mkfifo(pipe)
        threads.append(threading.Thread(target=pipe.write_text, args=("".join(f"{line}\n" for line in lines),)))
        threads[-1].start()
    found = submission_csv.read_labelled(EvaluationOptions(**{name: str(pipe) for name, pipe in pipes.items()}))
    for thread in threads:
        thread.join()
    assert found.keys == ["2", "1", "3"]


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.long)])
def test_mutated_predictions_and_labels(tmp_path, count):
    options = EvaluationOptions(predictions=str(tmp_path / "predictions.csv"), labels=str(tmp_path / "labels.csv"))
    semicolons = [line.replace(",", ";").replace(".", ",") for line in THREE]
    for seed, (predictions, right) in enumerate(
        ((TWO, LABELS), (THREE, LABELS_OF_THREE), (semicolons, LABELS_OF_THREE))
    ):
        sound = {
            name: "".join(f"{line}\n" for line in lines).encode()
            for name, lines in (("predictions", predictions), ("labels", right))
        }
        for changed in sound:

            def evaluate(data, sound=sound, changed=changed):
                for name, content in {**sound, changed: data}.items():
                    (tmp_path / f"{name}.csv").write_bytes(content)
                submission_csv.read_labelled(options)

            fuzzing.check(evaluate, fuzzing.mutations(sound[changed], count // 6, seed))
