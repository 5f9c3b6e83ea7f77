"""Runs that keep the output of their frozen trunk, beside runs that compute it in every step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small_runs import small_run
from tensorflow import keras

from dogcat.core import files
from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError
from dogcat.dataset import manifest
from dogcat.loading import pipeline, readers
from dogcat.models import architecture, devices
from dogcat.models.trunk import Split
from dogcat.training import augment, trunk_cache
from dogcat.training import checkpoint as state
from dogcat.training import run as training
from dogcat.training.trunk_cache import Part, TrunkCache

pytestmark = pytest.mark.usefixtures("without_drawings")

# Pictures that are mirrored at most.
FLIPS = {"augment": "none", "shear": 0.0, "zoom": 0.0, "flip": 0.5}


class Identity:
    """A trunk that passes on the pictures themselves."""

    def __call__(self, pictures, training):
        return pictures

    def get_weights(self):
        return []


NOTHING = Split(1, 1.0, (96, 96, 3), tf.uint8, [Identity()], None, None)


def options(tfrecords, runs, **changes):
    """A run of two epochs of the tiny backbone's end, its features those of TensorFlow in any case."""
    end = {"unfreeze_from": "conv2", "optimizer": "adam", "learning_rate": 0.02, "epochs": 2, "feature_views": 2}
    as_usual = {"report": False, "engine": "tensorflow", "precision": "mixed_bfloat16"}
    return small_run(tfrecords, runs, **{**end, **FLIPS, **as_usual, **changes})


def history(wanted):
    """The figures of each epoch of a run, to the last digit."""
    return (training.train(wanted) / "history.csv").read_bytes()


def test_a_run_with_it_stopped_and_resumed_ends_as_one_without(tfrecords, empty_cache, monkeypatch):
    without = history(options(tfrecords, empty_cache / "without", cache_trunk="off"))
    save = state.save

    def stop(folder, progress, variables):
        save(folder, progress, variables)
        if progress.epoch:
            raise Terminated()

    with monkeypatch.context() as patch, pytest.raises(Terminated):
        patch.setattr(state, "save", stop)
        training.train(options(tfrecords, empty_cache, cache_trunk="disk"))
    assert len(list((empty_cache / "cache" / "trunk").iterdir())) == 3
    assert history(options(tfrecords, empty_cache, cache_trunk="memory", resume=True)) == without


def sources_of(tfrecords):
    data = manifest.load(tfrecords)
    return data, {split: readers.open_split(tfrecords, data, split) for split in ("train", "validation")}


def cache_of(tfrecords, tmp_path, where="disk", strategy=None, split=NOTHING, **changes):
    data = manifest.load(tfrecords)
    wanted = options(tfrecords, tmp_path, cache_trunk=where, **changes)
    steps = pipeline.steps_in_epoch(data.splits["train"], wanted.batch_size)
    return TrunkCache(split, where, "", wanted, data, strategy or devices.make_strategy("one_device"), steps)


@pytest.mark.parametrize("replicas", [1, 2])
def test_views_are_those_that_augmentation_draws(tfrecords, empty_cache, replicas):
    strategy = devices.make_strategy("mirrored" if replicas == 2 else "one_device")
    _, sources = sources_of(tfrecords)
    kept = cache_of(tfrecords, empty_cache, "memory", strategy).keep(sources, 2)
    context = tf.distribute.InputContext(1, 0, replicas)
    order, start = pipeline.TrainingOrder(8, 4, seed=0), pipeline.Position(0, 2)
    pictures, chosen = (
        iter(pipeline.train_dataset(sources["train"], order, start, context, views)) for views in (None, kept.training)
    )
    ranges = options(tfrecords, "").augmentation
    mirrored = 0
    for step in range(2, 9):
        for replica in range(replicas):
            (batch, labels), (shown, shown_labels) = next(pictures), next(chosen)
            expected = augment.apply(batch, ranges, augment.seed_of(0, step // 4, step % 4, replica))
            np.testing.assert_array_equal(shown, expected)
            np.testing.assert_array_equal(shown_labels, labels)
            mirrored += np.any(expected != batch, axis=(1, 2, 3)).sum()
    assert 10 < mirrored < 46


def rows_of(kept, part):
    return readers.take(kept.parts[part], np.arange(len(kept.parts[part].labels)))


def test_a_file_on_disk_is_used_again_until_it_is_damaged(tfrecords, empty_cache, monkeypatch, capsys):
    _, sources = sources_of(tfrecords)
    train, validation = (readers.take(source, np.arange(len(source.labels))) for source in sources.values())
    expected = {Part("train", 0): train, Part("train", 1): train[:, :, ::-1], Part("validation", 0): validation}
    written = []
    write = TrunkCache._write
    monkeypatch.setattr(TrunkCache, "_write", lambda *args: written.append(args[-1]) or write(*args))

    def keep():
        written.clear()
        kept = cache_of(tfrecords, empty_cache).keep(sources, 2)
        assert kept.parts.keys() == expected.keys()
        for part, rows in expected.items():
            np.testing.assert_array_equal(rows_of(kept, part), rows)
        return set(written)

    assert keep() == set(expected)
    assert keep() == set()
    place, *_ = (empty_cache / "cache" / "trunk").iterdir()
    sound = place.read_bytes()
    for wrong in (sound[:-1], sound + b"x", sound[:-99] + b"wrong" + sound[-94:]):
        place.write_bytes(wrong)
        files.note.cache_clear()
        assert len(keep()) == 1 and place.read_bytes() == sound
        assert f"{place}: is damaged" in capsys.readouterr().err


def test_other_weights_and_layers_have_files_of_their_own(tfrecords, empty_cache):
    data, _ = sources_of(tfrecords)
    places = set()
    for seed, layer in ((0, "conv2"), (1, "conv2"), (0, "bn1")):
        keras.utils.set_random_seed(seed)
        model = architecture.build_model("tiny", 96, 2)
        wanted = options(tfrecords, empty_cache, cache_trunk="disk", unfreeze_from=layer)
        first = architecture.find_layer(architecture.backbone_of(model), layer)
        cache = trunk_cache.plan(wanted, data, tf.distribute.get_strategy(), model, first, 4)
        places |= {entry.path for entry in cache._entries().values()}
    assert len(places) == 9


def test_where_nothing_can_be_kept_the_run_goes_on_with_one_note(tfrecords, empty_cache, capsys):
    _, sources = sources_of(tfrecords)
    (empty_cache / "cache").write_bytes(b"mine")
    assert cache_of(tfrecords, empty_cache).keep(sources, 2) is None
    [note] = capsys.readouterr().err.splitlines()
    assert note.startswith("note: the trunk's output is not kept, since ") and note.endswith("Not a directory")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "--epochs=0 has no steps that would read it; use off"),
        ({"shear": 0.2}, "--shear=0.2 shows a picture otherwise each time; use --augment=none with --flip=0.5, or off"),
        ({"unfreeze_from": "0"}, "below --unfreeze_from=0 nothing that computes ends in one layer; use off"),
        (
            {"cache_gib": 1e-6},
            "the trunk's output takes 1.4 MiB, and --cache_gib=1e-06 is less; give it more room, or use off",
        ),
    ],
)
def test_what_does_not_allow_it_is_named_and_auto_does_without(tfrecords, empty_cache, changes, said):
    data, _ = sources_of(tfrecords)
    model = architecture.build_model("tiny", 96, 2)

    def plan(asked):
        wanted = options(tfrecords, empty_cache, cache_trunk=asked, **{"epochs": 9, **changes})
        first = architecture.find_layer(architecture.backbone_of(model), wanted.unfreeze_from)
        return trunk_cache.plan(wanted, data, tf.distribute.get_strategy(), model, first, 4)

    for asked in ("on", "memory", "disk"):
        with pytest.raises(InputError) as caught:
            plan(asked)
        assert str(caught.value) == f"--cache_trunk={asked}: {said}"
    planned = plan("auto")
    assert planned is None or planned.where == "none"


def test_auto_does_without_where_that_saves_nothing(tfrecords, empty_cache):
    data, sources = sources_of(tfrecords)
    model = architecture.build_model("tiny", 96, 2)

    def plan(**changes):
        wanted = options(tfrecords, empty_cache, cache_trunk="auto", **changes)
        first = architecture.find_layer(architecture.backbone_of(model), wanted.unfreeze_from)
        return trunk_cache.plan(wanted, data, tf.distribute.get_strategy(), model, first, 4)

    # Two views of 33 pictures, and 14 to validate on, against epochs of 32 and 14.
    assert plan(epochs=1).where == "none" and "is not kept, since that saves nothing" in plan(epochs=1).description()
    several = plan(epochs=2)
    assert several.where == "memory" and "for 80 pictures" in several.description()
    assert "for 92 in 2 epochs" in several.description()
    # Of a run that goes on with its last epoch.
    assert dataclasses.replace(several, split=NOTHING).keep(sources, 1) is None
