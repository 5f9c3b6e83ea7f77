from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from fuzzing import tree
from PIL import Image

from dogcat.core import files
from dogcat.core.options import InputError
from tools import child_commands, judge_recipes
from tools.judge_recipes import JudgingOptions
from tools.judging import verdicts
from tools.judging.trials import Losses

# In epoch 0 alone, so that nothing is trained but the head.
FLAGS = ["--backbone=tiny", "--weights=none", "--precision=float32", "--epochs=0"]


@pytest.fixture
def commands(fork, monkeypatch):
    """Runs the commands of a trial in processes that know the tiny backbone; the modules that ran."""
    ran = []

    def call(module, *arguments):
        ran.append(module)
        done = fork(module, *arguments)
        assert done.code == 0, done.err

    monkeypatch.setattr(child_commands, "call", call)
    return ran


@pytest.fixture
def given(samples, tmp_path):
    """Options that judge a recipe and the same one by another name."""
    recipes = tmp_path / "recipes.json"
    recipes.write_text(json.dumps({"first": FLAGS, "same": FLAGS}))
    places = {name: str(tmp_path / name) for name in ("work", "output")}
    train = str(samples / "train")
    return {"images": train, "judge": train, "recipes": str(recipes), "sizes": "24", "seeds": "3", **places}


def test_recipes_are_judged_once_on_the_same_draws(commands, given, tmp_path):
    options = JudgingOptions(**given)
    judge_recipes.main(options)
    assert [commands.count(name) for name in ("tools.make_tfrecords", "dogcat.train", "dogcat.evaluate")] == [1, 2, 4]
    lines = (tmp_path / "output" / "recipes.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]
    by_name = {(row["recipe"], row["tta"]): row for row in rows}
    assert len(rows) == len(by_name) == 4
    for view in ("none", "flip"):
        first, same = (by_name[name, view] for name in ("first", "same"))
        assert {**first, "recipe": "", "seconds": ""} == {**same, "recipe": "", "seconds": ""}
    # What is made is not made again.
    before = tree(tmp_path / "output")
    commands.clear()
    judge_recipes.main(options)
    assert not commands and tree(tmp_path / "output") == before


def test_a_folder_of_other_pictures_or_of_the_user_is_refused(commands, given, samples, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="--work=.*: is not empty and not of this command"):
        judge_recipes.main(JudgingOptions(**given))
    (tmp_path / "work" / "mine.txt").unlink()
    files.write_atomically(tmp_path / "work" / "judging.json", b"{}")
    with pytest.raises(InputError, match="was made for other pictures"):
        judge_recipes.main(JudgingOptions(**given))
    assert not commands


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is not JSON"),
        ("{}", "must be an object"),
        ('{"a": "--epochs=1"}', "must be an object"),
        ('{"a b": []}', "'a b' names a recipe"),
        ('{"a": ["--epoch=1"]}', "a: --epoch: there is no such flag; did you mean --epochs"),
        ('{"a": ["--epochs=-1"]}', "a: --epochs=-1: use 1 or more"),
        ('{"a": ["--seed=1"]}', "a: --seed is not of a recipe"),
    ],
)
def test_a_list_of_recipes_that_cannot_be_used_is_named(given, tmp_path, content, said):
    (tmp_path / "recipes.json").write_text(content)
    with pytest.raises(InputError, match=f"--recipes={tmp_path}/recipes.json: .*{said}"):
        judge_recipes.main(JudgingOptions(**given))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "wrong", [{"sizes": ""}, {"sizes": "1,a"}, {"seeds": "1,1"}, {"views": "none,all"}, {"views": ""}]
)
def test_lists_that_cannot_be_used_are_named(given, wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(InputError, match=f"--{name}={value}: "):
        JudgingOptions(**{**given, **wrong})


def test_more_pictures_than_there_are_are_refused(given):
    with pytest.raises(InputError, match="--sizes=999: .* pictures; give 0 for all"):
        judge_recipes.main(JudgingOptions(**{**given, "sizes": "999"}))


def losses(*log_losses):
    return Losses(np.array(log_losses), np.array(log_losses) < math.log(2))


def test_a_difference_counts_where_its_interval_excludes_zero():
    drawn = np.random.default_rng(0)
    first = [losses(*drawn.uniform(0, 1, 400)) for _ in range(2)]
    better = [losses(*(some.log_losses - drawn.uniform(0, 0.02, 400))) for some in first]
    noisy = [losses(*(some.log_losses + drawn.normal(0, 0.5, 400))) for some in first]
    judged = [
        verdicts.judge((name, "none", 100), of_seeds, first, [1.0, 3.0])
        for name, of_seeds in (("first", first), ("better", better), ("noisy", noisy))
    ]
    assert [verdicts.verdict(each) for each in judged] == ["", "better", "not told apart"]
    assert judged[1].difference.value == pytest.approx(-0.01, abs=0.001)
    assert judged[0].seeds == pytest.approx([some.log_losses.mean() for some in first])
    table = verdicts.table(judged, 400)
    assert "3 variants compared" in table and "| 100 | better | none |" in table and "| 2 s |" in table
    with Image.open(io.BytesIO(verdicts.draw(judged, 400))) as image:
        assert image.format == "PNG" and image.size[0] > 1000
