from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics
from tensorflow import keras

from dogcat import manifest, pipeline, training
from dogcat import model as models
from dogcat.config import InputError, TrainingOptions

ROOT = Path(__file__).parents[1]


def options(tfrecords, runs, **changes):
    defaults = {
        "tfrecords": str(tfrecords),
        "runs": str(runs),
        "unfreeze_from": "116",
        "optimizer": "sgd",
        "batch_size": 8,
        "epochs": 1,
        "precision": "float32",
        "strategy": "one_device",
    }
    return TrainingOptions(**{**defaults, **changes})


@pytest.fixture(scope="module")
def first_run(tfrecords, tmp_path_factory):
    """The command's run of two epochs on drawn pictures, under MirroredStrategy on two logical CPU devices."""
    runs = tmp_path_factory.mktemp("runs")
    script = """
from dogcat import flags, runtime, train
runtime.prepare()
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
flags.run(train.main, train.TrainingOptions)
"""
    wanted = options(tfrecords, runs, strategy="mirrored", epochs=2, batch_size=6)
    arguments = [f"--{name}={value}" for name, value in dataclasses.asdict(wanted).items()]
    # A process of its own: two MirroredStrategies in one mix up their collective operations.
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return (runs / "latest").resolve()


def history_of(run):
    with open(run / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def predictions(model, tfrecords, split="validation"):
    """Probabilities and labels of a split, by Keras' own predict, picture by picture."""
    data = manifest.load(tfrecords)
    batches = pipeline.evaluation_dataset(tfrecords, data, split, 1)
    labels = np.concatenate([label for _, label, _ in batches])
    return model.predict(batches.map(lambda pictures, *rest: pictures), verbose=0)[:, 0], labels


def test_a_run_folder_holds_all(first_run):
    assert {path.name for path in first_run.iterdir()} == {
        *("best.keras", "config.json", "checkpoints", "curves.png", "history.csv", "tensorboard")
    }
    history = history_of(first_run)
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert all(math.isfinite(row["val_loss"]) for row in history)
    assert all(math.isfinite(row["loss"]) for row in history[1:])
    names = sorted(path.name for path in (first_run / "checkpoints").iterdir())
    assert names == [f"model-{int(row['epoch']):02d}-{row['val_loss']:.4f}.keras" for row in history]
    assert list((first_run / "tensorboard").rglob("events.*"))
    assert (first_run / "curves.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((first_run / "config.json").read_text())
    assert config["options"]["unfreeze_from"] == "116"
    assert config["replicas"] == 2
    assert (first_run.parent / "latest").resolve() == first_run.resolve()


def test_validation_weighs_each_picture_once_under_two_replicas(first_run, tfrecords):
    # 6 does not divide the pictures, and the last batch leaves a replica without a picture of its own.
    data = manifest.load(tfrecords)
    assert data.splits["validation"].pictures % 6 in (1, 2, 3, 4)
    assert data.splits["train"].pictures % 6
    for row in history_of(first_run):
        checkpoint = first_run / "checkpoints" / f"model-{int(row['epoch']):02d}-{row['val_loss']:.4f}.keras"
        probabilities, labels = predictions(models.load(checkpoint)[0], tfrecords)
        assert metrics.log_loss(labels, probabilities) == pytest.approx(row["val_loss"], abs=1e-4)
        assert metrics.accuracy_score(labels, probabilities > 0.5) == pytest.approx(row["val_accuracy"])


def test_the_best_model_is_the_best_checkpoint(first_run):
    best = min(history_of(first_run), key=lambda row: row["val_loss"])
    checkpoint = next((first_run / "checkpoints").glob(f"model-{int(best['epoch']):02d}-*"))
    for ours, theirs in zip(
        models.load(first_run / "best.keras")[0].get_weights(), models.load(checkpoint)[0].get_weights()
    ):
        np.testing.assert_array_equal(ours, theirs)


def trainer_of(model, unfreeze_from, batch_size=8, optimizer=None):
    models.open_layers(model, models.find_layer(models.backbone_of(model), unfreeze_from))
    trainer = training.AugmentingTrainer(model, batch_size, seed=0)
    trainer.compile(optimizer=optimizer or keras.optimizers.SGD(0.1), weighted_metrics=[])
    return trainer


def test_a_step_changes_the_open_layers_and_nothing_frozen(tfrecords):
    data = manifest.load(tfrecords)
    model = models.build_model("xception", 96, 2)
    backbone = models.backbone_of(model)
    trainer = trainer_of(model, "116")
    before = [layer.get_weights() for layer in backbone.layers]
    head_before = models.head_of(model).get_weights()
    trainer.fit(pipeline.train_dataset(tfrecords, data, 8, seed=0), steps_per_epoch=1, verbose=0)
    for index, (layer, arrays) in enumerate(zip(backbone.layers, before)):
        for old, new in zip(arrays, layer.get_weights()):
            # Weights and, of an open BatchNorm, statistics too.
            assert np.array_equal(old, new) == (index < 116), (index, layer.name)
    assert not np.array_equal(head_before[0], models.head_of(model).get_weights()[0])


def test_a_frozen_batchnorm_infers_with_its_own_statistics(tfrecords):
    model = models.build_model("xception", 96, 2)
    trainer = trainer_of(model, "")
    batch = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), np.uint8)
    np.testing.assert_array_equal(trainer(batch, training=True), trainer(batch, training=False))


def test_the_gradient_does_not_depend_on_the_number_of_replicas(tfrecords, monkeypatch):
    # Without augmentation, whose draws differ between replicas, and with the BatchNorms frozen, whose
    # statistics are each replica's own, a step on two devices is that on one.
    monkeypatch.setattr(training.augment, "warp", lambda pictures, parameters: pictures)
    data = manifest.load(tfrecords)
    heads = []
    for name in ("one_device", "mirrored"):
        strategy = training.devices.make_strategy(name)
        with strategy.scope():
            model = models.build_model("xception", 96, 2)
            model.load_weights(first_weights(tfrecords))
            trainer = trainer_of(model, "")
        trainer.fit(pipeline.train_dataset(tfrecords, data, 8, seed=0), steps_per_epoch=2, verbose=0)
        heads.append(models.head_of(model).get_weights())
    assert strategy.num_replicas_in_sync == 2
    for one, two in zip(*heads):
        np.testing.assert_allclose(one, two, atol=1e-5)


def first_weights(tfrecords):
    """The same random model for every call, kept beside the data."""
    path = tfrecords.parent / "random.keras"
    if not path.exists():
        models.save(
            models.build_model("xception", 96, 2), path, models.Description(["cat", "dog"], 96, "stretch", "xception")
        )
    return path


def test_the_same_seed_gives_the_same_history(tfrecords, tmp_path):
    def figures(seed, name):
        run = training.train(options(tfrecords, tmp_path / name, seed=seed))
        return [(row["val_loss"], row["loss"]) for row in history_of(run)][1:]

    assert figures(1, "a") == figures(1, "b")
    assert figures(1, "c") != figures(2, "d")


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(tfrecords, tmp_path, precision):
    changes = {"precision": precision, "epochs": 1, "unfreeze_from": "126", "batch_size": 12}
    run = training.train(options(tfrecords, tmp_path, **changes))
    assert math.isfinite(history_of(run)[1]["loss"])
    assert json.loads((run / "config.json").read_text())["precision"] == precision
    assert {array.dtype for array in models.load(run / "best.keras")[0].get_weights()} == {np.dtype("f4")}


def test_a_run_starts_from_an_earlier_one(first_run, tfrecords, tmp_path):
    run = training.train(options(tfrecords, tmp_path, init_from=str(first_run), epochs=0))
    best = min(row["val_loss"] for row in history_of(first_run))
    history = history_of(run)
    assert len(history) == 1
    assert history[0]["val_loss"] == pytest.approx(best, abs=1e-4)


def test_patience_ends_a_run(tfrecords, tmp_path, capsys):
    # A rate that wrecks the model: no epoch is better than the fitted head.
    changes = {"learning_rate": 5.0, "epochs": 6, "patience": 1, "unfreeze_from": "126"}
    run = training.train(options(tfrecords, tmp_path, **changes))
    # The fitted head counts: the first epoch is already one without a lower loss.
    assert [row["epoch"] for row in history_of(run)] == [0, 1]
    assert "stopped: no lower validation loss" in capsys.readouterr().out


def test_a_run_that_diverges_says_so(tfrecords, tmp_path, monkeypatch):
    losses = tf.nn.sigmoid_cross_entropy_with_logits
    monkeypatch.setattr(training.tf.nn, "sigmoid_cross_entropy_with_logits", lambda *args: losses(*args) * math.nan)
    with pytest.raises(InputError, match=r"--learning_rate=0.0001: the loss became nan"):
        training.train(options(tfrecords, tmp_path, unfreeze_from="126"))
    assert (next(tmp_path.glob("*-sgd")) / "best.keras").is_file()


def test_a_damaged_shard_is_named(tfrecords, tmp_path, run):
    copy = shutil.copytree(tfrecords, tmp_path / "copy")
    shard = sorted(copy.glob("train-*"))[1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = run("dogcat.train", f"--tfrecords={copy}", f"--runs={tmp_path}/runs", "--batch_size=8", "--epochs=0")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1 and "Traceback" not in done.err
    assert list((tmp_path / "runs").iterdir()) == []
    assert f"{shard} is damaged or gone; python -m tools.inspect_tfrecords {copy} --verify says where" in done.err


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
            return {**good, "tfrecords": str(copy)}, "no finished data set"
        if kind == "unknown layer":
            return {**good, "unfreeze_from": "block99"}, "--unfreeze_from=block99"
        if kind == "large batch":
            return {**good, "batch_size": "4096"}, "--batch_size=4096"
        if kind == "no model":
            (tmp_path / "text.keras").write_text("no model")
            return {**good, "init_from": str(tmp_path / "text.keras")}, "text.keras is no model"
        if kind == "other size":
            path = tmp_path / "small.keras"
            models.save(
                models.build_model("xception", 71, 2),
                path,
                models.Description(["cat", "dog"], 71, "stretch", "xception"),
            )
            return {**good, "init_from": str(path)}, "at 71 pixels"
        if kind == "rate":
            return {**good, "learning_rate": "0"}, "--learning_rate=0"
        raise AssertionError(kind)

    return make


@pytest.mark.parametrize(
    "kind",
    ["missing data", "no manifest", "unknown layer", "large batch", "no model", "other size", "rate"],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, broken, tmp_path, kind):
    flags, said = broken(kind)
    flags = {"batch_size": "8", **flags}
    done = run("dogcat.train", *(f"--{name}={value}" for name, value in flags.items()))
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_three_classes_from_pictures_to_a_submission(run, samples, tmp_path):
    """Folders of three classes, a small backbone with random weights: each command in turn."""
    for index, path in enumerate(sorted((samples / "train").glob("*.[0-9]*.jpg"))):
        folder = tmp_path / "images" / ("ant", "bee", "cow")[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{index}.jpg")
    data, runs, output = tmp_path / "tfrecords", tmp_path / "runs", tmp_path / "s.csv"
    commands = [
        ("tools.make_tfrecords", f"--images={tmp_path}/images", f"--output={data}", "--image_size=32"),
        (
            *("dogcat.train", f"--tfrecords={data}", f"--runs={runs}", "--backbone=mobilenetv2", "--weights=none"),
            *("--unfreeze_from=150", "--batch_size=16", "--epochs=1", "--optimizer=sgd"),
        ),
        ("dogcat.predict", f"--model={runs}/latest", f"--images={samples}/test", f"--output={output}"),
    ]
    for command in commands:
        done = run(*command)
        assert done.code == 0, done.err
    first, *epochs = history_of(runs / "latest")
    assert [row["epoch"] for row in epochs] == [1]
    assert first["val_loss"] < 3 and math.isfinite(epochs[0]["loss"])
    description = models.describe(runs / "latest" / "best.keras")
    assert description == models.Description(["ant", "bee", "cow"], 32, "stretch", "mobilenetv2")
    # What training measured is what the saved model gives.
    checkpoint = next((runs / "latest" / "checkpoints").glob("model-01-*"))
    batches = pipeline.evaluation_dataset(data, manifest.load(data), "validation", 1)
    labels = [int(label[0]) for _, label, _ in batches]
    policy = json.loads((runs / "latest" / "config.json").read_text())["precision"]
    keras.mixed_precision.set_global_policy(policy)
    probabilities = models.load(checkpoint)[0].predict(batches.map(lambda pictures, *rest: pictures), verbose=0)
    assert metrics.log_loss(labels, probabilities, labels=range(3)) == pytest.approx(epochs[0]["val_loss"], abs=1e-2)
    assert metrics.accuracy_score(labels, probabilities.argmax(axis=1)) == pytest.approx(epochs[0]["val_accuracy"])
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "ant", "bee", "cow"]
    for row in rows:
        assert sum(float(row[name]) for name in ("ant", "bee", "cow")) == pytest.approx(1, abs=1e-4)
