"""Data sets for other programs: made, opened, read picture by picture or in batches."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from dogcat.core.options import InputError
from dogcat.core.places import Place, place_of
from dogcat.dataset import making, manifest
from dogcat.dataset.manifest import Manifest
from dogcat.dataset.options import ShardOptions
from dogcat.library.keywords import options_from
from dogcat.library.process import prepare
from dogcat.loading import records
from dogcat.loading.records import Records
from dogcat.training.augmentations import AUGMENTATIONS, AugmentationRanges

if TYPE_CHECKING:
    import tensorflow as tf

    from dogcat.library.torch_batches import TorchBatches
    from dogcat.loading.pictures import Pictures


def make_dataset(images: str | os.PathLike[str], output: str | os.PathLike[str], **options: Any) -> DataSet:
    """Makes a data set of a folder of pictures, as `dogcat make-tfrecords` does; one that is there stays.

    Where it uses worker processes and TensorFlow is imported already, these import the program that calls it: call it
    under `if __name__ == "__main__":`.

    Args:
        images: The folder, or its address; a picture's class is its folder's name, or what its own name begins with.
        output: The folder of the data set, which appears when it is complete; or an address that TensorFlow opens,
            by which it is opened then.
        **options: Other flags of the command by name, like `image_size=299` or `overwrite=True`.

    Raises:
        InputError: The pictures or an option cannot be used, or another data set is at `output`.
        OSError: A folder cannot be read or written.
        TypeError: An option is unknown, or of another type.
    """
    made = options_from(ShardOptions, {"images": images, "output": output, **options})
    making.make_data_set(made)
    return open_dataset(made.output)


def open_dataset(folder: str | os.PathLike[str]) -> DataSet:
    """Opens a data set that `make_dataset` or `dogcat make-tfrecords` made; no shard is read.

    Its folder may be at an address, like gs://bucket/set, which TensorFlow reads.

    Raises:
        InputError: There is none, or a shard is missing.
    """
    place = place_of(os.fspath(folder))
    return DataSet(place, manifest.load(place))


class DataSet:
    """A data set on disk.

    Attributes:
        folder: Where it is.
        classes: Names of the classes; a label is an index into them. Empty without labels.
        image_size: Height and width of its pictures, in pixels.
        splits: Names of its parts, like train and validation.
        counts: Number of pictures by split and class; by split alone without labels.
        rejected: Number of pictures that were left out, by reason.
    """

    def __init__(self, folder: Place, made: Manifest) -> None:
        """Takes the folder and its manifest; use `open_dataset`."""
        self.folder = folder
        self.classes = list(made.classes)
        self.image_size = made.image_size
        self.splits = list(made.splits)
        self.counts: dict[str, dict[str, int] | int] = {
            name: dict(zip(made.classes, part.counts)) if made.classes else part.pictures
            for name, part in made.splits.items()
        }
        self.rejected = dict(made.rejected)
        self._manifest = made

    def split(self, name: str) -> Split:
        """A part of the data set.

        Raises:
            InputError: There is no such split, or a shard is damaged.
        """
        if name not in self.splits:
            raise InputError(f"{name!r}: {self.folder} has no such split; use one of {', '.join(self.splits)}")
        return Split(self, name, self._manifest)

    def __repr__(self) -> str:
        """The folder, and what is in it."""
        return f"DataSet({str(self.folder)!r}, image_size={self.image_size}, counts={self.counts})"


class Split:
    """A part of a data set: a sequence of (picture, label, key), and batches of it.

    Attributes:
        name: Its name.
        classes: Names of the classes.
        image_size: Height and width of its pictures, in pixels.
    """

    def __init__(self, of: DataSet, name: str, made: Manifest) -> None:
        """Takes the data set and its manifest; use `DataSet.split`."""
        self.name = name
        self.classes = of.classes
        self.image_size = of.image_size
        self._folder = of.folder
        self._manifest = made
        # This process, and those that share each batch.
        self._part = (0, 1)

    @functools.cached_property
    def _records(self) -> Records:
        return records.of_split(self._folder, self._manifest, self.name)

    @functools.cached_property
    def _pictures(self) -> Pictures:
        """Their reader."""
        from dogcat.loading import readers

        return readers.of_records(self._records, self._manifest)

    @property
    def labels(self) -> np.ndarray:
        """The label of each picture, int32 [pictures]; -1 for pictures without one."""
        return self._records.labels

    @property
    def keys(self) -> list[str]:
        """The key of each picture: its path below the folder it came from."""
        return self._records.keys

    def __len__(self) -> int:
        """Number of pictures."""
        return self._manifest.splits[self.name].pictures

    @overload
    def __getitem__(self, place: int) -> tuple[np.ndarray, int, str]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[np.ndarray, int, str]]: ...

    def __getitem__(self, place: int | slice) -> tuple[np.ndarray, int, str] | list[tuple[np.ndarray, int, str]]:
        """A picture, uint8 [image_size, image_size, 3], its label and its key; or a list of them.

        Each is read by itself, without TensorFlow; many are read faster in `batches`.

        Raises:
            IndexError: There is no such place.
            InputError: Its record is damaged.
        """
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        at = range(len(self))[place]
        return self._records.pixels(at), int(self.labels[at]), self.keys[at]

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        augment: str | AugmentationRanges = "none",
        repeat: bool = False,
        drop_remainder: bool = False,
    ) -> tf.data.Dataset:
        """Batches for `fit` and `evaluate` of any Keras model, in any strategy, or for a loop of your own.

        One pass over the dataset is an epoch: each picture once. What is drawn follows from the seed, and is another
        in each pass, as of `tf.data.Dataset.shuffle`. Reading and decoding run ahead in threads of TensorFlow's.

        Args:
            batch_size: Pictures of a batch; of a strategy, of all replicas together.
            shuffle: Give them in another order in each pass, drawn from all pictures.
            seed: Seed of order and augmentation.
            augment: A set of `dogcat train --augment`, like "strong", or ranges of your own.
            repeat: Go on without end; then `fit` needs `steps_per_epoch`.
            drop_remainder: Leave out the pictures of a last batch that is not full.

        Returns:
            (pictures uint8 [batch, image_size, image_size, 3], labels int32 [batch]), its cardinality known.

        Raises:
            ValueError: An argument is out of range.
            InputError: The data set is damaged.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
        if isinstance(augment, str) and augment not in AUGMENTATIONS:
            raise ValueError(f"augment is {augment!r}; use one of {', '.join(AUGMENTATIONS)}, or AugmentationRanges")
        ranges = AUGMENTATIONS[augment] if isinstance(augment, str) else augment
        prepare()
        import tensorflow as tf

        from dogcat.loading import pipeline
        from dogcat.training import augment as augmentation

        process, processes = self._part
        context = tf.distribute.InputContext(processes, process, processes)
        order = seed if shuffle else None
        dataset = pipeline.one_pass(self._pictures, batch_size * processes, order, drop_remainder, context)
        if ranges != AugmentationRanges():

            @tf.autograph.experimental.do_not_convert
            def augmented(batch: tuple[tf.Tensor, tf.Tensor], draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                drawn = tf.stack([tf.cast(seed, tf.int64), draw + process])
                return augmentation.apply(batch[0], ranges, drawn), batch[1]

            dataset = pipeline.finish(tf.data.Dataset.zip((dataset, pipeline.draws(seed))).map(augmented))
        return dataset.repeat() if repeat else dataset

    def numpy_batches(self, batch_size: int, **options: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same batches as arrays; of a damaged record the error names shard and place.

        Args:
            batch_size: Pictures of a batch.
            **options: As of `batches`.

        Yields:
            (pictures uint8 [batch, image_size, image_size, 3], labels int32 [batch]).
        """
        prepare()
        from dogcat.loading import damage

        with damage.naming_damage():
            yield from self.batches(batch_size, **options).as_numpy_iterator()

    def torch(self, batch_size: int, **options: Any) -> TorchBatches:
        """The same batches as tensors of PyTorch, which must be installed.

        Each pass over them is an epoch. Reading and decoding run ahead in threads, so that a `DataLoader`, which
        can pin memory, takes them with `batch_size=None` and no workers. Where `torch.distributed` is set up, each
        process gets its own part of every pass. TensorFlow leaves the GPUs to PyTorch, unless it runs already.

        Args:
            batch_size: Pictures of a batch of this process.
            **options: As of `batches`; `drop_remainder` gives all processes the same number of batches.

        Returns:
            An `IterableDataset` of known length: (pictures uint8 [batch, 3, image_size, image_size] with its channels
            last in memory, labels int64 [batch]).

        Raises:
            ImportError: PyTorch is not installed.
            ValueError: An argument is out of range.
            InputError: The data set is damaged.
        """
        prepare()
        from dogcat.library import torch_batches

        torch_batches.leave_gpus()
        mine = copy.copy(self)
        mine._part = torch_batches.place_among_processes()
        return torch_batches.TorchBatches(mine.batches(batch_size, **options), mine._pictures)

    def __repr__(self) -> str:
        """Its name and size."""
        return f"Split({self.name!r}, {len(self)} pictures, classes={self.classes})"
