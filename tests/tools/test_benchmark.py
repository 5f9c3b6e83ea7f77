from __future__ import annotations

import dataclasses
import io
import itertools
import json
import mmap
import os
import platform
import shutil
import sys
import venv

import distributed
import numpy as np
import pytest
import tensorflow as tf
from conftest import environment, write_out_of_memory
from dask_cluster import DaskCluster

from dogcat.core.options import InputError
from tools import benchmark
from tools.benchmarks import (
    bucket,
    clusters,
    device,
    network_rates,
    own_loaders,
    page_cache,
    peak_memory,
    peer_loaders,
    predict,
    processes,
    rounds,
    scaling,
    settings,
    trunk,
)
from tools.benchmarks.options import BenchmarkOptions
from tools.benchmarks.peer_writers import Work

PICTURES = 12


def work(seconds, pictures=100, size=1000):
    return Work(pictures=pictures, bytes=size, seconds=seconds, version="1.0")


def contestant(name, seconds, log=None):
    """Takes the given seconds, run after run; a text among them is why it cannot run."""
    remaining = iter(seconds)

    def run():
        if log is not None:
            log.append(name)
        took = next(remaining)
        if isinstance(took, str):
            raise rounds.CannotRun(took)
        return work(took)

    return rounds.Contestant(name, name.title(), "", run)


def accept(work, ours):
    pass


def test_a_ratio_that_the_rounds_agree_on():
    assert rounds.clear_ratio([1.9, 2.0, 2.4]) == rounds.Figure(median=2.0, low=1.9, high=2.4)
    assert rounds.clear_ratio([0.5, 0.6, 0.55]) == rounds.Figure(median=0.55, low=0.5, high=0.6)


@pytest.mark.parametrize(
    "ratios",
    [
        pytest.param([0.9, 1.5, 1.6], id="one round says slower"),
        pytest.param([1.0, 1.3, 1.2], id="one round says equal"),
        pytest.param([1.05, 1.10, 1.30], id="the rounds differ by more than the claim"),
        pytest.param([0.70, 0.90, 0.95], id="the same below 1"),
    ],
)
def test_a_ratio_that_proves_nothing_is_unclear(ratios):
    assert rounds.clear_ratio(ratios) is None


def test_contestants_take_turns_and_are_compared_within_a_round():
    log = []
    # Each round is slower than the one before; the ratio stays.
    measured = rounds.measure(
        [contestant("ours", [1, 2, 4], log), contestant("other", [2, 4, 8], log)], rounds=3, check=accept
    )
    assert log == ["ours", "other"] * 3
    ours, other = measured.results
    assert ours.rate == rounds.Figure(median=50, low=25, high=100)
    assert other.ratios == [2, 2, 2]
    assert other.ratio == rounds.Figure(2, 2, 2)
    assert ours.ratio is None


def test_who_fails_is_left_out_and_said(capsys):
    others = [contestant("absent", ["not there"]), contestant("late", [1, "crashed"])]
    measured = rounds.measure([contestant("ours", [1, 1]), *others], rounds=2, check=accept)
    assert [result.contestant.name for result in measured.results] == ["ours"]
    assert measured.left_out == {"absent": "not there", "late": "crashed"}
    assert "left out: Absent: not there\n" in capsys.readouterr().out


def test_the_first_must_run():
    with pytest.raises(rounds.CannotRun, match="crashed"):
        rounds.measure([contestant("ours", ["crashed"])], rounds=2, check=accept)


def test_results_are_compared_with_the_first_of_any_choice():
    measured = rounds.measure(
        [contestant("ours", [1, 1]), contestant("other", [2, 3]), contestant("third", [8, 6])], 2, accept
    )
    other, third = rounds.compared(measured.results[1:])
    assert (other.ratios, third.ratios) == ([], [4, 2])


def test_the_table_says_unclear():
    measured = rounds.measure(
        [contestant("ours", [1, 1]), contestant("other", [2, 2]), contestant("equal", [0.9, 1.1])], 2, accept
    )
    lines = rounds.table(measured.results, "ratio").splitlines()
    assert lines[1].split() == ["Ours", "1.0", "100", "100-100"]
    assert lines[2].split() == ["Other", "1.0", "50.0", "50.0-50.0", "2.00", "2.00-2.00"]
    assert lines[3].split()[-1] == "unclear"


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (work(1, pictures=99), "99 pictures of 100"),
        (work(1, size=400), "0.40 times the bytes"),
        (work(1, size=2100), "2.10 times the bytes"),
    ],
)
def test_other_work_than_asked_for_is_refused(done, said):
    processes.check_shards(work(1, size=1900), work(1), 100)
    with pytest.raises(rounds.CannotRun, match=said):
        processes.check_shards(done, work(1), 100)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ({"checked": 255, "mean": 100.0}, "255 pictures of 256"),
        ({"checked": 256, "mean": 101.6}, "is 101.6, ours is 100.0"),
    ],
)
def test_a_loader_that_gives_other_pictures_is_refused(done, said):
    ours = Work(1000, 0, 1.0, "1.0", 256, 100.0)
    processes.check_loaded(ours._replace(mean=100.8), ours, 256)
    with pytest.raises(rounds.CannotRun, match=said):
        processes.check_loaded(ours._replace(**done), ours, 256)


@pytest.fixture(scope="module")
def to_load(samples, tmp_path_factory):
    """What the loaders read: two batches of drawn pictures, each several times, and smaller than in a benchmark."""
    folder = tmp_path_factory.mktemp("load")
    benchmark._gather_pictures(samples / "train", 0, folder / "once")
    (folder / "pictures").mkdir()
    for number, path in enumerate(itertools.islice(itertools.cycle(sorted((folder / "once").iterdir())), 260)):
        (folder / "pictures" / f"{number}.jpg").symlink_to(path.resolve())
    with pytest.MonkeyPatch.context() as patch:
        for module in (own_loaders, peer_loaders):
            patch.setattr(module, "SIZE", 96)
        assert own_loaders.prepare(folder / "pictures", folder, 2) == 256
        yield folder


@pytest.fixture(scope="module")
def ours(to_load):
    """What the project's own loader gives, which the others are held against."""
    return peer_loaders.measure(own_loaders.LOADERS["dogcat-jpeg"][0](to_load, 2), 0.01, "1.0")


@pytest.fixture(scope="module")
def in_buckets(to_load):
    """The same, served as buckets."""
    with bucket.served(to_load, 0) as (_, environment), pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield to_load


@pytest.mark.parametrize("name", sorted(own_loaders.LOADERS))
def test_each_loader_of_ours_gives_every_picture_once(in_buckets, to_load, ours, name):
    stream = own_loaders.LOADERS[name][0](to_load, 2)
    work = peer_loaders.measure(stream, 0.01, "1.0")
    assert work.checked == 256 and work.pictures % 128 == 0 < work.pictures
    processes.check_loaded(work, ours, 256)


def test_threads_wait_for_each_picture(to_load):
    rest, one, four = scaling.measure(to_load / "jpeg", 0.3, 2, threads=(1, 4))
    assert (rest.share, one.share) == (None, 1) and [each.waits for each in (rest, one, four)] == [False, True, True]
    # Each picture is waited for, whatever else the machine does.
    assert 0 < one.pictures_per_second < 1e6 / scaling.WAIT_US and four.share > 0
    assert all(each.processor_us > 1 for each in (rest, one, four))
    assert [line.split()[0] for line in scaling.table([rest, one, four]).splitlines()[1:]] == ["no", "1", "4"]


@pytest.fixture
def on_disk(to_load, tmp_path):
    """What the loaders read, in files that no other test has mapped, which would keep them in memory."""
    probe = write_out_of_memory(tmp_path / "probe", 2**20)
    if page_cache.in_memory(probe).any():
        pytest.skip("the temporary folder's file system keeps files in memory")
    for name in ("jpeg", "raw"):
        shutil.copytree(to_load / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["dogcat-jpeg", "dogcat-raw", "read"])
def test_a_loader_reads_each_picture_from_the_disk_once(on_disk, ours, name):
    asked = []

    def make():
        asked.extend(page_cache.in_memory(path) for path in on_disk.glob("*/*.tfrecord"))
        return own_loaders.LOADERS[name][0](on_disk, 2)

    work = own_loaders.measure_from_disk(make, on_disk, "1.0")
    assert asked and not np.concatenate(asked).any()
    assert work.pictures == work.checked == 256 and work.seconds > 0
    processes.check_loaded(work, ours, 256)


def test_files_that_stay_in_memory_are_not_measured(on_disk, monkeypatch):
    monkeypatch.setattr(page_cache, "_TRIES", 2)
    [shard] = (on_disk / "raw").glob("*.tfrecord")
    # Linux drops no page that is mapped.
    with open(shard, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as kept:
        assert any(kept[:: mmap.PAGESIZE])
        with pytest.raises(ValueError, match=f"{shard} stays in memory; set TMPDIR to a folder on a disk"):
            own_loaders.measure_from_disk(lambda: None, on_disk, "1.0")


def test_too_few_pictures_to_load(samples, tmp_path):
    with pytest.raises(InputError, match="loading needs 128 pictures, undamaged JPEGs"):
        benchmark.benchmark(BenchmarkOptions(subject="load", images=str(samples / "train"), pictures=4))


def test_shards_without_peers(samples, run, tmp_path):
    report_file, chart = tmp_path / "report.json", tmp_path / "chart.png"
    flags = [f"--images={samples / 'train'}", f"--pictures={PICTURES}", "--rounds=2", "--workers=2"]
    done = run("tools.benchmark", "shards", *flags, f"--json={report_file}", f"--chart={chart}", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    machine = done.out.splitlines()[0]
    assert f" cores; Python {platform.python_version()}, TensorFlow {tf.__version__}, Keras " in machine
    assert "not compared: OpenCV (the limit), FFCV, WebDataset; `make peers`" in done.out
    report = json.loads(report_file.read_text())
    assert 0 < report["pictures"] <= PICTURES
    outcome = report["subjects"]["shards"]
    assert outcome["left_out"] == {}
    [contestants] = outcome["groups"].values()
    assert [each["name"] for each in contestants] == ["dogcat", "pillow"]
    for each in contestants:
        assert [made["pictures"] for made in each["runs"]] == [report["pictures"]] * 2
    ours, pillow = contestants
    assert (ours["ratios"], ours["ratio"]) == ([], None)
    assert len(pillow["ratios"]) == 2
    assert outcome["conclusions"][0] in done.out
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chart.png", "report.json"]


def test_only_what_every_contestant_can_read_is_measured(samples, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    whole = next(path for path in sorted((samples / "train").glob("*.jpg")) if benchmark._is_plain_jpeg(path))
    shutil.copy(whole, source / "cat.1.jpg")
    (source / "cat.2.jpg").write_bytes(whole.read_bytes()[:500])
    (source / "cat.3.jpg").write_text("a text")
    assert benchmark._gather_pictures(source, 0, target) == 1
    assert [path.resolve() for path in target.iterdir()] == [(source / "cat.1.jpg").resolve()]


def test_a_peers_python_that_is_not_there(run, tmp_path):
    python = tmp_path / "python"
    done = run("tools.benchmark", "shards", "--peers", f"--peers_python={python}", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    said = f"--peers_python={python}: no such program; `make peers` makes .venv-peers/bin/python"
    assert done.err == f"error: {said}\n"


def test_a_peer_that_cannot_be_imported_is_named(samples, tmp_path, capsys):
    venv.create(tmp_path, with_pip=False)
    python = str(tmp_path / "bin" / "python")
    options = BenchmarkOptions(
        images=str(samples / "train"), pictures=4, rounds=2, workers=1, peers=True, peers_python=python
    )
    report = benchmark.benchmark(options)
    assert set(report["subjects"]["shards"]["left_out"]) == {"opencv", "opencv-antialiased", "ffcv", "webdataset"}
    assert "left out: FFCV: cannot be imported by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"subject": "speed"}, "--subject=speed: use one of shards"),
        ({"rounds": 1}, "--rounds=1"),
        ({"chart": "chart.bmp"}, "--chart=chart.bmp"),
        ({"subject": "scaling", "chart": "chart.png"}, "--chart=chart.png: scaling has a table alone"),
        ({"sizes": "300,x"}, "--sizes=300,x: use whole numbers"),
        ({"sizes": "600,300"}, "--sizes=600,300: let the numbers rise"),
    ],
)
def test_options_that_cannot_be(given, said):
    with pytest.raises(InputError, match=said):
        BenchmarkOptions(**given)


def test_a_report_in_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        benchmark.benchmark(BenchmarkOptions(json=str(tmp_path / "none" / "report.json")))


def test_memory(samples, tmp_path, monkeypatch):
    # The commands run as ever, but each knows the tiny backbone, and training does without what takes most of its time.
    measured = peak_memory._run

    def run(module, *arguments):
        quickly = ("--report=false", "--jit_compile=off") if module == "dogcat.train" else ()
        return measured("tiny_backbone", module, *arguments, *quickly)

    monkeypatch.setattr(peak_memory, "_run", run)
    monkeypatch.setattr(peak_memory, "_BACKBONE", "tiny")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    options = BenchmarkOptions(
        subject="memory", images=str(samples / "train"), sizes="300", json=str(tmp_path / "memory.json")
    )
    report = benchmark.benchmark(options)
    found = report["subjects"]["memory"]["measurements"]
    assert [each["command"] for each in found] == ["write", "read", "train", "predict"]
    assert all(each["peak_mib"] > 20 and each["seconds"] > 0 for each in found)
    assert [each["worked_on"] for each in found] == [300, 256, 256, 300]
    assert found[1]["first_batch_seconds"] > 0
    assert json.loads((tmp_path / "memory.json").read_text()) == json.loads(json.dumps(report))


def test_a_command_that_fails_is_named(tmp_path):
    with pytest.raises(rounds.CannotRun, match="tools.make_tfrecords ended with 2: error: .*none does not exist"):
        peak_memory._run("tools.make_tfrecords", f"--images={tmp_path / 'none'}", f"--output={tmp_path / 'out'}")


def test_what_this_process_holds_is_not_counted():
    held = np.ones(300 * 2**20, np.uint8)
    peak, _, printed = peak_memory._run("platform")
    assert printed and peak < 100 < held.nbytes / 2**20


def test_prediction_from_files_and_from_memory(samples, tmp_path):
    pictures = tmp_path / "pictures"
    count = benchmark._gather_pictures(samples / "train", PICTURES, pictures)
    with predict.contestants(pictures, "tiny") as contestants:
        measured = rounds.measure(contestants, 2, accept)
    assert [each.contestant.name for each in measured.results] == ["files", "memory", "tensorflow"]
    assert all(run.pictures == count for each in measured.results for run in each.runs)
    drawn = rounds.draw_chart([rounds.Group("predicted", measured.results, "ratio")] * 2, "here", "png")
    assert drawn.startswith(b"\x89PNG")


def test_devices_wait_for_what_comes_too_slowly(to_load, monkeypatch):
    # So fast that steps take nothing, and so slow that all of their pictures are there before they end; a machine that
    # does other things may delay one of the few.
    for rate, waiting in ((10**9, (0.3, 1.0)), (10, (0.0, 0.2))):
        monkeypatch.setattr(device, "RATE", rate)
        measured = device.measure(to_load, 0.2, 1, devices=(1, 2), batch_size=4)
        assert [(each.encoding, each.devices) for each in measured] == [
            *(("jpeg", 1), ("jpeg", 2), ("raw", 1), ("raw", 2)),
        ]
        for each in measured:
            assert waiting[0] <= each.waiting <= waiting[1]
            assert each.cores == pytest.approx(each.processor_us * rate * each.devices / 1e6)
    assert [line.split()[-5] for line in device.table(measured).splitlines()[1:]] == ["10", "20", "10", "20"]


def test_a_process_answers_how_fast_a_network_is(monkeypatch, capsys):
    monkeypatch.setattr(network_rates, "_SECONDS", 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO("forward\ntrained\n"))
    network_rates.main("tiny", "float32", "auto", "prepared")
    ready, *answers = capsys.readouterr().out.splitlines()
    assert ready == "ready"
    forward, trained = (Work(**json.loads(answer)) for answer in answers)
    assert forward.pictures == trained.pictures == network_rates.BATCH_SIZE
    assert forward.seconds > 0 and trained.seconds > 0


def python_that(path, program):
    """Stands in for a Python that runs some module."""
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{program}")
    path.chmod(0o755)
    return str(path)


ANSWERING = """
print("ready", flush=True)
called = [*sys.argv[1:], os.environ.get("TF_ENABLE_ONEDNN_OPTS", "")]
for line in sys.stdin:
    print(json.dumps({"pictures": 32, "bytes": 0, "seconds": 1, "version": " ".join(called)}), flush=True)
"""


def test_each_setting_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    answering = python_that(tmp_path / "answers", ANSWERING)
    failing = python_that(tmp_path / "fails", "sys.exit('no such package')")
    everyone = (settings._CHOSEN, *settings._OTHERS)
    chosen, *others = (dataclasses.replace(setting, python=answering) for setting in everyone)
    monkeypatch.setattr(settings, "_CHOSEN", chosen)
    monkeypatch.setattr(settings, "_OTHERS", tuple(others))
    with settings.contestants(failing) as contestants:
        assert list(contestants) == list(settings.WORK)
        assert [each.name for each in contestants["trained"]] == [
            *("dogcat", "float32", "bfloat16", "float32-plain", "as-it-comes", "other")
        ]
        ran = [each.run().version for each in contestants["forward"][:-1]]
        with pytest.raises(rounds.CannotRun, match="no such package"):
            contestants["forward"][-1].run()
    called = [text.partition("network_rates ")[2] for text in ran]
    assert called[0] == "xception auto auto prepared "
    assert called[3] == "xception float32 auto prepared 0" and called[5] == "xception auto on prepared "
    assert called[-1] == "xception auto auto as-it-comes "


def test_steps_on_kept_output_are_measured_beside_whole_ones(tfrecords):
    outcome = trunk.measure(tfrecords, 1, 2, "tiny", ("conv2",))
    [group] = outcome.groups
    assert [result.contestant.name for result in group.results] == ["kept-conv2", "whole-conv2"]
    assert all(run.pictures == 32 for result in group.results for run in result.runs)
    assert outcome.conclusions[0].endswith(" times as fast on kept output.")


def test_workers_of_a_cluster_keep_to_a_core_each(tmp_path):
    cores = sorted(os.sched_getaffinity(0))
    with clusters.pinned_workers(tmp_path) as places:
        for place, count in zip(places, (1, 2)):
            with distributed.Client(scheduler_file=place.removeprefix("dask:")) as client:
                processes_of_workers = client.run(os.getpid).values()
            threads = [os.listdir(f"/proc/{process}/task") for process in processes_of_workers]
            kept_to = [{core for thread in each for core in os.sched_getaffinity(int(thread))} for each in threads]
            assert sorted(kept_to, key=min) == [{core} for core in cores[:count]]


def test_one_worker_and_two_are_compared(samples, tmp_path):
    count = benchmark._gather_pictures(samples / "train", PICTURES, tmp_path / "pictures")
    with DaskCluster(tmp_path, workers=1) as cluster:
        outcome = clusters.measure(tmp_path / "pictures", tmp_path, 2, cluster.place, cluster.place, "tiny")
    assert [group.title for group in outcome.groups] == ["shards", "features", "predictions"]
    for group, conclusion in zip(outcome.groups, outcome.conclusions):
        many, one = group.results
        assert all(run.pictures == count and run.seconds > 0 for result in (many, one) for run in result.runs)
        share = rounds.Figure.of([its.seconds / ours.seconds / 2 for ours, its in zip(many.runs, one.runs)])
        assert conclusion == f"{group.title}: two workers reach {share} of twice the rate of one."
    assert not list(tmp_path.glob("tmp*"))


@pytest.mark.parametrize("subject", ["cluster", "all"])
def test_without_dask_no_cluster_is_measured(samples, monkeypatch, subject):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        InputError, match=r"benchmark cluster: Dask cannot be imported .*; pip install 'dogcat\[cluster\]'"
    ):
        benchmark.benchmark(BenchmarkOptions(subject=subject, images=str(samples / "train")))
