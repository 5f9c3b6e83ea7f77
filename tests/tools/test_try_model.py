"""The page in which a model is tried: served by a real process, used in a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from conftest import ROOT, command, draw, environment
from PIL import Image

import dogcat

pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="Gradio needs Python 3.10")


@pytest.fixture(scope="module")
def trained(tfrecords, tmp_path_factory):
    flags = {"backbone": "tiny", "weights": "none", "head": "random", "epochs": 0, "report": False}
    return dogcat.train(tfrecords=tfrecords, runs=tmp_path_factory.mktemp("runs"), precision="float32", **flags)


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    """The address of a page, whose process ends with the module."""
    temporary = tmp_path_factory.mktemp("temporary")
    process = subprocess.Popen(
        command("tools.try_model", trained.folder, "--port=0", "--tta=none"),
        cwd=ROOT,
        env=environment(TMPDIR=temporary),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        said = [process.stdout.readline() for _ in range(2)]
        found = re.search(r"open (http://127\.0\.0\.1:\d+) in a browser", said[-1])
        assert found, said + process.stderr.readlines()
        yield found[1]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        # Gradio logs what it refuses itself; what cannot be read is told on the page alone.
        assert process.returncode == 0 and "stopped" in out and "InputError" not in err
        # What was uploaded is gone.
        assert not list(temporary.glob("dogcat-try-*"))
    finally:
        process.kill()
        process.wait()


def upload(page, path):
    page.shown.locator("input[type=file]").first.set_input_files(str(path))


def test_a_picture_is_told_and_explained(browser, served, trained, tmp_path):
    folder = draw(tmp_path, "cat.1.jpg", size=(300, 200))
    page = browser.open_server(served)
    upload(page, folder / "cat.1.jpg")
    label = page.shown.locator(".output-class").first
    label.wait_for(timeout=60_000)
    predicted = dogcat.load_model(trained.folder).predict(folder / "cat.1.jpg")
    assert label.inner_text().strip() == predicted.labels[0]
    [percent] = {int(value) for value in re.findall(r"(\d+)%", page.shown.inner_text("body"))[:1]}
    assert abs(percent - 100 * predicted.probabilities.max()) <= 1
    # The picture itself, and its heat map.
    page.shown.wait_for_function('document.querySelectorAll(\'img[src*="/file="], img[src^="blob:"]\').length >= 2')
    assert page.outside == []


def test_what_is_no_picture_is_said_on_the_page(browser, served, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    page = browser.open_server(served)
    upload(page, tmp_path / "text.jpg")
    toast = page.shown.locator(".toast-body.error")
    toast.wait_for(timeout=60_000)
    assert "text.jpg cannot be read: not_a_picture" in toast.inner_text()


def test_other_files_of_the_machine_are_not_shown(served, samples):
    picture = next((samples / "train").iterdir())
    data = {"data": [{"path": str(picture), "meta": {"_type": "gradio.FileData"}}]}
    request = urllib.request.Request(
        f"{served}/gradio_api/call/look", json.dumps(data).encode(), {"Content-Type": "application/json"}
    )
    # Whatever proxy the machine has is not for it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        event = json.load(answer)["event_id"]
    with opener.open(f"{served}/gradio_api/call/look/{event}") as answer:
        said = answer.read().decode()
    assert "event: error" in said and "base64" not in said and "/file=" not in said


@pytest.mark.parametrize(("sides", "is_read"), [((10_000, 8_000), True), ((10_000, 8_001), False)])
def test_a_picture_of_many_pixels_is_read_up_to_the_limit(browser, served, tmp_path, sides, is_read):
    Image.fromarray(np.zeros((sides[1], sides[0]), np.uint8)).save(tmp_path / "large.png", compress_level=1)
    page = browser.open_server(served)
    upload(page, tmp_path / "large.png")
    if is_read:
        page.shown.locator(".output-class").first.wait_for(timeout=120_000)
    else:
        toast = page.shown.locator(".toast-body.error")
        toast.wait_for(timeout=120_000)
        assert "large.png cannot be read: too_large" in toast.inner_text()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(browser, served, width):
    page = browser.open_server(served, width=width)
    page.shown.locator("input[type=file]").first.wait_for(state="attached", timeout=60_000)
    assert "cat or dog?" in page.shown.inner_text("body")
    assert not page.is_wider_than_window()
    assert page.outside == []


def test_what_cannot_be_served_is_one_line(fork, trained):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = fork("tools.try_model", trained.folder, f"--port={port}")
    assert done.code == 2 and f"--port={port}: cannot be served on" in done.err and len(done.err.splitlines()) == 1
    done = fork("tools.try_model", trained.folder / "nowhere", "--port=0")
    assert done.code == 2 and "nowhere" in done.err and "Traceback" not in done.err


def test_without_gradio_it_says_what_to_install(trained, tmp_path):
    (tmp_path / "gradio.py").write_text("raise ImportError('none here')\n")
    done = subprocess.run(
        command("tools.try_model", trained.folder),
        cwd=ROOT,
        env=environment(PYTHONPATH=os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "tests")))),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "install it: pip install '.[try]'" in done.stderr
