"""Runs one loader of `tools.benchmark load` once, in the project's environment: NAME FOLDER WORKERS SECONDS.

FOLDER is what `prepare` made: data sets of the same pictures as JPEG and as raw pixels, and the pictures as files.
With 0 SECONDS it is one pass, from opening files of which nothing is in memory to the last batch.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

import numpy as np
import simplejpeg

from dogcat.core import runtime
from dogcat.core.options import InputError
from dogcat.core.places import Place, place_of
from dogcat.dataset import example_proto, manifest, raw_layout, shard_plan, stored_picture, tfrecord
from dogcat.dataset.options import ShardOptions

from ..make_tfrecords import make_data_set
from . import page_cache
from .peer_loaders import BATCH, SHEAR_DEGREES, ZOOM, Stream, check, files_of, measure
from .peer_writers import QUALITY, SIZE, Work

_CHUNK = 8
# As a user would set them.
_SHARDS, _SHUFFLED = 8, 1024


def prepare(images: Path, folder: Path, workers: int) -> int:
    """Makes what all loaders read, of as many pictures as fill whole batches; returns their number."""
    keys = sorted(path.name for path in images.iterdir())
    count = len(keys) // BATCH * BATCH
    if not count:
        raise InputError(
            f"loading needs {BATCH} pictures, undamaged JPEGs in RGB; --images and --pictures give {len(keys)}"
        )
    whole_batches = folder / "whole_batches"
    whole_batches.mkdir()
    for name in keys[:count]:
        (whole_batches / name).symlink_to((images / name).resolve())
    for name, encoding, in_shards in (("jpeg", "jpeg", _SHARDS), ("raw", "raw", 0)):
        make_data_set(
            ShardOptions(
                images=str(whole_batches),
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
    for shard in manifest.load(folder).splits[shard_plan.TEST].shards:
        for record in tfrecord.read_records(folder / shard.name):
            assert record.data is not None
            yield stored_picture.parse_picture(record.data).encoded


def _own(place: Place) -> Stream:
    """The project's pipeline over the shards of a data set."""
    import tensorflow as tf

    from dogcat.loading import pipeline, readers

    split = readers.open_split(place, manifest.load(place), shard_plan.TEST)
    order = pipeline.TrainingOrder(BATCH, len(split.labels) // BATCH, seed=0)

    def stream(passes: int) -> Iterable[Any]:
        dataset: tf.data.Dataset = pipeline.train_dataset(split, order)
        return (pictures for pictures, _ in dataset.take(passes * order.steps))

    return stream


def _tf_data(folder: Path, name: str) -> Stream:
    """What TensorFlow's guide has one write: interleave, shuffle, decode in parallel, batch, prefetch."""
    import tensorflow as tf

    made = manifest.load(folder / name)
    paths = [str(folder / name / shard.name) for shard in made.splits[shard_plan.TEST].shards]
    schema = {example_proto.ENCODED: tf.io.FixedLenFeature((), tf.string)}

    def decode(record: tf.Tensor) -> tf.Tensor:
        encoded = tf.io.parse_single_example(record, schema)[example_proto.ENCODED]
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


def tensorflow_datasets(folder: Path, workers: int) -> Stream:
    """TensorFlow Datasets' reader over the same JPEG shards, whose features and lengths it is told."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    data = folder / "jpeg"
    made = manifest.load(data).splits[shard_plan.TEST].shards
    names = "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"
    split = tfds.core.SplitInfo(
        name=shard_plan.TEST,
        shard_lengths=[shard.records for shard in made],
        num_bytes=sum(shard.bytes for shard in made),
        filename_template=tfds.core.ShardedFileTemplate(data, names, split=shard_plan.TEST, filetype_suffix="tfrecord"),
    )
    # TensorFlow Datasets names a feature within a feature by a slash, so this is image/encoded.
    features = tfds.features.FeaturesDict(
        {"image": {"encoded": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="jpeg")}}
    )
    tfds.folder_dataset.write_metadata(data_dir=data, features=features, split_infos=[split], filename_template=names)
    builder = tfds.builder_from_directory(data)

    def stream(passes: int) -> Iterable[Any]:
        dataset = builder.as_dataset(split=shard_plan.TEST, shuffle_files=True).repeat(passes).shuffle(_SHUFFLED)
        dataset = dataset.map(lambda record: record["image"]["encoded"])
        return dataset.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    return stream


def decode_alone(folder: Path, workers: int) -> Stream:
    """The limit from JPEG: pictures in memory, decoded by the fastest decoder at hand."""
    encoded = list(_encoded(folder / "jpeg"))

    def decode(first: int, pictures: np.ndarray) -> None:
        for place, picture in enumerate(pictures, first):
            simplejpeg.decode_jpeg(encoded[place], "RGB", buffer=picture)

    return _in_threads(decode, len(encoded), workers)


def copy_alone(folder: Path, workers: int) -> Stream:
    """The limit from raw pixels: pictures in memory, copied."""
    pixels = np.stack([np.frombuffer(encoded, np.uint8) for encoded in _encoded(folder / "raw")])

    def copy(first: int, pictures: np.ndarray) -> None:
        np.copyto(pictures.reshape(-1, pixels.shape[1]), pixels[first : first + len(pictures)])

    return _in_threads(copy, len(pixels), workers)


def read_alone(folder: Path, workers: int) -> Stream:
    """The limit of a disk from raw pixels: shards read from end to end, several at a time."""
    made = manifest.load(folder / "raw")
    layout = raw_layout.layout_of(made.options)
    assert layout
    pixels = slice(layout.pixels_offset, layout.pixels_offset + raw_layout.picture_bytes(SIZE))
    pieces = [
        (folder / "raw" / shard.name, first * layout.record_bytes)
        for shard in made.splits[shard_plan.TEST].shards
        for first in range(0, shard.records, BATCH)
    ]
    memory = np.empty((workers, BATCH, layout.record_bytes), np.uint8)

    def read(piece: tuple[Path, int], records: np.ndarray) -> np.ndarray:
        path, start = piece
        with open(path, "rb", buffering=0) as file:
            size = os.preadv(file.fileno(), [records.data], start)
        return records[: size // layout.record_bytes, pixels]

    def stream(passes: int) -> Iterable[Any]:
        with concurrent.futures.ThreadPoolExecutor(workers) as executor:
            for at in itertools.chain.from_iterable([range(0, len(pieces), workers)] * passes):
                for batch in executor.map(read, pieces[at : at + workers], memory):
                    yield batch.reshape(-1, SIZE, SIZE, 3)

    return stream


def _in_threads(fill: Callable[[int, np.ndarray], None], count: int, workers: int) -> Stream:
    """Fills the memory of one batch in threads, over and over, in the order of the places."""
    batch = np.empty((BATCH, SIZE, SIZE, 3), np.uint8)

    def fill_chunk(at: int, first: int) -> None:
        fill(first + at, batch[at : at + _CHUNK])

    def stream(passes: int) -> Iterable[Any]:
        with concurrent.futures.ThreadPoolExecutor(workers) as executor:
            for first in itertools.chain.from_iterable([range(0, count, BATCH)] * passes):
                list(executor.map(fill_chunk, range(0, BATCH, _CHUNK), itertools.repeat(first)))
                yield batch

    return stream


def dogcat_warp(folder: Path, workers: int) -> Stream:
    """The project's pipeline over JPEG shards, and its augmentation on the CPU."""
    import tensorflow as tf

    from dogcat.training import augment
    from dogcat.training.augmentations import AUGMENTATIONS

    read = _own(folder / "jpeg")
    apply = tf.function(lambda pictures, seed: augment.apply(pictures, AUGMENTATIONS["source"], seed))

    def stream(passes: int) -> Iterable[Any]:
        for step, pictures in enumerate(read(passes)):
            yield apply(pictures, augment.seed_of(0, 0, step, 0)).numpy()

    return stream


def keras_layers_warp(folder: Path, workers: int) -> Stream:
    """Plain tf.data and Keras' layers for a flip and a zoom, which resample one after the other; no shear."""
    import tensorflow as tf

    read = _tf_data(folder, "jpeg")
    layers = tf.keras.Sequential(
        [tf.keras.layers.RandomFlip("horizontal"), tf.keras.layers.RandomZoom((-ZOOM, ZOOM), (-ZOOM, ZOOM), "nearest")]
    )
    # Rounded, since TensorFlow's decoder makes pictures darker already, and a cast alone would do it again.
    apply = tf.function(lambda pictures: tf.cast(tf.round(layers(pictures, training=True)), tf.uint8))
    return lambda passes: (apply(pictures).numpy() for pictures in read(passes))


def keras_generator_warp(folder: Path, workers: int) -> Stream:
    """`ImageDataGenerator` with shear, zoom and flip."""
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        shear_range=SHEAR_DEGREES, zoom_range=ZOOM, horizontal_flip=True
    )
    return _from_generator(generator, folder)


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

    return _from_generator(tf.keras.preprocessing.image.ImageDataGenerator(), folder)


def _from_generator(generator: Any, folder: Path) -> Stream:
    flow = generator.flow_from_directory(
        folder / "files", target_size=(SIZE, SIZE), batch_size=BATCH, class_mode=None, shuffle=True
    )
    in_pass = len(files_of(folder)) // BATCH
    return lambda passes: (batch.astype(np.uint8) for batch in itertools.islice(flow, passes * in_pass))


# Name on the command line: what makes the stream, and the module whose version counts.
LOADERS: dict[str, tuple[Callable[[Path, int], Stream], str]] = {
    "dogcat-jpeg": (lambda folder, workers: _own(folder / "jpeg"), "dogcat"),
    "dogcat-raw": (lambda folder, workers: _own(folder / "raw"), "dogcat"),
    "dogcat-jpeg-bucket": (lambda folder, workers: _own(place_of("gs://jpeg")), "dogcat"),
    "dogcat-raw-bucket": (lambda folder, workers: _own(place_of("gs://raw")), "dogcat"),
    "tf-data-jpeg": (tf_data_jpeg, "tensorflow"),
    "tf-data-raw": (tf_data_raw, "tensorflow"),
    "tfds": (tensorflow_datasets, "tensorflow_datasets"),
    "decode": (decode_alone, "simplejpeg"),
    "copy": (copy_alone, "numpy"),
    "read": (read_alone, "numpy"),
    "keras-directory": (keras_directory, "tensorflow"),
    "keras-generator": (keras_generator, "tensorflow"),
    "dogcat-warp": (dogcat_warp, "dogcat"),
    "keras-layers-warp": (keras_layers_warp, "tensorflow"),
    "keras-generator-warp": (keras_generator_warp, "tensorflow"),
}


def measure_from_disk(make: Callable[[], Stream], folder: Path, version: str) -> Work:
    """Times a stream from its making to the end of a pass; then every pixel of another is looked at.

    Raises:
        ValueError: The file system of the folder keeps files in memory.
    """
    shards = list(folder.glob("*/*.tfrecord"))
    page_cache.drop([*shards, *folder.glob("*/*.index")])
    page_cache.require_dropped(shards)
    started = time.perf_counter()
    stream = make()
    count = sum(len(batch) for batch in stream(1))
    seconds = time.perf_counter() - started
    return Work(count, 0, seconds, version, *check(stream))


def main(name: str, folder: Path, workers: int, seconds: float) -> None:
    """Runs a loader."""
    make, module = LOADERS[name]
    if module == "dogcat":
        runtime.prepare()
    version = importlib.import_module(module).__version__
    if seconds:
        work = measure(make(folder, workers), seconds, version)
    else:
        work = measure_from_disk(lambda: make(folder, workers), folder, version)
    print(json.dumps(work._asdict()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
