"""Checks which variables of a checkpoint belong to which objects, before TensorFlow restores any.

That is a TrackableObjectGraph (tensorflow/core/protobuf/trackable_object_graph.proto). TensorFlow follows its numbers
and names without a look at whether they lead anywhere.
"""

from __future__ import annotations

from dogcat.models.bundle import TEXT, Bundle
from dogcat.models.messages import BYTES, VARINT, fields_of, only

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

# The fields of the messages but for savers that programs register, of which this one has none.
_GRAPH = {1: BYTES}
_NODE = {1: BYTES, 2: BYTES, 3: BYTES, 5: BYTES}
_CHILD = {1: VARINT, 2: BYTES}
_ATTRIBUTE = {1: BYTES, 2: BYTES, 3: BYTES}
_SLOT = {1: VARINT, 2: BYTES, 3: VARINT}
_HAS_VALUES = {1: VARINT}

_VALUE = "VARIABLE_VALUE"


def require_sound(bundle: Bundle) -> None:
    """Raises ValueError where a bundle has no graph of objects, or one that does not fit its variables."""
    if GRAPH not in bundle.entries or bundle.entries[GRAPH].dtype != TEXT:
        raise ValueError(f"{GRAPH} is not there")
    try:
        _check(bundle.data(GRAPH), {name for name in bundle.entries if name != GRAPH})
    except ValueError as error:
        raise ValueError(f"{GRAPH} {error}") from error


def _check(text: bytes, names: set[str]) -> None:
    nodes = [fields_of(node, _NODE, repeated={1, 2, 3}) for node in fields_of(text, _GRAPH, repeated={1}).get(1, [])]
    variables, led_to = set(), []
    for number, node in enumerate(nodes):
        for child in node.get(1, []):
            fields = fields_of(child, _CHILD)
            only(fields, 2, b"").decode("utf-8")
            led_to.append(only(fields, 1))
        for attribute in node.get(2, []):
            fields = fields_of(attribute, _ATTRIBUTE)
            kind, _, name = (only(fields, part, b"").decode("utf-8") for part in (1, 2, 3))
            if kind != _VALUE or name not in names or number in variables or not name.endswith(f"/.ATTRIBUTES/{kind}"):
                raise ValueError(f"leads to {name[-100:]!r}, which is not a variable there, or to it twice")
            names.remove(name)
            variables.add(number)
        fields_of(only(node, 5, b""), _HAS_VALUES)
    slots = [fields_of(slot, _SLOT) for node in nodes for slot in node.get(3, [])]
    ends = {only(slot, part) for slot in slots for part in (1, 3)}
    for slot in slots:
        only(slot, 2, b"").decode("utf-8")
    if not nodes or max(led_to, default=0) >= len(nodes) or not ends <= variables:
        raise ValueError("leads to objects that are not there")
    if names:
        raise ValueError(f"does not lead to {min(names)[-100:]!r}")
