from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys

import bundle_files
import numpy as np
import pytest
import tensorflow as tf
from bundle_files import GRAPH, HEADER, TEXT, block, entry, field, index, resealed, varint
from fuzzing import check, memory_within, mutations
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.models import object_graph
from dogcat.models.bundle import Bundle
from dogcat.models.keras_versions import IS_KERAS_3, build_optimizer

LARGEST = 4 * 300
COUNTS = [150, pytest.param(5000, marks=pytest.mark.long)]
INDEX, DATA = "variables.index", "variables.data-00000-of-00001"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What TensorFlow writes of variables of several types, more than a block has keys between two whole ones."""
    folder = tmp_path_factory.mktemp("whole")
    random = np.random.default_rng(0)
    values = [random.normal(size=(3, 4, number)).astype(np.float32) for number in range(1, 25)]
    others = [np.float64(0.1), np.int64(-7), np.array([True, False]), np.float16([1, 2, 3])]
    variables = tf.train.Checkpoint(one=[tf.Variable(value) for value in [*values, *others]])
    variables.write(str(folder / "variables"))
    return folder


@pytest.fixture
def prefix(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "damaged") / "variables"


def require_same(prefix):
    """Reads all of a bundle with both readers, TensorFlow's only where the other one takes it."""
    try:
        bundle = Bundle(prefix, LARGEST)
        data = {name: bundle.data(name) for name in bundle.entries}
    except ValueError as error:
        raise InputError(str(error)) from error
    reader = tf.train.load_checkpoint(str(prefix))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    assert {name: list(found.shape) for name, found in bundle.entries.items()} == shapes
    for name, found in bundle.entries.items():
        assert types[name].name == found.dtype
        value = reader.get_tensor(name)
        assert data[name] == (value if found.dtype == "string" else value.tobytes())


def reading(prefix, name):
    """What is in a file of a bundle, and what reads the bundle with other bytes there."""
    path = prefix.with_name(name)

    def read(data):
        path.write_bytes(data)
        require_same(prefix)

    return path.read_bytes(), read


def refusal(prefix):
    with pytest.raises(ValueError) as caught:
        require_same(prefix)
    return str(caught.value)


def test_what_tensorflow_writes_is_read_as_by_tensorflow(whole, tmp_path):
    require_same(whole / "variables")
    assert len(Bundle(whole / "variables", LARGEST).entries) == 29
    values = {"a": (bundle_files.FLOAT, (2,), b"12345678"), "b": (TEXT, (), b"text" * 100), "c": (TEXT, (), b"")}
    bundle_files.write(tmp_path / "made", values)
    require_same(tmp_path / "made")


def test_several_files_and_several_blocks(tmp_path):
    first, second = (tmp_path / name for name in ("first", "second"))
    for number, prefix in enumerate((first, second)):
        names = [f"{number}/{'x' * 200}{place:05}" for place in range(1500)]
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.fill((1 + place % 3,), float(place)) for place in range(len(names))],
        )
    merged = tmp_path / "variables"
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[str(first), str(second)], destination_prefix=str(merged))
    assert (tmp_path / "variables.data-00001-of-00002").exists()
    require_same(merged)
    assert len(Bundle(merged, LARGEST).entries) == 3000


@pytest.mark.parametrize("count", COUNTS)
def test_an_index_with_right_checksums_is_read_as_by_tensorflow_or_refused(prefix, count):
    whole, read = reading(prefix, INDEX)
    with memory_within(2**26):
        assert count // 2 < check(read, resealed(whole, count, seed=1)) < count


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", [INDEX, DATA])
def test_damaged_files_are_refused(prefix, name, count):
    whole, read = reading(prefix, name)
    with memory_within(2**26):
        assert check(read, mutations(whole, count, seed=2)) > count // 2


def of(*values, keys=(b"a", b"b", b"c")):
    """An index of variables."""
    return index(block([(b"", HEADER), *zip(keys, values)]))


# What each index would have TensorFlow do: end the process, take all memory, or read something else.
CRAFTED = {
    "no table": (b"", "is not a table of variables"),
    "a block of 2^62 bytes": (index(block([(b"", HEADER)]), place=varint(0) + varint(2**62)), "damaged or cut off"),
    "a block far behind": (index(block([(b"", HEADER)]), place=varint(2**62) + varint(9)), "damaged or cut off"),
    "a place with more behind": (index(block([(b"", HEADER)]), place=varint(0) + varint(13) + b"x"), "damaged"),
    "compressed": (index(block([(b"", HEADER)]), compression=1), "is compressed"),
    "no header": (index(block([(b"a", entry())])), "has no header"),
    "no key": (index(block([])), "keys that are not in order"),
    "an empty header": (index(block([(b"", b"")])), "a header that TensorFlow does not write"),
    "2^31 files": (index(block([(b"", HEADER.replace(b"\x08\x01", field(1, 2**31), 1))])), "a header"),
    "big-endian": (index(block([(b"", HEADER.replace(b"\x10\0", b"\x10\1"))])), "a header"),
    "a bound below the key": (index(block([(b"", HEADER), (b"b", entry())]), bound=b"a"), "not in order"),
    "keys out of order": (of(entry(), entry(offset=4), keys=(b"b", b"a")), "not in order, or one twice"),
    "a key twice": (of(entry(), entry(offset=4), keys=(b"a", b"a")), "not in order, or one twice"),
    "a long key": (of(entry(), keys=(b"x" * 5000,)), "damaged or cut off"),
    "a key that is not text": (of(entry(), keys=(b"\xfe",)), "can't decode"),
    "restarts beyond the block": (index(block([(b"", HEADER)], (2**32 - 1,))), "damaged"),
    "a restart inside a key": (index(block([(b"", HEADER)], (0, 1))), "damaged"),
    "restarts backwards": (index(block([(b"", HEADER), (b"a", entry())], (0, 13, 0))), "damaged"),
    "many restarts": (index(block([(b"", HEADER)])[:-4] + b"\xff\xff\xff\xff"), "damaged"),
    "no restart": (index(block([(b"", HEADER)], ())), "damaged"),
    "2^60 numbers": (of(entry(shape=(2**60,), size=2**62)), "a shape that no variable has"),
    "more numbers than a file": (of(entry(shape=(2**32, 2**32, 0), size=0)), "a shape that no variable has"),
    "a negative length": (of(entry(shape=(2**64 - 1,))), "damaged"),
    "300 dimensions": (of(entry(shape=(1,) * 300)), "a shape that no variable has"),
    "another size": (of(entry(shape=(2,), size=4)), "has 4 bytes, which its shape has not"),
    "larger than the model's": (of(entry(shape=(10**6,), size=4 * 10**6)), "more than any of the model"),
    "no type": (of(entry(dtype=0)), "no type of numbers"),
    "a resource": (of(entry(dtype=20)), "no type of numbers"),
    "a list of texts": (of(entry(dtype=TEXT, shape=(2**30,), size=2**30)), "more than one text"),
    "a text of 2^40 bytes": (of(entry(dtype=TEXT, size=2**40)), "more than one text, or a longer one"),
    "a file that is not there": (of(entry(shard=1)), "is in file 1 of 1"),
    "behind the end": (of(entry(offset=10**9)), "is cut off: it has"),
    "at 2^63 - 1": (of(entry(offset=2**63 - 1)), "is cut off: it has"),
    "shared bytes": (of(entry(), entry(offset=3)), "shares bytes with another"),
    "slices": (of(entry() + field(7, b"")), "has the field 7"),
    "a field twice": (of(entry() + field(1, 1)), "has the field 1"),
    "cut in a checksum": (of(entry()[:-2]), "damaged"),
    "cut in a shape": (of(field(1, 1) + b"\x12\x05"), "damaged"),
    "a message in a shape": (of(field(1, 1) + field(2, b"\xff")), "damaged"),
    "an unknown rank": (of(field(1, 1) + field(2, field(3, 1)) + field(5, 4)), "has the field 3"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_each_fault_is_named(prefix, name):
    data, said = CRAFTED[name]
    prefix.with_name(INDEX).write_bytes(data)
    with memory_within(2**24):
        assert said in refusal(prefix)
    assert refusal(prefix).startswith(("variables.index ", "variables.data-"))


@pytest.mark.parametrize("length", [2**62, 2**32 + 1, 3, 5])
def test_a_text_of_another_length_than_its_entry_tells(tmp_path, length):
    bundle_files.write(tmp_path / "variables", {"a": (TEXT, (), b"text")})
    data = tmp_path / DATA
    behind = struct.pack("<I", bundle_files.masked_crc32c(struct.pack("<I", length % 2**32)))
    # The entry has the size of it.
    stored = varint(length) + behind + b"text"
    data.write_bytes(stored)
    (tmp_path / INDEX).write_bytes(of(entry(TEXT, size=len(stored))))
    assert "the length of the text 'a' is damaged" in refusal(tmp_path / "variables")


def test_a_pipe_is_not_waited_for(prefix):
    for name in (INDEX, DATA):
        path = prefix.with_name(name)
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        assert f"{path}: is not a regular file" in refusal(prefix)
        path.unlink()
        path.write_bytes(content)


def test_an_index_made_to_take_long_is_refused_at_once(prefix):
    # Four bytes for each key, of which each is long.
    keys = b"".join(b"\x80\x20\1\0" + bytes([number % 256]) for number in range(10**6))
    prefix.with_name(INDEX).write_bytes(index(keys + struct.pack("<II", 0, 1)))
    assert check(lambda _: require_same(prefix), [None]) == 1
    prefix.with_name(INDEX).write_bytes(bytes(2**22 + 1))
    assert "has more than 4,194,304 bytes" in refusal(prefix)


def test_tensorflow_itself_ends_the_process(prefix):
    """The reason of all this; where it fails, TensorFlow has learnt better."""
    data, _ = CRAFTED["a message in a shape"]
    prefix.with_name(INDEX).write_bytes(data)
    code = f"import tensorflow as tf; tf.train.load_checkpoint({str(prefix)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
    assert done.returncode < 0


@pytest.fixture
def state(tmp_path):
    """A checkpoint with slots, and the objects to restore it into."""
    if IS_KERAS_3:
        variable = keras.Variable([1.0, 2.0])
        optimizer = keras.optimizers.Adam()
    else:
        variable = tf.Variable([1.0, 2.0])
        # Has slots, as Addons' optimizers have.
        optimizer = keras.optimizers.legacy.Adam()
    build_optimizer(optimizer, [variable])
    variables = tf.train.Checkpoint(one=variable, optimizer=optimizer)
    prefix = tmp_path / "state"
    variables.write(str(prefix))
    return prefix, variables


@pytest.mark.parametrize("count", COUNTS)
def test_graphs_of_objects_are_restored_or_refused(state, count, capfd):
    prefix, variables = state
    bundle = Bundle(prefix, LARGEST)
    kinds = {"float32": bundle_files.FLOAT, "int64": 9, "string": TEXT}
    stored = {name: (kinds[found.dtype], found.shape, bundle.data(name)) for name, found in bundle.entries.items()}
    object_graph.require_sound(bundle)

    def restore(graph):
        bundle_files.write(prefix, {**stored, GRAPH: (TEXT, (), graph)})
        try:
            object_graph.require_sound(Bundle(prefix, LARGEST))
            variables.read(str(prefix)).expect_partial()
        except (ValueError, LookupError, AttributeError, tf.errors.OpError) as error:
            raise InputError(str(error)[:200] or "x") from error

    assert check(restore, mutations(stored[GRAPH][2], count, seed=3)) > count // 2
    assert "Traceback" not in capfd.readouterr().err


def node(*fields):
    return field(1, b"".join(fields))


def attribute(name="one/.ATTRIBUTES/VARIABLE_VALUE", kind="VARIABLE_VALUE"):
    return field(2, field(1, kind.encode()) + field(3, name.encode()))


def child(number, name="one"):
    return field(1, field(1, number) + field(2, name.encode()))


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (b"", "leads to objects that are not there"),
        (node(child(1)), "leads to objects that are not there"),
        (node(child(2**31)) + node(attribute()), "leads to objects that are not there"),
        (node(child(1)) + node(), "does not lead to 'one/.ATTRIBUTES/VARIABLE_VALUE'"),
        (node(child(1)) + node(attribute("two")), "leads to 'two', which is not a variable there"),
        (node(child(1)) + node(attribute(GRAPH)), "which is not a variable there"),
        (node(child(1)) + node(attribute(), attribute()), "or to it twice"),
        (node(child(1)) + node(attribute(kind="x")), "which is not a variable there"),
        (node(child(1)) + node(attribute(), field(4, field(1, b"x"))), "has the field 4"),
        (node(child(1)) + node(attribute(), field(3, field(1, 0) + field(3, 1))), "objects that are not there"),
        (node(child(1)) + node(attribute()) + b"\xff", "damaged"),
    ],
)
def test_each_fault_of_a_graph_of_objects_is_named(tmp_path, graph, said):
    prefix = tmp_path / "state"
    values = {"one/.ATTRIBUTES/VARIABLE_VALUE": (bundle_files.FLOAT, (), b"1234"), GRAPH: (TEXT, (), graph)}
    bundle_files.write(prefix, values)
    with pytest.raises(ValueError, match=f"^{GRAPH} ") as caught:
        object_graph.require_sound(Bundle(prefix, LARGEST))
    assert said in str(caught.value)


def test_without_a_graph_of_objects(tmp_path):
    bundle_files.write(tmp_path / "state", {"one": (bundle_files.FLOAT, (), b"1234")})
    with pytest.raises(ValueError, match=f"{GRAPH} is not there"):
        object_graph.require_sound(Bundle(tmp_path / "state", LARGEST))
