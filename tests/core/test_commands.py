from __future__ import annotations

from pathlib import Path

import pytest

from dogcat import train
from dogcat.core import commands
from dogcat.training.options import TrainingOptions


def test_a_suggested_folder_is_one_that_is_there(tmp_path):
    (tmp_path / "my pictures").mkdir()
    (tmp_path / "file").touch()
    there = commands.folder_word(tmp_path / "none", tmp_path / "file", tmp_path / "my pictures")
    assert there == f"'{tmp_path}/my pictures'"
    assert commands.folder_word(tmp_path / "none") == "FOLDER"


@pytest.mark.parametrize(
    ("there", "said"),
    [("data/test", "data/test"), ("demo/data/test", "demo/data/test"), ("demo/test", "demo/test"), ("", "FOLDER")],
)
def test_after_training_the_next_line_names_test_pictures_that_are_there(there, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(there).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(train.runtime, "prepare", lambda: None)
    monkeypatch.setattr(train, "train", lambda options: Path("demo/my runs/x"))
    train.main(TrainingOptions(tfrecords="demo/tfrecords", runs="demo/my runs"))
    command = f"next: python -m dogcat.predict {said} '--model=demo/my runs/x' --output=submission.csv"
    assert capsys.readouterr().out.splitlines()[-1] == command
