from __future__ import annotations

import importlib
import subprocess
import sys
import threading

import pytest
from conftest import ROOT, environment
from tensorflow import keras

import dogcat
from dogcat.library import runs
from dogcat.prediction.options import EvaluationOptions
from dogcat.training.options import TrainingOptions

SMALL = {"backbone": "tiny", "weights": "none", "head": "random", "precision": "float32"}


@pytest.fixture(scope="module")
def run(tfrecords, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = {"tfrecords": tfrecords, "runs": folder, **SMALL}
    return dogcat.train(options, epochs=1, unfreeze_from="conv2", batch_size=8)


def test_a_run_tells_how_it_went(run):
    assert [record.epoch for record in run.history] == [0, 1]
    assert run.best.val_loss == min(record.val_loss for record in run.history)
    assert run.report == run.folder / "report.html" and run.report.is_file()
    assert run.options["backbone"] == "tiny" and run.options["epochs"] == 1
    again = dogcat.open_run(run.folder)
    # Of epoch 0 some figures are nan, which equals nothing.
    assert repr((again.history, again.best, again.folder)) == repr((run.history, run.best, run.folder))
    assert run.model().classes == ["cat", "dog"] and "best epoch" in repr(run)


def test_evaluation_gives_metrics_with_intervals(run, tfrecords):
    given = {"model": run.folder, "tfrecords": tfrecords, "tta": "none", "precision": "float32", "engine": "tensorflow"}
    evaluation = dogcat.evaluate(given)
    log_loss = evaluation.metrics["log_loss"]
    assert (
        log_loss.value == pytest.approx(run.best.val_loss, abs=1e-4) and log_loss.low < log_loss.value < log_loss.high
    )
    assert evaluation.differences == {} and len(evaluation.predictions.keys) == 14
    two = dogcat.evaluate(given, against=str(run.folder / "last.keras"))
    assert "accuracy" in two.differences


def test_the_callers_precision_stays(run, tfrecords):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        dogcat.evaluate(model=run.folder, tfrecords=tfrecords, precision="float32")
        assert keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_training_works_in_another_thread(tfrecords, tmp_path):
    trained = []
    thread = threading.Thread(
        target=lambda: trained.append(dogcat.train(tfrecords=tfrecords, runs=tmp_path, epochs=0, report=False, **SMALL))
    )
    thread.start()
    thread.join()
    assert trained[0].history[0].epoch == 0 and trained[0].report is None


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_the_module_of_a_command_is_called_like_the_function(name):
    module = importlib.import_module(f"dogcat.{name}")
    assert callable(module.main)
    with pytest.raises(TypeError, match="'epoc' is not an option"):
        module({"epoc": 1})
    with pytest.raises(TypeError, match="'epoc' is not an option"):
        getattr(dogcat, name)(epoc=1)


def test_wrong_options_are_named(run):
    for given, error, said in (
        ({"learning_rat": 1.0}, TypeError, "did you mean 'learning_rate'"),
        ({"epochs": 1.5}, TypeError, "epochs is 1.5; it must be of type int"),
        ({"epochs": True}, TypeError, "epochs is True"),
        ({"report": 1}, TypeError, "report is 1"),
        ({"epochs": -1}, dogcat.InputError, "--epochs=-1: use 1 or more"),
        ({"dry_run": True}, dogcat.InputError, "dry_run=True: is for the command"),
        ({"find_lr": True}, dogcat.InputError, "find_lr=True: is for the command"),
        ({"tfrecords": "/no/such"}, dogcat.InputError, "/no/such does not exist"),
    ):
        with pytest.raises(error, match=said):
            dogcat.train(given)
    with pytest.raises(dogcat.InputError, match="save_temperature=True: is for the command"):
        dogcat.evaluate(save_temperature=True)
    with pytest.raises(TypeError, match="epochs: give it within the options"):
        dogcat.train(TrainingOptions(), epochs=1)


def test_options_may_be_those_of_the_command():
    assert runs._options(EvaluationOptions, EvaluationOptions(split="train"), {}).split == "train"
    assert runs._options(TrainingOptions, {"learning_rate": 1}, {}).learning_rate == 1.0
    # Without a recipe of its own it is the command's.
    assert runs._options(TrainingOptions, None, {}) == TrainingOptions.from_given({})


def test_the_public_names_are_those_that_are_listed():
    assert set(dogcat.__all__) <= set(dir(dogcat)) and "__version__" in dir(dogcat)
    for name in dogcat.__all__:
        assert getattr(dogcat, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        getattr(dogcat, "trian")  # noqa: B009, as a program would


def test_importing_it_imports_next_to_nothing():
    program = (
        "import sys, dogcat; dir(dogcat); print([name for name in sys.modules if name in ('numpy', 'tensorflow')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_keras_on_another_backend_is_refused(tmp_path):
    (tmp_path / "other.py").write_text(
        "import types, dogcat\nfrom dogcat.core import runtime\nruntime.prepare()\n"
        "from tensorflow import keras\nkeras.backend.backend = lambda: 'jax'\n"
        "try:\n    dogcat.load_model('nowhere')\nexcept dogcat.InputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "other.py"], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert "KERAS_BACKEND=jax: dogcat computes with TensorFlow" in done.stdout, done.stderr
