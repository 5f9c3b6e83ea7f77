"""Networks over the pictures of a folder in pieces, some batches each, by processes elsewhere. No TensorFlow.

A piece begins where a batch of one process would, so that every picture is in the same batch as there.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np

from dogcat.cleaning import pieces
from dogcat.core import runtime, threads
from dogcat.core.calls import Calls, WorkLostError
from dogcat.core.log import tell
from dogcat.pictures.elsewhere import this_process

if TYPE_CHECKING:
    from dogcat.cleaning.folder_pass import FolderNetwork
    from dogcat.prediction.picture_sources import PictureFiles

# Batches for each call: enough to hide the cost of the call and of what is read ahead in vain.
_BATCHES = 16


class WantedBackbone(NamedTuple):
    """A backbone that gives features, for any process to open.

    Attributes:
        source: A file of weights, or a word for what each process finds by itself.
        backbone: As of `folder_features.open_backbone`, and so are the others.
        image_size: In pixels, or 0.
        seed: Of random weights.
    """

    source: str
    backbone: str
    image_size: int
    seed: int

    def open(self) -> FolderNetwork:
        """Opens it in this process."""
        from dogcat.cleaning import folder_features

        return folder_features.open_backbone(self.backbone, self.source, self.image_size, self.seed)


class WantedClassifier(NamedTuple):
    """A classifier of ImageNet's classes, for any process to open.

    Attributes:
        source: As of `imagenet.Classifier`.
    """

    source: str

    def open(self) -> FolderNetwork:
        """Opens it in this process."""
        from dogcat.cleaning.imagenet import Classifier

        return Classifier(self.source).network()


# What the workers are asked for.
Wanted = Union[WantedBackbone, WantedClassifier]


class Computed(NamedTuple):
    """What became of a piece.

    Attributes:
        outputs: float32 [pictures, ...].
        made_from: As of the worker's `FolderNetwork`.
        about: Likewise.
    """

    outputs: np.ndarray
    made_from: dict[str, Any]
    about: str


def outputs(wanted: Wanted, pictures: PictureFiles, calls: Calls[Any], what: str) -> np.ndarray:
    """What `folder_pass.outputs` gives, through workers.

    Args:
        wanted: The network.
        pictures: Such as could all be decoded before.
        calls: Call `pieces.do_piece`.
        what: What is said of it.

    Raises:
        InputError: A worker does not fit, computes otherwise than the first one, or cannot decode a picture any more.
    """
    from dogcat.cleaning import folder_pass
    from dogcat.models import devices

    if os.path.isfile(wanted.source):
        wanted = wanted._replace(source=os.path.abspath(wanted.source))
    compute_piece = functools.partial(_compute_piece, wanted, pictures.max_pixels)
    [first] = pieces.of_pieces(compute_piece, pictures.folder, [], calls, what)
    tell(f"{what}: {first.about}")

    def compute() -> np.ndarray:
        size = folder_pass.BATCH_SIZE * _BATCHES
        found = []
        for computed in pieces.of_pieces(compute_piece, pictures.folder, pictures.keys, calls, what, size):
            if computed.made_from != first.made_from:
                raise WorkLostError(
                    f"--cluster: one worker computes {what} by {first.about}, another by {computed.about}; "
                    f"{_difference(first, computed)}"
                )
            found.append(computed.outputs)
        return np.concatenate(found)

    return folder_pass.kept(first.made_from, pictures, compute, devices.make_strategy("one_device"))


def _difference(one: Computed, other: Computed) -> str:
    names = [name for name, value in one.made_from.items() if other.made_from.get(name) != value]
    return f"give them the same {' and '.join(names)}"


def _compute_piece(wanted: Wanted, max_pixels: int, folder: Path, keys: Sequence[str]) -> Computed:
    if os.path.isabs(wanted.source) and not os.path.exists(wanted.source):
        raise WorkLostError(f"{this_process()} does not see {wanted.source}; mount it there by the same path")
    return threads.of_networks().submit(_compute, wanted, max_pixels, folder, keys).result()


def _compute(wanted: Wanted, max_pixels: int, folder: Path, keys: Sequence[str]) -> Computed:
    network = _opened(wanted)
    from dogcat.prediction.picture_sources import PictureFiles

    found = np.empty(0, np.float32)
    if keys:
        found = network.one_pass(PictureFiles(folder, list(keys), max_pixels), "computing")
    return Computed(found, network.made_from, network.about)


@functools.lru_cache(maxsize=1)
def _opened(wanted: Wanted) -> FolderNetwork:
    """The network, which the process keeps for the next piece."""
    runtime.prepare()
    return wanted.open()
