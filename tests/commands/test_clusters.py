"""The commands through the workers of a Dask cluster on 127.0.0.1: what they write is what one process writes."""

from __future__ import annotations

import pytest
from conftest import ROOT, command, contents, start
from dask_cluster import DaskCluster, wait_until
from older_layout import save_in_older_layout
from small_runs import save_model

from dogcat.core.calls import WorkLostError
from dogcat.models import architecture
from dogcat.prediction import picture_sources, pieces
from dogcat.prediction.options import PredictionOptions


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with DaskCluster(tmp_path_factory.mktemp("cluster"), workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "m.keras")


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "other.keras", seed=1)


# A piece has 16 batches.
SMALL = ("--batch_size=1", "--columns=logit,probabilities")


def test_predictions_of_files_are_the_same_bytes(call, model_file, other_model, samples, cluster, tmp_path):
    for place, flags in (("one", ()), ("many", (f"--cluster={cluster.place}",))):
        (tmp_path / place).mkdir()
        done = call(
            *("dogcat.predict", f"--model={model_file},{other_model}", f"--images={samples / 'train'}"),
            *(f"--output={tmp_path / place / 'p.csv'}", "--tta=flip", *SMALL, *flags),
        )
        assert done.code == 0, done.err
    assert contents(tmp_path / "one") == contents(tmp_path / "many")
    assert sorted(contents(tmp_path / "one")) == ["p.csv", "p.unreadable.csv"]


def test_predictions_of_a_split_are_the_same_bytes(call, tfrecords, cluster, tmp_path):
    model = save_model(tmp_path / "m.keras", image_size=96)
    for place, flags in (("one", ()), ("many", (f"--cluster={cluster.place}",))):
        split = (f"--tfrecords={tfrecords}", "--split=train")
        done = call("dogcat.predict", f"--model={model}", *split, f"--output={tmp_path / place}.csv", *SMALL, *flags)
        assert done.code == 0, done.err
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "many.csv").read_bytes()


@pytest.mark.parametrize("source", ["split", "images"])
def test_an_evaluation_is_the_same_bytes(call, samples, tfrecords, cluster, tmp_path, source):
    model = save_model(tmp_path / "m.keras", image_size=96)
    other = save_model(tmp_path / "other.keras", image_size=96, seed=1)
    pictures = f"--tfrecords={tfrecords}" if source == "split" else f"--images={samples / 'train'}"
    for place, flags in (("one", ()), ("many", (f"--cluster={cluster.place}",))):
        common = (f"--model={model}", f"--against={other}", pictures, "--batch_size=1", "--resamples=100")
        done = call("dogcat.evaluate", *common, f"--output={tmp_path / place}", *flags)
        assert done.code == 0, done.err
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_a_survey_is_the_same_bytes(call, samples, cluster, tmp_path, monkeypatch):
    from dogcat.cleaning import pieces

    monkeypatch.setattr(pieces, "_PICTURES", 7)
    for place in ("", "local:2", cluster.place):
        folder = tmp_path / (place[:5] or "one")
        flags = (f"--images={samples / 'train'}", f"--output={folder}", *([f"--cluster={place}"] if place else []))
        assert call("tools.survey_images", *flags).code == 0
    tables = [(tmp_path / name / "survey.csv").read_bytes() for name in ("one", "local", "dask:")]
    assert tables[0] == tables[1] == tables[2]


def test_cleaning_is_the_same_files_also_when_a_worker_is_killed(samples, cluster, tmp_path, monkeypatch):
    from dogcat.cleaning import network_pieces, pieces
    from dogcat.cleaning.options import CleaningOptions
    from tools import clean_images

    monkeypatch.setattr(pieces, "_PICTURES", 7)
    monkeypatch.setattr(network_pieces, "_BATCHES", 1)
    of_pieces = pieces.of_pieces

    def killing(function, folder, keys, calls, what, size=0):
        for number, found in enumerate(of_pieces(function, folder, keys, calls, what, size)):
            if what == "features" and keys and number == 0:
                # Others were asked for meanwhile, of both workers.
                cluster.start_worker()
                cluster.workers[0].kill()
            yield found

    monkeypatch.setattr(pieces, "of_pieces", killing)
    weights = save_in_older_layout(architecture.make_backbone("tiny", 32), tmp_path / "tiny.h5")
    written = []
    for place in ("", cluster.place):
        # What one has computed the other must not find.
        monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / f"cache-{len(written)}"))
        options = CleaningOptions(
            images=str(samples / "train"),
            output=str(tmp_path / "out"),
            backbone="tiny",
            weights=str(weights),
            image_size=32,
            cluster=place,
        )
        clean_images.clean_images(options)
        written.append(contents(tmp_path / "out"))
    assert written[0] == written[1] and "suspects.csv" in written[0]


def test_cleaning_needs_workers_that_see_the_weights_and_have_the_same(samples, tmp_path):
    from dogcat.cleaning import network_pieces, pieces
    from dogcat.cleaning.network_pieces import WantedBackbone
    from dogcat.pictures import elsewhere

    missing = WantedBackbone(str(tmp_path / "none.h5"), "tiny", 32, 0)
    with pytest.raises(WorkLostError, match="does not see .*none.h5; mount it there"):
        network_pieces._compute_piece(missing, 1000, tmp_path, [])
    seen = elsewhere.seen_here(samples / "train", [])
    with pytest.raises(WorkLostError, match="has dogcat .*, the command 0.0; install that there"):
        pieces.do_piece(seen._replace(versions=(("dogcat", "0.0"),)), list, [])
    with pytest.raises(WorkLostError, match="does not see .*nowhere; mount the folder"):
        pieces.do_piece(seen._replace(folder=str(tmp_path / "nowhere")), list, [])


def test_a_prediction_that_was_stopped_goes_on_elsewhere(call, model_file, samples, cluster, tmp_path):
    common = ("dogcat.predict", f"--model={model_file}", f"--images={samples / 'train'}", *SMALL)
    assert call(*common, f"--output={tmp_path / 'whole.csv'}").code == 0
    stopped = call(*common, f"--output={tmp_path / 'p.csv'}", "--on_error=fail", f"--cluster={cluster.place}")
    assert stopped.code == 2 and "cannot be read" in stopped.err
    done = call(*common, f"--output={tmp_path / 'p.csv'}", "--resume")
    assert done.code == 0 and "going on after 16 pictures" in done.out
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_worker_that_is_killed_while_it_predicts_changes_no_byte(call, model_file, samples, tmp_path):
    common = (f"--model={model_file}", f"--images={samples / 'train'}", *SMALL)
    assert call("dogcat.predict", *common, f"--output={tmp_path / 'whole.csv'}").code == 0
    with DaskCluster(tmp_path, workers=2) as cluster:
        line = command("dogcat.predict", *common, f"--output={tmp_path / 'p.csv'}", f"--cluster={cluster.place}")
        with start(line, ROOT) as process:
            try:
                # It appears when the first worker has loaded the model.
                wait_until((tmp_path / "p.csv.partial").exists)
                cluster.workers[0].kill()
                _, err = process.communicate(timeout=200)
                assert process.returncode == 0, err
            finally:
                process.kill()
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_worker_with_another_model_or_manner_does_not_take_part(model_file, samples, tmp_path):
    options = PredictionOptions(model=str(model_file), images=str(samples / "test"))
    pictures = picture_sources.open_pictures(options)
    wrong = pieces.setup_for(pictures, [(model_file, "0" * 64)], options)
    with pytest.raises(WorkLostError, match="is another file there than here"):
        pieces.predict_piece(wrong, 0, [])
    missing = pieces.setup_for(pictures, [(tmp_path / "none.keras", "0" * 64)], options)
    with pytest.raises(WorkLostError, match="does not see .*none.keras"):
        pieces.check_worker(missing)
