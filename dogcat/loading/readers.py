"""Opens the pictures of a split, whatever keeps them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dogcat.core.options import is_address
from dogcat.core.places import Place
from dogcat.dataset import raw_layout
from dogcat.dataset.manifest import Manifest
from dogcat.loading import fold_set, records
from dogcat.loading.chosen_pictures import ChosenPictures
from dogcat.loading.encoded_pictures import EncodedPictures
from dogcat.loading.fold_set import FoldSet
from dogcat.loading.foreign_pictures import ForeignPictures
from dogcat.loading.foreign_set import ForeignSet
from dogcat.loading.pictures import Pictures
from dogcat.loading.raw_pictures import RawPictures
from dogcat.loading.records import Records
from dogcat.loading.untuned import untuned


def open_split(folder: Place, made: Manifest, split: str) -> Pictures:
    """The pictures of a split of a data set.

    Raises:
        InputError: The data set is not what the manifest says.
    """
    if isinstance(made, ForeignSet):
        return ForeignPictures(made, split)
    if isinstance(made, FoldSet):
        return splits_of(made, {fold_set.ALL: open_split(folder, made.whole, fold_set.ALL)})[split]
    return of_records(records.of_split(folder, made, split), made)


def splits_of(made: Manifest, sources: dict[str, Pictures]) -> dict[str, Pictures]:
    """The pictures of each split, from readers of what is read for them: of the splits, or of all folds together."""
    if not isinstance(made, FoldSet):
        return sources
    return {split: ChosenPictures(sources[fold_set.ALL], places) for split, places in made.places.items()}


def of_records(of_split: Records, made: Manifest) -> Pictures:
    """The pictures of records of a data set.

    Raises:
        InputError: They are not what the manifest says.
    """
    layout = raw_layout.layout_of(made.options)
    # At an address there is no memory to read straight into, and a request takes longer than a copy.
    if layout and not any(map(is_address, of_split.paths)):
        return RawPictures.of_records(of_split, layout, made.image_size)
    return EncodedPictures(of_split, made.encoding, made.image_size)


def take(pictures: Pictures, places: np.ndarray) -> np.ndarray:
    """Some pictures, uint8 [places, image_size, image_size, 3]."""
    runs = tf.data.Dataset.from_tensors(tf.constant(places, tf.int64))
    return next(untuned(pictures.dataset(runs, max(1, len(places)))).as_numpy_iterator())[0]
