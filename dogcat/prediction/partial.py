"""What a prediction has found so far, kept beside its output, so that a prediction that was stopped can go on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dogcat.core import files, journal
from dogcat.core.interrupts import Terminated
from dogcat.core.log import tell
from dogcat.core.options import InputError, as_flag
from dogcat.dataset.encoding import Rejection
from dogcat.prediction.options import PredictionOptions

_MADE_FROM = "made_from"
_OUTPUT = "output"
_START = b'{"made_from": '
# A line is of a batch.
_LONGEST_LINE = 2**28


def path_beside(output: Path) -> Path:
    """The file of what is found so far."""
    return output.with_name(output.name + ".partial")


class PartialPredictions:
    """Logits batch by batch, each appended to a file when it is computed; a context manager.

    The file has a line of JSON that tells what the logits are made from and for which output, and one for each batch. A
    kill may cut the last one short; that batch is computed again.

    Attributes:
        pictures: Number of pictures so far.
        logits: float32 [pictures of the batch, models, 1 or classes] of each batch so far.
        rejections: The pictures so far that cannot be read.
    """

    def __init__(
        self, options: PredictionOptions, made_from: dict[str, Any], keys: list[str], outputs: tuple[int, int]
    ) -> None:
        """Opens nothing yet.

        Args:
            options: Those of the prediction.
            made_from: What decides the logits, as JSON knows it, by the name of the option that it comes from.
            keys: The pictures, in the order in which they are predicted.
            outputs: Number of models, and of logits that each gives.
        """
        self.pictures = 0
        self.logits: list[np.ndarray] = []
        self.rejections: list[Rejection] = []
        self._path = path_beside(Path(options.output))
        self._output = Path(options.output).name
        self._options = options
        self._made_from = made_from
        self._keys = keys
        self._outputs = outputs

    def __enter__(self) -> PartialPredictions:
        """Opens the file, and with --resume reads what is there.

        Raises:
            InputError: Another process writes the file, or it holds something else, or batches without --resume.
        """
        self._file = self._open()
        try:
            self._continue_or_start()
        except BaseException:
            # An empty one holds nothing, whoever made it.
            if not os.fstat(self._file.fileno()).st_size:
                self._path.unlink()
            with contextlib.suppress(OSError):
                self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Closes the file; without a batch in it, it goes."""
        if not self.logits:
            self._path.unlink()
        try:
            with files.naming(self._path):
                self._file.close()
        except OSError:
            # What could not be written is told by the first error.
            if error is None:
                raise
        kept = f"{self.pictures} pictures are kept in {self._path}; --resume goes on after them"
        if isinstance(error, (KeyboardInterrupt, Terminated)):
            raise type(error)(kept if self.logits else "no picture had been predicted; start again")
        if isinstance(error, OSError) and error.strerror and self.logits:
            error.strerror += f" ({kept})"

    def add(self, logits: np.ndarray, rejections: list[Rejection]) -> None:
        """Keeps the logits of the next pictures, and those among these that cannot be read."""
        # First: what could not be written is not kept.
        self._append({"logits": logits.tolist(), "rejections": rejections})
        self._take(logits, rejections)

    def _take(self, logits: np.ndarray, rejections: list[Rejection]) -> None:
        self.pictures += len(logits)
        self.logits.append(logits)
        self.rejections += rejections

    def _append(self, content: dict[str, Any]) -> None:
        with files.naming(self._path):
            self._file.write(journal.line(content))
            # Then it is with the system, whatever becomes of this process.
            self._file.flush()

    def _open(self) -> BinaryIO:
        """Opens the file and takes it for this process, until it closes it or ends, however it ends."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            if self._path.is_symlink() or files.is_in_the_way(self._path):
                raise self._in_the_way()
            file = open(os.open(self._path, flags, 0o666), "r+b")  # noqa: SIM115, it stays open until the end of the block
            if not files.lock(file.fileno(), self._path):
                file.close()
                raise InputError(
                    f"{self._path}: is being written by another process; wait for it or give another --output"
                )
            if files.is_still(file.fileno(), self._path):
                return file
            # The process that had it is done, and has removed it.
            file.close()

    def _in_the_way(self) -> InputError:
        return InputError(f"{self._path}: is in the way; move it, or give another --output")

    def _continue_or_start(self) -> None:
        made_from, whole = self._read()
        if self.logits and not self._options.resume:
            raise InputError(
                f"{self._path}: holds {self.pictures} pictures of a prediction that was stopped; go on after them with "
                "--resume, or remove the file and begin anew"
            )
        if self.logits:
            self._require_same(made_from)
            self._require_fitting()
            tell(f"going on after {self.pictures} pictures in {self._path}")
        with files.naming(self._path):
            self._file.seek(whole if self.logits else 0)
            self._file.truncate()
        if not self.logits:
            self._append({_MADE_FROM: self._made_from, _OUTPUT: self._output})

    def _read(self) -> tuple[dict[str, Any], int]:
        """Takes what is kept; returns what it is made from, and the number of bytes of all whole lines.

        Raises:
            InputError: It is somebody else's, or damaged.
        """
        start = self._file.read(len(_START))
        if not start:
            return {}, 0
        if start != _START:
            raise self._in_the_way()
        self._file.seek(0)
        try:
            # A line at a time, and none that is longer than any that was written.
            begun = journal.parse(self._file.readline(_LONGEST_LINE))
            if begun[_OUTPUT] != self._output:
                raise self._in_the_way()
            made_from = dict(begun[_MADE_FROM])
            whole = self._file.tell()
            for line in iter(lambda: self._file.readline(_LONGEST_LINE), b""):
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    # The kill came in the middle of it.
                    break
                content = journal.parse(line)
                rejections = [Rejection(*map(str, rejection)) for rejection in content["rejections"]]
                self._take(_as_logits(content["logits"]), rejections)
                whole += len(line)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise self._damaged() from error
        return made_from, whole

    def _damaged(self) -> InputError:
        return InputError(f"{self._path}: is damaged or of a former version; remove it and begin anew")

    def _require_fitting(self) -> None:
        """Raises InputError where the logits are not those of these models, or the pictures others."""
        shapes = {logits.shape[1:] for logits in self.logits}
        unknown = {rejection.key for rejection in self.rejections}.difference(self._keys[: self.pictures])
        if shapes != {self._outputs} or self.pictures > len(self._keys) or unknown:
            raise self._damaged()

    def _require_same(self, made_from: dict[str, Any]) -> None:
        if made_from.keys() - self._made_from.keys() - {"images", "tfrecords"}:
            raise self._damaged()
        for name in sorted(made_from.keys() | self._made_from.keys()):
            if made_from.get(name) != self._made_from.get(name):
                raise InputError(
                    f"{as_flag(name, getattr(self._options, name))}: is not what {self._path} was begun with; give "
                    "that, or remove the file and begin anew"
                )


def _as_logits(value: Any) -> np.ndarray:
    """Numbers from JSON as float32 [pictures, models, 1 or classes].

    Raises:
        ValueError: They are none.
    """
    logits = np.array(value)
    if logits.ndim != 3 or logits.dtype != np.float64 or not len(logits):
        raise ValueError("no logits")
    if not (np.abs(logits) <= np.finfo(np.float32).max).all():
        raise ValueError("no finite logits")
    return logits.astype(np.float32)
