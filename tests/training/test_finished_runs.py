from __future__ import annotations

import json

import numpy as np
import pytest
from fuzzing import check, json_mutations, memory_within, mutations

from dogcat.core.options import InputError
from dogcat.training import finished_runs

EPOCH = {
    **{"epoch": 0, "loss": None, "accuracy": None, "val_loss": 0.5, "val_accuracy": 0.75, "val_auc": 0.8},
    **{"learning_rate": None, "seconds": 2.0, "pictures_per_second": 4.0, "input_wait": None},
}


CONFIG = {
    "options": {"backbone": "xception", "limit": 0, "preset": "best", "tfrecords": "data", "unfreeze_from": "auto"},
    **{"data_digest": "abc", "device": "Some Processor", "replicas": 1, "precision": "float32"},
    **{"versions": {"dogcat": "1"}, "commit": None},
}
SUMMARY = {"best": {"epoch": 0}, "epochs": 0, "input_wait": None, "seconds": {"head": 1.0, "features": 2.5}}


def config_with(**options):
    return json.dumps({**CONFIG, "options": {**CONFIG["options"], **options}})


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "20260101-000000-best"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "summary.json").write_text(json.dumps(SUMMARY))
    (path / "history.jsonl").write_text(json.dumps(EPOCH) + "\n")
    return path


def test_a_run_tells_what_its_files_do(folder):
    (folder.parent / "latest").symlink_to(folder.name)
    run = finished_runs.read(folder.parent / "latest")
    assert (run.name, run.options, run.seconds) == (folder.name, CONFIG["options"], 3.5)
    assert [record.val_loss for record in run.history] == [0.5]
    assert run.validation_logits(2, 2) is None
    np.save(folder / "validation.npy", np.float32([[1], [2]]))
    assert run.validation_logits(2, 2).tolist() == [[1], [2]]


def test_logits_that_would_run_something_are_not_loaded(folder):
    np.save(folder / "validation.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="validation.npy"):
        finished_runs.read(folder).validation_logits(1, 2)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "no run there"),
        ("summary.json", None, "not finished"),
        ("summary.json", "{", "summary.json: is damaged"),
        ("history.jsonl", "", "no epoch"),
        ("history.jsonl", '{"epoch": 0}', "history.jsonl: is damaged: of epoch 0, it lacks 'loss'"),
        ("history.jsonl", json.dumps({**EPOCH, "epoch": 1}), "epoch 1 stands where 0 would be"),
        ("history.jsonl", json.dumps({**EPOCH, "val_loss": "low"}), "val_loss is 'low', not a number"),
        ("history.jsonl", json.dumps({**EPOCH, "val_loss": float("inf")}), "Infinity is not a number of JSON"),
        ("config.json", "\udcff", "damaged"),
        ("config.json", "[]", r"config.json: is damaged: it is \[\], not an object"),
        ("config.json", json.dumps({**CONFIG, "options": []}), r"options is \[\], not an object"),
        ("config.json", json.dumps({**CONFIG, "options": {}}), "options lacks 'backbone'"),
        ("config.json", json.dumps({**CONFIG, "versions": {"numpy": 1}}), r"versions\['numpy'\] is 1, not a text"),
        ("config.json", config_with(limit=-1), "options.limit is -1"),
        ("config.json", config_with(backbone="alexnet"), "options.backbone is 'alexnet'"),
        ("config.json", config_with(magnify=1.5), "options.magnify is 1.5"),
        ("config.json", config_with(magnify="often"), "options.magnify is 'often'"),
        ("config.json", json.dumps({**CONFIG, "replicas": 0}), "replicas is 0"),
        ("config.json", json.dumps({**CONFIG, "precision": "x" * 10**5}), "precision is 'xxx"),
        ("config.json", json.dumps(CONFIG)[:-1] + ', "device": "x"}', "'device' is there twice"),
        ("summary.json", "{}", "summary.json: is damaged: it lacks 'best'"),
        ("summary.json", json.dumps({**SUMMARY, "epochs": 10**30}), "a number has 31 digits"),
        ("summary.json", json.dumps({**SUMMARY, "epochs": 7}), "its epochs are not those of history.jsonl"),
        ("summary.json", json.dumps({**SUMMARY, "seconds": {"head": -1}}), "seconds"),
    ],
)
def test_what_is_missing_or_damaged_is_one_line(folder, name, content, said):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=said) as caught:
        finished_runs.read(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((3, 1), "f4"),
        np.zeros((2, 2), "f4"),
        np.zeros((2, 1), "f8"),
        np.zeros(2, "f4"),
        np.full((2, 1), np.nan),
    ],
)
def test_logits_of_something_else_are_refused(folder, logits):
    np.save(folder / "validation.npy", logits)
    with pytest.raises(InputError, match="validation.npy.*remove it, and the model is asked again"):
        finished_runs.read(folder).validation_logits(2, 2)


def test_logits_that_declare_two_tebibytes_take_no_memory(folder):
    with open(folder / "validation.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**39, 1)}
        np.lib.format.write_array_header_1_0(file, header)
    with memory_within(2**24), pytest.raises(InputError, match="is not of the 2 validation pictures"):
        finished_runs.read(folder).validation_logits(2, 2)


@pytest.mark.parametrize("count", [20, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["config.json", "summary.json", "history.jsonl", "validation.npy"])
def test_damaged_files_of_a_run_are_read_or_refused(folder, name, count):
    np.save(folder / "validation.npy", np.zeros((2, 1), np.float32))
    path = folder / name
    whole = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        finished_runs.read(folder).validation_logits(2, 2)

    with memory_within(2**26):
        refused = check(read, mutations(whole, count, seed=6))
        if name != "validation.npy":
            refused += check(read, json_mutations(json.loads(whole), count, seed=7))
    assert refused > count // 4
