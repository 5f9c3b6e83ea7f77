"""One step of training, on the devices of a strategy: augmentation, model, loss, optimizer."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.models import architecture, devices, keras_versions
from dogcat.models.batch_runner import Network
from dogcat.models.trunk import Split
from dogcat.training import augment, optimizers
from dogcat.training.augmentations import AugmentationRanges
from dogcat.training.options import TrainingOptions


class Trainer:
    """Trains a model, step by step; what a step does follows from the model, the optimizer and the step's position.

    Attributes:
        model: The model of pictures.
        optimizer: Its optimizer.
        rate: The learning rate of each step.
    """

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        options: TrainingOptions,
        steps: int,
        counts: Sequence[int] = (),
    ) -> None:
        """Takes a model made under `strategy`, and what the options do not say of a run.

        Args:
            model: The model, its layers open or frozen.
            strategy: The devices.
            options: The options.
            steps: Steps of the whole run.
            counts: Training pictures of each class, for --class_weights=balanced.

        Raises:
            InputError: --jit_compile=on, and BatchNorms that replicas share.
        """
        self.model = model
        self.rate = optimizers.make_rate(options, steps)
        with strategy.scope():
            self.optimizer = optimizers.make_optimizer(options, self.rate)
        self._strategy = strategy
        self._options = options
        self._class_weights = balanced_weights(counts) if options.class_weights == "balanced" else None
        logits = architecture.logits_model(model)
        training = options.batch_norm == "training"
        synchronizes = training and strategy.num_replicas_in_sync > 1
        if synchronizes:
            _synchronize_batch_norms(architecture.backbone_of(model))
        self._compiles = devices.compiles(options.jit_compile, synchronizes)
        self._logits = self._compiled(lambda pictures: logits(pictures, training=training))
        self._augmentation = options.augmentation
        self._weights = logits.trainable_weights
        if options.epochs:
            # In the first step it would be too late for a state that is read, and for the scale of a loss.
            with strategy.scope():
                keras_versions.build_optimizer(self.optimizer, self._weights)

    def skip_trunk(self, split: Split) -> None:
        """Lets all steps take what the model's trunk passes on in place of pictures; called before the first.

        Augmentation is left to whoever chooses which view of a picture that is of.
        """
        training = self._options.batch_norm == "training"
        self._logits = self._compiled(lambda passed: split.logits(passed, training))
        self._augmentation = AugmentationRanges()

    def step(self, batch: tuple[tf.Tensor, tf.Tensor], epoch: int, step: int) -> tf.Tensor:
        """Trains on a global batch, in the order in which calls are made.

        Args:
            batch: The replicas' shares of (pictures uint8 [batch, size, size, 3], labels int32 [batch]); after
                `skip_trunk` what the trunk passes on, in place of pictures.
            epoch: Its number, from 0: augmentation follows from it, the step's number and the replica.
            step: Number of the step within the epoch, from 0.

        Returns:
            float32 [2]: sum of the log losses, without label smoothing and weights, and number of the pictures that
            were right, as the model was before the step; over all replicas.
        """
        return self._step(*batch, tf.constant(epoch, tf.int64), tf.constant(step, tf.int64))

    def graph(self, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Graph:
        """The graph of a step."""
        zero = tf.constant(0, tf.int64)
        return self._step.get_concrete_function(*batch, zero, zero).graph

    def _compiled(self, network: Network) -> Network:
        return tf.function(network, jit_compile=True, autograph=False) if self._compiles else network

    @functools.partial(tf.function, autograph=False)
    def _step(self, pictures: tf.Tensor, labels: tf.Tensor, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        sums = self._strategy.run(self._replica_step, (pictures, labels, epoch, step))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _replica_step(self, pictures: tf.Tensor, labels: tf.Tensor, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        options = self._options
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = augment.seed_of(options.seed, epoch, step, replica)
        pictures = augment.apply(pictures, self._augmentation, seed)
        with tf.GradientTape() as tape:
            logits = self._logits(pictures)
            losses = log_losses(labels, logits, options.label_smoothing)
            weighted = losses if self._class_weights is None else losses * tf.gather(self._class_weights, labels)
            # Gradients of the replicas are added up, so each loss is divided by the whole batch.
            loss = tf.reduce_sum(weighted) / options.batch_size
        # Under float16 the optimizer scales the loss.
        keras_versions.minimize(self.optimizer, loss, self._weights, tape)
        plain = log_losses(labels, logits, 0.0) if options.label_smoothing else losses
        return tf.stack([tf.reduce_sum(plain), tf.reduce_sum(right(labels, logits))])


def balanced_weights(counts: Sequence[int]) -> np.ndarray:
    """Weights of classes that count alike with so many pictures, each above 0: float32, 1 on average over pictures."""
    return (sum(counts) / len(counts) / np.asarray(counts)).astype(np.float32)


def log_losses(labels: tf.Tensor, logits: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Log loss of each picture, float32 [batch].

    Args:
        labels: int32 [batch].
        logits: float32 [batch, 1] of the second of two classes, or [batch, classes].
        smoothing: Share of each label that is spread evenly over all classes.
    """
    classes = logits.shape[1]
    if classes == 1:
        target = tf.cast(labels, tf.float32) * (1 - smoothing) + smoothing / 2
        return tf.nn.sigmoid_cross_entropy_with_logits(target, logits[:, 0])
    target = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(target, logits)


def right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """1 for each picture whose class is the likeliest, else 0; float32 [batch].

    Args:
        labels: int32 [batch].
        logits: float32 [batch, 1] of the second of two classes, or [batch, classes].
    """
    if logits.shape[1] == 1:
        likeliest = tf.cast(logits[:, 0] > 0, tf.int32)
    else:
        likeliest = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.cast(likeliest == labels, tf.float32)


def _synchronize_batch_norms(backbone: keras.Model) -> None:
    """Lets open BatchNorms take statistics over the whole global batch, as on one device, and all replicas the same."""
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            layer.synchronized = True
            # The fused kernel knows one replica alone.
            layer.fused = False
