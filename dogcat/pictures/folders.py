"""Which paths a flag means, which pictures a folder holds, and their ids in a submission.

A picture's key is its path relative to the folder, with `/`; nothing above the folder ever counts, so a
parent folder called `dogcat` changes no label.
"""

from __future__ import annotations

import collections
import dataclasses
import errno
import glob
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Callable, Union

from dogcat.core import files, outputs, places
from dogcat.core.options import InputError
from dogcat.core.places import Address, Place
from dogcat.core.stores import Store
from dogcat.core.text import printable
from dogcat.pictures import formats

# Most pictures come in one read.
_BUFFER_BYTES = 2**16

# Files that end in one of these are pictures without a look into them; of all others their first bytes decide.
EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"))
# Files that are no TIFF, though they begin like one: a camera's own format, which may begin with a small preview.
_RAW = frozenset(
    (".dng", ".nef", ".nrw", ".cr2", ".arw", ".sr2", ".srf", ".pef", ".srw", ".3fr", ".erf", ".iiq", ".dcr")
)
# What systems, servers and browsers leave beside pictures.
_LITTER = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "#recycle", "#snapshot", "__macosx"),
        *("lost+found", "$recycle.bin", "system volume information"),
    )
)
_LITTER_ENDINGS = (".part", ".partial", ".crdownload", ".download", ".tmp", "~")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The pictures of a folder.

    Attributes:
        folder: The folder.
        keys: Paths relative to the folder, with `/`, sorted by their bytes.
        other: Number of files that are no pictures.
        litter: Number of files and folders that are hidden, or that systems leave beside pictures.
        first_other: The first of the other files; empty where there are none.
    """

    folder: Place
    keys: list[str]
    other: int
    litter: int = 0
    first_other: str = ""

    @property
    def left_out(self) -> str:
        """What is not read, in words; empty where nothing is."""
        parts = []
        if self.other:
            parts.append(f"{self.other} that are no pictures, as {self.first_other}")
        if self.litter:
            parts.append(f"{self.litter} hidden or of the system")
        return " and ".join(parts)

    def summary(self, place: str) -> str:
        """A line that says what is going to be read; `place` is the folder as the user gave it."""
        left_out = f", leaving out {self.left_out}" if self.left_out else ""
        return printable(f"reading {len(self.keys)} pictures in {place}{left_out}")


def list_images(folder: Place) -> Listing:
    """Lists the picture files below `folder`; hidden ones and what systems leave there are left out.

    A file is a picture by its extension or, where that is not a picture's, by its first bytes: browsers and phones
    write JPEG into files of any name. Links are followed, each real folder once, so that a loop of links ends.

    Raises:
        InputError: `folder` is missing, is not a folder, or holds no picture; or its address cannot be read.
        OSError: A folder below it cannot be read.
    """
    listing = _list_address(folder) if isinstance(folder, Address) else _list_folder(folder)
    if not listing.keys:
        found = f"nothing but {listing.left_out}" if listing.left_out else "nothing"
        raise InputError(f"{folder} holds no picture ({found}); give a folder of pictures with --images")
    # Of ASCII, bytes have the order of the characters, and need not be made for all keys at once.
    listing.keys.sort(key=None if all(map(str.isascii, listing.keys)) else os.fsencode)
    return listing


def _list_folder(folder: Path) -> Listing:
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {kind}; give a folder of pictures with --images")
    keys: list[str] = []
    others: list[str] = []
    litter = other = 0
    seen = set()
    # Links come after all real folders, so that a link to a folder never takes its pictures away.
    pending, linked = collections.deque([""]), collections.deque[str]()
    while pending or linked:
        prefix = pending.popleft() if pending else linked.popleft()
        path = folder / prefix
        folder_itself = _identity(path)
        if folder_itself in seen:
            continue
        seen.add(folder_itself)
        with os.scandir(path) as entries:
            # Sorted, so that of several links to one folder always the same one counts.
            for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
                if entry.name == outputs.MARKER:
                    # This program's own, of drawn samples.
                    continue
                if _is_litter(entry.name):
                    litter += 1
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    linked.append(f"{prefix}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                    keys.append(prefix + entry.name)
                elif entry.name.lower().endswith(_LITTER_ENDINGS):
                    litter += 1
                elif is_picture(Path(entry.path)):
                    keys.append(prefix + entry.name)
                else:
                    other += 1
                    others = others or [prefix + entry.name]
    return Listing(folder, keys, other, litter, *others)


def _list_address(address: Address) -> Listing:
    """The same of the files at an address, by one list of them; of the listing, the keys are not sorted yet."""
    store = Store(address.text)
    keys, doubtful, others = [], [], []
    litter = set()
    for name, entry in store.files().items():
        parts = name.split("/")
        if parts[-1] == outputs.MARKER:
            continue
        of_system = next((place for place, part in enumerate(parts, 1) if _is_litter(part)), 0)
        if of_system:
            litter.add("/".join(parts[:of_system]))
        elif os.path.splitext(name)[1].lower() in EXTENSIONS:
            keys.append(name)
        elif name.lower().endswith(_LITTER_ENDINGS):
            litter.add(name)
        elif not entry.size or os.path.splitext(name)[1].lower() in _RAW:
            others.append(name)
        else:
            doubtful.append(name)
    starts = places.each(lambda name: store.read(name, 0, formats.START_BYTES), doubtful, address)
    for name, start in zip(doubtful, starts):
        (others if formats.format_of(start) is None else keys).append(name)
    return Listing(address, keys, len(others), len(litter), min(others, default=""))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def is_picture(path: Path) -> bool:
    """Whether a file begins as a picture does, of a format that is read or of one that is named when it is not."""
    # Not even opened, since of a device that may do something.
    if path.suffix.lower() in _RAW or not path.is_file():
        return False
    try:
        with open_file(path) as file:
            return formats.format_of(file.read(formats.START_BYTES) or b"") is not None
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int] | str:
    """The same for two paths to one folder, and for no others."""
    status = folder.stat()
    # Some file systems number nothing.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)


def output_apart_from(images: str, output: str) -> Path:
    """The folder to write into, links followed.

    Raises:
        InputError: It is a file, or pictures in it would count as pictures of --images.
    """
    real, of_images = Path(os.path.realpath(output)), Path(os.path.realpath(images))
    if real.exists() and not real.is_dir():
        raise InputError(f"--output={output}: is a file; give a folder")
    if real == of_images or of_images in real.parents:
        raise InputError(f"--output={output}: lies in --images, whose pictures it would join; give another folder")
    return real


def expand(places: str, fits: Callable[[str], bool]) -> Iterator[tuple[str, list[str]]]:
    """What a flag that takes several places stands for.

    Args:
        places: Files, folders, or patterns for them like `runs/*-best`, with commas between them.
        fits: Which of a pattern's paths may be meant: runs/* fits the page that compares the runs, too.

    Yields:
        Each place, and the paths that it means: itself, or what the pattern means, sorted.
    """
    for place in [places] if os.path.exists(places) else places.split(","):
        is_pattern = glob.has_magic(place) and not os.path.exists(place)
        yield place, sorted(filter(fits, glob.glob(place))) if is_pattern else [place]


def open_file(path: Path) -> BinaryIO:
    """Opens a picture's file for reading.

    Raises:
        OSError: It cannot be read, or is a pipe or a device, which might never end.
    """
    try:
        return files.open_regular(path, _BUFFER_BYTES)
    except InputError:
        raise OSError(errno.EINVAL, "not a regular file", str(path)) from None


# A picture's file, or why there is none.
Opened = Union[BinaryIO, OSError]


def open_each(folder: Place, keys: Iterable[str]) -> Iterator[Opened]:
    """Opens pictures' files, in order; at an address, reads some of them at a time.

    Raises:
        InputError: An address cannot be read, for other reasons than that a file is gone.
    """
    if isinstance(folder, Path):
        yield from (_opened(folder / key) for key in keys)
        return
    for read in Store(folder.text).read_each(keys):
        yield read if isinstance(read, OSError) else io.BytesIO(read)


def _opened(path: Path) -> Opened:
    try:
        return open_file(path)
    except OSError as error:
        return error


def size_of(folder: Place, key: str) -> int | None:
    """The bytes of a picture's file; None of what is not a regular file.

    Raises:
        OSError: There is none.
        InputError: An address cannot be read.
    """
    return places.size_of(folder / key) if isinstance(folder, Path) else Store(folder.text).size_of(key)


def digest(folder: Place, keys: list[str]) -> str:
    """A hash, hex, that differs where other pictures would be read; of the files their size and time of change count.

    At an address, what its list tells: most often the size, the time, and a hash of the content.

    Args:
        folder: The folder that keys are relative to.
        keys: The pictures, in their order; files that are gone count too.
    """
    hash_ = hashlib.sha256()
    at_address = Store(folder.text).files() if isinstance(folder, Address) else {}
    for key in keys:
        try:
            if isinstance(folder, Path):
                status = os.stat(folder / key)
                of_file = f"{status.st_size}\0{status.st_mtime_ns}"
            else:
                of_file = "{}\0{}".format(*at_address[key])
        except (OSError, KeyError):
            of_file = "unreadable"
        hash_.update(os.fsencode(f"{key}\0{of_file}\0"))
    return hash_.hexdigest()


def submission_order(keys: list[str]) -> list[tuple[str, int]]:
    """Gives each key its id and sorts by id: integers as integers, before other ids as text.

    The id is the file's name without its extension or, where two pictures would share it, the whole key
    of every picture.

    Returns:
        (id, place in `keys`) for each key.
    """
    ids = [os.path.splitext(key.rsplit("/", 1)[-1])[0] for key in keys]
    if len(set(ids)) < len(ids):
        ids = list(keys)

    def rank(pair: tuple[str, int]) -> tuple[bool, int, str, bytes]:
        id_ = pair[0]
        # As text, since Python refuses to read an integer of thousands of digits.
        digits = id_.lstrip("0") if id_.isascii() and id_.isdecimal() else None
        return (digits is None, len(digits or ""), digits or "", os.fsencode(id_))

    return sorted(zip(ids, range(len(keys))), key=rank)
