"""Progress where standard error is no terminal."""

from __future__ import annotations

import re
import time

from conftest import without_progress

from dogcat.core import progress


def test_long_work_gives_lines_with_its_rate_and_the_time_left(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.05)
    with progress.pictures_bar(2000, "reading", done_before=1000) as bar:
        time.sleep(0.1)
        bar.update(500)
        time.sleep(0.1)
        bar.update(500)
    err = capsys.readouterr().err
    half, *_ = err.splitlines()
    said = re.fullmatch(r"reading: 1500 of 2000 pictures, ([\d.]+) pictures/s, 00:0\d left", half)
    # What was done before says nothing of the speed.
    assert said and float(said[1]) <= 500 / 0.1
    assert "reading: 2000 of 2000 pictures" in err
    assert without_progress(err) == ""


def test_a_line_has_what_is_known_besides(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 1e-9)
    with progress.pictures_bar(4, "epoch 1/2") as bar:
        bar.set_postfix_str(f"log loss 0.5, whole run {progress.duration(3750)} left at most", refresh=False)
        bar.update(2)
    err = capsys.readouterr().err
    assert (
        err.splitlines()[-1].endswith(", log loss 0.5, whole run 1:02:30 left at most") and without_progress(err) == ""
    )


def test_short_work_gives_none(capsys):
    with progress.pictures_bar(10, "reading") as bar:
        bar.update(10)
    assert capsys.readouterr().err == ""
