"""Python that loads an export without dogcat, for its model card."""

from __future__ import annotations

_PROGRAM = """import numpy as np
{library}
from PIL import Image, ImageOps

labels = open("labels.txt", encoding="utf-8").read().splitlines()
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
pictures = np.asarray({square})[None]
{load}
for label, probability in zip(labels, probabilities[0]):
    print(f"{{label}}: {{probability:.4f}}")"""
_SQUARE = {
    "stretch": "picture.resize(({size}, {size}), Image.Resampling.BILINEAR)",
    "crop": "ImageOps.fit(picture, ({size}, {size}), Image.Resampling.BILINEAR)",
    "pad": "ImageOps.pad(picture, ({size}, {size}), Image.Resampling.BILINEAR)",
}
# What is imported of another library, and how it computes `probabilities` of `pictures`.
_LOAD = {
    "savedmodel": (
        "import tensorflow as tf",
        """model = tf.saved_model.load("1").signatures["serving_default"]
probabilities = model(pictures=tf.constant(pictures))["probabilities"].numpy()""",
    ),
    "tflite": (
        "import tensorflow as tf",
        """model = tf.lite.Interpreter("model.tflite").get_signature_runner()
probabilities = model(pictures=pictures)["probabilities"]""",
    ),
    "keras": (
        "import keras",
        """model = keras.models.load_model("model.keras", compile=False)
probabilities = model.predict(pictures)""",
    ),
    "onnx": (
        "import onnxruntime",
        """model = onnxruntime.InferenceSession("model.onnx")
[probabilities] = model.run(["probabilities"], {"pictures": pictures})""",
    ),
}
NOTES = {
    "savedmodel": "TensorFlow Serving takes this folder as `--model_base_path`. The signature `jpeg` takes whole JPEG "
    "or PNG files of any size, as strings, under the name `files`, and makes them square itself. Both signatures also "
    "give `class`, the name of the most probable one.",
    "tflite": "Without TensorFlow, `from ai_edge_litert.interpreter import Interpreter`, of the package "
    "ai-edge-litert. The file ends with a zip archive that holds `dogcat.json`, which names the classes too.",
    "keras": "Keras 3 with TensorFlow, JAX or PyTorch; Keras 2 does not open it.",
    "onnx": "`dogcat predict --model=model.onnx` takes it too. Classes and size stand under `dogcat` in the metadata.",
}
# How pictures become square, in words.
RESIZE = {
    "stretch": "they are stretched",
    "crop": "the middle is cut out",
    "pad": "black is added at the sides",
}


def snippet(form: str, size: int, resize: str) -> str:
    """A program that prints the probabilities of `picture.jpg`, run in the folder of an export.

    Args:
        form: The format, one of `export.FILES`.
        size: Height and width of the model's pictures, in pixels.
        resize: How they become square.
    """
    library, load = _LOAD[form]
    return _PROGRAM.format(library=library, square=_SQUARE[resize].format(size=size), load=load)
