"""Where the ImageNet weights of backbones are kept, and where Keras keeps them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from dogcat.core import cache, runtime
from dogcat.core.cache import cache_folder
from dogcat.models.backbones import BACKBONES


def cache_path(name: str) -> Path:
    """Where the ImageNet weights of a backbone are kept: under a name that no other program gives."""
    return kept_under(BACKBONES[name].weights_url)


def is_cached(name: str) -> bool:
    """Whether the cache has a file of the ImageNet weights of a backbone."""
    return any(os.path.isfile(path) for path in in_cache(BACKBONES[name].weights_url))


def kept_under(url: str) -> Path:
    """Where a download is kept in the cache."""
    name = Path(url.rpartition("/")[2])
    return cache_folder() / f"{name.stem}.{hashlib.sha256(url.encode()).hexdigest()[:16]}{name.suffix}"


def in_cache(url: str) -> list[Path]:
    """Where a download may be in the cache: as it is kept, or under its own name, as somebody put it there."""
    return [kept_under(url), cache_folder() / url.rpartition("/")[2]]


def keep(path: Path, url: str) -> str:
    """Copies a file into the cache, whole or not at all; returns where it is kept, or why it is not."""
    cached = kept_under(url)
    try:
        with open(path, "rb") as file, cache.writing(cached) as copy:
            shutil.copyfileobj(file, copy)
    except OSError as error:
        return f"not kept in {cached}: {error.strerror}"
    return f"kept in {cached}"


def keras_home() -> Path:
    """Keras' own folder, in which it keeps what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or runtime.home_folder() / ".keras")
