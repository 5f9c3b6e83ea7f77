from __future__ import annotations

import base64
import concurrent.futures
import csv
import functools
import hashlib
import http.server
import json
import re
import shutil
import threading
import zipfile

import numpy as np
import pytest
import tiny_backbone
from conftest import draw
from fuzzing import check, full_disk, json_mutations, memory_within, tree
from older_layout import save_in_older_layout
from PIL import Image

from dogcat.cleaning import examine, folder_features, folder_pass, network_pieces, pieces
from dogcat.cleaning.imagenet import Classifier
from dogcat.cleaning.network_pieces import WantedClassifier
from dogcat.cleaning.options import CleaningOptions
from dogcat.core import flags, outputs
from dogcat.core.cache import cache_folder
from dogcat.core.calls import Calls, WorkLostError
from dogcat.core.options import InputError
from dogcat.dataset import manifest
from dogcat.models import weights, weights_download
from dogcat.prediction.picture_sources import PictureFiles
from tools import clean_images

FILES = ["exclude.txt", "review.html", "suspects.csv"]
LEFT = [outputs.MARKER, *FILES]
SMALL = ("--backbone=tiny", "--weights=none", "--image_size=32")
# To the features of `tiny` no picture is odd.
ODD = ("--backbone=vgg16", "--weights=none", "--image_size=32")


def rows(output) -> list[dict[str, str]]:
    with open(output / "suspects.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def clean(*arguments):
    return clean_images.clean_images(flags.parse(CleaningOptions, list(map(str, arguments))))


def stripes(generator, vertical: bool) -> np.ndarray:
    """A picture of stripes with noise: [48, 64, 3]."""
    lines = np.sin(np.arange(64 if vertical else 48) / 3 + generator.uniform(0, 6)) * 60 + 128
    image = np.broadcast_to(lines if vertical else lines[:, np.newaxis], (48, 64))
    return (image[..., np.newaxis] + generator.normal(0, 15, (48, 64, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """30 pictures of two kinds."""
    generator = np.random.default_rng(0)
    images = tmp_path / "in"
    images.mkdir()
    for number in range(15):
        for name in ("cat", "dog"):
            Image.fromarray(stripes(generator, name == "cat")).save(images / f"{name}.{number}.jpg", "PNG")
    return images


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A small network with 1000 outputs in which all dark pictures are of class 0, all bright ones of a dog."""
    from tensorflow import keras

    pictures = keras.Input((16, 16, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pictures))
    model = keras.Model(pictures, keras.layers.Dense(1000, activation="softmax")(mean))
    kernel, bias = np.zeros((3, 1000), np.float32), np.zeros(1000, np.float32)
    kernel[:, 200], bias[:100] = 100, 10
    model.layers[-1].set_weights([kernel, bias])
    path = tmp_path_factory.mktemp("classifier") / "small.keras"
    model.save(path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "cache"))


def test_features_find_what_is_planted_and_the_shard_tool_takes_the_files(fork, folder, tmp_path):
    shutil.copy(folder / "cat.3.jpg", folder / "dog.99.jpg")
    shutil.copy(folder / "dog.3.jpg", folder / "dog.98.jpg")
    Image.new("RGB", (40, 40), (9, 9, 9)).save(folder / "cat.97.jpg", "PNG")
    Image.fromarray(np.asarray(Image.open(folder / "cat.5.jpg"))[:20, :20]).save(folder / "cat.96.jpg", "PNG")
    (folder / "cat.95.jpg").write_bytes(b"no picture")
    done = fork("tools.clean_images", f"--images={folder}", f"--output={tmp_path}/out", *SMALL)
    assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == LEFT
    found = {row["path"]: row for row in rows(tmp_path / "out")}
    assert [int(row["rank"]) for row in rows(tmp_path / "out")] == list(range(1, len(found) + 1))
    scores = [float(row["score"]) for row in rows(tmp_path / "out")]
    assert scores == sorted(scores, reverse=True)
    kinds = {name: found[name]["kind"] for name in ("cat.3.jpg", "dog.99.jpg", "cat.95.jpg")}
    assert kinds == {"cat.3.jpg": "duplicate", "dog.99.jpg": "duplicate", "cat.95.jpg": "unreadable"}
    assert "equal pixel for pixel to cat.3.jpg, with different labels" in found["dog.99.jpg"]["reason"]
    assert "duplicate" in found["dog.98.jpg"]["kind"] + found["dog.98.jpg"]["reason"]
    assert "dog.3.jpg" not in found or found["dog.3.jpg"]["kind"] != "duplicate"
    assert "blank" in found["cat.97.jpg"]["kind"] + found["cat.97.jpg"]["reason"]
    assert "tiny" in found["cat.96.jpg"]["kind"] + found["cat.96.jpg"]["reason"]
    excluded = (tmp_path / "out" / "exclude.txt").read_text().splitlines()
    assert sorted(excluded) == ["cat.3.jpg", "cat.95.jpg", "dog.99.jpg"]

    (tmp_path / "labels.csv").write_text("path,label\ncat.1.jpg,dog\ncat.2.jpg,cat\n")
    choices = (f"--exclude={tmp_path}/out/exclude.txt", f"--labels={tmp_path}/labels.csv")
    done = fork("tools.make_tfrecords", f"--images={folder}", f"--output={tmp_path}/made", *choices, "--image_size=32")
    assert (done.code, done.err) == (0, "")
    options = manifest.load(tmp_path / "made").options
    assert options["exclude"]["removed"] == 3 and options["labels"]["changed"] == 1
    assert len(options["exclude"]["sha256"]) == len(options["labels"]["sha256"]) == 64


def test_auto_takes_the_first_and_most_bounds_the_list(folder, tmp_path):
    shutil.copy(folder / "cat.3.jpg", folder / "dog.99.jpg")
    (tmp_path / "earlier.txt").write_text("cat.9.jpg\n")
    exclude = f"--exclude={tmp_path}/earlier.txt"
    found, _ = clean(f"--images={folder}", f"--output={tmp_path}/out", "--most=4", "--auto=3", exclude, *SMALL)
    assert len(found) == 4 and "cat.9.jpg" not in [one.path for one in found]
    excluded = (tmp_path / "out" / "exclude.txt").read_text().splitlines()
    assert excluded == ["cat.9.jpg", *(one.path for one in found[:3])]


def test_the_page_leaves_out_what_is_certain_and_not_in_it(folder, tmp_path):
    for number in (95, 96, 97):
        (folder / f"cat.{number}.jpg").write_bytes(b"no picture")
    [shown], _ = clean(f"--images={folder}", f"--output={tmp_path}/out", "--most=1", *SMALL)
    page = (tmp_path / "out" / "review.html").read_text()
    [begins_with] = re.findall('data-earlier="(.*)"', page)
    certain = (tmp_path / "out" / "exclude.txt").read_text().splitlines()
    assert certain == ["cat.95.jpg", "cat.96.jpg", "cat.97.jpg"]
    assert base64.b64decode(begins_with).decode().splitlines() == [key for key in certain if key != shown.path]


def test_what_a_person_decided_stays_where_it_is(folder, tmp_path, capsys):
    output = tmp_path / "out"

    def clean_again(*more):
        arguments = (f"--images={folder}", f"--output={output}", *more, *SMALL)
        clean_images.main(flags.parse(CleaningOptions, list(arguments)))
        said = capsys.readouterr().out
        names = sorted(path.name for path in output.iterdir() if path.name.startswith("exclude"))
        command = next(line for line in said.splitlines() if "tools.make_tfrecords" in line)
        return names, said, command

    assert clean_again()[0] == clean_again("--auto=1")[0] == ["exclude.txt"]
    assert len((output / "exclude.txt").read_text().splitlines()) == 1
    (output / "exclude.txt").write_text("cat.5.jpg\n")
    for wanted in ("--auto=2", "--auto=3"):
        names, said, command = clean_again(wanted)
        assert names == ["exclude.1.txt", "exclude.txt"]
        assert f"the exclude.txt in {output} is not this program's and stays; see exclude.1.txt\n" in said
        assert f"save its exclude.txt as {output}/exclude.1.txt" in said
        assert f"--exclude={output}/exclude.1.txt" in command
        assert len((output / "exclude.1.txt").read_text().splitlines()) == int(wanted[-1])
    (output / "exclude.1.txt").write_text("cat.6.jpg\n")
    assert clean_again()[0] == ["exclude.1.txt", "exclude.2.txt", "exclude.txt"]
    assert (output / "exclude.txt").read_text() == "cat.5.jpg\n"
    assert (output / "exclude.1.txt").read_text() == "cat.6.jpg\n"


@pytest.mark.parametrize("name", ["suspects.csv", "review.html"])
def test_a_file_of_somebody_else_is_refused_before_the_work(folder, tmp_path, monkeypatch, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    monkeypatch.setattr(examine, "examine", None)
    with pytest.raises(InputError, match=f"out/{name}: is in the way"):
        clean(f"--images={folder}", f"--output={tmp_path}/out", *SMALL)
    assert tree(tmp_path / "out").keys() == {name}


def test_a_full_disk_leaves_what_was_there(folder, tmp_path, capsys):
    # In memory, what is printed needs no disk.
    arguments = (f"--images={folder}", f"--output={tmp_path}/out", *SMALL)
    clean(*arguments)
    before = tree(tmp_path / "out")
    (folder / "cat.95.jpg").write_bytes(b"no picture")
    for room in (0, 600, 10_000):
        with full_disk(room), pytest.raises(OSError) as error:
            clean(*arguments, "--auto=5")
        assert str(tmp_path / "out") in error.value.filename
        assert {**tree(tmp_path / "out"), outputs.MARKER: before[outputs.MARKER]} == before


def test_the_page_says_where_its_files_go_also_with_labels_of_an_earlier_round(folder, tmp_path, capsys):
    (tmp_path / "earlier.csv").write_text("path,label\ncat.1.jpg,dog\n")
    output = tmp_path / "out"
    for given, said in (
        ([], f"labels.csv as {output}/labels.csv; else leave out --labels. Then:"),
        (
            [f"--labels={tmp_path}/earlier.csv"],
            f"labels.csv as {output}/labels.csv, with the lines of {tmp_path}/earlier.csv added to it; else give "
            f"--labels={tmp_path}/earlier.csv. Then:",
        ),
    ):
        clean(f"--images={folder}", f"--output={output}", *given, *SMALL)
        text = re.sub("<[^>]*>", "", (output / "review.html").read_text())
        assert said in text and f"--exclude={output}/exclude.txt --labels={output}/labels.csv" in text
        assert "suggested to drop 0, to relabel 0, to look at" in capsys.readouterr().out


def test_pictures_without_a_class_are_named(folder, tmp_path, capsys):
    for name in ("holiday.jpg", "pic.jpg"):
        shutil.copy(folder / "cat.3.jpg", folder / name)
    clean(f"--images={folder}", f"--output={tmp_path}/out", *SMALL)
    assert "left out, since nothing tells their class: holiday.jpg and 1 other\n" in capsys.readouterr().out


def test_the_same_pictures_give_the_same_files_whatever_the_workers(folder, tmp_path):
    contents = []
    for workers in (1, 3):
        # The page names the folder that it is in.
        clean(f"--images={folder}", f"--output={tmp_path}/out", f"--workers={workers}", *SMALL)
        contents.append([(tmp_path / "out" / name).read_bytes() for name in FILES])
    assert contents[0] == contents[1]


def test_a_picture_above_the_usual_limit_is_seen_by_all_or_by_none(folder, tmp_path):
    Image.new("L", (9000, 9000), 200).save(folder / "cat.97.jpg", "JPEG", quality=30)
    places = (f"--images={folder}", f"--output={tmp_path}/out", "--most=50", *SMALL)
    assert "too_large" in {one.path: one.reason for one in clean(*places)[0]}["cat.97.jpg"]
    # A black one in its place would be an error.
    assert "too_large" not in str(clean(*places, "--max_pixels=100000000"))


def test_a_picture_that_goes_while_others_are_looked_at_is_named(folder, tmp_path):
    pictures = PictureFiles(folder, ["cat.3.jpg", "cat.4.jpg"])
    (folder / "cat.4.jpg").write_bytes(b"other")
    with pytest.raises(InputError, match="cat.4.jpg: could be read at first and now cannot .not_a_picture"):
        folder_pass.outputs(folder_features.open_backbone("tiny", "none", 32, seed=0), pictures, "features")


def test_a_network_in_pieces_gives_the_same_and_workers_that_differ_are_told(folder, classifier, monkeypatch):
    pictures = PictureFiles(folder, sorted(path.name for path in folder.iterdir()) * 3)
    wanted = WantedClassifier(str(classifier))
    whole = wanted.open().one_pass(pictures, "classifier")
    monkeypatch.setattr(network_pieces, "_BATCHES", 1)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        calls = Calls(executor, pieces.do_piece, at_once=2)
        assert (network_pieces.outputs(wanted, pictures, calls, "classifier") == whole).all()

        opened = []

        def open_another(wanted):
            opened.append(Classifier(wanted.source).network())
            opened[-1].made_from["classifier"] = str(len(opened))
            return opened[-1]

        monkeypatch.setattr(network_pieces, "_opened", open_another)
        monkeypatch.setenv("DOGCAT_CACHE", str(folder.parent / "other"))
        with pytest.raises(WorkLostError, match="another by .*small.keras at 16 .*; give them the same classifier"):
            network_pieces.outputs(wanted, pictures, calls, "classifier")


def test_a_classifier_of_imagenet_alone(folder, classifier, tmp_path):
    Image.new("RGB", (64, 48), (1, 1, 2)).save(folder / "cat.97.jpg", "PNG")
    clean(f"--images={folder}", f"--output={tmp_path}/out", "--method=imagenet", f"--classifier={classifier}")
    first = rows(tmp_path / "out")[0]
    assert first["path"] == "cat.97.jpg"
    assert "best cat or dog is number 101 of ImageNet's classes" in first["reason"]
    assert {row["kind"] for row in rows(tmp_path / "out")} <= {"neither", "blank"}


def test_both_methods_agree_before_a_picture_is_excluded(folder, classifier, tmp_path):
    # Dark ones are no pets to the classifier alone, an odd one among them to both.
    for number in range(6):
        picture = np.asarray(Image.open(folder / f"cat.{number}.jpg")) // 12
        Image.fromarray(picture).save(folder / f"cat.{number}.jpg", "PNG")
    clean(f"--images={folder}", f"--output={tmp_path}/out", "--method=all", f"--classifier={classifier}", *ODD)
    first = next(row for row in rows(tmp_path / "out") if row["kind"] == "neither")
    assert "held-out probability" in first["reason"] and "of ImageNet's classes" in first["reason"]
    assert (tmp_path / "out" / "exclude.txt").read_text() == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--images={0}/nowhere"], "nowhere does not exist"),
        (["--images={0}/one"], "all pictures are of one class, cat"),
        (["--images={0}/two"], "1 pictures of class cat are too few to judge by; give 5 or more of each class"),
        (["--images={0}/two", "--exclude={0}/exclude.txt"], "'dog.99.jpg' not among the pictures"),
        (["--images={0}/in", "--output={0}/in/out"], "lies in --images"),
        (["--method=imagenet", "--classifier={0}/nowhere.keras"], "nowhere.keras: no such file"),
        (["--method=imagenet", "--classifier={0}/exclude.txt"], "its name does not end in .keras"),
        (["--classifier={0}/any.keras"], "any.keras: goes with --method=imagenet or all"),
        (["--method=imagenet", "--backbone=vgg16"], "--backbone=vgg16: goes with --method=features or all"),
        (["--cluster=local:2", "--weights=none"], "--weights=none: is drawn anew by each worker; give imagenet or a"),
        (["--cluster=local:2", "--workers=2"], "--workers=2: --cluster tells where; leave it out"),
        (["--image_size=8"], "--image_size=8: use 71 to 4096 pixels for xception"),
        (["--top_n=1000"], "--top_n=1000: use 1 to 999"),
        (["--auto=-1"], "--auto=-1: use 1 or more, or 0 for only those that are certain"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder, tmp_path, given, said):
    draw(tmp_path / "one", *(f"cat.{i}.jpg" for i in range(9)))
    draw(tmp_path / "two", "cat.0.jpg", "dog.0.jpg")
    (tmp_path / "exclude.txt").write_text("dog.99.jpg\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as raised:
        clean(f"--images={folder}", f"--output={tmp_path}/out", *(flag.format(tmp_path) for flag in given))
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_ends_with_2(call, tmp_path):
    draw(tmp_path / "two", "cat.0.jpg", "dog.0.jpg")
    done = call("tools.clean_images", f"--images={tmp_path}/two", f"--output={tmp_path}/out")
    assert done.code == 2 and done.err.startswith("error: --images=") and len(done.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def save(path, outputs=1000, layer=None):
    from tensorflow import keras

    pictures = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(layer(pictures) if layer else pictures)
    keras.Model(pictures, keras.layers.Dense(outputs)(flat)).save(path)
    return path


def test_classifiers_that_are_refused(tmp_path):
    from tensorflow import keras

    with pytest.raises(InputError, match=r"has outputs \[\(10,\)\]; give a model with one of 1000"):
        Classifier(str(save(tmp_path / "ten.keras", 10)))
    with pytest.raises(InputError, match="Lambda"):
        Classifier(str(save(tmp_path / "lambda.keras", layer=keras.layers.Lambda(lambda x: x))))
    # HDF5 could hold code.
    save(tmp_path / "sound.keras").rename(tmp_path / "sound.h5")
    with pytest.raises(InputError, match=r"sound\.h5: its name does not end in \.keras"):
        Classifier(str(tmp_path / "sound.h5"))


def changed(path, change):
    """A classifier whose configuration was changed by hand."""
    sound = save(path.with_name("sound.keras"))
    with zipfile.ZipFile(sound) as archive, zipfile.ZipFile(path, "w") as odd:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            odd.writestr(name, data)
    return str(path)


def reads_a_file(config):
    layer = {"name": "lookup", "vocabulary": "/etc/passwd"}
    config["config"]["layers"][1].update(class_name="StringLookup", config=layer)


def hides_a_layer_in_a_layer(config):
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "inner"}}
    config["config"]["layers"][1]["config"]["activation"] = inner


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda config: config["config"]["layers"][1].update(module="os", class_name="system"), "a part os.system"),
        (reads_a_file, "a part keras.layers.StringLookup, which is not a standard layer of Keras: 'lookup'"),
        (
            lambda config: config["config"]["layers"][1].update(
                class_name="TextVectorization", config={"name": "t", "vocabulary": "file:///etc/passwd"}
            ),
            "a part keras.layers.TextVectorization",
        ),
        (
            lambda config: config["config"]["layers"][1].update(module=None, registered_name="Custom>Evil"),
            "a part None.Flatten",
        ),
        (
            lambda config: config["config"]["layers"][2]["config"].update(
                activation={"module": "os", "class_name": "function", "config": "abort", "registered_name": "abort"}
            ),
            "a part os.function",
        ),
        (lambda config: config["config"]["layers"][2]["config"].update(units=2**29), "more weights than its"),
        (lambda config: config["config"]["layers"][2]["config"].update(units=10**400), "digits"),
        (lambda config: config["config"]["layers"][2]["config"].update(units=999), "has the shape"),
        (lambda config: config["config"].pop("layers"), "give a .keras file"),
        (lambda config: config.update(config=None), "give a .keras file"),
    ],
)
def test_classifiers_that_do_more_than_classify_are_refused(tmp_path, change, said):
    path = changed(tmp_path / "odd.keras", change)
    with memory_within(2**27), pytest.raises(InputError, match=said) as caught:
        Classifier(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_layer_inside_of_a_layer_is_found(tmp_path):
    with pytest.raises(InputError, match="has a Lambda layer, 'inner'"):
        Classifier(changed(tmp_path / "odd.keras", hides_a_layer_in_a_layer))


def test_what_a_classifier_began_with_is_not_run(tmp_path):
    def begin_elsewhere(config):
        config["config"]["layers"][2]["config"]["kernel_initializer"] = {
            "module": "keras.initializers",
            "class_name": "Constant",
            "config": {"value": [1.0] * 7},
        }

    kernel = Classifier(changed(tmp_path / "odd.keras", begin_elsewhere))._model.layers[-1].get_weights()[0]
    assert kernel.std() > 0


@pytest.mark.parametrize("count", [30, pytest.param(600, marks=pytest.mark.long)])
def test_damaged_classifiers_are_taken_or_refused(tmp_path, count):
    path = save(tmp_path / "sound.keras")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def load(config):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**members, "config.json": config}.items():
                archive.writestr(name, data)
        Classifier(str(path))

    with memory_within(2**27):
        assert check(load, json_mutations(json.loads(members["config.json"]), count, seed=10)) > count // 4


def test_without_a_classifier_the_weights_of_xception_are_asked_for(monkeypatch, tmp_path):
    from tensorflow import keras

    def unreachable(url, folder):
        raise weights_download.Unavailable("not reached: no network")

    # Whatever the network is, which takes seconds to build.
    monkeypatch.setattr(keras.applications, "Xception", lambda **given: tiny_backbone.build(False, None, (71, 71, 3)))
    monkeypatch.setattr(weights_download, "download", unreachable)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(InputError, match="no ImageNet weights for xception with its top; give --classifier=FILE"):
        Classifier("")


def test_xception_with_its_top_is_fetched_and_is_what_keras_makes_of_it(monkeypatch, tmp_path):
    from tensorflow import keras

    # Not the trained weights, but the way that they take.
    keras.utils.set_random_seed(3)
    xception = keras.applications.Xception(weights=None)
    kernel, bias = xception.layers[-1].get_weights()
    xception.layers[-1].set_weights([kernel * 1e5, bias])
    served = tmp_path / "served" / "xception.h5"
    served.parent.mkdir()
    save_in_older_layout(xception, served)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served.parent)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *arguments: None)
    monkeypatch.setattr(weights, "_XCEPTION_TOP_MD5", hashlib.md5(served.read_bytes()).hexdigest())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(folder_pass, "BATCH_SIZE", 3)
    keys = [f"{number}.png" for number in range(3)]
    for number, picture in enumerate(np.random.default_rng(0).integers(0, 256, (3, 299, 299, 3), np.uint8)):
        Image.fromarray(picture // (1 + number)).save(tmp_path / keys[number])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(weights, "_XCEPTION_TOP_URL", f"http://127.0.0.1:{server.server_port}/xception.h5")
        scores = folder_pass.outputs(Classifier("").network(), PictureFiles(tmp_path, keys), "classifier")
        server.shutdown()
    pixels = np.stack([np.array(Image.open(tmp_path / key), np.float32) for key in keys])
    prepared = keras.applications.xception.preprocess_input(pixels)
    expected = np.log(xception.predict(prepared, verbose=0))
    assert expected.std(axis=1).min() > 0.1
    np.testing.assert_allclose(scores - scores[:, :1], expected - expected[:, :1], atol=1e-3)
    # From now on the copy in the cache does.
    assert str(cache_folder()) in Classifier("").name
