"""What a prediction has found so far, kept beside its output, so that a prediction that was stopped can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dogcat import files
from dogcat.config import InputError, PredictionOptions
from dogcat.encoding import Rejection
from dogcat.interrupts import Terminated

_MADE_FROM = "made_from"
_START = b'{"made_from": '


def path_beside(output: Path) -> Path:
    """The file of what is found so far."""
    return output.with_name(output.name + ".partial")


class PartialPredictions:
    """Logits batch by batch, each appended to a file when it is computed; a context manager.

    The file has a line of JSON that tells what the logits are made from, and one for each batch. A kill may cut the
    last one short; that batch is computed again.

    Attributes:
        pictures: Number of pictures so far.
        logits: float32 [pictures of the batch, models, 1 or classes] of each batch so far.
        rejections: The pictures so far that cannot be read.
    """

    def __init__(self, options: PredictionOptions, made_from: dict[str, Any]) -> None:
        """Takes what decides the logits, as JSON knows it, by the name of the option that it comes from."""
        self.pictures = 0
        self.logits: list[np.ndarray] = []
        self.rejections: list[Rejection] = []
        self._path = path_beside(Path(options.output))
        self._options = options
        self._made_from = made_from

    def __enter__(self) -> PartialPredictions:
        """Opens the file, and with --resume reads what is there.

        Raises:
            InputError: Another process writes the file, or it holds something else, or batches without --resume.
        """
        self._file = open(self._path, "ab")  # noqa: SIM115, it stays open until the end of the block
        try:
            self._lock()
            self._continue_or_start()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Closes the file; without a batch in it, it goes."""
        if not self.logits:
            self._path.unlink()
        with files.naming(self._path):
            self._file.close()
        if isinstance(error, (KeyboardInterrupt, Terminated)):
            kept = f"{self.pictures} pictures are kept in {self._path}; --resume goes on after them"
            raise type(error)(kept if self.logits else "no picture had been predicted; start again")

    def add(self, logits: np.ndarray, rejections: list[Rejection]) -> None:
        """Keeps the logits of the next pictures, and those among these that cannot be read."""
        self._take(logits, rejections)
        self._append({"logits": logits.tolist(), "rejections": rejections})

    def _take(self, logits: np.ndarray, rejections: list[Rejection]) -> None:
        self.pictures += len(logits)
        self.logits.append(logits)
        self.rejections += rejections

    def _append(self, content: dict[str, Any]) -> None:
        with files.naming(self._path):
            self._file.write(json.dumps(content).encode() + b"\n")
            # Then it is with the system, whatever becomes of this process.
            self._file.flush()

    def _lock(self) -> None:
        if not files.lock(self._file.fileno(), self._path):
            raise InputError(f"{self._path}: is being written by another process; wait for it or give another --output")

    def _continue_or_start(self) -> None:
        made_from, whole = self._read()
        if self.logits and not self._options.resume:
            raise InputError(
                f"{self._path}: holds {self.pictures} pictures of a prediction that was stopped; go on after them with "
                "--resume, or remove the file and begin anew"
            )
        if self.logits:
            self._require_same(made_from)
            print(f"going on after {self.pictures} pictures in {self._path}")
            self._file.truncate(whole)
        else:
            self._file.truncate(0)
            self._append({_MADE_FROM: self._made_from})

    def _read(self) -> tuple[dict[str, Any], int]:
        """Takes what is kept; returns what it is made from, and the number of bytes of all whole lines."""
        made_from: dict[str, Any] = {}
        whole = 0
        with open(self._path, "rb") as file:
            for line in file:
                if not whole and not line.startswith(_START):
                    raise InputError(f"{self._path}: is in the way; move it, or give another --output")
                if not line.endswith(b"\n"):
                    # The kill came in the middle of it.
                    break
                try:
                    content = json.loads(line)
                    if not whole:
                        made_from = content[_MADE_FROM]
                    else:
                        rejections = [Rejection(*rejection) for rejection in content["rejections"]]
                        self._take(np.array(content["logits"], np.float32), rejections)
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{self._path}: is damaged; remove it and begin anew") from error
                whole += len(line)
        return made_from, whole

    def _require_same(self, made_from: dict[str, Any]) -> None:
        for name in sorted(made_from.keys() | self._made_from.keys()):
            if made_from.get(name) != self._made_from.get(name):
                raise InputError(
                    f"--{name}={getattr(self._options, name)}: is not what {self._path} was begun with; give that, or "
                    "remove the file and begin anew"
                )
