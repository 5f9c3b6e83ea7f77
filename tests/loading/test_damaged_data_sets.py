"""Data sets whose manifest or shards are damaged: read, verified, trained on; one line, nothing changed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from pathlib import Path

import fuzzing
import numpy as np
import pytest
from conftest import command, start
from shard_files import ENCODINGS, make_in_each_encoding
from small_runs import save_model, small_run

from dogcat import predict
from dogcat.core import files
from dogcat.core.options import InputError
from dogcat.dataset import manifest, shard_plan, verify
from dogcat.loading import damage, readers, records
from dogcat.prediction.options import PredictionOptions
from dogcat.training import run
from tools import inspect_tfrecords
from tools.inspect_tfrecords import InspectOptions

COUNTS = [60, pytest.param(2_500, marks=pytest.mark.long)]


@pytest.fixture(scope="module")
def data_sets(samples, tmp_path_factory):
    return make_in_each_encoding(samples / "train", tmp_path_factory.mktemp("data_sets"))


def copy_of(data_sets, encoding, tmp_path):
    copy = shutil.copytree(data_sets / encoding, tmp_path / encoding)
    return copy, copy / shard_plan.shard_name("train", 0, 2)


def read_all(folder):
    """What training and prediction read: the manifest, both splits with their keys, and every picture."""
    made = manifest.load(folder, "train", "validation")
    for split in made.splits:
        reader = readers.open_split(folder, made, split)
        assert len(reader.keys) == len(reader.labels)
        with damage.naming_damage():
            readers.take(reader, np.arange(len(reader.labels)))


def inspect(folder, capsys):
    """What inspect prints; it refuses nothing that stands in a data set's place."""
    assert inspect_tfrecords.main(InspectOptions(str(folder), verify=True)) in (0, 1)
    printed = capsys.readouterr().out
    assert all(len(line) < 4 * fuzzing.LONGEST_MESSAGE for line in printed.splitlines())
    return printed


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_damaged_manifests(data_sets, tmp_path, capsys, encoding, count):
    folder, _ = copy_of(data_sets, encoding, tmp_path)
    path = folder / manifest.FILE_NAME
    text = path.read_bytes()
    each = count // 3
    damaged = itertools.chain(
        fuzzing.json_mutations(json.loads(text), each, seed=1), fuzzing.mutations(text, each // 2, seed=2)
    )
    before = fuzzing.tree(folder)

    def call(content):
        path.write_bytes(content)
        inspect(folder, capsys)
        read_all(folder)

    with fuzzing.memory_within(2**27):
        refused = fuzzing.check(call, damaged)
    assert refused > each / 2
    path.write_bytes(text)
    assert fuzzing.tree(folder) == before


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("agree", [False, True], ids=["found", "agreed"])
def test_damaged_shards(data_sets, tmp_path, capsys, encoding, count, agree):
    folder, shard = copy_of(data_sets, encoding, tmp_path)
    path = folder / manifest.FILE_NAME
    content, text = shard.read_bytes(), path.read_bytes()
    before = fuzzing.tree(folder)

    def call(damaged):
        shard.write_bytes(damaged)
        made = json.loads(text)
        # As of records that were written so: size and hash are those of the manifest.
        if agree:
            made["splits"]["train"]["shards"][0].update(bytes=len(damaged), sha256=files.sha256_of(shard))
        path.write_text(json.dumps(made))
        is_changed = damaged != content
        assert ("problem" in inspect(folder, capsys)) == is_changed
        try:
            read_all(folder)
        except InputError as error:
            assert str(folder) in str(error)
            raise

    with fuzzing.memory_within(2**27):
        refused = fuzzing.check(call, fuzzing.mutations(content, count // 6, seed=3))
    assert refused > count / 6 / 2
    shard.write_bytes(content)
    path.write_bytes(text)
    assert fuzzing.tree(folder) == before


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "model.keras")


def zeros(content):
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)


def other_byte(content):
    content[-500] ^= 1


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("damage", [zeros, other_byte])
def test_prediction_and_training_name_the_record(
    data_sets, tmp_path, model, encoding, damage, monkeypatch, without_drawings
):
    folder, shard = copy_of(data_sets, encoding, tmp_path)
    content = bytearray(shard.read_bytes())
    damage(content)
    shard.write_bytes(content)
    # The reader knows which it is, so that no shard is hashed to find it again.
    real = files.sha256_of
    # What the reader named already is not looked for again.
    monkeypatch.setattr(
        files, "sha256_of", lambda path: pytest.fail(f"{path} is hashed") if path.suffix == ".tfrecord" else real(path)
    )
    said = rf"{shard} is damaged: record \d+: .*; python -m tools.inspect_tfrecords {folder} --verify says more"
    output = tmp_path / "output.csv"
    before = fuzzing.tree(tmp_path)
    with pytest.raises(records.DamagedShardError, match=said):
        predict.main(
            PredictionOptions(model=str(model), images="", tfrecords=str(folder), split="train", output=str(output))
        )
    assert not output.exists()
    runs = tmp_path / "runs"
    with pytest.raises(records.DamagedShardError, match=said):
        run.train(small_run(folder, runs, head="random", epochs=1, cache="none"))
    # The state after validation is kept, for --resume once the shard is whole.
    assert len(list(runs.glob("2*/state/*"))) == 1
    after = fuzzing.tree(tmp_path)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("encoding", ["raw", pytest.param("jpeg", marks=pytest.mark.long)])
def test_a_shard_cut_short_while_a_process_trains_on_it(data_sets, tmp_path, encoding):
    folder, shard = copy_of(data_sets, encoding, tmp_path)
    line = command(
        *("dogcat.train", f"--tfrecords={folder}", f"--runs={tmp_path / 'runs'}", "--backbone=tiny", "--weights=none"),
        *("--batch_size=8", "--epochs=10000", "--precision=float32", "--head=random", "--unfreeze_from=conv2"),
        *("--cache=none", "--noreport"),
    )
    with start(line) as process:
        try:
            deadline = time.monotonic() + 120
            while not list((tmp_path / "runs").glob("*/history.csv")):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            os.truncate(shard, 5000)
            _, error = process.communicate(timeout=120)
        finally:
            process.kill()
    lines = error.splitlines()
    assert process.returncode == 2, lines[-5:]
    [said] = [line for line in lines if line.startswith("error: ")]
    # The middle of the line is left out where the paths are long.
    assert f"{shard} is damaged: record " in said and "it ends at " in said, said
    assert "Traceback" not in error


def test_a_link_to_a_shard_elsewhere_is_read(data_sets, tmp_path):
    folder, shard = copy_of(data_sets, "jpeg", tmp_path)
    store = tmp_path / "store"
    shard.rename(store)
    shard.symlink_to(store)
    read_all(folder)
    assert verify.verify(folder, manifest.read(folder)) == []
    shard.unlink()
    shard.symlink_to(Path("/proc/self/environ"))
    with pytest.raises(InputError, match="the manifest says"):
        read_all(folder)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_data_set_that_lacks_a_split(data_sets, tmp_path, split):
    folder, _ = copy_of(data_sets, "jpeg", tmp_path)
    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())
    del content["splits"][split]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"{folder}: has no split {split}, only"):
        run.train(small_run(folder, tmp_path / "runs", dry_run=True))
