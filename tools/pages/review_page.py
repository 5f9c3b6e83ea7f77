"""review.html: suspects with their evidence, choices that stay in the browser, the files of these as downloads."""

from __future__ import annotations

import base64
import collections
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

import dogcat
from dogcat.cleaning.suspects import KINDS, Suspect
from dogcat.core import tables
from dogcat.pictures import labels
from dogcat.reports import html

from . import thumbnails

# Longest sides in pixels of a suspect and of those alike to it, by how many suspects there are at most: a page of 500
# stays near 10 MB, and where there are few, a picture can be enlarged.
_SIDES = {50: (640, 320), 150: (400, 160), 10**9: (200, 80)}
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
    next_step: tuple[str, str],
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
        next_step: What to do with the files that the page saves: a sentence or two, and a command.
        max_pixels: Pictures of more pixels are not shown.
        workers: Number of threads.
    """
    sides = next(sides for most, sides in _SIDES.items() if len(suspects) <= most)
    wanted = {(one.path, sides[0]) for one in suspects}
    wanted |= {(key, sides[1]) for one in suspects for key in one.alike[:_MOST_ALIKE]}
    pictures = thumbnails.make(folder, wanted, max_pixels, workers)
    script = html.source("review.js")
    content = [_content(one, pictures, sides, label_of, classes) for one in suspects]
    kinds = collections.Counter(one.kind for one in suspects)
    # Another list of suspects, or the same ones for other reasons, is another review.
    review = hashlib.sha256(repr([(one.path, one.kind, one.suggestion) for one in suspects]).encode()).hexdigest()
    return html.render(
        "review.html",
        made_by=f"dogcat {dogcat.__version__}",
        folder=str(folder),
        lead=lead,
        next_step=next_step,
        kinds=[(kind, kinds[kind]) for kind in KINDS if kinds[kind]],
        suspects=content,
        earlier=_base64(earlier.encode("utf-8", "surrogateescape")),
        review=review[:16],
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _content(
    one: Suspect,
    pictures: Mapping[tuple[str, int], str],
    sides: tuple[int, int],
    label_of: Mapping[str, str],
    classes: Sequence[str],
) -> dict[str, Any]:
    label = label_of.get(one.path, "")
    offered = [name for name in classes if name != label] if len(classes) <= _MOST_CLASSES else [one.looks_like]
    # The first one is what the key for another class takes first.
    offered.sort(key=lambda name: name != one.looks_like)
    alike = [(key, pictures[key, sides[1]]) for key in one.alike[:_MOST_ALIKE]]
    return {
        "path": one.path,
        "kind": one.kind,
        "score": one.score,
        "reason": one.reason,
        "suggestion": one.suggestion,
        "changes": one.changes,
        "label": label,
        "picture": pictures[one.path, sides[0]],
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


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
