"""Names as different systems spell them: one name in several forms of Unicode, encodings and kinds of paths."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable

from dogcat.core.options import InputError

_LONGEST_SHOWN = 80


def folded(name: str) -> str:
    r"""The same for all spellings of a name.

    Those are letters with their accents apart, as macOS stores them; bytes of Windows' Western encoding, which is no
    UTF-8; paths that begin with `./` or have `\`; spaces around.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFC", "".join(map(_western, name)))
    return name.strip().replace("\\", "/").removeprefix("./")


def _western(character: str) -> str:
    """A byte that is not UTF-8, as Python reads it in a name, as the letter that it is in Western encodings."""
    if "\udc80" <= character <= "\udcff":
        byte = bytes([ord(character) - 0xDC00])
        try:
            return byte.decode("cp1252")
        except UnicodeDecodeError:
            return byte.decode("latin-1")
    return character


class Spellings:
    """Known names, found by any of their spellings."""

    def __init__(self, names: Iterable[str]) -> None:
        """Takes the names."""
        self._names = frozenset(names)

    def find(self, name: str, place: str) -> str | None:
        """The known name that is meant: the same, else the only one of another spelling, else None.

        Args:
            name: What somebody wrote.
            place: Where it stands, for the message.

        Raises:
            InputError: Several names are spellings of it, none of them this one.
        """
        if name in self._names:
            return name
        found = self._by_folded.get(folded(name), [])
        if len(found) > 1:
            first, second = sorted(found)[:2]
            raise InputError(
                f"{place}: {shown(name)} may be {ascii(shortened(first))} or {ascii(shortened(second))}, which differ "
                "in spelling alone; rename one of them"
            )
        return found[0] if found else None

    @functools.cached_property
    def _by_folded(self) -> dict[str, list[str]]:
        # Only made where a name is not there as it is written.
        names: dict[str, list[str]] = {}
        for name in self._names:
            names.setdefault(folded(name), []).append(name)
        return names


def require_distinct(names: Iterable[str], what: str) -> None:
    """Raises InputError where two names, which are those of `what`, differ in spelling alone."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(folded(name), name)
        if other != name:
            raise InputError(
                f"{what}: {ascii(shortened(other))} and {ascii(shortened(name))} are one name in two spellings; rename "
                "one of them"
            )


def shown(text: str) -> str:
    """Text for a message: in quotes, not too long."""
    return repr(shortened(text))


def shortened(text: str) -> str:
    """Text without the middle, where it is long."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN // 2]}...{text[-_LONGEST_SHOWN // 4 :]}"
