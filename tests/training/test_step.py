from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.dataset import manifest
from dogcat.loading import pipeline, readers
from dogcat.models import architecture, devices, keras_versions
from dogcat.training import step as trainer
from dogcat.training.options import TrainingOptions


def build(backbone="tiny"):
    keras.utils.set_random_seed(0)
    tf.random.set_seed(None)
    return architecture.build_model(backbone, 96, 2)


def trainer_of(model, strategy=None, counts=(), **changes):
    options = TrainingOptions(
        **{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 8, "unfreeze_from": "conv2", **changes}
    )
    architecture.open_layers(model, architecture.find_layer(architecture.backbone_of(model), options.unfreeze_from))
    return trainer.Trainer(model, strategy or tf.distribute.get_strategy(), options, 10, counts)


@pytest.fixture(scope="module")
def batch(tfrecords):
    reader = readers.open_split(tfrecords, manifest.load(tfrecords), "train")
    return next(iter(pipeline.train_dataset(reader, pipeline.TrainingOrder(8, 1, seed=0))))


def test_batch_norms_that_replicas_share_are_not_compiled(monkeypatch):
    strategy = devices.make_strategy("mirrored")
    with strategy.scope():
        model = build()
    with pytest.raises(InputError, match="--jit_compile=on: does not compile BatchNorms .* or --batch_norm=inference"):
        trainer_of(model, strategy, batch_norm="training", jit_compile="on")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert devices.compiles("auto", synchronizes=False) and not devices.compiles("auto", synchronizes=True)


@pytest.mark.parametrize("batch_norm", ["training", "inference"])
def test_a_step_changes_the_open_layers_and_nothing_frozen(batch, batch_norm):
    model = build()
    backbone = architecture.backbone_of(model)
    first = architecture.find_layer(backbone, "conv2")
    before = [[array.copy() for array in layer.get_weights()] for layer in backbone.layers]
    head_before = architecture.head_of(model).get_weights()
    trainer_of(model, batch_norm=batch_norm).step(batch, 0, 0)
    for index, (layer, arrays) in enumerate(zip(backbone.layers, before)):
        for number, (old, new) in enumerate(zip(arrays, layer.get_weights())):
            is_statistic = isinstance(layer, keras.layers.BatchNormalization) and number >= 2
            if isinstance(layer, keras.layers.BatchNormalization) and not is_statistic and batch_norm == "inference":
                # A random network that normalises nothing has gradients too small to see there.
                continue
            stays = index < first or (is_statistic and batch_norm == "inference")
            assert np.array_equal(old, new) == stays, (layer.name, number)
    assert not np.array_equal(head_before[0], architecture.head_of(model).get_weights()[0])


def test_a_step_reports_the_log_loss_before_it(batch):
    model = build()
    probabilities = model.predict(batch[0], verbose=0)[:, 0]
    labels = batch[1].numpy()
    expected = -np.sum(np.log(np.where(labels == 1, probabilities, 1 - probabilities)))
    changes = {"unfreeze_from": "", "shear": 0.0, "zoom": 0.0, "flip": 0.0, "label_smoothing": 0.1}
    loss_sum, right = trainer_of(model, **changes).step(batch, 0, 0).numpy()
    assert loss_sum == pytest.approx(expected, rel=1e-4)
    assert right == np.sum((probabilities > 0.5) == labels)


def test_steps_repeat_and_augmentation_follows_the_position(batch):
    def losses(*positions):
        one = trainer_of(build(), learning_rate=1e-6, unfreeze_from="", zoom=0.5)
        return [float(one.step(batch, *position)[0]) for position in positions]

    first = losses((0, 0), (0, 1), (1, 0), (0, 0))
    assert losses((0, 0), (0, 1), (1, 0), (0, 0)) == first
    assert len(set(first[:3])) == 3
    assert first[3] == pytest.approx(first[0], abs=1e-3)


def test_a_frozen_batchnorm_infers_with_its_own_statistics(batch):
    model = build()
    architecture.open_layers(model, len(architecture.backbone_of(model).layers))
    logits = architecture.logits_model(model)
    np.testing.assert_array_equal(logits(batch[0], training=True), logits(batch[0], training=False))


def test_balanced_classes_weigh_alike_in_the_gradient_and_not_in_what_is_reported(batch):
    model = build()
    head = architecture.head_of(model)
    kernel, bias = head.get_weights()
    labels = batch[1].numpy()
    weights = trainer.balanced_weights([30, 10])
    np.testing.assert_allclose(weights, [2 / 3, 2])
    with tf.GradientTape() as tape:
        losses = trainer.log_losses(batch[1], architecture.logits_model(model)(batch[0], training=False), 0.0)
        loss = tf.reduce_mean(losses * weights[labels])
    expected = [old - 0.1 * gradient for old, gradient in zip((kernel, bias), tape.gradient(loss, head.weights))]
    plain = {"unfreeze_from": "", "shear": 0.0, "zoom": 0.0, "flip": 0.0, "momentum": 0.0}
    trained = trainer_of(model, class_weights="balanced", counts=(30, 10), **plain)
    assert float(trained.step(batch, 0, 0)[0]) == pytest.approx(float(tf.reduce_sum(losses)), rel=1e-5)
    for ours, theirs in zip(head.get_weights(), expected):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_log_losses_are_keras_own(classes, smoothing):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, 16).astype(np.int32)
    logits = tf.constant(generator.normal(size=(16, 1 if classes == 2 else classes)).astype(np.float32))
    if classes == 2:
        theirs = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none")
        expected = theirs(labels[:, None], logits)
    else:
        theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none")
        expected = theirs(np.eye(classes)[labels], logits)
    np.testing.assert_allclose(trainer.log_losses(labels, logits, smoothing), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "rights"), [([[2.0], [-1.0]], [1, 0]), ([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]], [1, 0])]
)
def test_a_picture_is_right_if_its_class_is_the_likeliest(logits, rights):
    assert trainer.right(tf.constant([1, 1]), tf.constant(logits)).numpy().tolist() == rights


def test_a_compiled_step_gives_the_same_loss(batch):
    def loss(jit_compile):
        one = trainer_of(build(), unfreeze_from="", jit_compile=jit_compile)
        return float(one.step(batch, 0, 0)[0])

    assert loss("on") == pytest.approx(loss("off"), rel=1e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_float32_weights(batch, policy):
    keras.mixed_precision.set_global_policy(policy)
    model = build("tiny")
    one = trainer_of(model, unfreeze_from="conv2")
    assert all(math.isfinite(float(one.step(batch, 0, step)[0])) for step in range(2))
    assert {array.dtype for array in model.get_weights()} == {np.dtype("f4")}


def variables_of(optimizer):
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    return [variable.numpy() for variable in variables]


@pytest.fixture(scope="module")
def small():
    with architecture.precision("float32"):
        return architecture.build_model("tiny", 32, 2)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "lamb"])
def test_all_of_a_state_is_read_before_the_next_step(small, tmp_path, optimizer, policy):
    keras.mixed_precision.set_global_policy(policy)
    first, second = (trainer_of(small, optimizer=optimizer, unfreeze_from="") for _ in range(2))
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(weight) for weight in small.trainable_weights])
    keras_versions.minimize(first.optimizer, loss, small.trainable_weights, tape)
    tf.train.Checkpoint(model=small, optimizer=first.optimizer).write(str(tmp_path / "state"))
    read = tf.train.Checkpoint(model=small, optimizer=second.optimizer).read(str(tmp_path / "state"))
    read.assert_consumed()
    values, expected = (variables_of(one.optimizer) for one in (second, first))
    assert len(expected) >= 3
    for value, other in zip(values, expected):
        np.testing.assert_array_equal(value, other)
