"""Pictures of any size in other programs' records: read as those of shards are, and resized in the same graph."""

from __future__ import annotations

import tensorflow as tf

from dogcat.core.options import InputError
from dogcat.dataset import foreign_features, foreign_files
from dogcat.dataset.manifest import FORMATS, JPEG
from dogcat.loading.encoded_pictures import EncodedPictures
from dogcat.loading.foreign_set import ForeignSet


class ForeignPictures(EncodedPictures):
    """The pictures of a split of a `ForeignSet`; a `pictures.Pictures`."""

    def __init__(self, made: ForeignSet, split: str) -> None:
        """Takes the data set, and the name of the split."""
        super().__init__(made.records_of(split), made.encoding, made.image_size, made.keys.image)
        self._sources = made.sources[split]
        self._keys = made.keys

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decodes a JPEG, PNG, BMP or the first frame of a GIF, and stretches it to the size.

        Bilinear with antialiasing, as in the shard tool: uint8 [image_size, image_size, 3].
        """
        is_jpeg = tf.strings.substr(encoded, 0, len(FORMATS[JPEG])) == FORMATS[JPEG]
        pixels = tf.cond(
            is_jpeg,
            # The same pixels as libjpeg's, which the shard tool and prediction use.
            lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
        )
        pixels = tf.ensure_shape(pixels, (None, None, 3))
        size = (self.image_size, self.image_size)
        resized = tf.cond(
            tf.reduce_all(tf.shape(pixels)[:2] == size),
            lambda: pixels,
            lambda: tf.cast(tf.round(tf.image.resize(pixels, size, antialias=True)), tf.uint8),
        )
        return tf.ensure_shape(resized, (*size, 3))

    def damaged(self, place: int, what: str) -> InputError:
        """See `EncodedPictures`; names the user's own file."""
        source = self._sources[self.records.shard_of[place]]
        return foreign_files.damaged(source, self.records.number_in_shard(place), what)

    def wrong_with(self, data: bytes) -> str:
        """See `EncodedPictures`."""
        try:
            foreign_features.parse(data, self._keys)
        except ValueError as error:
            return str(error)
        return ""
