from __future__ import annotations

from pathlib import Path

import pytest

from dogcat.core import commands
from dogcat.train import next_command
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
def test_after_training_the_next_command_names_test_pictures_that_are_there(there, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(there).mkdir(parents=True, exist_ok=True)
    command = next_command(TrainingOptions(tfrecords="demo/tfrecords", runs="demo/my runs"), Path("demo/my runs/x"))
    assert command == f"python -m dogcat.predict {said} '--model=demo/my runs/x' --output=submission.csv"
