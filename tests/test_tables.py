from __future__ import annotations

import os

from dogcat import tables


def test_names_keep_their_bytes():
    name = os.fsdecode(b"cat\xff.1.jpg")
    assert tables.as_csv(["path", "detail"], [(name, None), ("a,b\n.jpg", 0.5)]) == (
        b'path,detail\ncat\xff.1.jpg,\n"a,b\n.jpg",0.5\n'
    )
