"""Trains a Keras model of your own on a data set of dogcat's: python your_own_model.py PICTURES FOLDER.

PICTURES holds pictures named cat.0.jpg, dog.0.jpg, or in a folder for each class. The data set is made in FOLDER, where
the model is saved too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dogcat


def main(pictures: str, folder: str) -> None:
    """Makes the data set, unless it is there, then trains, evaluates and saves."""
    place = Path(folder, "tfrecords")
    data = dogcat.open_dataset(place) if place.exists() else dogcat.make_dataset(pictures, place, image_size=96)
    train, validation = data.split("train"), data.split("validation")

    import tensorflow as tf
    from tensorflow import keras

    # All GPUs of this machine, or its processor.
    with tf.distribute.MirroredStrategy().scope():
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((data.image_size, data.image_size, 3)),
                layers.Rescaling(1 / 127.5, offset=-1),
                *(layers.SeparableConv2D(width, 3, strides=2, activation="relu") for width in (16, 32, 64)),
                layers.GlobalAveragePooling2D(),
                layers.Dense(len(data.classes), activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        train.batches(32, shuffle=True, augment="strong"), validation_data=validation.batches(32), epochs=2, verbose=2
    )
    loss, accuracy = model.evaluate(validation.batches(32), verbose=0)
    print(f"validation: log loss {loss:.4f}, accuracy {accuracy:.2%}")
    model.save(Path(folder, "own.keras"))


if __name__ == "__main__":
    main(*sys.argv[1:])
