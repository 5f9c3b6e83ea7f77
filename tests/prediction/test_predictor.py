"""Prediction: what comes out for which pictures, models and options."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import shutil

import numpy as np
import pytest
from conftest import draw, make, touch
from scipy import special
from small_runs import save_model
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.models import architecture, devices, model_files, workers
from dogcat.pictures import decode, resizing
from dogcat.pictures.geometry import MAX_PIXELS
from dogcat.prediction import partial, predictor, runner
from dogcat.prediction.options import PredictionOptions
from tools import make_report


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "m.keras")


@pytest.fixture
def predict(model_file, tmp_path):
    """Predicts with the small model, unless the options say otherwise."""

    def run(**given):
        given = {"model": str(model_file), "output": str(tmp_path / "p.csv"), **given}
        options = PredictionOptions.from_given({name: given[name] for name in given})
        predicted = predictor.predict(options)
        partial.path_beside(tmp_path / "p.csv").unlink()
        return predicted

    return run


def of_dogs(predicted):
    """Probability of the second class by key."""
    return dict(zip(predicted.keys, np.exp(predicted.log_probabilities[:, 1])))


def assert_same(first, second, tolerance):
    assert first.keys() == second.keys()
    np.testing.assert_allclose([first[key] for key in second], list(second.values()), rtol=0, atol=tolerance)


def test_every_picture_has_its_row_in_order(predict, samples):
    predicted = predict(images=str(samples / "test"), batch_size=5)
    count = len(list((samples / "test").glob("*.jpg")))
    assert count % 5
    assert predicted.ids == [str(i) for i in range(1, count + 1)]
    assert predicted.keys == [f"{i}.jpg" for i in range(1, count + 1)]
    assert predicted.classes == ["cat", "dog"]
    [unreadable] = predicted.unreadable
    assert unreadable.reason == "truncated"
    assert of_dogs(predicted).pop(unreadable.key) == pytest.approx(0.5)
    assert np.ptp(list(of_dogs(predicted).values())) > 0.05


@pytest.mark.parametrize(
    ("strategy", "engine"), [("one_device", "tensorflow"), ("one_device", "openvino"), ("mirrored", "tensorflow")]
)
def test_batch_size_and_strategy_change_nothing(predict, samples, strategy, engine):
    one = of_dogs(predict(images=str(samples / "test"), batch_size=1, strategy="one_device", engine=engine))
    for batch_size in (4, 64):
        other = predict(images=str(samples / "test"), batch_size=batch_size, strategy=strategy, engine=engine)
        assert_same(of_dogs(other), one, 1e-4)


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_both_engines_give_the_same(predict, samples, tta):
    given = {"images": str(samples / "test"), "precision": "float32", "tta": tta}
    assert_same(of_dogs(predict(**given, engine="openvino")), of_dogs(predict(**given, engine="tensorflow")), 1e-4)


def test_equals_keras_on_the_same_pixels(predict, model_file, samples, tmp_path):
    names = sorted(path.name for path in (samples / "train").glob("cat.[0-9].jpg"))[:4]
    (tmp_path / "some").mkdir()
    for name in names:
        shutil.copy(samples / "train" / name, tmp_path / "some")
    decoded = [decode.decode((tmp_path / "some" / name).read_bytes(), MAX_PIXELS, 32) for name in names]
    pixels = [resizing.resize(picture.rgbx, 32, "stretch")[:, :, :3] for picture in decoded]
    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    logits = architecture.logits_model(model_files.load(model_file)[0])
    mirrored = [view[:, ::-1] for view in pixels]
    of_views = logits.predict(np.stack([*pixels, *mirrored]), verbose=0).reshape(2, len(names))
    expectations = {"none": of_views[0], "flip": of_views.mean(axis=0)}
    for tta, expected in expectations.items():
        predicted = predict(images=str(tmp_path / "some"), tta=tta, engine="tensorflow")
        assert predicted.keys == names
        np.testing.assert_allclose(list(of_dogs(predicted).values()), special.expit(expected), atol=1e-4)


def test_a_pattern_passes_over_what_is_no_model(predict, model_file, samples, tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    shutil.copy(model_file, tmp_path / "runs" / "a" / "best.keras")
    (tmp_path / "runs" / "comparison.html").write_text("a page")
    given = {"images": str(samples / "test"), "model": str(tmp_path / "runs" / "*")}
    assert of_dogs(predict(**given)) == of_dogs(predict(images=given["images"]))
    assert make_report.find_runs(given["model"]) == [tmp_path / "runs" / "a"]
    # And one that fits nothing else fits none.
    pages = str(tmp_path / "runs" / "*.html")
    with pytest.raises(InputError, match="fits no folder"):
        make_report.find_runs(pages)
    with pytest.raises(InputError, match="fits no file and no folder"):
        predict(images=given["images"], model=pages)


def test_weights_that_give_no_numbers_are_refused(predict, samples, tmp_path):
    damaged = save_model(tmp_path / "damaged.keras", spread=np.nan)
    with pytest.raises(InputError, match=r"damaged\.keras.* an element that is infinite or not a number"):
        predict(images=str(samples / "test"), model=str(damaged))


@pytest.mark.parametrize(("options", "tolerance"), [({"quality": 95}, 1e-2), ({"encoding": "png"}, 1e-6)])
def test_a_data_set_is_predicted_as_the_folder_it_was_made_from(predict, samples, tmp_path, options, tolerance):
    # Random weights heed the finest detail, which is what JPEG changes, the more so the smaller the picture is.
    model = save_model(tmp_path / "m.keras", image_size=96, spread=0.5)
    predict = functools.partial(predict, model=str(model))
    make(samples / "train", tmp_path / "data", image_size=96, shards=2, validation=0.3, **options)
    of_folder = predict(images=str(samples / "train"), batch_size=16)
    unreadable = {picture.key for picture in of_folder.unreadable}
    assert unreadable
    of_records = {}
    for split in ("train", "validation"):
        predicted = predict(tfrecords=str(tmp_path / "data"), split=split, batch_size=7)
        assert predicted.ids == sorted(predicted.ids, key=of_folder.ids.index) and not predicted.unreadable
        of_records |= of_dogs(predicted)
    expected = {key: value for key, value in of_dogs(of_folder).items() if key not in unreadable}
    assert_same(of_records, expected, tolerance)


def test_an_unlabelled_data_set_has_one_split(predict, samples, tmp_path):
    make(samples / "test", tmp_path / "data", unlabeled=True, encoding="png")
    predicted = predict(tfrecords=str(tmp_path / "data"))
    of_folder = of_dogs(predict(images=str(samples / "test"), on_error="skip"))
    assert list(of_dogs(predicted)) == list(of_folder)
    assert_same(of_dogs(predicted), of_folder, 1e-6)


@pytest.fixture
def three_models(tmp_path):
    folder = tmp_path / "three"
    for number, temperature in enumerate((1.0, 2.0, 0.5)):
        (folder / f"run-{number}").mkdir(parents=True)
        save_model(folder / f"run-{number}" / "best.keras", seed=number, temperature=temperature)
    return folder


def test_an_ensemble_averages_logits_or_probabilities(predict, three_models, samples):
    test = str(samples / "test")
    folders = [str(three_models / f"run-{number}") for number in range(3)]
    each = np.stack([list(of_dogs(predict(model=folder, images=test)).values()) for folder in folders])
    assert np.ptp(each, axis=0).max() > 0.1
    expected = {"logits": special.expit(special.logit(each).mean(axis=0)), "probabilities": each.mean(axis=0)}
    for average, mean in expected.items():
        for model in (",".join(folders), str(three_models / "run-*")):
            together = of_dogs(predict(model=model, images=test, average=average))
            np.testing.assert_allclose(list(together.values()), mean, atol=1e-5)


def test_the_temperature_divides_the_logits(predict, samples, tmp_path):
    path = save_model(tmp_path / "m.keras", classes=["cat", "dog", "owl"])
    given = {"model": str(path), "images": str(samples / "test")}
    plain = predict(**given)
    assert plain.classes == ["cat", "dog", "owl"]
    assert np.ptp(np.exp(plain.log_probabilities), axis=0).max() > 0.1
    softened = special.softmax(plain.log_probabilities / 2, axis=1)
    np.testing.assert_allclose(np.exp(predict(**given, temperature=2.0).log_probabilities), softened, atol=1e-6)
    model_files.store_temperature(path, 2.0)
    np.testing.assert_allclose(np.exp(predict(**given).log_probabilities), softened, atol=1e-6)


def test_one_picture_and_lists_of_pictures(predict, samples, tmp_path, monkeypatch):
    of_folder = of_dogs(predict(images=str(samples / "test")))
    names = ["3.jpg", "10.jpg", "2.jpg"]
    assert_same(of_dogs(predict(images=str(samples / "test" / "3.jpg"))), {"3.jpg": of_folder["3.jpg"]}, 1e-4)
    relative = "\ufeff3.jpg\r\n\r\n" + json.dumps("10.jpg") + "\n2.jpg"
    (tmp_path / "list.txt").write_text(relative)
    (tmp_path / "absolute.txt").write_text("".join(f"{samples / 'test' / name}\n" for name in names))
    monkeypatch.chdir(samples / "test")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(relative.encode())))
    for place in (tmp_path / "list.txt", "-", tmp_path / "absolute.txt"):
        predicted = predict(images=str(place))
        assert predicted.ids == ["2", "3", "10"]
        found = {key.rsplit("/", 1)[-1]: value for key, value in of_dogs(predicted).items()}
        assert_same(found, {name: of_folder[name] for name in names}, 1e-4)


def test_names_that_repeat_are_told_apart_by_their_paths(predict, tmp_path):
    draw(tmp_path / "in", "a/1.png", "b/1.png", "b/2.png")
    touch(tmp_path / "in", "c/1.png")
    predicted = predict(images=str(tmp_path / "in"))
    assert predicted.ids == predicted.keys == ["a/1.png", "b/1.png", "b/2.png", "c/1.png"]
    skipped = predict(images=str(tmp_path / "in"), on_error="skip")
    assert skipped.ids == ["a/1.png", "b/1.png", "b/2.png"]
    assert skipped.unreadable == predicted.unreadable != []
    # Without a readable picture every row is the prior.
    touch(tmp_path / "bad", "1.png")
    assert of_dogs(predict(images=str(tmp_path / "bad"))) == {"1.png": pytest.approx(0.5)}


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory):
    """A folder with what cannot be used."""
    folder = tmp_path_factory.mktemp("bad")
    save_model(folder / "good.keras")
    save_model(folder / "owls.keras", classes=["cat", "owl"])
    save_model(folder / "larger.keras", image_size=48)
    save_model(folder / "padded.keras", resize="pad")
    draw(folder / "pictures", "cat.1.png", "cat.2.png", "dog.1.png", "dog.2.png")
    touch(folder / "pictures", "x.png")
    make(folder / "pictures", folder / "labelled", exclude=str(write(folder / "x.txt", "x.png\n")), validation=0.5)
    make(folder / "pictures", folder / "test", unlabeled=True)
    (folder / "broken").mkdir()
    for path in (folder / "test").iterdir():
        content = path.read_bytes()
        at = len(content) // 2
        is_shard = path.suffix == ".tfrecord"
        (folder / "broken" / path.name).write_bytes(content[:at] + b"XYZ" + content[at + 3 :] if is_shard else content)
    (folder / "binary.txt").write_bytes(b"\x00\x01")
    write(folder / "blank.txt", "\n\n")
    write(folder / "twice.txt", "a.png\nb.png\na.png\n")
    (folder / "nothing").mkdir()
    write(folder / "text.keras", "no model")
    return folder


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "/no/run"}, "--model=/no/run: no model there"),
        ({"model": "good.keras,/no/run"}, "--model=/no/run: no model there"),
        ({"model": "runs/*"}, "--model=runs/*: fits no file and no folder"),
        ({"model": "text.keras"}, "text.keras is not a model"),
        ({"model": "good.keras,owls.keras"}, "--model=owls.keras: knows cat, owl, and not cat, dog"),
        ({"model": "good.keras,larger.keras"}, "--model=larger.keras: made for pictures of 48 pixels (stretch)"),
        ({"model": "good.keras,padded.keras"}, "--model=padded.keras: made for pictures of 32 pixels (pad)"),
        ({"model": "larger.keras", "tfrecords": "test"}, "made for pictures of 48 pixels (stretch), test has 32"),
        ({"model": "owls.keras", "tfrecords": "labelled", "split": "train"}, "knows cat, owl, and not cat, dog"),
        ({"tfrecords": "labelled"}, "--tfrecords=labelled: has the splits train, validation; choose one with --split"),
        ({"tfrecords": "test", "split": "train"}, "--split=train: test has no such split; use one of test"),
        ({"tfrecords": "broken"}, "00001.tfrecord is damaged: record 2: its length is not what the index says"),
        ({"tfrecords": "/no/data"}, "/no/data does not exist"),
        ({"images": "/no/images"}, "/no/images does not exist"),
        ({"images": "nothing"}, "nothing holds no picture"),
        ({"images": "binary.txt"}, "--images=binary.txt: is not text, since line 1 holds a zero byte"),
        ({"images": "blank.txt"}, "--images=blank.txt: names no picture"),
        ({"images": "twice.txt"}, "--images=twice.txt: line 3 names 'a.png' again, after line 1"),
        ({"images": "pictures", "output": "none/p.csv"}, "does not exist; make it first"),
        ({"images": "pictures", "output": "folder.csv"}, "--output=folder.csv: is not a file"),
        ({"images": "pictures", "columns": "path,path"}, "two columns would be called 'path'"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(bad_inputs, tmp_path, monkeypatch, changes, said):
    monkeypatch.chdir(bad_inputs)
    (bad_inputs / "folder.csv").mkdir(exist_ok=True)
    before = sorted(bad_inputs.iterdir())
    given = {"model": "good.keras", "output": str(tmp_path / "p.csv"), **changes}
    if "tfrecords" not in given:
        given = {"images": "pictures", **given}
    with pytest.raises(InputError) as caught:
        predictor.predict(PredictionOptions.from_given(given))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [] and sorted(bad_inputs.iterdir()) == before


def test_with_fail_the_first_unreadable_picture_ends_it(predict, bad_inputs, tmp_path):
    given = {"images": str(bad_inputs / "pictures"), "batch_size": 2}
    with pytest.raises(InputError, match="--on_error=fail: x.png cannot be read: empty"):
        predict(**given, on_error="fail")
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv.partial"]
    # What was computed is not lost, but still fails.
    with pytest.raises(InputError, match="--on_error=fail: x.png cannot be read: empty"):
        predict(**given, on_error="fail", resume=True)
    assert len(predict(**given, resume=True).ids) == 5


def test_the_given_options_are_used(monkeypatch):
    chosen = []
    monkeypatch.setattr(devices, "make_strategy", lambda name, alone: chosen.append(name))
    monkeypatch.setattr(devices, "choose_engine", lambda *given: given)
    _, engine = runner.choose_devices("mixed_bfloat16", "mirrored", "tensorflow")
    assert chosen == ["mirrored"]
    assert engine == ("tensorflow", "mixed_bfloat16", None)
    assert keras.mixed_precision.global_policy().name == "mixed_bfloat16"


def test_prediction_stays_in_its_process_where_training_would_not(monkeypatch):
    cluster = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    strategy, _ = runner.choose_devices("float32", "auto", "tensorflow")
    assert not workers.are_several(strategy) and strategy.num_replicas_in_sync == 1


def test_images_and_tfrecords_exclude_each_other():
    assert PredictionOptions.from_given({"tfrecords": "data"}).images == ""
    for given, flag in (
        ({"images": "a", "tfrecords": "b"}, "images=a: give either"),
        ({"images": ""}, "images=: give either"),
        ({"split": "test"}, "split=test: goes with --tfrecords"),
        ({"output": "p.txt"}, "output=p.txt: use a name that ends in .csv or .jsonl"),
        ({"columns": "path,size"}, "columns=path,size: use some of path,class,logit,probabilities"),
        ({"temperature": -1.0}, "temperature=-1.0: use more than 0, or 0 for what is stored with each model"),
    ):
        with pytest.raises(InputError, match=flag):
            PredictionOptions.from_given(given)
    assert dataclasses.asdict(PredictionOptions())["images"] == "data/test"
