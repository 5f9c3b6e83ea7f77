"""The output of a run's frozen trunk, kept for all epochs: computed once of each view, read in place of pictures."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import math
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Callable, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core import cache, files
from dogcat.core.cache import Entry, cache_folder
from dogcat.core.cache_room import GIB, CacheRoom, has_free, require_free, size_text
from dogcat.core.options import InputError
from dogcat.dataset import shard_plan
from dogcat.dataset.manifest import Manifest
from dogcat.loading import fold_set, pipeline
from dogcat.loading.byte_ranges import ByteRanges, RangeFile, Spans
from dogcat.loading.chosen_pictures import ChosenPictures
from dogcat.loading.fold_set import FoldSet
from dogcat.loading.pictures import Pictures
from dogcat.loading.raw_pictures import RawPictures
from dogcat.models import keras_versions, tta_views, weights, workers
from dogcat.models.batch_runner import Forward, make_forward
from dogcat.models.trunk import Split, split
from dogcat.training import augment
from dogcat.training.options import TrainingOptions

_ENDING = ".trunk"
# Behind the rows of an entry: sha256 of all of them.
_HASH_BYTES = 32
_BLOCK = 2**22


class Part(NamedTuple):
    """What is kept in one file: a split of the data set in one view, a number of `tta_views.SHOWN`."""

    split: str
    view: int


class KeptTrunk(NamedTuple):
    """The trunk's output of all pictures, in all views that the run shows.

    Attributes:
        split: The trunk and what is above it.
        parts: Readers of the output, as `Split` passes it on, in the order of the pictures.
        training: That which the steps read.
    """

    split: Split
    parts: dict[Part, Pictures]
    training: pipeline.Views


@dataclasses.dataclass(frozen=True)
class TrunkCache:
    """Whether the trunk's output is kept, where, and what that comes to.

    Attributes:
        split: The trunk and what is above it.
        where: memory, disk or none.
        reason: Why there, for a person.
    """

    split: Split
    where: str
    reason: str
    _options: TrainingOptions
    _data: Manifest
    _strategy: tf.distribute.Strategy
    _steps: int

    @property
    def _in_folds(self) -> FoldSet | None:
        """The data set where its runs share what is kept, that of all pictures in all views."""
        return self._data if isinstance(self._data, FoldSet) else None

    @property
    def size(self) -> int:
        """Bytes of all that would be kept."""
        return sum(map(self._bytes, self._parts()))

    def description(self) -> str:
        """A line for a person: the sum."""
        kept, computed = self._passes(self._options.epochs)
        verb = {"memory": "kept in memory", "disk": "kept on disk", "none": "not kept"}[self.where]
        return (
            f"trunk: {self.split.layers} layers, {self.split.share:.0%} of the work of {self._options.backbone}; their "
            f"output for {kept:,} pictures, {size_text(self.size)}, is {verb}, since {self.reason}; otherwise it is "
            f"computed for {computed:,} in {self._options.epochs} epochs{' of each run' if self._in_folds else ''}"
        )

    def missing(self) -> int:
        """How many pictures the trunk is still to be computed of."""
        parts = self._parts()
        if self.where == "disk":
            parts = [part for part, entry in self._entries().items() if not entry.path.is_file()]
        return sum(map(self._pictures, parts))

    def keep(self, sources: dict[str, Pictures], epochs: int) -> KeptTrunk | None:
        """Finds the output of an earlier run, or computes it with the weights that the model has.

        Args:
            sources: The pictures of each split.
            epochs: Number of epochs that are left.

        Returns:
            What is kept; None where nothing is, since it does not pay, or, with a note, cannot be written.
        """
        kept, computed = self._passes(epochs)
        if self.where == "none" or (self._options.cache_trunk == "auto" and kept >= computed):
            return None
        try:
            with_files = self._on_disk(sources) if self.where == "disk" else self._in_memory(sources)
        except OSError as error:
            place = files.MEMORY if self.where == "memory" else _folder()
            files.note(f"the trunk's output is not kept, since {place} cannot be written: {error.strerror}")
            return None
        readers: dict[Part, Pictures] = {
            part: self._reader([file], sources[part.split]) for part, file in with_files.items()
        }
        name = fold_set.ALL if self._in_folds else shard_plan.TRAIN
        of_training = [file for part, file in with_files.items() if part.split == name]
        rows = self._reader(of_training, sources[name])
        if self._in_folds:
            places, count = self._in_folds.places, len(sources[name].labels)
            of_views = [places[shard_plan.TRAIN] + view * count for view in range(len(of_training))]
            rows = ChosenPictures(rows, np.concatenate(of_views))
            validation = ChosenPictures(readers[Part(name, tta_views.PLAIN)], places[shard_plan.VALIDATION])
            readers[Part(shard_plan.VALIDATION, tta_views.PLAIN)] = validation
        return KeptTrunk(self.split, readers, pipeline.Views(rows, self._flips))

    def _parts(self) -> list[Part]:
        """All parts, the views of a split in order."""
        views = [tta_views.PLAIN, tta_views.MIRRORED][: 2 if self._options.flip else 1]
        if self._in_folds:
            return [Part(fold_set.ALL, view) for view in views]
        return [*(Part(shard_plan.TRAIN, view) for view in views), Part(shard_plan.VALIDATION, tta_views.PLAIN)]

    def _passes(self, epochs: int) -> tuple[int, int]:
        """How many pictures the trunk is computed of, kept and in `epochs` epochs without."""
        in_epoch = self._steps * self._options.batch_size + self._data.splits[shard_plan.VALIDATION].pictures
        return sum(map(self._pictures, self._parts())), max(self._options.folds, 1) * epochs * in_epoch

    def _bytes(self, part: Part) -> int:
        return self._pictures(part) * math.prod(self.split.shape)

    def _pictures(self, part: Part) -> int:
        return (self._in_folds.together if self._in_folds else self._data.splits[part.split]).pictures

    def _flips(self, epoch: tf.Tensor) -> tf.Tensor:
        options, replicas = self._options, self._strategy.num_replicas_in_sync
        shares = replicas, options.batch_size // replicas
        return augment.flips_of_epoch(options.augmentation, options.seed, epoch, self._steps, shares)

    def _entries(self) -> dict[Part, Entry]:
        """The place of each part on disk."""
        common = {
            "data": (self._in_folds.whole if self._in_folds else self._data).digest(),
            "backbone": self._options.backbone,
            "layers": self.split.layers,
            "weights": weights.digest(self.split.trunk_weights()),
            "precision": keras.mixed_precision.global_policy().name,
            "versions": keras_versions.versions(),
        }
        return {part: Entry(_folder(), {**common, **part._asdict()}, _ENDING) for part in self._parts()}

    def _choose(self) -> tuple[str, str]:
        """Where the output is to be kept, and why there."""
        asked = self._options.cache_trunk
        kept, computed = self._passes(self._options.epochs)
        if asked == "auto" and kept >= computed:
            return "none", "that saves nothing"
        room = CacheRoom("cache_trunk", "auto" if asked == "on" else asked, self._options.cache_gib, _folder())
        first, *_ = self._entries().values()
        where, reason = room.choose(self.size, 0, first.path)
        if self._in_folds and where == "memory" and asked != "memory" and has_free(_folder(), self.size):
            return "disk", "the runs of all folds read it"
        return where, reason

    def _on_disk(self, sources: dict[str, Pictures]) -> dict[Part, RangeFile]:
        """Entries of the cache, those that are not there or damaged written first."""
        entries = self._entries()
        missing = [part for part, entry in entries.items() if not _is_whole(entry, self._bytes(part))]
        left = sum(map(self._bytes, missing))
        # Those of this run were used last, and stay.
        cache.remove_oldest(_folder(), _ENDING, self._options.cache_gib * GIB - left)
        for part in missing:
            with entries[part].writing() as file:
                require_free(_folder(), left)
                left -= self._bytes(part)
                self._write(file, sources[part.split], part)
        return {part: RangeFile(entry.path) for part, entry in entries.items()}

    def _in_memory(self, sources: dict[str, Pictures]) -> dict[Part, RangeFile]:
        """Files without names, so that they go with the process, however that ends."""
        kept = {}
        require_free(files.MEMORY, self.size)
        for part in self._parts():
            with files.naming(files.MEMORY), tempfile.TemporaryFile(dir=files.MEMORY) as file:
                # As long as what is before the rows of an entry.
                file.write(bytes(cache.HEAD_BYTES))
                self._write(file, sources[part.split], part)
                file.flush()
                kept[part] = RangeFile(Path(f"/proc/self/fd/{file.fileno()}"))
        return kept

    @functools.cached_property
    def _forwards(self) -> dict[int, Forward]:
        """What computes the output of each view: a graph of its own, which all splits share."""

        def of(show: Callable[[tf.Tensor], tf.Tensor]) -> Forward:
            return make_forward(self.split.trunk, self._strategy, lambda pictures, number: show(pictures))

        return {view: of(show) for view, show in tta_views.SHOWN.items()}

    def _write(self, file: BinaryIO, source: Pictures, part: Part) -> None:
        """Computes a part and writes its rows, and their hash behind them."""
        what = f"trunk, {part.split}" + (", mirrored" if part.view == tta_views.MIRRORED else "")
        hash_ = hashlib.sha256()
        batch_size = self._options.batch_size
        for rows in self._forwards[part.view].batches(
            lambda context: pipeline.evaluation_dataset(source, batch_size, context), len(source.labels), what
        ):
            hash_.update(rows.data)
            file.write(rows.data)
        file.write(hash_.digest())

    def _reader(self, with_rows: list[RangeFile], source: Pictures) -> Pictures:
        """A reader of the rows in files, each of all pictures of `source`."""
        count, row_bytes = len(source.labels), math.prod(self.split.shape)
        spans = Spans(cache.HEAD_BYTES + np.arange(count) * row_bytes, np.full(count, row_bytes))
        rows = ByteRanges(with_rows, [spans] * len(with_rows))
        labels, keys = np.tile(source.labels, len(with_rows)), source.keys * len(with_rows)
        return RawPictures(rows, labels, keys, self.split.shape, None, _damaged)


def plan(
    options: TrainingOptions,
    data: Manifest,
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    first_open: int,
    steps: int,
) -> TrunkCache | None:
    """Decides about a run; None where the recipe does not allow it, or nothing is to be kept.

    Args:
        options: The options.
        data: The data set's manifest.
        strategy: The devices.
        model: The model, its layers open or frozen.
        first_open: Index of the first of the backbone's layers that trains.
        steps: Steps of an epoch.

    Raises:
        InputError: It is asked for and cannot be.
    """
    asked = options.cache_trunk
    if asked == "off" or options.find_lr or options.data_service:
        return None
    obstacle = _obstacle(options, strategy)
    halves = None if obstacle else split(model, first_open)
    if not halves:
        if asked == "auto":
            return None
        none = f"below --unfreeze_from={options.unfreeze_from} nothing that computes ends in one layer; use off"
        raise InputError(f"--cache_trunk={asked}: {obstacle or none}")
    wanted = TrunkCache(halves, "none", "", options, data, strategy, steps)
    where, reason = wanted._choose()
    if where == "none" and asked != "auto":
        raise InputError(
            f"--cache_trunk={asked}: the trunk's output takes {size_text(wanted.size)}, and {reason}; "
            "give it more room, or use off"
        )
    return dataclasses.replace(wanted, where=where, reason=reason)


def _obstacle(options: TrainingOptions, strategy: tf.distribute.Strategy) -> str:
    """Why the trunk's output cannot be kept, and what would be right; empty: it can."""
    if not options.epochs:
        return "--epochs=0 has no steps that would read it; use off"
    if not augment.only_flips(options.augmentation):
        ranges = dataclasses.asdict(options.augmentation)
        name = next(name for name, value in ranges.items() if value and name != "flip")
        return (
            f"--{name}={ranges[name]} shows a picture otherwise each time; use --augment=none with --flip=0.5, or off"
        )
    if workers.are_several(strategy):
        return "each of several workers would need all of it; use off"
    return ""


def _damaged(file: RangeFile, what: str, number: int) -> InputError:
    return InputError(f"{file.path}: row {number} was damaged while it was read: {what}; start again")


def _folder() -> Path:
    return cache_folder() / "trunk"


def _is_whole(entry: Entry, size: int) -> bool:
    """Whether an entry is there with `size` bytes of rows, every bit as it was written; if not, that is said."""
    file = entry.open()
    if file is None:
        return False
    try:
        with file:
            if _is_sound(file, size):
                return True
    except OSError as error:
        entry.say_unreadable(error)
        return False
    entry.say_damaged()
    return False


def _is_sound(file: io.BufferedReader, size: int) -> bool:
    if os.fstat(file.fileno()).st_size != cache.HEAD_BYTES + size + _HASH_BYTES:
        return False
    hash_ = hashlib.sha256()
    left = size
    while left and (block := file.read(min(_BLOCK, left))):
        hash_.update(block)
        left -= len(block)
    return file.read() == hash_.digest()
