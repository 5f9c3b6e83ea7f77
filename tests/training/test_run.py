from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import shard_files
import tensorflow as tf
from conftest import command, draw, make, start, without_progress
from scipy import special
from sklearn import metrics
from small_runs import flags_of, history_of, one_epoch
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError
from dogcat.dataset import manifest
from dogcat.loading import pipeline, readers
from dogcat.models import architecture, model_files
from dogcat.training import agreement, frozen_features, loop, step
from dogcat.training import run as training

pytestmark = pytest.mark.usefixtures("without_drawings")


@pytest.fixture(scope="module")
def first_run(tfrecords, tmp_path_factory):
    """The command's run of two epochs, mirrored on two logical CPU devices."""
    runs = tmp_path_factory.mktemp("runs")
    changes = {"strategy": "mirrored", "epochs": 2, "batch_size": 6}
    mirrored(one_epoch(tfrecords, runs, **changes), TESTS_DRAW=1)
    return (runs / "latest").resolve()


def mirrored(wanted, **variables):
    """Runs dogcat.train on two logical CPU devices, with variables added to the environment.

    In a process of its own: two MirroredStrategies in one mix up their collective operations.
    """
    with start(command("two_devices", "dogcat.train", *flags_of(wanted)), **variables) as process:
        err = process.communicate(timeout=600)[1]
    assert (process.returncode, without_progress(err)) == (0, ""), err


def predictions(model, tfrecords, split="validation"):
    """Logits and labels of a split, by Keras' own predict, picture by picture."""
    data = manifest.load(tfrecords)
    batches = pipeline.evaluation_dataset(readers.open_split(tfrecords, data, split), 1)
    logits = architecture.logits_model(model).predict(batches, verbose=0)[:, 0]
    return logits.astype(np.float64), readers.open_split(tfrecords, data, split).labels


def test_a_run_folder_holds_all(first_run):
    assert {path.name for path in first_run.iterdir()} == {
        *("best.keras", "last.keras", "checkpoints", "config.json", "summary.json", "validation.npy"),
        *("history.csv", "history.jsonl", "curves.png", "augmented.png"),
    }
    history = history_of(first_run)
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert all(math.isfinite(row["val_loss"]) for row in history)
    assert all(math.isfinite(row["loss"]) for row in history[1:])
    names = sorted(path.name for path in (first_run / "checkpoints").iterdir())
    assert names == [f"model-{int(row['epoch']):02d}-{row['val_loss']:.4f}.keras" for row in history]
    assert (first_run / "curves.png").read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (first_run / "history.jsonl").read_text().splitlines()]
    assert [line["val_loss"] for line in lines] == [row["val_loss"] for row in history]
    assert all(line["seconds"] > 0 for line in lines) and lines[0]["loss"] is None
    assert 0 <= lines[1]["input_wait"] <= 1
    config = json.loads((first_run / "config.json").read_text())
    assert config["options"]["unfreeze_from"] == "conv2"
    assert config["replicas"] == 2
    summary = json.loads((first_run / "summary.json").read_text())
    assert summary["best"]["val_loss"] == min(row["val_loss"] for row in history)
    assert (first_run.parent / "latest").resolve() == first_run.resolve()


def test_tensorboard_has_curves_on_one_chart_pictures_and_the_graph(first_run):
    # Each part is shown once, though TensorBoard follows the link to the last run.
    assert (first_run.parent / "latest").is_symlink()
    shown = EventMultiplexer().AddRunsFromDirectory(str(first_run.parent)).Reload().Runs()
    assert sorted(shown) == [f"tensorboard/{first_run.name}/{part}" for part in ("train", "validation")]
    seen = {}
    for part in ("train", "validation"):
        [events] = (first_run.parent / "tensorboard" / first_run.name / part).glob("events.*")
        for record in tf.data.TFRecordDataset(str(events)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            if event.graph_def:
                seen["graph"] = True
            for value in event.summary.value:
                seen.setdefault((part, value.tag), []).append(event.step)
    for name in ("epoch_loss", "epoch_accuracy"):
        assert seen["validation", name] == [0, 1, 2] and seen["train", name] == [1, 2]
    steps = seen["train", "batch_loss"]
    assert steps == seen["train", "batch_learning_rate"] == seen["train", "batch_pictures_per_second"]
    assert steps == sorted(steps) and steps[-1] % 2 == 0 and steps[-1] // 2 in steps
    assert ("train", "augmented") in seen and "graph" in seen


def test_validation_weighs_each_picture_once_under_two_replicas(first_run, tfrecords):
    # 6 does not divide the pictures, and the last batch leaves a replica without a picture of its own.
    data = manifest.load(tfrecords)
    assert data.splits["validation"].pictures % 6 in (1, 2, 3, 4)
    assert data.splits["train"].pictures % 6
    for row in history_of(first_run):
        checkpoint = first_run / "checkpoints" / f"model-{int(row['epoch']):02d}-{row['val_loss']:.4f}.keras"
        logits, labels = predictions(model_files.load(checkpoint)[0], tfrecords)
        probabilities = special.expit(logits)
        assert metrics.log_loss(labels, probabilities) == pytest.approx(row["val_loss"], abs=1e-4)
        assert metrics.accuracy_score(labels, probabilities > 0.5) == pytest.approx(row["val_accuracy"])
        assert metrics.roc_auc_score(labels, logits) == pytest.approx(row["val_auc"])


def test_the_best_and_the_last_model_are_checkpoints(first_run):
    history = history_of(first_run)
    best = min(history, key=lambda row: row["val_loss"])
    for row, name in ((best, "best.keras"), (history[-1], "last.keras")):
        [checkpoint] = (first_run / "checkpoints").glob(f"model-{int(row['epoch']):02d}-*")
        assert checkpoint.read_bytes() == (first_run / name).read_bytes()


def test_only_the_newest_checkpoints_are_kept(tfrecords, tmp_path):
    run = training.train(one_epoch(tfrecords, tmp_path, epochs=3, patience=9, keep=2))
    assert [path.name[:8] for path in sorted((run / "checkpoints").iterdir())] == ["model-02", "model-03"]
    assert model_files.load(run / "best.keras") and model_files.load(run / "last.keras")


@pytest.mark.parametrize("batch_norm", ["training", "inference"])
def test_two_devices_give_the_losses_of_one(tfrecords, tmp_path, batch_norm):
    changes = {
        "epochs": 2, "patience": 9, "augment": "none", "shear": 0.0, "zoom": 0.0, "flip": 0.0, "batch_norm": batch_norm
    }  # fmt: skip
    one = training.train(one_epoch(tfrecords, tmp_path / "one", **changes))
    mirrored(one_epoch(tfrecords, tmp_path / "two", strategy="mirrored", **changes))
    two = (tmp_path / "two" / "latest").resolve()
    assert json.loads((two / "config.json").read_text())["replicas"] == 2
    for ours, theirs in zip(history_of(one), history_of(two)):
        for name in ("loss", "val_loss"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-4, nan_ok=True)


def test_the_same_seed_gives_the_same_history(tfrecords, tmp_path):
    def figures(seed, name):
        return (training.train(one_epoch(tfrecords, tmp_path / name, seed=seed)) / "history.csv").read_text()

    first = figures(1, "a")
    assert figures(1, "b") == first
    assert figures(2, "c") != first


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(tfrecords, tmp_path, precision):
    run = training.train(one_epoch(tfrecords, tmp_path, precision=precision))
    assert math.isfinite(history_of(run)[1]["loss"])
    assert json.loads((run / "config.json").read_text())["precision"] == precision
    assert {array.dtype for array in model_files.load(run / "best.keras")[0].get_weights()} == {np.dtype("f4")}


def test_a_run_starts_from_an_earlier_one(first_run, tfrecords, tmp_path):
    wanted = one_epoch(tfrecords, tmp_path, init_from=str(first_run), unfreeze_from="", epochs=0)
    history = history_of(training.train(wanted))
    best = min(row["val_loss"] for row in history_of(first_run))
    assert len(history) == 1
    assert history[0]["val_loss"] == pytest.approx(best, abs=1e-4)


def test_a_preset_starts_from_the_run_of_another(tfrecords, tmp_path):
    small = {"epochs": 1, "batch_size": 8, "unfreeze_from": ""}
    with pytest.raises(InputError, match="--init_from=top: .* has no run of this preset yet"):
        training.train(one_epoch(tfrecords, tmp_path, init_from="top", **small))
    training.train(one_epoch(tfrecords, tmp_path, preset="top", head="random", **small))
    first = (tmp_path / "latest-top").resolve()
    run = training.train(one_epoch(tfrecords, tmp_path, preset="continue", init_from="top", **small))
    assert (tmp_path / "latest-continue").resolve() == run.resolve() != first
    best = min(row["val_loss"] for row in history_of(first))
    assert history_of(run)[0]["val_loss"] == pytest.approx(best, abs=1e-4)


def test_features_are_computed_once_for_what_made_them(tfrecords, tmp_path, monkeypatch):
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "cache"))
    computed = []
    compute = frozen_features.FeatureExtractor._compute
    monkeypatch.setattr(
        frozen_features.FeatureExtractor,
        "_compute",
        lambda self, split, view: computed.append((split, view)) or compute(self, split, view),
    )

    def new(**changes):
        computed.clear()
        training.train(one_epoch(tfrecords, tmp_path / "runs", unfreeze_from="", epochs=0, **changes))
        return list(computed)

    assert new() == [("train", 0), ("validation", 0)]
    assert new() == []
    assert new(feature_views=2) == [("train", 1)]
    assert new(feature_views=3) == [("train", 2)]
    # Augmented views follow from the seed, and so do random weights.
    assert len(new(seed=1)) == 2
    assert len(new(precision="mixed_bfloat16", limit=20)) == 2


def test_validation_is_of_the_pictures_as_they_are(tfrecords, tmp_path):
    run = training.train(one_epoch(tfrecords, tmp_path, precision="float32"))
    data = manifest.load(tfrecords)
    batches = pipeline.evaluation_dataset(readers.open_split(tfrecords, data, "validation"), 1)
    labels = readers.open_split(tfrecords, data, "validation").labels
    # The head alone, whose features went through the cache, and the open layers after it.
    for checkpoint, epoch in zip(sorted((run / "checkpoints").iterdir()), history_of(run)):
        logits = (
            architecture.logits_model(model_files.load(checkpoint)[0]).predict(batches, verbose=0)[:, 0].astype(float)
        )
        assert epoch["val_loss"] == pytest.approx(metrics.log_loss(labels, special.expit(logits)), abs=1e-4)


def test_the_second_view_counts(tfrecords, tmp_path):
    run = training.train(one_epoch(tfrecords, tmp_path, unfreeze_from="", epochs=0, feature_views=2))
    plain = training.train(one_epoch(tfrecords, tmp_path, unfreeze_from="", epochs=0))
    assert history_of(run) != history_of(plain)


def test_epochs_may_start_from_a_weaker_head_than_that_of_epoch_0(tfrecords, tmp_path):
    still = {"learning_rate": 1e-9, "epochs": 1, "batch_norm": "inference"}
    fitted = history_of(training.train(one_epoch(tfrecords, tmp_path / "a", **still)))
    weak = history_of(training.train(one_epoch(tfrecords, tmp_path / "b", start_c=1e-9, **still)))
    assert weak[0]["val_loss"] == fitted[0]["val_loss"]
    assert fitted[1]["val_loss"] == pytest.approx(fitted[0]["val_loss"], abs=1e-3)
    # A head that is all penalty knows nothing but the share of the classes.
    assert weak[1]["val_loss"] == pytest.approx(math.log(2), abs=0.01)


def test_limits_shorten_a_run(tfrecords, tmp_path, capsys):
    training.train(one_epoch(tfrecords, tmp_path, limit=10, batch_size=2, steps_per_epoch=3))
    out = capsys.readouterr().out
    assert "10 for train, 10 for validation" in out
    assert "3 steps of 2 each" in out


def test_a_dry_run_tells_and_leaves_nothing(tfrecords, tmp_path, capsys):
    assert training.train(one_epoch(tfrecords, tmp_path / "runs", dry_run=True)) is None
    out = capsys.readouterr().out
    assert "trains: the head and tiny" in out and "weights); epochs: 1 at most, 4 steps of 8 each" in out
    assert "memory: at least" in out
    assert re.search(r"\nestimate: about \d\d:\d\d at most until the report, from .* 4 steps of ", out)
    assert not (tmp_path / "runs").exists()


def test_each_epoch_but_the_last_tells_the_time_left(tfrecords, tmp_path, capsys):
    training.train(one_epoch(tfrecords, tmp_path, epochs=2, patience=2))
    first, second = re.findall("epoch  [12]:.*", capsys.readouterr().out)
    assert re.search(r"; whole run \d\d:\d\d left at most\)", first) and "left" not in second


def test_patience_ends_a_run(tfrecords, tmp_path, capsys):
    # A rate that wrecks the model: no epoch is better than the fitted head.
    run = training.train(one_epoch(tfrecords, tmp_path, learning_rate=5.0, epochs=6, patience=1))
    # The fitted head counts: the first epoch is already one without a lower loss.
    assert [row["epoch"] for row in history_of(run)] == [0, 1]
    assert "stopped: no lower validation loss" in capsys.readouterr().out


@pytest.mark.parametrize("block", [1, 3])
def test_a_run_that_diverges_names_the_step_and_its_pictures(tfrecords, tmp_path, monkeypatch, block):
    losses, train_dataset, made = step.log_losses, pipeline.train_dataset, []
    monkeypatch.setattr(step, "log_losses", lambda *args: losses(*args) * math.nan)
    monkeypatch.setattr(pipeline, "train_dataset", lambda *args: made.append(train_dataset(*args)) or made[-1])
    with pytest.raises(InputError, match=r"--learning_rate=0.0001: the loss became nan at epoch 1, step 1") as caught:
        training.train(one_epoch(tfrecords, tmp_path, shuffle_block=block))
    [run] = tmp_path.glob("*-sgd")
    assert (run / "best.keras").is_file()
    first, *keys = (run / "diverged.txt").read_text().splitlines()
    assert first == "epoch 1, step 1" and len(keys) == 8
    assert all(key.startswith(("cat.", "dog.")) for key in keys)
    assert keys[0] in str(caught.value)
    reader = readers.open_split(tfrecords, manifest.load(tfrecords), "train")
    assert keys == pipeline.keys_of_batch(reader, pipeline.TrainingOrder(8, 4, 0, block), pipeline.BEGINNING)
    places = np.array([reader.keys.index(key) for key in keys])
    pictures = readers.take(reader, places)
    [trained_on] = made
    np.testing.assert_array_equal(next(iter(trained_on))[0], pictures)


def test_a_damaged_shard_is_named(tfrecords, empty_cache, call):
    # Of the whole data set, which has the same manifest, features may have been kept.
    tmp_path = empty_cache
    copy = shutil.copytree(tfrecords, tmp_path / "copy")
    shard = shard_files.flip_bit(copy)
    small = ("--backbone=tiny", "--weights=none", "--batch_size=8", "--epochs=0", "--strategy=one_device")
    done = call("dogcat.train", f"--tfrecords={copy}", f"--runs={tmp_path}/runs", *small)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1 and "Traceback" not in done.err
    assert list((tmp_path / "runs").iterdir()) == []
    assert f"{shard} is damaged: record " in done.err
    assert done.err.endswith(f"; python -m tools.inspect_tfrecords {copy} --verify says more\n")


@pytest.fixture
def broken(tfrecords, tmp_path, first_run):
    """Flags for a kind of bad input, and what the line must name."""

    def make(kind):
        good = {"tfrecords": str(tfrecords), "runs": str(tmp_path / "runs")}
        if kind == "missing data":
            return {**good, "tfrecords": "/no/such"}, "/no/such does not exist"
        if kind == "no manifest":
            copy = shutil.copytree(tfrecords, tmp_path / "copy")
            (copy / manifest.FILE_NAME).unlink()
            return {**good, "tfrecords": str(copy)}, "not a finished data set"
        if kind == "unknown layer":
            return {**good, "unfreeze_from": "block99"}, "--unfreeze_from=block99"
        if kind == "large batch":
            return {**good, "batch_size": "4096"}, "--batch_size=4096"
        if kind == "no model":
            (tmp_path / "text.keras").write_text("no model")
            return {**good, "init_from": str(tmp_path / "text.keras")}, "text.keras is not a model"
        if kind in ("other size", "other classes", "other backbone"):
            classes = ["cat", "fox"] if kind == "other classes" else ["cat", "dog"]
            size = 80 if kind == "other size" else 96
            backbone = "vgg16" if kind == "other backbone" else "tiny"
            path = tmp_path / "other.keras"
            description = model_files.Description(classes, size, "stretch", backbone)
            model_files.save(architecture.build_model(backbone, size, 2), path, description)
            said = f"made for {backbone} for {', '.join(classes)} at {size} pixels"
            return {
                **good,
                "backbone": "xception" if kind == "other backbone" else "tiny",
                "init_from": str(path),
            }, said
        if kind == "rate":
            return {**good, "learning_rate": "0"}, "--learning_rate=0"
        if kind == "no preset run":
            return {**good, "preset": "open4"}, "--init_from=continue"
        if kind == "no cluster":
            return {**good, "strategy": "multi_worker"}, "TF_CONFIG"
        if kind == "weights besides a model":
            return {**good, "init_from": "top", "weights": "none"}, "--weights=none: goes without --init_from"
        if kind == "class left out":
            few = {"weights": "none", "backbone": "tiny", "batch_size": "1", "limit": "1"}
            return {**good, **few}, "--limit=1: leaves no training picture of"
        raise AssertionError(kind)

    return make


@pytest.mark.parametrize(
    "kind",
    [
        *("missing data", "no manifest", "unknown layer", "large batch", "no model", "other size", "other classes"),
        *("other backbone", "rate", "no preset run", "no cluster", "weights besides a model", "class left out"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(call, broken, tmp_path, kind):
    flags, said = broken(kind)
    flags = {"batch_size": "8", **flags}
    done = call("dogcat.train", *(f"--{name}={value}" for name, value in flags.items()))
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "cluster",
    [
        "{bad",
        '{"cluster": {"worker": ["localhost:1"]}}',
        '{"cluster": {"worker": ["localhost:1"]}, "task": {"index": 3}}',
    ],
)
def test_a_cluster_that_is_none_is_one_line(call, tfrecords, tmp_path, monkeypatch, cluster):
    monkeypatch.setenv("TF_CONFIG", cluster)
    given = [f"--tfrecords={tfrecords}", f"--runs={tmp_path}/runs", "--backbone=tiny", "--weights=none"]
    done = call("dogcat.train", *given, "--dry_run")
    assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith(f"error: TF_CONFIG={cluster}: is not a cluster")
    assert call("dogcat.train", *given, "--dry_run", "--strategy=one_device").code == 0


def test_a_signal_late_in_a_step_loses_no_losses(tfrecords, tmp_path, monkeypatch):
    small = {"steps_per_epoch": 3, "batch_size": 4, "learning_rate": 0.01}
    whole = history_of(training.train(one_epoch(tfrecords, tmp_path / "whole", **small)))

    @contextlib.contextmanager
    def stopping_bar(total, what):
        with pictures_bar(total, what) as bar:
            update = bar.update

            def stop(count):
                update(count)
                if count and bar.n == 8:
                    signal.raise_signal(signal.SIGTERM)

            monkeypatch.setattr(bar, "update", stop)
            yield bar

    monkeypatch.setattr(agreement, "_SECONDS", 1000)
    pictures_bar = loop.pictures_bar
    monkeypatch.setattr(loop, "pictures_bar", stopping_bar)
    with pytest.raises(Terminated):
        training.train(one_epoch(tfrecords, tmp_path / "stopped", **small))
    monkeypatch.setattr(loop, "pictures_bar", pictures_bar)
    resumed = history_of(training.train(one_epoch(tfrecords, tmp_path / "stopped", resume=True, **small)))
    np.testing.assert_equal(resumed, whole)


@pytest.mark.parametrize(("weights", "share"), [("none", 0.25), ("balanced", 0.5)])
def test_balanced_classes_are_equally_probable_where_pictures_tell_nothing(tmp_path, weights, share):
    # All the same picture, so that what is learnt is how frequent each class counts as.
    images = draw(tmp_path / "images", *(f"cat.{n}.jpg" for n in range(30)), *(f"dog.{n}.jpg" for n in range(10)))
    make(images, tmp_path / "data", validation=0.2)
    run = training.train(one_epoch(tmp_path / "data", tmp_path, epochs=0, class_weights=weights))
    assert special.expit(np.load(run / "validation.npy")) == pytest.approx(share, abs=0.02)


def test_replicas_train_compiled(tfrecords, tmp_path):
    mirrored(one_epoch(tfrecords, tmp_path, strategy="mirrored", batch_norm="inference", jit_compile="on"))
    assert len(history_of((tmp_path / "latest").resolve())) == 2


def test_runs_that_begin_together_do_not_hinder_each_other(tfrecords, tmp_path):
    script = (
        "import sys; from pathlib import Path; from dogcat.core import runtime; runtime.prepare();"
        "from dogcat.training import run_folder;"
        "from dogcat.training.options import TrainingOptions;"
        "[run_folder.lead_to(Path(sys.argv[1]), TrainingOptions(preset='best')) for _ in range(1000)]"
    )
    together = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path / name], stderr=subprocess.PIPE) for name in "ab"
    ]
    assert [one.communicate()[1] for one in together] == [b"", b""]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "latest-best"]


def test_a_step_larger_than_memory_is_named_and_the_head_is_kept(tfrecords, tmp_path, monkeypatch):
    def step_out_of_memory(*arguments):
        # TensorFlow's words; it tries for ten seconds before it says them.
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[70368744177664]")

    monkeypatch.setattr(step.Trainer, "step", step_out_of_memory)
    with pytest.raises(InputError, match="--batch_size=4: a step takes more memory than there is; use a smaller one"):
        training.train(one_epoch(tfrecords, tmp_path, batch_size=4))
    assert (tmp_path / "latest" / "best.keras").is_file()


@pytest.mark.keras(2, reason="Keras 3 has no such names")
def test_a_layer_with_a_slash_makes_no_folder(tfrecords, tmp_path):
    run = training.train(one_epoch(tfrecords, tmp_path, unfreeze_from="conv2/bn", epochs=0))
    assert run.parent == tmp_path and "from-conv2-bn" in run.name
