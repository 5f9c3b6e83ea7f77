"""Seeded mutations of bytes and of JSON values, and what a program that is given them may do."""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

from dogcat.core.options import InputError

MOST_SECONDS = 10.0
LONGEST_MESSAGE = 300

# Numbers at whose sides programs go wrong.
_NUMBERS = (-1, 0, 1, 2**31 - 1, 2**31, 2**40, 2**63 - 1, 2**64, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"))
_TEXTS = ("", ".", "..", "../x", "/etc/passwd", "a/b", "x" * 100_000, "\x00", "\n", "\ud800", "null", "NaN", "<script>")


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Versions of `data` with one to three faults each: bits, bytes, stretches, cuts, repetitions."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            _mutate(changed, rng)
        yield bytes(changed)


def _mutate(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    length = min(len(data) - at, int(2 ** rng.uniform(0, 12)))
    kind = rng.randrange(8)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == 2:
        data[at : at + length] = bytes(length)
    elif kind == 3:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 4:
        del data[at : at + length]
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        data[at:at] = data[at : at + length]
    else:
        number = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1))
        width = rng.choice((4, 8))
        data[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))


def json_mutations(value: Any, count: int, seed: int) -> Iterator[bytes]:
    """Versions of a JSON value with one to three members changed, removed, repeated or of another kind."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = json.loads(json.dumps(value))
        for _ in range(rng.randint(1, 3)):
            changed = _mutate_json(changed, rng)
        yield json.dumps(changed).encode("utf-8", "surrogatepass")


def _mutate_json(value: Any, rng: random.Random) -> Any:
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.1:
            del value[key]
        elif isinstance(value, list) and rng.random() < 0.1:
            value.append(value[key])
        else:
            value[key] = _mutate_json(value[key], rng)
        return value
    others: list[Any] = [None, True, [], {}, [value], {"a": value}, "7", value]
    return rng.choice([rng.choice(_NUMBERS), rng.choice(_TEXTS), rng.choice(others)])


def check(call: Callable[[Any], object], inputs: Iterable[Any], allowed: tuple[type[BaseException], ...] = ()) -> int:
    """Gives each input to `call`, which may take it or refuse it in one short line.

    Args:
        call: What is tried.
        inputs: The inputs.
        allowed: What may be raised besides InputError, and OSError that names a file.

    Returns:
        The number of inputs that were refused.
    """
    refused = 0
    for number, given in enumerate(inputs):
        began = time.monotonic()
        try:
            call(given)
        except InputError as error:
            refused += 1
            assert str(error) and len(str(error)) <= 4 * LONGEST_MESSAGE, f"input {number}: {str(error)[:500]}"
        except allowed:
            refused += 1
        except OSError as error:
            refused += 1
            assert error.filename is not None, f"input {number}: an OSError without a name: {error!r}"
        except BaseException as error:
            raise AssertionError(f"input {number} ended in {type(error).__name__}: {error}") from error
        seconds = time.monotonic() - began
        assert seconds < MOST_SECONDS, f"input {number} took {seconds:.1f} s"
    return refused


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What lies below a folder: mode and content of each file, by path; compare it before and after."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """A block in which no file grows beyond `room` bytes: writing fails as on a full disk."""
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Of which the signal is ignored by Python.
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


@contextlib.contextmanager
def memory_within(most: int) -> Iterator[None]:
    """A block in which this process may take `most` bytes more than it has at its beginning (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _kib("VmRSS")
    yield
    taken = (_kib("VmHWM") - before) * 1024
    assert taken <= most, f"took {taken / 2**20:.0f} MiB, more than {most / 2**20:.0f}"


def _kib(name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1])
