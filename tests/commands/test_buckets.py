"""Data sets made from buckets and into them, which a server of S3 on 127.0.0.1 holds."""

from __future__ import annotations

import concurrent.futures
import re
import signal
import sys

import fsspec
import pytest
import s3_server
from conftest import ROOT, command, contents, draw, make, start
from dask_cluster import DaskCluster
from picture_files import write_noise

from dogcat.core import processes
from dogcat.core.calls import WorkLostError
from dogcat.core.options import InputError
from dogcat.dataset import making, manifest

SHARDS = 4
FLAGS = (f"--shards={SHARDS}", "--image_size=32")


@pytest.fixture(scope="module", autouse=True)
def threads():
    """Workers of this process are threads: the process that others are forked from knows no later variables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_executor", lambda count, module: concurrent.futures.ThreadPoolExecutor(count))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """20 pictures, two of them unusable, and one without a class."""
    folder = tmp_path_factory.mktemp("pictures")
    write_noise(folder, 10, (60, 40))
    (folder / "nothing.png").write_bytes((folder / "dog.8.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The files of the data set that is made of the folder on disk."""
    output = tmp_path_factory.mktemp("whole") / "out"
    make(images, output, shards=SHARDS)
    return contents(output)


@pytest.fixture(scope="module")
def served(images):
    """A server with the pictures at s3://bucket/in, and what fsspec makes of it."""
    with s3_server.served() as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        store = fsspec.filesystem("s3", use_listings_cache=False)
        store.mkdir("bucket")
        store.put(f"{images}/", "bucket/in/", recursive=True)
        yield started, store
    # Another server would have another port.
    type(store).clear_instance_cache()


@pytest.fixture
def store(served):
    """The store, with nothing but the pictures in it."""
    return served[1]


@pytest.fixture
def server(served):
    """The server, with no requests so far."""
    server, store = served
    server.most_at_once = 0
    server.requests.clear()
    yield server
    server.delay = 0.0
    server.refuses = lambda request: False
    for path in store.find("bucket"):
        if not path.startswith("bucket/in/"):
            store.rm_file(path)


def files_at(store, folder):
    return {path.removeprefix(f"{folder}/"): store.cat_file(path) for path in sorted(store.find(folder))}


def killed_at(server, doomed, *flags):
    """Starts the command, which is killed by SIGKILL when it asks for what `doomed` says."""
    reached = []
    line = command("tools.make_tfrecords", "--images=s3://bucket/in", "--output=s3://bucket/out", *FLAGS, *flags)
    with start(line, ROOT) as process:

        def refuse(request):
            if doomed(request) and not reached:
                reached.append(request)
                process.kill()
                process.wait()
            return bool(reached)

        server.refuses = refuse
        _, err = process.communicate(timeout=200)
    server.refuses = lambda request: False
    assert reached and process.returncode == -signal.SIGKILL, err
    server.requests.clear()


def test_the_bytes_are_those_of_a_folder(images, whole, server, store, fork, tmp_path):
    given = ("--images=s3://bucket/in", "--output=s3://bucket/out", *FLAGS, "--workers=2")
    done = fork("tools.make_tfrecords", *given)
    assert (done.code, done.err) == (0, "")
    assert files_at(store, "bucket/out") == whole
    # Each shard is written once, and the manifest, which makes it a data set, last.
    written = server.written("bucket/out")
    assert sorted(written) == sorted(whole) and written[-1] == manifest.FILE_NAME
    assert files_at(store, "bucket/out.partial") == {}
    make("s3://bucket/in", tmp_path / "out", shards=SHARDS, cluster="local:2")
    assert contents(tmp_path / "out") == whole
    make(images, "S3://bucket/from-disk/", shards=SHARDS, cluster="local:2")
    assert files_at(store, "bucket/from-disk") == whole


def test_workers_of_a_cluster_need_nothing_but_the_bucket(whole, server, store, tmp_path):
    with DaskCluster(tmp_path, workers=2) as cluster:
        make("s3://bucket/in", "s3://bucket/out", shards=SHARDS, cluster=cluster.place)
    assert files_at(store, "bucket/out") == whole and files_at(store, "bucket/out.partial") == {}


def test_the_steps_may_be_done_one_by_one(whole, server, store, call):
    given = ("tools.make_tfrecords", "--output=s3://bucket/out")
    assert (
        call(*given, "--only=0/2").err
        == "error: --output=s3://bucket/out: no plan is there for it; give --only=plan first\n"
    )
    assert call(*given, "--images=s3://bucket/in", *FLAGS, "--only=plan").code == 0
    assert call(*given, "--only=1/2", "--workers=1").code == 0
    assert "3 of 5 shards are not written" in call(*given, "--only=commit").err
    assert call(*given, "--only=0/2", "--workers=1").code == 0
    assert call(*given, "--only=commit").code == 0
    assert files_at(store, "bucket/out") == whole and files_at(store, "bucket/out.partial") == {}


@pytest.mark.parametrize("flags", [("--workers=1",), ("--cluster=local:1",)])
def test_a_killed_command_goes_on_after_its_finished_shards(whole, server, store, capsys, flags):
    # When the third is uploaded, the first is there, and the second perhaps on its way.
    killed_at(server, lambda request: request == "PUT bucket/out/train-00002-of-00004.tfrecord", *flags)
    assert manifest.FILE_NAME not in files_at(store, "bucket/out")
    name, value = flags[0].removeprefix("--").split("=")
    make("s3://bucket/in", "s3://bucket/out", shards=SHARDS, **{name: int(value) if name == "workers" else value})
    assert files_at(store, "bucket/out") == whole and files_at(store, "bucket/out.partial") == {}
    assert re.search("going on after [12] finished shards in s3://bucket/out", capsys.readouterr().out)
    assert "train-00000-of-00004.tfrecord" not in server.written("bucket/out")


@pytest.mark.parametrize(
    ("request_", "is_complete"),
    [
        ("PUT bucket/out/train-00000-of-00004.tfrecord.index", False),
        ("PUT bucket/out/rejected.csv", False),
        ("DELETE bucket/out.partial/.dogcat-unfinished.json", True),
    ],
)
def test_wherever_it_is_killed_nothing_is_left_or_lost(whole, server, store, request_, is_complete):
    killed_at(server, lambda request: request == request_, "--workers=1")
    if is_complete:
        with pytest.raises(InputError, match="s3://bucket/out already holds a data set; give another --output"):
            make("s3://bucket/in", "s3://bucket/out", shards=SHARDS)
    else:
        make("s3://bucket/in", "s3://bucket/out", shards=SHARDS)
    assert files_at(store, "bucket/out") == whole and files_at(store, "bucket/out.partial") == {}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("PUT bucket/out/dataset.json", "discarding unfinished work of other options or pictures in s3://bucket/out"),
        # The shard is there, and has no note.
        ("PUT bucket/out/train-00000-of-00002.tfrecord", ""),
    ],
)
def test_unfinished_work_of_other_options_is_replaced(whole, server, store, capsys, request_, said):
    killed_at(server, lambda request: request == request_, "--workers=1", "--shards=2")
    make("s3://bucket/in", "s3://bucket/out", shards=SHARDS)
    assert said in capsys.readouterr().out
    assert files_at(store, "bucket/out") == whole and files_at(store, "bucket/out.partial") == {}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("out/letter.txt", "s3://bucket/out/letter.txt: is in the way"),
        ("out/train-00000-of-00004.tfrecord", "s3://bucket/out/train-00000-of-00004.tfrecord: is in the way"),
        ("out.partial/plan-0/plan.json", "s3://bucket/out.partial/plan-0/plan.json: is in the way"),
        ("out/dataset.json", "s3://bucket/out already holds a data set"),
    ],
)
def test_files_of_others_are_never_touched(server, store, there, said):
    store.pipe_file(f"bucket/{there}", b"mine")
    server.requests.clear()
    with pytest.raises(InputError, match=f"^{said}"):
        make("s3://bucket/in", "s3://bucket/out", shards=SHARDS)
    assert not [request for request in server.requests if not request.startswith(("GET", "HEAD"))]
    assert store.cat_file(f"bucket/{there}") == b"mine"


def test_what_cannot_be_is_one_line_before_anything_is_written(server, call, monkeypatch):
    def refused(*flags):
        done = call("tools.make_tfrecords", *flags)
        assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
        return done.err.removeprefix("error: ")

    given, output = ("--images=s3://bucket/in", "--output=s3://bucket/out", *FLAGS), "--output=s3://bucket/out"
    assert refused(*given, "--overwrite").startswith("--overwrite: nothing at an address is replaced; remove")
    assert refused(given[0], "--output=s3://bucket/").startswith("--output=s3://bucket/: is a whole bucket; give")
    assert "the pictures of --images lie in it" in refused(given[0], "--output=s3://bucket/in")
    assert "there is no such bucket or folder; make it" in refused(given[0], "--output=s3://nowhere/out")
    assert refused("--images=s3://nowhere/in", output).startswith("s3://nowhere/in: there is no such bucket")
    assert refused("--images=s3://bucket/im", output).startswith("s3://bucket/im holds no picture (nothing)")
    assert refused("--images=what://bucket/in", output).startswith("what://bucket/in: Protocol not known: what")
    said = refused("--images=abfs://bucket/in", output)
    assert "abfs:// wants a package (" in said and "pip install 'dogcat[remote]', and the package of fsspec" in said
    server.refuses = lambda request: True
    said = refused(*given)
    assert said.startswith("s3://bucket/out: may not be listed with the credentials that were found (")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert refused(*given).rstrip().endswith("pip install 'dogcat[remote]'")
    assert not [request for request in server.requests if not request.startswith(("GET", "HEAD"))]


def test_a_store_that_refuses_for_a_while_makes_no_picture_unusable(whole, server, store):

    def refuse(request):
        is_one_finished = any(put.startswith("PUT") and put.endswith(".tfrecord.json") for put in server.requests)
        return is_one_finished and request.startswith("GET bucket/in/")

    server.refuses = refuse
    with pytest.raises(WorkLostError, match=r"^s3://bucket/in/.*: may not be read .*[1-5] finished shards are kept"):
        make("s3://bucket/in", "s3://bucket/out", shards=SHARDS, cluster="local:1")
    server.refuses = lambda request: False
    make("s3://bucket/in", "s3://bucket/out", shards=SHARDS)
    assert files_at(store, "bucket/out") == whole


def test_a_picture_that_is_gone_is_one_that_cannot_be_read(images, server, store, tmp_path, monkeypatch):
    prepared = making.prepare

    def remove(options):
        work = prepared(options)
        store.rm_file("bucket/in/cat.1.jpg")
        return work

    monkeypatch.setattr(making, "prepare", remove)
    try:
        made = make("s3://bucket/in", tmp_path / "out", workers=1)
    finally:
        store.put_file(images / "cat.1.jpg", "bucket/in/cat.1.jpg")
    assert made.rejected["unreadable"] == 1
    assert "cat.1.jpg,unreadable,No such file or directory" in (tmp_path / "out" / "rejected.csv").read_text()


def test_a_process_waits_for_several_pictures_at_a_time(server, tmp_path):
    # Long enough for all to have been sent, also by a machine with much else to do.
    server.delay = 0.3
    make("s3://bucket/in", tmp_path / "out", workers=1)
    assert 8 <= server.most_at_once <= 16
    # It has one request, and one more to learn how large a shard will be.
    assert server.requests.count("GET bucket/in/cat.0.jpg") == 2 and "HEAD bucket/in/cat.0.jpg" not in server.requests


def test_names_decide_as_in_a_folder(tmp_path):
    from dogcat.core.places import Address
    from dogcat.pictures import folders

    keys = (
        "cat/1.jpg",
        "cat/2",
        ".hidden/3.jpg",
        "cat/.4.jpg",
        "dog/Thumbs.db",
        "5.PNG",
        "dog/\u00e9.jpeg",
        "dog/6.png.part",
    )
    draw(tmp_path, *keys)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "a.nef").write_bytes((tmp_path / "5.PNG").read_bytes())
    (tmp_path / "empty").touch()
    memory = fsspec.filesystem("memory")
    memory.put(f"{tmp_path}/", "/names/in/", recursive=True)
    try:
        there, here = folders.list_images(Address("memory://names/in")), folders.list_images(tmp_path)
    finally:
        memory.rm("/names", recursive=True)
    assert there.keys == here.keys == ["5.PNG", "cat/1.jpg", "cat/2", "dog/\u00e9.jpeg"]
    assert (there.other, there.litter) == (here.other, here.litter) == (3, 4)
