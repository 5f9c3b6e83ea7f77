"""Archives and HDF5 files that would take what is not theirs, or more than a model needs: refused before it happens."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
import zlib
from pathlib import Path

import bundle_files
import h5py
import numpy as np
import pytest
import tensorflow as tf
from fuzzing import check, json_mutations, memory_within, mutations
from older_layout import save_in_older_layout
from small_runs import save_model
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.models import architecture, keras_files, model_files
from dogcat.models.backbones import BACKBONES
from dogcat.models.model_files import Description

MIB = 2**20
DESCRIPTION = Description(["cat", "dog"], 32, "stretch", "vgg16")
REFUSED = keras_files.DAMAGE
COUNTS = [100, pytest.param(1000, marks=pytest.mark.long)]


def tiny():
    """A model of models of layers with some hundred weights."""
    keras.utils.set_random_seed(1)
    inner_input = keras.Input((8, 8, 3))
    x = keras.layers.SeparableConv2D(4, 3)(keras.layers.Conv2D(3, 3)(inner_input))
    inner = keras.Model(inner_input, keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 1)(x)))
    pictures = keras.Input((8, 8, 3))
    return keras.Model(pictures, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(inner(pictures))))


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def archive(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "m.keras"
    model_files.save(model, path, DESCRIPTION)
    return path


@pytest.fixture(scope="module")
def saved_model(model, tmp_path_factory):
    """A SavedModel as `dogcat.export` writes it, of the variables alone."""
    folder = tmp_path_factory.mktemp("saved")
    module = tf.Module()
    module.saved_weights = model.weights
    tf.saved_model.save(module, str(folder))
    (folder / "dogcat.json").write_text(model_files.description_json(DESCRIPTION))
    return folder


def refusal(model, path):
    with pytest.raises(REFUSED) as caught:
        model_files.load_weights(model, path)
    return str(caught.value)


def edited(archive, path, member, data, method=zipfile.ZIP_STORED):
    """A copy of an archive with another member."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as copy:
        for info in source.infolist():
            if info.filename != member:
                copy.writestr(info, source.read(info))
        copy.writestr(member, data, method)
    return path


@pytest.mark.parametrize(
    "backbone",
    [
        name if name in ("mobilenetv3small", "xception") else pytest.param(name, marks=pytest.mark.long)
        for name in BACKBONES
    ],
)
def test_weights_come_back_as_keras_saved_them(backbone, tmp_path):
    model = architecture.build_model(backbone, max(32, BACKBONES[backbone].smallest_image), 3)
    architecture.open_layers(model, 5)
    saved = model.get_weights()
    model_files.save(model, tmp_path / "m.keras", DESCRIPTION)
    model.save_weights(tmp_path / "m.weights.h5")
    for name in ("m.keras", "m.weights.h5"):
        model.set_weights([np.zeros_like(array) for array in saved])
        model_files.load_weights(model, tmp_path / name)
        for found, wanted in zip(model.get_weights(), saved):
            np.testing.assert_array_equal(found, wanted)


def test_the_older_layout_of_keras_in_hdf5_is_read_too(model, tmp_path):
    saved = model.get_weights()
    save_in_older_layout(model, tmp_path / "m.h5")
    model.set_weights([np.zeros_like(array) for array in saved])
    model_files.load_weights(model, tmp_path / "m.h5")
    for found, wanted in zip(model.get_weights(), saved):
        np.testing.assert_array_equal(found, wanted)


ARRAY = "layers/dense/vars/0"


def replace(file, data=None, **made):
    """Puts another array in the place of the head's."""
    data = np.asarray(file[ARRAY]) if data is None else data
    del file[ARRAY]
    file.create_dataset(ARRAY, data=data, **made)


def external_storage(file, folder):
    shape = file[ARRAY].shape
    del file[ARRAY]
    file.create_dataset(ARRAY, shape, "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file, folder):
    shape = file[ARRAY].shape
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape)
    del file[ARRAY]
    file.create_virtual_dataset(ARRAY, layout)


def external_link(file, folder):
    shutil.copy(file.filename, folder / "other.h5")
    del file[ARRAY]
    file[ARRAY] = h5py.ExternalLink(str(folder / "other.h5"), ARRAY)


def references(file, folder):
    replace(file, np.array([file["layers"].ref], h5py.ref_dtype), dtype=h5py.ref_dtype)


def declares_much(file, folder):
    del file[ARRAY]
    file.create_dataset(ARRAY, (2**29,), "f4")


def declares_much_of_the_right_shape(file, folder):
    shape = file[ARRAY].shape
    del file[ARRAY]
    file.create_dataset(ARRAY, shape, "f4")


def declares_a_large_chunk(file, folder):
    del file[ARRAY]
    file.create_dataset(ARRAY, (4, 1), "f4", maxshape=(None, 1), chunks=(2**28, 1))


def nested(file, folder):
    file.create_group("/".join(["deep"] * 40))


HOSTILE = {
    "is there twice": [
        lambda file, _: file.__setitem__("layers/again", file["layers/dense"]),
        lambda file, _: file.__setitem__("layers/round", file["/"]),
    ],
    "is compressed, in pieces, or in another file": [
        external_storage,
        declares_a_large_chunk,
        lambda file, _: replace(file, compression="gzip"),
        lambda file, _: replace(file, chunks=True),
        virtual,
    ],
    "does not hold float32": [
        lambda file, _: replace(file, dtype="f8"),
        lambda file, _: replace(file, dtype=">f4"),
        lambda file, _: replace(file, dtype="i4"),
        lambda file, _: replace(file, np.zeros((4, 1), "f4,i4")),
    ],
    "lacks a part of its": [declares_much_of_the_right_shape],
    "has the shape": [lambda file, _: replace(file, np.zeros((2, 2), "f4")), declares_much, references],
    "are missing": [
        lambda file, _: file.__delitem__("layers/dense"),
        lambda file, _: file["layers/dense/vars"].move("0", "2"),
    ],
    "infinite or not a number": [lambda file, _: replace(file, np.full((4, 1), np.nan, "f4"))],
    "is a link": [lambda file, _: file.__setitem__("layers/soft", h5py.SoftLink("/layers/dense"))],
    "is neither a group nor an array": [external_link, lambda file, _: file.__setitem__("type", np.dtype("f4"))],
    "nested more than 20 deep": [nested],
}


@pytest.mark.parametrize(
    ("said", "change"),
    [(said, change) for said, changes in HOSTILE.items() for change in changes],
    ids=lambda value: value if isinstance(value, str) else "change",
)
def test_what_is_no_plain_array_is_refused(model, archive, tmp_path, said, change):
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        change(file, tmp_path)
    with memory_within(32 * MIB):
        assert said in refusal(model, path)
        assert said in refusal(model, edited(archive, tmp_path / "m.keras", "model.weights.h5", path.read_bytes()))


def test_weights_written_for_newer_readers_are_refused(model, tmp_path):
    path = tmp_path / "m.weights.h5"
    h5py.File(path, "w", libver="latest").close()
    assert "is not stored as Keras stores weights" in refusal(model, path)


def test_float16_is_taken(model, tmp_path):
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        replace(file, np.full((4, 1), 0.5, np.float16))
    before = model.get_weights()
    model_files.load_weights(model, path)
    assert model.layers[-1].get_weights()[0].tolist() == [[0.5]] * 4
    model.set_weights(before)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_than_deflate_is_refused(archive, tmp_path, method):
    with zipfile.ZipFile(archive) as source:
        data = source.read("metadata.json")
    path = edited(archive, tmp_path / "m.keras", "metadata.json", data, method)
    with pytest.raises(InputError, match="'metadata.json' is compressed otherwise than by deflate"):
        model_files.describe(path)


def test_a_deflated_archive_is_read(model, archive, tmp_path):
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name))
    assert model_files.describe(tmp_path / "m.keras") == DESCRIPTION
    model_files.load_weights(model, tmp_path / "m.keras")


def test_two_members_of_a_name_are_refused(archive, tmp_path):
    shutil.copy(archive, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("metadata.json", "{}")
    with pytest.raises(InputError, match="'metadata.json' is there twice"):
        model_files.describe(tmp_path / "m.keras")


def test_an_encrypted_member_is_refused(archive, tmp_path):
    data = bytearray(archive.read_bytes())
    # The flags, in the list at the end.
    data[data.rindex(b"PK\1\2") + 8] |= 1
    (tmp_path / "m.keras").write_bytes(data)
    with pytest.raises(InputError, match="'model.weights.h5' is encrypted"):
        model_files.describe(tmp_path / "m.keras")


@pytest.mark.parametrize("member", ["metadata.json", "config.json", "model.weights.h5"])
def test_a_member_that_inflates_to_a_gibibyte_takes_no_memory(model, archive, tmp_path, member):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as copy:
        for name in source.namelist():
            if name != member:
                copy.writestr(name, source.read(name))
        with copy.open(zipfile.ZipInfo(member), "w") as unpacked:
            unpacked.write(b" ")
        copy.infolist()[-1].compress_type = zipfile.ZIP_DEFLATED
    path.unlink()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as copy:
        for name in source.namelist():
            if name != member:
                copy.writestr(name, source.read(name))
        with copy.open(member, "w", force_zip64=True) as inflated:
            for _ in range(1024):
                inflated.write(bytes(MIB))
    with memory_within(32 * MIB), pytest.raises(InputError, match=f"{member}' would inflate from"):
        model_files.load(path)


def test_a_member_that_says_it_is_smaller_than_it_is_takes_no_memory(archive, tmp_path):
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = bomb.compress(bytes(256 * MIB)) + bomb.flush()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("metadata.json", data)
    changed = bytearray(content.getvalue())
    for start, method, size in ((0, 8, 22), (changed.rindex(b"PK\1\2"), 10, 24)):
        changed[start + method] = zipfile.ZIP_DEFLATED
        changed[start + size : start + size + 4] = (100).to_bytes(4, "little")
    (tmp_path / "m.keras").write_bytes(changed)
    with memory_within(16 * MIB), pytest.raises(InputError, match="not a model that dogcat.train wrote.*CRC"):
        model_files.describe(tmp_path / "m.keras")


def test_weights_that_no_backbone_has_are_not_loaded(tmp_path):
    path = save_model(tmp_path / "m.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "large.keras", "w") as copy:
        copy.writestr("metadata.json", source.read("metadata.json"))
        # As many bytes as they claim, of noise and zeros in turn, so that they inflate as weights might.
        with copy.open(zipfile.ZipInfo("model.weights.h5"), "w", force_zip64=True) as member:
            for _ in range(400):
                member.write(bytes(MIB))
    with memory_within(150 * MIB), pytest.raises(InputError, match="is the most that it can have"):
        model_files.load(tmp_path / "large.keras")


def test_a_description_of_a_million_classes_makes_no_head_for_them(archive, tmp_path):
    classes = json.dumps([f"{number:x}" for number in range(100_000)])
    content = f'{{"classes": {classes}, "image_size": 32, "resize": "stretch", "backbone": "vgg16"}}'
    path = edited(archive, tmp_path / "m.keras", "dogcat.json", content)
    with memory_within(64 * MIB), pytest.raises(InputError, match="has not the weights for 100,000 classes"):
        model_files.load(path)
    path = edited(archive, tmp_path / "n.keras", "dogcat.json", content.replace("[", "[" + '"x",' * 10**6))
    with memory_within(64 * MIB), pytest.raises(InputError, match="'dogcat.json' has 4,[0-9,]+ bytes, 1,048,576 is"):
        model_files.load(path)


def test_a_list_of_too_many_members_is_not_read(archive, tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(10_000):
            file.writestr(f"{number}", "")
    with pytest.raises(InputError, match="it lists 10000 members or more, too many for a model"):
        model_files.describe(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": ["cat"]}, r"classes in its description is \['cat'\], not two or more names"),
        ({"classes": ["cat", "cat"]}, "not two or more names"),
        ({"classes": "cat"}, "classes is 'cat', not a list"),
        ({"classes": ["cat", 1]}, r"classes\[1\] is 1, not a text"),
        ({"image_size": 0}, "image_size in its description is 0, not from 32 to 4096"),
        ({"image_size": 10**6}, "image_size in its description is 1000000, not from 32 to 4096"),
        ({"image_size": True}, "image_size is True, not a whole number"),
        ({"image_size": 32.0}, "image_size is 32.0, not a whole number"),
        ({"resize": "bend"}, "resize in its description is 'bend', not one of stretch, crop, pad"),
        ({"backbone": "x" * 10**5}, "backbone in its description is 'xxx"),
        ({"temperature": 0}, "temperature in its description is 0.0, not above 0"),
        ({"temperature": float("nan")}, "NaN is not a number of JSON"),
        ({"temperature": None}, "temperature is None, not a number"),
        ({"more": 1}, "unknown field 'more'"),
    ],
)
def test_each_field_of_a_description_is_named(archive, tmp_path, changes, said):
    content = json.dumps({**json.loads(model_files.description_json(DESCRIPTION)), **changes})
    path = edited(archive, tmp_path / "m.keras", "dogcat.json", content)
    with pytest.raises(InputError, match=said) as caught:
        model_files.describe(path)
    assert len(str(caught.value)) < 400


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "m.keras")
    with pytest.raises(InputError, match="is not a regular file"):
        model_files.describe(tmp_path / "m.keras")


def tried(call):
    """A check of one file that may be refused by what `model_files.load` makes one line of."""

    def load(given):
        try:
            call(given)
        except REFUSED as error:
            raise InputError(keras_files.said(error)) from error

    return load


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_archives_are_loaded_or_refused(model, archive, tmp_path, count):
    path = tmp_path / "m.keras"

    def load(data):
        path.write_bytes(data)
        model_files.describe(path)
        model_files.load_weights(model, path)

    with memory_within(64 * MIB):
        assert check(tried(load), mutations(archive.read_bytes(), count, seed=1)) > count // 2


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_hdf5_is_loaded_or_refused(model, archive, tmp_path, count):
    with zipfile.ZipFile(archive) as file:
        whole = file.read("model.weights.h5")
    path = tmp_path / "m.weights.h5"

    def load(data):
        path.write_bytes(data)
        model_files.load_weights(model, path)

    with memory_within(64 * MIB):
        assert check(tried(load), mutations(whole, count, seed=2)) > count // 4


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_damaged_variables_are_loaded_or_refused(model, saved_model, tmp_path, name, count):
    folder = shutil.copytree(saved_model, tmp_path / "saved")
    path: Path = folder / "variables" / name

    def load(data):
        path.write_bytes(data)
        model_files.load_weights(model, folder)

    with memory_within(64 * MIB):
        whole = path.read_bytes()
        assert check(tried(load), mutations(whole, count, seed=3)) > count // 2
        if name == "variables.index":
            assert check(tried(load), bundle_files.resealed(whole, count, seed=6)) > count // 2


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_descriptions_are_taken_or_refused(saved_model, tmp_path, count):
    folder = shutil.copytree(saved_model, tmp_path / "saved")

    def describe(data):
        (folder / "dogcat.json").write_bytes(data)
        model_files.describe(folder)

    content = json.loads((folder / "dogcat.json").read_bytes())
    assert check(describe, json_mutations(content, count, seed=4)) > count // 2
    assert check(describe, mutations((folder / "dogcat.json").read_bytes(), count, seed=5)) > count // 4
