"""The steps of a data set that is written in pieces: plan, shards, putting in place; in one call or one by one.

One by one is for engines that run a command by number, as arrays of Slurm and indexed jobs of Kubernetes do.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dogcat.core.calls import Calls
from dogcat.core.options import InputError, is_address
from dogcat.core.places import place_of
from dogcat.core.progress import pictures_bar
from dogcat.dataset import manifest, remote_staging, shard_pieces, unfinished_work, writer
from dogcat.dataset.shard_pieces import Plan
from dogcat.dataset.staging import FinishedShard
from dogcat.dataset.writer import PlannedShard, Work


def write_data_set(work: Work, workers: Calls[str]) -> manifest.Manifest:
    """What `writer.write_data_set` does, in pieces.

    Args:
        work: What is to be written.
        workers: Call `shard_pieces.write_piece`.

    Raises:
        InputError: As there; or a worker does not fit.
        OSError: A folder cannot be read or written.
    """
    with work.staging() as staging:
        planned = shard_pieces.write_plan(work, staging.plan_folder)
        plan = staging.share_plan()
        workers.check_each(shard_pieces.check_worker, plan)
        numbers = {shard.name: number for number, shard in enumerate(planned)}

        def write(missing: list[PlannedShard], progress: Any) -> Iterator[FinishedShard]:
            calls = ((plan, numbers[shard.name]) for shard in missing)
            for shard, name in zip(missing, workers.starmap(calls)):
                yield staging.take(name)
                progress.update(len(shard.pictures))

        return writer.complete(work, writer.write_missing(planned, staging, write), staging)


def write_plan(work: Work) -> int:
    """Writes the plan alone, for `write_part` and `commit`; returns the number of shards."""
    with work.staging() as staging:
        staging.keep()
        shards = len(shard_pieces.write_plan(work, staging.plan_folder))
        staging.share_plan()
        return shards


def write_part(output: str, part: int, parts: int, workers: Calls[str]) -> int:
    """Writes those of a plan's shards whose numbers leave the remainder `part` when divided by `parts`.

    Returns:
        How many they are.

    Raises:
        InputError: There is no plan, or this process does not fit.
        OSError: A shard cannot be written.
    """
    plan = plan_of(output)
    shard_pieces.check_worker(str(plan.folder))
    numbers = range(part, len(plan.shards), parts)
    calls = ((str(plan.folder), number) for number in numbers)
    with pictures_bar(sum(plan.shards[number].pictures for number in numbers), "writing") as progress:
        for number, _ in zip(numbers, workers.starmap(calls)):
            progress.update(plan.shards[number].pictures)
    return len(numbers)


def commit(output: str) -> manifest.Manifest:
    """Puts the data set of a plan in its place when all of its shards are written.

    Raises:
        InputError: There is no plan, a shard is missing, or this process does not fit.
        OSError: A folder cannot be read or written.
    """
    plan = plan_of(output)
    # Another version would write another manifest.
    plan.require_here()
    options = dataclasses.replace(plan.options, output=output)
    work = plan.work(options)
    with work.staging() as staging:
        staging.keep()
        missing = [
            number
            for number, shard in enumerate(plan.shards)
            if shard.name not in staging.finished and plan.finished(number) is None
        ]
        if missing:
            count = len(plan.shards)
            raise InputError(
                f"--only=commit: {len(missing)} of {count} shards are not written, as {plan.shards[missing[0]].name}; "
                f"give --only={missing[0]}/{count} for this one, then commit"
            )
        parts: dict[str, list[FinishedShard]] = {shard.split: [] for shard in plan.shards}
        for shard in plan.shards:
            if shard.name not in staging.finished:
                staging.add(staging.take(shard.name))
            parts[shard.split].append(staging.finished[shard.name])
        return writer.complete(work, parts, staging)


def plan_of(output: str) -> Plan:
    """The plan that was made for an output.

    Raises:
        InputError: There is none.
    """
    if is_address(output):
        for address in remote_staging.folders_with(shard_pieces.PLAN, output):
            return Plan(place_of(address))
    else:
        folder = unfinished_work.folder_of(Path(os.path.realpath(output)))
        plans = unfinished_work.plan_folders_in(folder) if folder.is_dir() else []
        for plan in plans:
            if (plan / shard_pieces.PLAN).exists():
                return Plan(plan)
    raise InputError(f"--output={output}: no plan is there for it; give --only=plan first")
