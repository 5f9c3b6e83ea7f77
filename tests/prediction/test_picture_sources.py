"""Lists of the pictures to predict, from whatever program."""

from __future__ import annotations

import os
import threading

import fuzzing
import pytest
from conftest import touch

from dogcat.core.options import InputError
from dogcat.prediction import picture_sources
from dogcat.prediction.options import PredictionOptions

COMPOSED, DECOMPOSED, LATIN_1 = "caf\u00e9", "cafe\u0301", os.fsdecode(b"caf\xe9")


def keys_of(place):
    return picture_sources.open_pictures(PredictionOptions(images=str(place))).keys


def keys_in(folder, text, encoding="utf-8"):
    path = folder / "list.txt"
    path.write_bytes(text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "strict"))
    return keys_of(path)


@pytest.mark.parametrize("on_disk", [COMPOSED, DECOMPOSED, LATIN_1], ids=["composed", "decomposed", "latin-1"])
def test_paths_are_found_whatever_their_spelling(tmp_path, monkeypatch, on_disk):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, f"{on_disk}/1 {on_disk}.jpg", "2.jpg", "plain.jpg")
    right = ["2.jpg", f"{on_disk}/1 {on_disk}.jpg"]
    for written in (COMPOSED, DECOMPOSED, LATIN_1):
        assert keys_in(tmp_path, f"\n{written}/1 {written}.jpg\r\n\n2.jpg\r\n") == right
    written = COMPOSED
    assert keys_in(tmp_path, f"{written}\\1 {written}.jpg\r\n2.jpg\r\n", "utf-16") == right
    assert keys_in(tmp_path, f"{tmp_path}/{written}/1 {written}.jpg\n") == [f"{tmp_path}/{right[1]}"]
    # Nothing like it is there: the prediction will name it.
    assert keys_in(tmp_path, f"{written}/2.jpg\nno/2.jpg\nplain.jpg/2.jpg\n{'x/' * 5000}\n") == [
        f"{written}/2.jpg", "no/2.jpg", "plain.jpg/2.jpg", f"{'x/' * 5000}"
    ]  # fmt: skip
    with pytest.raises(InputError, match="list.txt: line 2 names .* again, after line 1; name it once"):
        keys_in(tmp_path, f"{COMPOSED}/1 {DECOMPOSED}.jpg\n{DECOMPOSED}/1 {COMPOSED}.jpg\n")


def test_a_path_that_may_be_one_of_two_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg")
    assert keys_in(tmp_path, f"{DECOMPOSED}.jpg\n{COMPOSED}.jpg\n") == [f"{DECOMPOSED}.jpg", f"{COMPOSED}.jpg"]
    with pytest.raises(InputError, match="list.txt: line 1: .* may be .*, which differ in spelling alone"):
        keys_in(tmp_path, f"{LATIN_1}.jpg\n")


def test_a_pipe_is_a_list(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("a.jpg\nb.jpg\n",))
    writer.start()
    assert keys_of(pipe) == ["a.jpg", "b.jpg"]
    writer.join()


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
def test_mutated_lists(tmp_path, monkeypatch, count):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, f"{COMPOSED}/1.jpg", "2.jpg")
    text = f'{DECOMPOSED}/1.jpg\r\n"2.jpg"\n./no.jpg\n'
    for seed, encoding in enumerate(("utf-8", "utf-16")):

        def read(data):
            (tmp_path / "list.txt").write_bytes(data)
            keys_of("list.txt")

        fuzzing.check(read, fuzzing.mutations(text.encode(encoding), count // 2, seed))
