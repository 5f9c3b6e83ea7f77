"""A data set that grows at an address, as in an object store, which has no names to exchange at the end.

Each shard is written here and appears there, under its own name, when its upload ends; the manifest, without which
there is no data set, comes last. Beside them, at `<output>.partial`, lie a mark, which tells that what lies in the
output is this program's, and a folder for the plan with the notes of its finished shards. Nothing that was there before
is ever replaced.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import errno
import os
import tempfile
from pathlib import Path

import dogcat
from dogcat.core import journal
from dogcat.core.log import tell
from dogcat.core.options import InputError, is_address
from dogcat.core.places import place_of
from dogcat.core.stores import Store
from dogcat.dataset import data_set_folder, manifest, shard_index, staging, unfinished_work
from dogcat.dataset.options import ShardOptions
from dogcat.dataset.plan_folders import PlanAtAddress, is_there
from dogcat.dataset.staging import FinishedShard
from dogcat.dataset.unfinished_work import MARK

# Shards that are uploaded at a time, and wait on this machine's disk for it.
_UPLOADS = 2


class RemoteStaging:
    """A data set's place at an address, while it grows; what `staging.Staging` is for folders.

    Attributes:
        folder: A folder of this machine, for what is to be uploaded.
        plan_folder: Likewise, for the plan.
        finished: Shards that are there and belong to this plan, by name.
    """

    def __init__(self, options: ShardOptions, digest: str) -> None:
        """Takes the options, and what tells all that shapes the data set's bytes."""
        self.finished: dict[str, FinishedShard] = {}
        self._options = options
        self._output = output_of(options)
        self._shards = Store(self._output)
        self._work = Store(_work_of(self._output))
        self._plan_name = unfinished_work.plan_name_of(digest)
        self._plan = PlanAtAddress(f"{self._work.address}/{self._plan_name}")
        self._uploads: collections.deque[concurrent.futures.Future[None]] = collections.deque()
        self._is_complete = False
        self._stays = False

    def __enter__(self) -> RemoteStaging:
        """Marks the place as this program's, and takes what finished shards of the same plan are there.

        Raises:
            InputError: Something else is there, or it cannot be written.
        """
        require_usable(self._options)
        with contextlib.ExitStack() as block:
            self.folder = Path(block.enter_context(tempfile.TemporaryDirectory(prefix="dogcat-shards-")))
            self.plan_folder = self.folder / self._plan_name
            self._executor = block.enter_context(concurrent.futures.ThreadPoolExecutor(_UPLOADS))
            self._continue_or_start()
            self._block = block.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Keeps finished shards where the same call may go on, and says so with the error; else removes them."""
        # What is on its way arrives.
        self._block.close()
        if self._stays or self._is_complete:
            return
        if kind is None:
            _remove_all(self._shards, self._work)
            return
        # It has failed already, of which the user is told.
        with contextlib.suppress(InputError):
            self.finished = self._plan.written()
            if staging.is_of_no_use(kind) or not self.finished:
                _remove_all(self._shards, self._work)
                return
        if self.finished:
            staging.tell_what_is_kept(kind, error, len(self.finished), self._output)

    def share_plan(self) -> str:
        """Makes the plan in `plan_folder` known to workers elsewhere; returns its address."""
        for path in sorted(self.plan_folder.iterdir()):
            self._work.upload(path, f"{self._plan_name}/{path.name}")
        return f"{self._work.address}/{self._plan_name}"

    def add(self, part: FinishedShard) -> None:
        """Uploads a finished shard in the background, unless a worker has done so."""
        self.finished[part.shard.name] = part
        path = self.folder / part.shard.name
        if not path.exists():
            return
        while len(self._uploads) >= _UPLOADS:
            self._uploads.popleft().result()
        self._uploads.append(self._executor.submit(self._upload, path, part))

    def take(self, name: str) -> FinishedShard:
        """What is noted of a shard that a worker has uploaded."""
        part = self._plan.noted(name)
        if part is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self._output}/{name}")
        return part

    def keep(self) -> None:
        """Lets the work stay for other processes to go on with, until the data set is in its place."""
        self._stays = True

    def put_in_place(self) -> None:
        """Uploads what belongs to the data set besides shards, the manifest last; then removes notes and mark.

        Raises:
            InputError: A shard is gone or has changed meanwhile.
        """
        while self._uploads:
            self._uploads.popleft().result()
        last = self.folder / manifest.FILE_NAME
        for path in self.folder.iterdir():
            if path.is_file() and path != last:
                self._shards.upload(path, path.name)
        there = self._shards.files()
        for part in self.finished.values():
            if not is_there(part, there):
                raise InputError(
                    f"{self._output}/{part.shard.name}: is gone or has changed since it was written; let no other "
                    "command write there, and begin anew"
                )
        self._shards.upload(last, last.name)
        self._is_complete = True
        _remove_work(self._work)

    def _upload(self, path: Path, part: FinishedShard) -> None:
        self._plan.upload(path, part)
        # Else all of the data set would lie on this machine at the end.
        for file in (path, shard_index.path_beside(path)):
            file.unlink()

    def _continue_or_start(self) -> None:
        names = list(self._work.files())
        if MARK not in names:
            content = {"unfinished_data_set": self._output, "made_by": f"dogcat {dogcat.__version__}"}
            self._work.write(MARK, journal.line(content))
        elif any(name.startswith(f"{self._plan_name}/") for name in names):
            self.finished = self._plan.written()
            tell(f"going on after {len(self.finished)} finished shards in {self._output}")
        else:
            if len(names) > 1:
                tell(f"discarding unfinished work of other options or pictures in {self._output}")
            # Also shards that nobody came to note: they may be of another plan, and have names of their own.
            self._shards.remove(self._shards.files())
            self._work.remove(name for name in names if name != MARK)


def output_of(options: ShardOptions) -> str:
    """The address of --output.

    Raises:
        InputError: It is that of a whole bucket, beside which nothing can be.
    """
    output = place_of(options.output)
    if "/" not in str(output).partition("://")[2]:
        raise InputError(f"--output={options.output}: is a whole bucket; give a folder in it, like {output}/tfrecords")
    return str(output)


def require_usable(options: ShardOptions) -> None:
    """Raises InputError where a data set cannot be put at an address; removes what is left of one that is complete."""
    output = output_of(options)
    if options.overwrite:
        raise InputError(
            f"--overwrite: nothing at an address is replaced; remove the data set in {output}, or give another --output"
        )
    images = str(place_of(options.images)) if is_address(options.images) else ""
    if f"{images}/".startswith(f"{output}/"):
        raise InputError(f"--output={options.output}: the pictures of --images lie in it; give another folder")
    shards, work = Store(output), Store(_work_of(output))
    there, in_work = shards.files(), work.files()
    is_marked = MARK in in_work
    foreign = [name for name in there if not data_set_folder.is_name_of_data_set(name)]
    if manifest.FILE_NAME in there and not foreign:
        if is_marked:
            _remove_work(work)
        raise InputError(f"{output} already holds a data set; give another --output")
    foreign_in_work = [name for name in in_work if not unfinished_work.is_name_in_work(name)]
    if not is_marked:
        foreign, foreign_in_work = list(there), list(in_work)
    ways = [*(f"{output}/{name}" for name in foreign), *(f"{work.address}/{name}" for name in foreign_in_work)]
    if ways:
        raise InputError(
            f"{ways[0]}: is in the way, since this version of dogcat did not write it for this output; give a folder "
            "with --output that is new or empty"
        )


def folders_with(name: str, output: str) -> list[str]:
    """Addresses of the folders with such a file in the unfinished work of an output."""
    work = Store(_work_of(str(place_of(output))))
    return [f"{work.address}/{path.removesuffix(f'/{name}')}" for path in work.files() if path.endswith(f"/{name}")]


def _work_of(output: str) -> str:
    return output + unfinished_work.ENDING


def _remove_all(shards: Store, work: Store) -> None:
    shards.remove(filter(data_set_folder.is_name_of_data_set, shards.files()))
    _remove_work(work)


def _remove_work(work: Store) -> None:
    """Removes notes and plans, and the mark last."""
    own = filter(unfinished_work.is_name_in_work, work.files())
    work.remove(sorted(own, key=lambda name: name == MARK))
