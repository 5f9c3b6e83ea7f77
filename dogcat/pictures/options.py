"""Options that the commands on a folder of pictures share."""

from __future__ import annotations

from typing import Any

from dogcat.core.bounds import Bounds
from dogcat.core.options import option
from dogcat.pictures.geometry import MAX_PIXELS

# Where pictures to predict are looked for.
TEST_FOLDER = "data/test"


def images_option(
    help: str = "Folder of pictures: a folder per class, or names like cat.0.jpg.",
    positional: bool = True,
    remote: bool = False,
) -> Any:
    """Declares the folder of the pictures; a `remote` one may be at an address."""
    help += " An address, like s3://bucket/train, may be given for it." if remote else ""
    return option("data/train", help, positional=positional, path=True, remote=remote)


def labels_option() -> Any:
    """Declares the file that says of which class each picture is."""
    help = "CSV with the columns path,label, which override the names of folders and files. Empty: none."
    return option("", help, path=True)


def exclude_option(use: str) -> Any:
    """Declares the file of the pictures to leave out; `use` says what becomes of them."""
    help = (
        "Text file of paths, one per line (a line in double quotes is read as a JSON string, for names with line "
        f"breaks); {use}. Empty: none."
    )
    return option("", help, path=True)


def max_pixels_option() -> Any:
    """Declares the size from which on pictures are rejected."""
    help = (
        "Pictures of more pixels than this cannot be used. A WebP counts 4 times, a progressive JPEG up to 2 times, "
        "since decoding them takes that much more memory."
    )
    return option(MAX_PIXELS, help, bounds=Bounds(at_least=1))
