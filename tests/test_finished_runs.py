from __future__ import annotations

import json

import numpy as np
import pytest

from dogcat import finished_runs
from dogcat.config import InputError

EPOCH = {
    **{"epoch": 0, "loss": None, "accuracy": None, "val_loss": 0.5, "val_accuracy": 0.75, "val_auc": 0.8},
    **{"learning_rate": None, "seconds": 2.0, "pictures_per_second": 4.0, "input_wait": None},
}


CONFIG = {
    "options": {"backbone": "xception", "limit": 0, "preset": "best", "tfrecords": "data", "unfreeze_from": "auto"},
    **{name: name for name in ("data_digest", "device", "replicas", "precision", "versions", "commit")},
}
SUMMARY = {"best": {}, "epochs": 1, "input_wait": None, "seconds": {"head": 1.0, "features": 2.5}}


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
    assert run.validation_logits() is None
    np.save(folder / "validation.npy", np.float32([[1], [2]]))
    assert run.validation_logits().tolist() == [[1], [2]]


def test_logits_that_would_run_something_are_not_loaded(folder):
    np.save(folder / "validation.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="validation.npy"):
        finished_runs.read(folder).validation_logits()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "no run there"),
        ("summary.json", None, "not finished"),
        ("summary.json", "{", "damaged"),
        ("history.jsonl", "", "no epoch"),
        ("history.jsonl", '{"epoch": 0}', "damaged"),
        ("config.json", "\udcff", "damaged"),
        ("config.json", "[]", "config.json lacks an object"),
        ("config.json", json.dumps({**CONFIG, "options": []}), "config.json lacks an object"),
        ("config.json", json.dumps({**CONFIG, "options": {}}), "config.json lacks backbone"),
        ("summary.json", "{}", "summary.json lacks best"),
    ],
)
def test_what_is_missing_or_damaged_is_one_line(folder, name, content, said):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=said) as caught:
        finished_runs.read(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
