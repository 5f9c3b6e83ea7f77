"""review.html: suspects with their evidence, choices that stay in the browser, the files of these as downloads."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

import dogcat
from dogcat.cleaning.suspects import RELABEL, Suspect
from dogcat.core import commands, tables
from dogcat.dataset import encoding
from dogcat.dataset.encoding import Rejection
from dogcat.pictures import labels
from dogcat.reports import html

# Longest sides in pixels, and JPEG quality: a page of 500 suspects stays near 10 MB.
_SHOWN_SIDE, _ALIKE_SIDE = 200, 80
_QUALITY = 75
_MOST_ALIKE = 5
# Classes of more than these are not offered as buttons; the suggested one always is.
_MOST_CLASSES = 6


def render(
    folder: Path,
    suspects: Sequence[Suspect],
    lead: str,
    label_of: Mapping[str, str],
    classes: Sequence[str],
    earlier: str,
    max_pixels: int,
    workers: int,
) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        folder: The folder that keys are relative to.
        suspects: In the order to be shown.
        lead: A line on what was looked at.
        label_of: Class of each key that has one.
        classes: Names of the classes.
        earlier: Lines that the list of exclusions begins with.
        max_pixels: Pictures of more pixels are not shown.
        workers: Number of threads.
    """
    wanted = {(one.path, _SHOWN_SIDE) for one in suspects}
    wanted |= {(key, _ALIKE_SIDE) for one in suspects for key in one.alike[:_MOST_ALIKE]}
    small = sorted(wanted)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        made = pool.map(lambda pair: _thumbnail(folder, pair[0], max_pixels, pair[1]), small)
        pictures = dict(zip(small, made))
    script = html.source("review.js")
    content = [_content(one, pictures, label_of, classes) for one in suspects]
    # Another list of suspects, or the same ones for other reasons, is another review.
    review = hashlib.sha256(repr([(one.path, one.kind, one.suggestion) for one in suspects]).encode()).hexdigest()
    return html.render(
        "review.html",
        made_by=f"dogcat {dogcat.__version__}",
        folder=str(folder),
        lead=lead,
        shard_command=commands.spelled("make-tfrecords"),
        suspects=content,
        earlier=_base64(earlier.encode("utf-8", "surrogateescape")),
        review=review[:16],
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _content(
    one: Suspect,
    pictures: Mapping[tuple[str, int], str],
    label_of: Mapping[str, str],
    classes: Sequence[str],
) -> dict[str, Any]:
    label = label_of.get(one.path, "")
    suggested = one.suggestion.partition(" ")[2] if one.suggestion.startswith(RELABEL) else ""
    offered = [name for name in classes if name != label] if len(classes) <= _MOST_CLASSES else [suggested]
    alike = [(key, pictures[key, _ALIKE_SIDE]) for key in one.alike[:_MOST_ALIKE]]
    return {
        "path": one.path,
        "kind": one.kind,
        "score": one.score,
        "reason": one.reason,
        "suggestion": one.suggestion,
        "label": label,
        "picture": pictures[one.path, _SHOWN_SIDE],
        "alike": [
            {"picture": picture, "caption": f"{key} ({label_of.get(key, 'no class')})"}
            for key, picture in alike
            if picture
        ],
        "exclusion": _base64(labels.exclusion_line(one.path).encode("utf-8", "surrogateescape")),
        "relabels": [
            {"name": name, "line": _base64(tables.as_csv((one.path, name), []))} for name in filter(None, offered)
        ],
    }


def _thumbnail(folder: Path, key: str, max_pixels: int, side: int) -> str:
    """An address of the picture itself, its longer side at most `side` pixels; empty where it cannot be read."""
    picture = encoding.read_picture(folder, key, max_pixels, side)
    if isinstance(picture, Rejection):
        return ""
    image = Image.fromarray(picture.pixels)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return html.address(buffer.getvalue(), "jpeg")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
