"""How long a run will take: its work is counted, and some batches of each kind are tried."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import tensorflow as tf

from dogcat.core.progress import duration
from dogcat.dataset import shard_plan
from dogcat.loading import damage, fold_set, pipeline
from dogcat.loading.fold_set import FoldSet
from dogcat.models import devices, tta_views
from dogcat.models.batch_runner import Network, make_forward
from dogcat.models.distribution import distribute
from dogcat.models.openvino_network import OpenVinoNetwork
from dogcat.training import epoch_records, frozen_features
from dogcat.training.finished_runs import HISTORY
from dogcat.training.inputs import Inputs, open_inputs
from dogcat.training.preparation import Preparation
from dogcat.training.trunk_cache import TrunkCache

# What is tried of each kind, after a first batch: as long as that many seconds, or as many batches.
_SECONDS, _MOST_BATCHES = 1.5, 20
# Of the time of a step, what the same batch takes without training: a third of what is computed forwards and backwards,
# and all of the frozen layers, where these are part of the step. To try that too would take seconds more.
_OF_STEP_ABOVE_TRUNK, _OF_STEP = 0.33, 0.5


class _Pace(NamedTuple):
    """How fast batches of a kind are: seconds of the first one, with what is set up for all, and of each other one."""

    first: float
    each: float


class _Work(NamedTuple):
    """Work of one kind: in words, how often it is set up, how many batches there are, and how fast these are."""

    words: str
    setups: int
    batches: int
    pace: _Pace

    @property
    def seconds(self) -> float:
        return self.setups * self.pace.first + self.batches * self.pace.each


def describe(prepared: Preparation) -> str:
    """A line for a person: how long the run will take, by what some batches take now.

    Saving, the fit of the head and the report come on top, seconds each. The model has trained some steps afterwards.

    Args:
        prepared: What the run starts from, on the devices of this process.

    Raises:
        InputError: A shard is damaged, or a device has too little memory.
    """
    started = time.perf_counter()
    options = dataclasses.replace(prepared.options, cache="none")
    with damage.naming_damage(), devices.naming_full_memory(options.batch_size):
        inputs = open_inputs(dataclasses.replace(prepared, options=options))
        work = [part for part in (*_frozen(prepared, inputs), *_epochs(prepared, inputs)) if part.batches]
    total = duration(sum(part.seconds for part in work))
    said = ", ".join(part.words for part in work) or "nothing is left to compute"
    tried = time.perf_counter() - started
    return f"estimate: about {total} at most until the report, from batches tried for {tried:.0f} s: {said}"


def _frozen(prepared: Preparation, inputs: Inputs) -> Iterator[_Work]:
    """What is computed once, before the epochs, and is not in the cache."""
    options, data, size = prepared.options, prepared.data, prepared.options.batch_size
    network: Network | OpenVinoNetwork
    if trunk := _kept_trunk(prepared):
        left, network = trunk.missing(), trunk.split.trunk
    else:
        left = _features_left(prepared, inputs)
        network = frozen_features.frozen_network(
            *(prepared.trainer.model, options.backbone, data.image_size, len(data.classes), size, prepared.engine)
        )
    if not left:
        return
    forward = make_forward(network, prepared.strategy)

    def pictures(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return pipeline.evaluation_dataset(inputs.training, size, context).repeat()

    pace = _tried(lambda: forward.batches(pictures, _MOST_BATCHES * size, "trying"))
    yield _Work(f"{left:,} pictures through frozen layers at {size / pace.each:.3g}/s", 1, -(-left // size), pace)


def _epochs(prepared: Preparation, inputs: Inputs) -> Iterator[_Work]:
    """The epochs that are left, at most: their steps and validation."""
    options, trainer, size = prepared.options, prepared.trainer, prepared.options.batch_size
    runs = options.folds or 1
    epochs = runs * (options.epochs - _epochs_done(prepared))
    if not epochs:
        return
    if trunk := _kept_trunk(prepared):
        trainer.skip_trunk(trunk.split)
    order = pipeline.TrainingOrder(size, prepared.steps, options.seed, options.shuffle_block)

    def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        if not (trunk or options.data_service):
            return pipeline.train_dataset(inputs.training, order, pipeline.BEGINNING, context)
        share = context.get_per_replica_batch_size(size)
        # They stand for what is not computed yet, or elsewhere, and take the same time.
        shape = trunk.split.shape if trunk else (prepared.data.image_size,) * 2 + (3,)
        of_batch = tf.zeros((share, *shape), tf.uint8), tf.zeros((share,), tf.int32)
        return tf.data.Dataset.from_tensors(of_batch).repeat()

    def steps() -> Iterator[float]:
        for number, batch in enumerate(distribute(prepared.strategy, batches)):
            # Fetched, so that the step is waited for.
            yield float(trainer.step(batch, 0, number % prepared.steps)[0])

    pace, count = _tried(steps), epochs * prepared.steps
    yield _Work(f"{count:,} steps of {pace.each:.2g} s", runs, count, pace)
    if options.unfreeze_from:
        validated, features = prepared.data.splits[shard_plan.VALIDATION].pictures, 0
        words = f"{epochs:,} times validation of {validated:,} pictures"
        if trunk and (features := _features_left(prepared, inputs)):
            words += f", and {features:,} pictures through the layers above"
        forward = _Pace(0.0, pace.each * (_OF_STEP_ABOVE_TRUNK if trunk else _OF_STEP))
        yield _Work(words, 0, epochs * -(-validated // size) + -(-features // size), forward)


def _features_left(prepared: Preparation, inputs: Inputs) -> int:
    """How many pictures, each in a view, the run needs features of that are not in the cache."""
    options = prepared.options
    if _epochs_done(prepared):
        return 0
    views = range(options.feature_views if options.fits_head else 0)
    parts = {(shard_plan.TRAIN, view) for view in views} | {(shard_plan.VALIDATION, tta_views.PLAIN)}
    if isinstance(prepared.data, FoldSet):
        parts = {(fold_set.ALL, view) for _, view in parts}
    return inputs.features_of.missing(parts)


def _kept_trunk(prepared: Preparation) -> TrunkCache | None:
    return prepared.trunk if prepared.trunk and prepared.trunk.where != "none" else None


def _epochs_done(prepared: Preparation) -> int:
    """Those that a run has behind it that goes on."""
    history = prepared.begun.path / HISTORY if prepared.begun else None
    return epoch_records.read(history)[-1].epoch if history and history.exists() else 0


def _tried(batches: Callable[[], Iterator[Any]]) -> _Pace:
    """Goes through some of the batches that a call gives, without end or `_MOST_BATCHES` of them."""
    started = time.perf_counter()
    next(batches())
    begun = time.perf_counter()
    for count, _ in enumerate(batches(), 1):
        seconds = time.perf_counter() - begun
        if count == _MOST_BATCHES or seconds > _SECONDS:
            break
    return _Pace(begun - started, seconds / count)
