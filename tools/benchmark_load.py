"""Runs one loader of `tools.benchmark load` once, in the project's environment: NAME FOLDER WORKERS SECONDS.

FOLDER is what `prepare` made: data sets of the same pictures as JPEG and as raw pixels, and the pictures as files.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

import numpy as np
import simplejpeg

import dogcat
from dogcat import examples, manifest, records, runtime, shards, stored
from dogcat.config import InputError, ShardOptions
from tools.benchmark_loaders import BATCH, Stream, files_of, measure
from tools.benchmark_peers import QUALITY, SIZE
from tools.make_tfrecords import make_data_set

_CHUNK = 8
# As a user would set them.
_SHARDS, _SHUFFLED = 8, 1024


def prepare(images: Path, folder: Path, workers: int) -> int:
    """Makes what all loaders read, of as many pictures as fill whole batches; returns their number."""
    keys = sorted(path.name for path in images.iterdir())
    count = len(keys) // BATCH * BATCH
    if not count:
        raise InputError(f"load needs {BATCH} undamaged JPEGs in RGB; --images and --pictures give {len(keys)}")
    for name in keys[count:]:
        (images / name).unlink()
    for name, encoding, in_shards in (("jpeg", "jpeg", _SHARDS), ("raw", "raw", 0)):
        make_data_set(
            ShardOptions(
                images=str(images),
                output=str(folder / name),
                unlabeled=True,
                image_size=SIZE,
                encoding=encoding,
                quality=QUALITY,
                chroma="420",
                shards=in_shards,
                workers=workers,
            )
        )
    files = folder / "files" / "all"
    files.mkdir(parents=True)
    for number, encoded in enumerate(_encoded(folder / "jpeg")):
        (files / f"{number:08d}.jpg").write_bytes(encoded)
    return count


def _encoded(folder: Path) -> Iterable[bytes]:
    for shard in manifest.load(folder).splits[shards.TEST].shards:
        for record in records.read_records(folder / shard.name):
            assert record.data is not None
            yield stored.parse_picture(record.data).encoded


def _own(folder: Path, name: str) -> Stream:
    import tensorflow as tf

    from dogcat import pipeline, readers

    reader = readers.open_split(folder / name, manifest.load(folder / name), shards.TEST)
    steps = len(reader.labels) // BATCH

    def stream(passes: int) -> Iterable[Any]:
        dataset: tf.data.Dataset = pipeline.train_dataset(reader, BATCH, steps, seed=0)
        return (pictures for pictures, _ in dataset.take(passes * steps))

    return stream


def dogcat_jpeg(folder: Path, workers: int) -> Stream:
    """The project's pipeline over JPEG shards."""
    return _own(folder, "jpeg")


def dogcat_raw(folder: Path, workers: int) -> Stream:
    """The project's pipeline over raw shards."""
    return _own(folder, "raw")


def _tf_data(folder: Path, name: str) -> Stream:
    """What TensorFlow's guide has one write: interleave, shuffle, decode in parallel, batch, prefetch."""
    import tensorflow as tf

    made = manifest.load(folder / name)
    paths = [str(folder / name / shard.name) for shard in made.splits[shards.TEST].shards]
    schema = {examples.ENCODED: tf.io.FixedLenFeature((), tf.string)}

    def decode(record: tf.Tensor) -> tf.Tensor:
        encoded = tf.io.parse_single_example(record, schema)[examples.ENCODED]
        if name == "raw":
            return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), (SIZE, SIZE, 3))
        return tf.ensure_shape(tf.io.decode_jpeg(encoded, channels=3), (SIZE, SIZE, 3))

    def stream(passes: int) -> Iterable[Any]:
        dataset = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths)).repeat(passes)
        dataset = dataset.interleave(
            tf.data.TFRecordDataset, cycle_length=len(paths), num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
        )
        dataset = dataset.shuffle(_SHUFFLED).map(decode, tf.data.AUTOTUNE, deterministic=False)
        return dataset.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    return stream


def tf_data_jpeg(folder: Path, workers: int) -> Stream:
    """Plain tf.data over the same JPEG shards."""
    return _tf_data(folder, "jpeg")


def tf_data_raw(folder: Path, workers: int) -> Stream:
    """Plain tf.data over the same raw shards."""
    return _tf_data(folder, "raw")


def decode_alone(folder: Path, workers: int) -> Stream:
    """The limit: pictures in memory, decoded in threads by the fastest decoder at hand, into one batch's memory."""
    encoded = list(_encoded(folder / "jpeg"))
    batch = np.empty((BATCH, SIZE, SIZE, 3), np.uint8)

    def decode(places: range, first: int) -> None:
        for place in places:
            simplejpeg.decode_jpeg(encoded[first + place], "RGB", buffer=batch[place])

    def stream(passes: int) -> Iterable[Any]:
        with concurrent.futures.ThreadPoolExecutor(workers) as executor:
            for first in itertools.chain.from_iterable([range(0, len(encoded), BATCH)] * passes):
                chunks = (range(at, at + _CHUNK) for at in range(0, BATCH, _CHUNK))
                list(executor.map(decode, chunks, itertools.repeat(first)))
                yield batch

    return stream


def keras_directory(folder: Path, workers: int) -> Stream:
    """`image_dataset_from_directory`, which delivers floats: cast to uint8."""
    import tensorflow as tf

    dataset = tf.keras.utils.image_dataset_from_directory(
        folder / "files", labels=None, image_size=(SIZE, SIZE), batch_size=BATCH, shuffle=True
    )
    return lambda passes: dataset.repeat(passes).map(lambda batch: tf.cast(batch, tf.uint8))


def keras_generator(folder: Path, workers: int) -> Stream:
    """`ImageDataGenerator.flow_from_directory`, which delivers floats in one thread: cast to uint8."""
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator()
    flow = generator.flow_from_directory(
        folder / "files", target_size=(SIZE, SIZE), batch_size=BATCH, class_mode=None, shuffle=True
    )
    in_pass = len(files_of(folder)) // BATCH
    return lambda passes: (batch.astype(np.uint8) for batch in itertools.islice(flow, passes * in_pass))


# Name on the command line: what makes the stream, and whether TensorFlow's version is the one that counts.
LOADERS: dict[str, tuple[Callable[[Path, int], Stream], bool]] = {
    "dogcat-jpeg": (dogcat_jpeg, False),
    "dogcat-raw": (dogcat_raw, False),
    "tf-data-jpeg": (tf_data_jpeg, True),
    "tf-data-raw": (tf_data_raw, True),
    "decode": (decode_alone, False),
    "keras-directory": (keras_directory, True),
    "keras-generator": (keras_generator, True),
}


def main(name: str, folder: Path, workers: int, seconds: float) -> None:
    """Runs a loader."""
    make, of_tensorflow = LOADERS[name]
    version = dogcat.__version__ if name.startswith("dogcat") else simplejpeg.__version__
    if name.startswith("dogcat"):
        runtime.prepare()
    if of_tensorflow:
        import tensorflow as tf

        version = tf.__version__
    print(json.dumps(measure(make(folder, workers), seconds, version)._asdict()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
