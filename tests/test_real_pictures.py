"""The chain on real pictures with ImageNet weights, a few of each so that a slow processor ends in time."""

from __future__ import annotations

import csv
import json

import pytest

pytestmark = pytest.mark.shared


def test_from_pictures_to_a_submission(run, shared, tmp_path):
    source = shared / "data" / "dogs-vs-cats-2k"
    images, test_images = tmp_path / "train", tmp_path / "test"
    images.mkdir()
    test_images.mkdir()
    for number in range(60):
        for name in ("cat", "dog"):
            (images / f"{name}.{number}.jpg").symlink_to((source / "train" / f"{name}.{number}.jpg").resolve())
    # Pictures of the training set as test pictures, since their class is known.
    wanted = {}
    for number in range(100, 120):
        for i, name in enumerate(("cat", "dog")):
            id_ = 2 * number + i
            wanted[str(id_)] = name
            (test_images / f"{id_}.jpg").symlink_to((source / "train" / f"{name}.{number}.jpg").resolve())

    done = run("tools.make_tfrecords", f"--images={images}", f"--output={tmp_path}/tfrecords")
    assert (done.code, done.err) == (0, "")
    data = json.loads((tmp_path / "tfrecords" / "dataset.json").read_text())
    assert data["splits"]["train"]["counts"] == [54, 54]
    assert data["splits"]["validation"]["counts"] == [6, 6]

    done = run(
        *("dogcat.train", f"--tfrecords={tmp_path}/tfrecords", f"--runs={tmp_path}/runs", "--epochs=1"),
    )
    assert done.code == 0, done.err
    assert "Traceback" not in done.err and "WARNING" not in done.err
    page = (tmp_path / "runs" / "latest" / "report.html").read_text()
    assert all(f">{key}<" in page for key in ("cat", "dog")) and page.count("Grad-CAM for") == 12
    with open(tmp_path / "runs" / "latest" / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    assert [row["epoch"] for row in history] == ["0", "1"]
    # Few pictures, yet ImageNet knows cats and dogs: measured 0.03.
    assert min(float(row["val_loss"]) for row in history) < 0.2

    output = tmp_path / "submission.csv"
    done = run(
        *("dogcat.predict", f"--model={tmp_path}/runs/latest", f"--images={test_images}"),
        f"--output={output}",
    )
    assert (done.code, done.err) == (0, "")
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == sorted(wanted, key=int)
    right = sum((float(row["label"]) > 0.5) == (wanted[row["id"]] == "dog") for row in rows)
    assert right >= len(rows) - 1
