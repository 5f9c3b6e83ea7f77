from __future__ import annotations

import csv
import os

import pytest

from dogcat import tables


def test_names_keep_their_bytes():
    name = os.fsdecode(b"cat\xff.1.jpg")
    assert tables.as_csv(["path", "detail"], [(name, None), ("a,b\n.jpg", 0.5)]) == (
        b'path,detail\ncat\xff.1.jpg,\n"a,b\n.jpg",0.5\n'
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\uff1d1", '=cmd|"/C calc"!A0'])
def test_a_spreadsheet_sees_text_where_it_would_see_a_formula(text):
    content = tables.for_spreadsheet(["=name"], [(text,)]).decode("utf-8-sig")
    assert list(csv.reader(content.splitlines())) == [["'=name"], ["'" + text]]
    # A program reads the name itself.
    assert list(csv.reader(tables.as_csv(["name"], [(text,)]).decode().splitlines())) == [["name"], [text]]


def test_a_spreadsheet_gets_numbers_and_plain_names_as_they_are():
    content = tables.for_spreadsheet(["a", "b"], [(-1.5, "cat-1.jpg"), (None, os.fsdecode(b"\xff\t=1"))])
    assert content == b"\xef\xbb\xbfa,b\n-1.5,cat-1.jpg\n,\\xff\\t=1\n"
