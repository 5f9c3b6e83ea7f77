"""The backbones: those of keras.applications that the trainer offers, as data; no TensorFlow.

`architecture` builds them, `weights` finds their ImageNet weights.
"""

from __future__ import annotations

import dataclasses

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications"
_NO_TOP = "_weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network of keras.applications, without its top.

    Attributes:
        constructor: Its name in keras.applications.
        image_size: Height and width of the pictures that its ImageNet weights were trained on, in pixels.
        smallest_image: Height and width of the smallest picture that it takes, in pixels.
        preprocessing: How it wants its pictures. `tf`: RGB in [-1, 1]; `torch`: RGB, by ImageNet's mean and
            deviation; `caffe`: BGR less ImageNet's mean; `inside`: RGB in [0, 255], it scales for itself.
        weights_path: Where Keras keeps the ImageNet weights, below its store.
        weights_md5: Keras' own hash of that file, hex; empty: Keras has none.
    """

    constructor: str
    image_size: int
    smallest_image: int
    preprocessing: str
    weights_path: str
    weights_md5: str

    @property
    def weights_file(self) -> str:
        """Name of the file of ImageNet weights, in Keras' cache too."""
        return self.weights_path.rpartition("/")[2]

    @property
    def weights_url(self) -> str:
        """Keras' download of the ImageNet weights."""
        return f"{_STORE}/{self.weights_path}"


# fmt: off
_TABLE = [
    Backbone("Xception", 299, 71, "tf", "xception/xception" + _NO_TOP, "b0042744bf5b25fce3cb969f33bebb97"),
    Backbone("ResNet50V2", 224, 32, "tf", "resnet/resnet50v2" + _NO_TOP, "fac2f116257151a9d068a22e544a4917"),
    Backbone("ResNet101V2", 224, 32, "tf", "resnet/resnet101v2" + _NO_TOP, "c0ed64b8031c3730f411d2eb4eea35b5"),
    Backbone("ResNet152V2", 224, 32, "tf", "resnet/resnet152v2" + _NO_TOP, "ed17cf2e0169df9d443503ef94b23b33"),
    Backbone("ResNet50", 224, 32, "caffe", "resnet/resnet50" + _NO_TOP, "4d473c1dd8becc155b73f8504c6f6626"),
    Backbone("InceptionV3", 299, 75, "tf", "inception_v3/inception_v3" + _NO_TOP, "bcbd6486424b2319ff4ef7d526e38f63"),
    Backbone("InceptionResNetV2", 299, 75, "tf", "inception_resnet_v2/inception_resnet_v2" + _NO_TOP,
             "d19885ff4a710c122648d3b5c3b684e4"),
    Backbone("DenseNet121", 224, 32, "torch", "densenet/densenet121" + _NO_TOP, "30ee3e1110167f948a6b9946edeeb738"),
    Backbone("DenseNet169", 224, 32, "torch", "densenet/densenet169" + _NO_TOP, "b8c4d4c20dd625c148057b9ff1c1176b"),
    Backbone("DenseNet201", 224, 32, "torch", "densenet/densenet201" + _NO_TOP, "c13680b51ded0fb44dff2d8f86ac8bb1"),
    Backbone("VGG16", 224, 32, "caffe", "vgg16/vgg16" + _NO_TOP, "6d6bbae143d832006294945121d1f1fc"),
    Backbone("VGG19", 224, 32, "caffe", "vgg19/vgg19" + _NO_TOP, "253f8cb515780f3b799900260a226db6"),
    Backbone("MobileNetV2", 224, 32, "tf",
             "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", ""),
    Backbone("MobileNetV3Small", 224, 32, "inside",
             "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    Backbone("MobileNetV3Large", 224, 32, "inside",
             "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", "07fb09a5933dd0c8eaafa16978110389"),
    Backbone("EfficientNetV2B0", 224, 32, "inside", "efficientnet_v2/efficientnetv2-b0_notop.h5",
             "893217f2bb855e2983157299931e43ff"),
    Backbone("EfficientNetV2B1", 240, 32, "inside", "efficientnet_v2/efficientnetv2-b1_notop.h5",
             "0e80663031ca32d657f9caa404b6ec37"),
    Backbone("EfficientNetV2B2", 260, 32, "inside", "efficientnet_v2/efficientnetv2-b2_notop.h5",
             "1dfe2e7a5d45b6632553a8961ea609eb"),
    Backbone("EfficientNetV2B3", 300, 32, "inside", "efficientnet_v2/efficientnetv2-b3_notop.h5",
             "f6abf7b5849ac99a89b50dd3fd532856"),
    Backbone("EfficientNetV2S", 384, 32, "inside", "efficientnet_v2/efficientnetv2-s_notop.h5",
             "af0682fb74e8c54910f2d4393339c070"),
]
# fmt: on

# By name, as `--backbone` takes it: Keras' own in small letters.
BACKBONES = {backbone.constructor.lower(): backbone for backbone in _TABLE}
