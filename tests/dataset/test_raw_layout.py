from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dogcat.dataset import example_proto, raw_layout, tfrecord


def features_of(size, key, label=1, original=(480, 640), text=b"dog"):
    pixels = np.arange(size * size * 3, dtype=np.uint32).astype(np.uint8).tobytes()
    return {
        example_proto.ENCODED: pixels,
        example_proto.FORMAT: b"raw",
        example_proto.HEIGHT: size,
        example_proto.WIDTH: size,
        example_proto.ORIGINAL_HEIGHT: original[0],
        example_proto.ORIGINAL_WIDTH: original[1],
        example_proto.FILENAME: key,
        example_proto.LABEL: label,
        example_proto.TEXT: text,
    }


@pytest.mark.parametrize("size", [16, 17, 43, 96, 299])
@pytest.mark.parametrize("longest", [1, 100, 127, 128, 255, 4000])
def test_every_record_has_the_layout(size, longest):
    layout = raw_layout.layout_for(size, ["k" * longest, ""], ["cat", "dog"])
    # Little is added: what stands before the pixels, the longest key among it.
    assert layout.record_bytes < 3 * size * size + longest + 400
    for length in {longest, longest - 1, longest // 2, 0}:
        for label, text, original in ((1, b"dog", (16, 16)), (-1, b"", (100_000, 65_000))):
            features = features_of(size, b"k" * length, label, original, text)
            framed = tfrecord.frame(raw_layout.encode_example(features, layout))
            assert len(framed) == layout.record_bytes
            pixels = features[example_proto.ENCODED]
            assert framed[layout.pixels_offset :][: len(pixels)] == pixels
            assert framed[: layout.pixels_offset].endswith(raw_layout.pixels_start(size))
            read = example_proto.decode_example(framed[12:-4])
            assert {key: values for key, values in read.items() if not key.startswith(raw_layout.PADDING)} == {
                key: [value] for key, value in features.items()
            }


@pytest.mark.parametrize("length", [*range(40, 300), *range(16_380, 16_420)])
def test_padding_has_any_length(length):
    padding = raw_layout._padding(length)
    assert len(padding) == length
    message = example_proto.message_start(length) + padding
    assert not any(any(value) for values in example_proto.decode_example(message).values() for value in values)


def test_tensorflow_reads_what_is_not_padding():
    layout = raw_layout.layout_for(20, ["a/longer/key.jpg"], ["cat", "dog"])
    features = features_of(20, b"key.jpg")
    serialised = raw_layout.encode_example(features, layout)
    feature = tf.train.Example.FromString(serialised).features.feature
    assert set(feature) == {*features, raw_layout.PADDING}
    assert feature[example_proto.ENCODED].bytes_list.value[0] == features[example_proto.ENCODED]
    assert feature[example_proto.ORIGINAL_WIDTH].int64_list.value[0] == 640
    schema = {example_proto.ENCODED: tf.io.FixedLenFeature((), tf.string)}
    parsed = tf.io.parse_single_example(serialised, schema)
    assert parsed[example_proto.ENCODED].numpy() == features[example_proto.ENCODED]


def test_the_layout_comes_back_from_a_manifest():
    layout = raw_layout.Layout(1152, 336)
    assert raw_layout.layout_of({"encoding": "raw", **layout._asdict()}) == layout
    assert raw_layout.layout_of({"encoding": "jpeg"}) is None
