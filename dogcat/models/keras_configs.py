"""The configuration of a model of Keras 2, as plain data, turned into what Keras 3 reads.

Keras 3 still takes connections of layers as Keras 2 writes them; what it does not take is here. Files of weights need
no change, since both write the same layout.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

# Where Keras 2 has the classes of models, and Keras 3 its own.
MODULES = {
    "keras.src.engine.functional": "keras.src.models.functional",
    "keras.src.engine.sequential": "keras.src.models.sequential",
}
MODELS = {"Functional", "Sequential", "Model"}
# Arguments that Keras 2 writes of these layers' base class.
_UNUSED = ("filters", "groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
_WITHOUT_UNUSED = {"DepthwiseConv2D": _UNUSED, "SeparableConv2D": _UNUSED[1:]}
# Operations of TensorFlow with a number, of which MobileNetV3 has some: what `Rescaling` calls the number.
_OPERATIONS = {"__operators__.add": "offset", "math.multiply": "scale"}


def to_keras_3(config: Any, inner_models: Set[str] = frozenset()) -> Any:
    """A configuration for Keras 3.

    Args:
        config: That of a model or of a part of one, as in `config.json` of a `.keras` file.
        inner_models: Names of the layers around a part that are models.

    Raises:
        ValueError: It has an operation of TensorFlow that Keras 3 has no layer for; the message names it.
    """
    if isinstance(config, list):
        if len(config) in (3, 4) and isinstance(config[0], str) and isinstance(config[1], int):
            return _connection(config, inner_models)
        return [to_keras_3(item, inner_models) for item in config]
    if not isinstance(config, dict):
        return config
    if isinstance(config.get("layers"), list):
        layers = [layer for layer in config["layers"] if isinstance(layer, dict)]
        inner_models = {layer.get("name", "") for layer in layers if layer.get("class_name") in MODELS}
    made = {name: to_keras_3(value, inner_models) for name, value in config.items()}
    if isinstance(made.get("name"), str):
        made["name"] = _without_slashes(made["name"])
    return _part(made) if isinstance(made.get("config"), dict) else made


def _connection(connection: list[Any], inner_models: Set[str]) -> list[Any]:
    """Where a tensor is from: a layer, the number of its call, that of its output, and more arguments of the call."""
    layer, call, *rest = connection
    # In Keras 2 the first call of a model is that which made it.
    return [_without_slashes(layer), call - (layer in inner_models), *rest]


def _part(made: dict[str, Any]) -> dict[str, Any]:
    """A layer, a model, or a part of one, with what is in it turned already."""
    module, kind, config = made.get("module"), made.get("class_name"), made["config"]
    if (module, kind) == ("keras.mixed_precision", "Policy"):
        return {**made, "module": "keras", "class_name": "DTypePolicy"}
    if kind == "TFOpLambda":
        return _rescaling(made)
    if kind == "InputLayer" and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
        [config["axis"]] = config["axis"]
    for unused in _WITHOUT_UNUSED.get(str(kind), ()):
        config.pop(unused, None)
    return {**made, "module": MODULES.get(str(module), module)}


def _without_slashes(name: str) -> str:
    """A layer's name in Keras 3, which forbids slashes."""
    return name.replace("/", "_")


def _rescaling(operation: dict[str, Any]) -> dict[str, Any]:
    """The layer that does what an operation with a number does."""
    config = operation["config"]
    [[source, call, output, arguments]] = operation["inbound_nodes"]
    number = arguments.get("y")
    if config["function"] not in _OPERATIONS or not isinstance(number, (int, float)):
        raise ValueError(f"the operation {config['function']} of TensorFlow has no layer in Keras 3")
    rescaling = {"name": config["name"], "dtype": config["dtype"], "scale": 1.0, "offset": 0.0}
    return {
        **{"module": "keras.layers", "class_name": "Rescaling", "registered_name": None},
        "config": {**rescaling, _OPERATIONS[config["function"]]: number},
        "name": operation["name"],
        "inbound_nodes": [[[source, call, output, {}]]],
    }
