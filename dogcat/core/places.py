"""Places that data sets are read from: folders of this machine, and addresses like gs://bucket/set.

The one module that knows how a file at an address is read: through the file systems of TensorFlow, which is imported
when the first of them is.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import importlib.util
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union

from dogcat.core import files
from dogcat.core.options import InputError, is_address
from dogcat.core.text import shortened

# Small files of an address that are asked for at a time, since each answer takes its time.
_REQUESTS = 16
# Of what TensorFlow says of a failure, often in the words of a server.
_LONGEST_REASON = 160
# How TensorFlow names an operation of a graph.
_NODE = re.compile(r"\{\{[^}]*\}\}")

if TYPE_CHECKING:
    import tensorflow as tf

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Address:
    """The address of a file or a folder of files, like gs://bucket/set, with the few words of `Path` that it needs.

    Attributes:
        text: The address, without a slash at its end.
    """

    text: str

    @property
    def name(self) -> str:
        """What stands behind the last slash."""
        return self.text.rpartition("/")[2]

    def with_name(self, name: str) -> Address:
        """Another file in the same folder."""
        return Address(f"{self.text.rpartition('/')[0]}/{name}")

    def __truediv__(self, name: str) -> Address:
        """A file of the folder."""
        return Address(f"{self.text}/{name}")

    def __str__(self) -> str:
        """The address."""
        return self.text


Place = Union[Path, Address]
AnyPlace = TypeVar("AnyPlace", Path, Address, Place)


def place_of(text: str) -> Place:
    """The place that a text names: an address, or a path of this machine.

    Raises:
        InputError: It is an address of nothing.
    """
    if not is_address(text):
        return Path(text)
    scheme, _, rest = text.partition("://")
    if not rest.strip("/"):
        raise InputError(f"{text}: names nothing; give an address like gs://bucket/folder")
    # TensorFlow knows them in small letters.
    return Address(f"{scheme.lower()}://{rest.rstrip('/')}")


def size_of(place: Place) -> int | None:
    """The bytes of a regular file, which is not read; None of anything else.

    Raises:
        FileNotFoundError: There is nothing.
        InputError: The address cannot be asked.
    """
    if isinstance(place, Address):
        with _file_systems(place) as gfile:
            found = gfile.stat(place.text)
        return None if found.is_directory else int(found.length)
    status = os.stat(place)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def is_file(place: Place) -> bool:
    """Whether there is a regular file."""
    try:
        return size_of(place) is not None
    except FileNotFoundError:
        return False


def read_bounded(place: Place, limit: int) -> bytes:
    """Reads a regular file of `limit` bytes at most.

    Raises:
        FileNotFoundError: There is nothing.
        InputError: It is larger, not a regular file, or at an address that cannot be read.
        OSError: It cannot be read.
    """
    if not isinstance(place, Address):
        return files.read_bounded(place, limit)
    size = size_of(place)
    if size is None or size > limit:
        what = "is not a file" if size is None else f"has more than {limit:,} bytes, the most that such a file can have"
        raise InputError(f"{place}: {what}")
    return read_range(place, 0, size)


def read_range(place: Place, start: int, length: int) -> bytes:
    """Reads a byte range of a file, or what the file has of it.

    Raises:
        FileNotFoundError: There is nothing.
        InputError: It is at an address that cannot be read.
        OSError: It cannot be read.
    """
    if isinstance(place, Address):
        with _file_systems(place) as gfile, gfile.GFile(place.text, "rb") as file:
            file.seek(start)
            return bytes(file.read(length))
    with open(place, "rb") as file:
        file.seek(start)
        return file.read(length)


def each(function: Callable[[_Item], _Result], items: Iterable[_Item], folder: Place) -> Iterator[_Result]:
    """Calls a function for each item, in order; where it reads files of an address, some at a time."""
    if isinstance(folder, Path):
        yield from map(function, items)
        return
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS) as executor:
        yield from executor.map(function, items)


@contextlib.contextmanager
def _file_systems(place: Address) -> Iterator[Any]:
    """TensorFlow's functions for files, for a block whose errors become a line that names the place."""
    if "tensorflow" not in sys.modules:
        from dogcat.core import runtime

        runtime.prepare(for_library=True)
    import tensorflow as tf

    scheme = place.text.partition("://")[0]
    # It brings further file systems when it is imported.
    if scheme not in tf.io.gfile.get_registered_schemes() and importlib.util.find_spec("tensorflow_io"):
        importlib.import_module("tensorflow_io")
    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError:
        raise FileNotFoundError(errno.ENOENT, "there is no such file or bucket", place.text) from None
    except tf.errors.UnimplementedError as error:
        raise InputError(
            f"{place}: TensorFlow has no file system for {scheme}://; pip install tensorflow-io, which brings s3 and "
            "others to some versions of TensorFlow, or copy the data set to this machine"
        ) from error
    except (tf.errors.PermissionDeniedError, tf.errors.UnauthenticatedError) as error:
        why = f"may not be read with the credentials that TensorFlow found ({reason(error)})"
        raise InputError(f"{place}: {why}") from error
    except tf.errors.OpError as error:
        raise InputError(f"{place}: cannot be read ({reason(error)})") from error


def reason(error: tf.errors.OpError) -> str:
    """What TensorFlow says of a failure, as a part of a line: not where in a graph it came."""
    return shortened(_NODE.sub("", error.message).strip().split("\n", 1)[0], _LONGEST_REASON)
