from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import threading
from pathlib import Path

import fuzzing
import pytest

from dogcat.core import tables
from dogcat.core.options import InputError


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


EXPECTED = (["id", "label"], [("1", "0.5"), ("café 2", "x,y")])
PLAIN = 'id,label\n1,0.5\ncafé 2,"x,y"\n'


def table_of(folder, data):
    path = folder / "table.csv"
    path.write_bytes(data)
    header, rows = tables.read_table(tables.read_text(path, "--labels"), "id", "id,label")
    return header, [tuple(row.fields) for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.removesuffix("\n"),
        "\n \n" + PLAIN.replace("\n", "\n\n\r\n,\n   \n"),
        "id;label\n1;0.5\ncafé 2;x,y\n;;\n",
        "id\tlabel\n1\t0.5\ncafé 2\tx,y\n",
        "id|label\n1|0.5\ncafé 2|x,y",
        '"ID";"Label"\n"1";"0.5"\n"café 2";"x,y"\n',
        'Id, Label\n1, 0.5\ncafé 2, "x,y"\n',
        'id,label,\n1,0.5,\ncafé 2,"x,y",\n',
        'id,label\n1,0.5,,,\ncafé 2,"x,y",,,\n',
        "sep=;\nid;label\n1;0.5\ncafé 2;x,y\n",
        '"sep=\t"\r\nid\tlabel\r\n1\t0.5\r\ncafé 2\tx,y\r\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_table_is_read_whatever_wrote_it(tmp_path, text, encoding):
    data = text.encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    header, rows = table_of(tmp_path, data)
    assert ([name.lower() for name in header], rows) == EXPECTED


def test_bytes_that_are_no_utf8_are_kept(tmp_path):
    assert table_of(tmp_path, b"id,label\ncaf\xe9, dog\n")[1] == [("caf\udce9", "dog")]
    # A separator in a name behind the first column is none.
    assert table_of(tmp_path, b"id,a;b\n1;2,x\n") == (["id", "a;b"], [("1;2", "x")])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty; the first line must be id,label"),
        (b"\n\n", "is empty; the first line must be id,label"),
        (b"sep=;\n", "is empty; the first line must be id,label"),
        (b"\n1,0.5\n", "line 2 is '1,0.5'; the first line must be id,label"),
        (b"id,label\n\n1\n", "line 3 is '1'; write id,label"),
        (b"id;label\n1;2;3\n", "line 2 is '1;2;3'; write id;label"),
        (b'id,label\n1,"x\n2,y\n', "line 3: unexpected end of data; write a CSV that begins id,label"),
        (b'id,label\n1,"x"y\n', "line 2: ',' expected after '\"'; write a CSV that begins id,label"),
        (b"id,label\n1," + b"x" * 10**7, "line 2: field larger than field limit (131072)"),
        (b"id,label\n" + b"x," * 5 * 10**6, "line 2 is 'x,x,x"),
        (b"x" * 100_000, "the first line must be id,label"),
        (b"id,label\n1,\x00\n", "is not text, since line 2 holds a zero byte; save it as text in UTF-8"),
        (
            "id,label\n1,2\n".encode("utf-16-le"),
            "is not text, since line 1 holds a zero byte; save it as text in UTF-8",
        ),
        (b"\xff\xfei\0d", None),
        (b"\xff\xfei\0d\0,", "begins as UTF-16 does, and byte 6 is none; save it as UTF-8"),
        (b"\xfe\xff\xd8\x00\x00,", "begins as UTF-16 does, and byte 2 is none; save it as UTF-8"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, data, said):
    with pytest.raises(InputError) as caught:
        table_of(tmp_path, data)
    place = f"--labels={tmp_path / 'table.csv'}: "
    assert str(caught.value).startswith(place) and len(str(caught.value)) < len(place) + 200
    assert (said or "begins as UTF-16") in str(caught.value)


def test_a_pipe_is_read_once_and_to_its_end(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # More than a pipe holds at a time.
    text = "line\n" * 100_000
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    file = tables.read_text(pipe, "--exclude")
    writer.join()
    assert (file.text, file.sha256) == (text, hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/dev/zero", "--labels=/dev/zero: is a device; give a text file or a pipe"),
        ("/proc", "--labels=/proc: is a folder; give a text file or a pipe"),
        ("/no/such", "--labels=/no/such: no such file"),
        ("/etc/passwd/no", "--labels=/etc/passwd/no: no such file"),
    ],
)
def test_what_cannot_be_read_as_text_is_named(place, said):
    with pytest.raises(InputError) as caught:
        tables.read_text(Path(place), "--labels")
    assert str(caught.value) == said


def test_a_pipe_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_LARGEST_BYTES", 3 * 2**20)
    read, write = os.pipe()
    endless = threading.Thread(target=_write_for_ever, args=(write,))
    endless.start()
    with pytest.raises(InputError, match="has more than 3,145,728 bytes, the most"):
        tables.read_text(Path(f"/dev/fd/{read}"), "--labels")
    os.close(read)
    endless.join()


def _write_for_ever(descriptor):
    with contextlib.suppress(BrokenPipeError):
        while True:
            os.write(descriptor, b"x\n" * 50_000)


def test_lines_of_any_system():
    for end in ("\n", "\r\n", "\r"):
        assert tables.lines_of(f"a b{end}{end}c\u2028d{end}") == ["a b", "", "c\u2028d", ""]
    assert tables.lines_of("a\rb\nc") == ["a\rb", "c"]


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.long)])
def test_mutated_tables_are_read_or_refused_in_a_line(tmp_path, count):
    for seed, text in enumerate((PLAIN * 3, PLAIN.replace(",", ";"), "sep=\t\r\nid\tlabel\r\n1\t2\r\n")):
        for encoding in ("utf-8", "utf-16"):
            mutated = fuzzing.mutations(text.encode(encoding), count // 6, seed)
            fuzzing.check(lambda data: table_of(tmp_path, data), mutated)
