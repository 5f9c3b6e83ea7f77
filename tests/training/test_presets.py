from __future__ import annotations

import dataclasses
import json

import pytest

from dogcat.core import flags
from dogcat.core.options import InputError
from dogcat.training.augmentations import AUGMENTATIONS
from dogcat.training.options import TrainingOptions
from dogcat.training.presets import PRESETS


def parse(*arguments):
    return flags.parse(TrainingOptions, list(arguments))


# The table of the source's report: what each run starts from, opens, and how it learns.
@pytest.mark.parametrize(
    ("preset", "init_from", "unfreeze_from", "optimizer", "epochs"),
    [
        ("top", "", "", "adam", 30),
        ("continue", "top", "", "adam", 50),
        ("open2", "continue", "116", "adam", 50),
        ("open4", "continue", "96", "adam", 50),
        ("open4-sgd", "continue", "96", "sgd", 50),
    ],
)
def test_the_sources_runs(preset, init_from, unfreeze_from, optimizer, epochs):
    options = parse(f"--preset={preset}")
    assert (options.init_from, options.unfreeze_from) == (init_from, unfreeze_from)
    assert (options.optimizer, options.epochs) == (optimizer, epochs)
    assert (options.learning_rate, options.momentum, options.batch_size, options.patience) == (1e-4, 0.9, 128, 5)
    assert options.augmentation == AUGMENTATIONS["source"]
    assert (options.schedule, options.warmup_steps, options.batch_norm) == ("constant", 0, "training")


def test_a_flag_beside_a_preset_wins():
    options = parse("--preset=open4-sgd", "--learning_rate=0.01", "--epochs=2")
    assert (options.learning_rate, options.epochs, options.unfreeze_from) == (0.01, 2, "96")


def test_the_best_preset_is_taken_where_nothing_else_is_asked_for():
    assert parse().preset == "best"
    assert parse("--tfrecords=elsewhere", "--epochs=1", "--batch_size=8").preset == "best"
    assert parse("--unfreeze_from=96", "--optimizer=sgd").preset == "none"
    assert parse("--unfreeze_from=96", "--optimizer=sgd") == TrainingOptions(unfreeze_from="96", optimizer="sgd")


def test_every_preset_makes_options():
    for name in PRESETS:
        assert parse(f"--preset={name}").preset == name


def test_an_augmentation_set_gives_all_ranges_and_single_flags_win():
    assert parse("--augment=none", "--zoom=0.1").augmentation == AUGMENTATIONS["none"].__class__(zoom=0.1)
    assert parse("--preset=top", "--augment=strong").augmentation == AUGMENTATIONS["strong"]


def test_an_option_that_is_gone_is_named_unless_it_did_nothing(tmp_path):
    path = tmp_path / "config.json"
    stored = vars(parse("--preset=open2"))
    path.write_text(json.dumps({"options": {**stored, "magnify": 0.0}}))
    assert parse(f"--config={path}").preset == "open2" and not parse("--preset=open2").difference(
        {**stored, "magnify": 0}
    )
    path.write_text(json.dumps({"options": {**stored, "magnify": 0.5}}))
    with pytest.raises(InputError, match="magnify is no longer an option; take the line out"):
        parse(f"--config={path}")
    # A run that was begun with it does not go on as another one.
    assert parse("--preset=open2").difference({**stored, "magnify": 0.5}) == "magnify"


def test_a_config_is_read_back_and_flags_win(tmp_path):
    before = parse("--preset=open2", "--seed=7", "--augment=strong", "--shift=0")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"options": vars(before)}))
    again = parse(f"--config={path}")
    assert vars(again) == {**vars(before), "config": str(path)}
    assert parse(f"--config={path}", "--seed=8", "--augment=none").shear == 0
    assert parse(f"--config={path}", "--seed=8").seed == 8
    best = parse(f"--config={path}", "--preset=best", "--epochs=7")
    assert (best.preset, best.optimizer, best.shear, best.flip, best.epochs) == ("best", "adamw", 0, 0.5, 7)
    assert best.seed == 7
    # What a preset does not name has its default, or the run would bear its name for another recipe.
    path.write_text(json.dumps({"options": vars(parse("--preset=best", "--seed=7", "--backbone=vgg16"))}))
    top = vars(parse(f"--config={path}", "--preset=top"))
    assert top == {**vars(parse("--preset=top", "--seed=7")), "config": str(path)}
    best = vars(parse(f"--config={path}", "--preset=best", "--epochs=1"))
    assert best["backbone"] == "vgg16"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--head=random", "--start_c=0.01"), "--start_c=0.01: goes with --head=fit"),
        (("--head=random", "--feature_views=3"), "--feature_views=3: goes with --head=fit"),
        (("--optimizer=adam", "--momentum=0.5"), "--momentum=0.5: goes with --optimizer=sgd, not adam"),
        (("--momentum=0.5",), "--momentum=0.5: goes with --optimizer=sgd, not adamw"),
        (("--optimizer=sgd", "--weight_decay=0"), "--weight_decay=0.0: goes with --optimizer=adamw or lamb, not sgd"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(flags, said):
    with pytest.raises(InputError, match=said):
        parse(*flags)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"^--config=\S*/config.json: No such file or directory; give the config.json of a run$"),
        ("no json", "config.json"),
        ("{}", "config.json"),
        ('{"options": []}', r"options is \[\], not an object"),
        ('{"options": {"epoch": 3}}', "epoch is not an option"),
        ('{"options": {"epochs": "3"}}', "epochs is '3'; it must be of type int"),
        ('{"options": {"learning_rate": 0}}', "config.json: learning_rate is 0; use more than 0 and less than 10"),
        ('{"options": {"learning_rate": NaN}}', "config.json of a run: NaN is not a number of JSON"),
        ('{"options": {"epochs": -1}}', "config.json: epochs is -1; use 1 or more, or 0 to stop once the head is"),
        ('{"options": {"limit": 9223372036854775808}}', "config.json of a run: a number has 19 digits"),
        ('{"options": {"optimizer": "adagrad"}}', "config.json: optimizer is 'adagrad'; use one of adam, adamw"),
    ],
)
def test_a_config_that_cannot_be_used_is_named(tmp_path, content, said):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        parse(f"--config={path}")
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="--preset=worst: use one of none, best, top"):
        parse("--preset=worst")


def test_a_run_from_before_an_option_was_there_goes_on_without_it():
    stored = {name: value for name, value in dataclasses.asdict(TrainingOptions()).items() if name != "class_weights"}
    assert TrainingOptions().difference(stored) == ""
    assert TrainingOptions(class_weights="balanced").difference(stored) == "class_weights"
