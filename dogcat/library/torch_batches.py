"""Batches of a data set as tensors of PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

if TYPE_CHECKING:
    import tensorflow as tf

    from dogcat.loading.pictures import Pictures


def leave_gpus() -> None:
    """Keeps TensorFlow, unless it runs already, from taking a part of every GPU's memory in each process."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def place_among_processes() -> tuple[int, int]:
    """The number of this process, from 0, and how many `torch.distributed` has brought together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class TorchBatches(IterableDataset):
    """Batches of (pictures uint8 [batch, 3, size, size], labels int64 [batch]); each pass over them is an epoch."""

    def __init__(self, dataset: tf.data.Dataset, pictures: Pictures) -> None:
        """Takes batches of (pictures uint8 [batch, size, size, 3], labels int32 [batch]), and their reader."""
        super().__init__()
        self._dataset = dataset
        self._pictures = pictures

    def __len__(self) -> int:
        """Number of batches.

        Raises:
            TypeError: There is no end to them.
        """
        return len(self._dataset)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """A pass.

        Raises:
            InputError: A record is damaged.
            RuntimeError: A DataLoader's worker process asks.
        """
        if get_worker_info():
            # TensorFlow's threads are not in a process that was forked, which would wait for them without end.
            raise RuntimeError("these batches are read in threads already: use DataLoader(..., num_workers=0)")
        from tensorflow.experimental import dlpack

        from dogcat.loading import damage

        with damage.naming_damage(self._pictures):
            for batch in self._dataset:
                pictures, labels = (torch.from_dlpack(dlpack.to_dlpack(part)) for part in batch)
                yield pictures.permute(0, 3, 1, 2), labels.long()
