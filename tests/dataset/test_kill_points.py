"""Commands killed before every step that they do on the file system: nothing is lost, and the next call goes on."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import contents, draw, make
from killing import killed_at_each_step

from dogcat.core import files, outputs
from dogcat.core.options import InputError
from dogcat.dataset import encoding, manifest, output_folder, shard_index, staging, tfrecord, writer
from dogcat.dataset.encoding import Rejection
from dogcat.dataset.options import ShardOptions
from dogcat.pictures import folders, labels
from dogcat.prediction import partial, predictions
from dogcat.prediction.options import PredictionOptions
from dogcat.prediction.predictions import Predictions


@pytest.fixture(scope="module")
def old_and_new(tmp_path_factory):
    """Two data sets of the same pictures."""
    folder = tmp_path_factory.mktemp("made")
    images = draw(folder / "in", *(f"{name}.{number}.jpg" for name in ("cat", "dog") for number in range(3)))
    for name, quality in (("old", 50), ("new", 95)):
        make(images, folder / name, shards=2, quality=quality)
    return folder / "old", folder / "new"


def stage(source, output):
    """Writes a data set as the shard tool does, of the bytes of another."""
    options = ShardOptions(images=str(source.parent / "in"), output=str(output), overwrite=True)
    output = output_folder.usable_output(options)
    with staging.Staging(output, options, "digest") as stage:
        for split in manifest.read(source).splits.values():
            for shard in split.shards:
                if shard.name not in stage.finished:
                    with tfrecord.ShardFile(stage.folder / shard.name) as file:
                        file.append((source / shard.name).read_bytes(), shard.records)
                        file.finish()
                    index = shard_index.path_beside(stage.folder / shard.name)
                    files.write_atomically(index, (source / index.name).read_bytes())
                    stage.add(staging.FinishedShard(shard, [1, 1], [[0] * 3] * 3, []))
        for name in ("rejected.csv", manifest.FILE_NAME):
            files.write_atomically(stage.folder / name, (source / name).read_bytes())
        stage.put_in_place()


class InThisProcess:
    """Calls of the writer's workers, without processes of their own."""

    starmap = staticmethod(lambda calls: itertools.starmap(encoding.encode_chunk, calls))


def test_writing_goes_on_between_a_shard_and_its_index(old_and_new, tmp_path):
    new = old_and_new[1]
    output = tmp_path / "place" / "out"
    options = ShardOptions(str(new.parent / "in"), str(output), image_size=32, shards=2, quality=95)
    listing = folders.list_images(Path(options.images))
    pictures = labels.label_keys(listing, {}, [], "")
    seen = set()

    def begin():
        shutil.rmtree(output.parent, ignore_errors=True)
        output.parent.mkdir()

    def write():
        writer.write_data_set(writer.prepare(listing.folder, pictures, options), InThisProcess)

    for step in killed_at_each_step(write, begin, output.parent):
        if not output.exists():
            found = output.with_name("out.partial")
            seen.add(tuple(len(list(found.glob(f"*{ending}"))) for ending in (".tfrecord", shard_index.SUFFIX)))
            write()
        assert contents(output) == contents(new), step
    assert {(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 3)} <= seen


@pytest.mark.parametrize("folders_move", [True, False])
@pytest.mark.parametrize("replaces", [True, False])
def test_a_data_set_is_the_old_or_the_new_one_wherever_the_kill_came(
    old_and_new, tmp_path, monkeypatch, replaces, folders_move
):
    old, new = old_and_new
    place, output = tmp_path / "place", tmp_path / "place" / "out"
    rename = os.rename

    def rename_files(source, target):
        if os.fspath(source) == str(output) and os.path.isdir(source):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))
        rename(source, target)

    if not folders_move:
        monkeypatch.setattr(os, "rename", rename_files)

    def begin():
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
        if replaces:
            shutil.copytree(old, output)
        (place / "out.partial.txt").write_text("theirs")
        (place / ".out.tmp").write_text("theirs")

    seen = set()
    for step in killed_at_each_step(lambda: stage(new, output), begin, place):
        with pytest.raises(InputError) if (replaces or output.exists()) else contextlib.nullcontext():
            output_folder.usable_output(ShardOptions(images=str(old.parent / "in"), output=str(output)))
        found = contents(output) if output.exists() else None
        assert found in ([contents(old), contents(new)] if replaces else [None, contents(new)]), step
        seen.add(found == contents(new))
        stage(new, output)
        assert contents(output) == contents(new), step
        # Of a folder that was just begun or had just become of no use no more is left than its mark.
        left = [path for path in place.iterdir() if files.is_temporary(path.name)]
        assert sum(path.stat().st_size for one in left for path in one.rglob("*") if path.is_file()) < 1000
        assert {path.name for path in place.iterdir()} - {path.name for path in left} == {
            *("out", "out.partial.txt", ".out.tmp")
        }
    assert step > 30 and seen == {True, False}


def test_a_set_of_files_is_ours_still_wherever_the_kill_came(tmp_path):
    folder = tmp_path / "place"
    old, new = ({name: name.encode() * count for name in ("a.csv", "b.json")} for count in (5, 9))

    def begin():
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / "theirs").write_text("theirs")
        outputs.write(folder, old)

    for step in killed_at_each_step(lambda: outputs.write(folder, new), begin, folder):
        for name in new:
            assert (folder / name).read_bytes() in (old[name], new[name]), step
        outputs.write(folder, new)
        assert {name: (folder / name).read_bytes() for name in new} == new
        assert (folder / "theirs").read_text() == "theirs"
    assert step > 8


def predict(output, value):
    """Does as `dogcat.predict` does, with a number for a model."""
    keys = [f"{number}.jpg" for number in range(6)]
    options = PredictionOptions(output=str(output), resume=True)
    predictions.check_output(options, ["cat", "dog"])
    with partial.PartialPredictions(options, {"model": [value]}, keys, (1, 1)) as found:
        while found.pictures < len(keys):
            bad = [Rejection(keys[found.pictures], "truncated", f"{value}")]
            found.add(np.full((2, 1, 1), value, np.float32), bad)
    log_probabilities = np.log([[0.5, 0.5]] * len(keys))
    predicted = Predictions([f"{value}"] * len(keys), keys, log_probabilities, found.rejections, ["cat", "dog"])
    predictions.write(predicted, options)
    partial.path_beside(output).unlink()


def test_a_prediction_goes_on_wherever_the_kill_came(tmp_path):
    folder, output = tmp_path / "place", tmp_path / "place" / "s.csv"
    made = {}
    for value in (0.5, 0.25):
        folder.mkdir(exist_ok=True)
        predict(output, value)
        made[value] = contents(folder)
        assert sorted(made[value]) == ["s.csv", "s.unreadable.csv"]

    def begin():
        shutil.rmtree(folder)
        folder.mkdir()
        predict(output, 0.5)

    for step in killed_at_each_step(lambda: predict(output, 0.25), begin, folder):
        for name, content in made[0.25].items():
            assert (folder / name).read_bytes() in (content, made[0.5][name]), step
        predict(output, 0.25)
        left = {path.name: path.read_bytes() for path in folder.iterdir() if not files.is_temporary(path.name)}
        assert left == made[0.25], step
    assert step > 8
