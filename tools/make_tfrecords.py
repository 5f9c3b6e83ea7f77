"""Makes a data set of TFRecord shards from a folder of pictures.

The class of a picture is its folder's name (cat/1.jpg, dog/2.jpg) or what its own name begins with (cat.1.jpg,
dog.2.jpg), unless --labels says otherwise. Pictures that cannot be used are left out and listed in rejected.csv with
the reason. The data set appears at --output when it is complete, with the manifest dataset.json. Stopped or killed,
the same command goes on after the shards that are finished. Pictures and data set may be in a bucket, like
s3://bucket/train.
"""

from __future__ import annotations

import shlex

from dogcat.core import commands, flags, runtime
from dogcat.core.options import is_address
from dogcat.core.processes import Workers
from dogcat.core.text import printable
from dogcat.dataset import manifest, shard_pieces, shard_steps, writer
from dogcat.dataset.making import make_data_set, prepare
from dogcat.dataset.options import ShardOptions


def do_step(options: ShardOptions) -> None:
    """Does one of the steps plan and part, and says what to do next.

    Raises:
        InputError: As `make_data_set`; or there is no plan, or this machine does not see the folders.
        OSError: A folder cannot be read or written.
    """
    command = f"{commands.spelled('make-tfrecords')} {shlex.quote(f'--output={options.output}')}"
    if options.part is None:
        shards = shard_steps.write_plan(prepare(options))
        print(f"planned {shards} shards in {options.output}.partial")
        print(printable(f"next: {command} --only=0/{shards}, and so on to {shards - 1}/{shards}, or in fewer parts"))
        return
    with Workers(options.workers or runtime.available_cores(), shard_pieces.write_piece) as workers:
        shards = shard_steps.write_part(options.output, *options.part, workers)
    print(f"part {options.only}: {shards} shards are written")
    print(printable(f"next, after all parts: {command} --only=commit"))


def describe(made: manifest.Manifest, output: str) -> str:
    """The data set in a few lines."""
    lines = [f"wrote {output}"]
    for split, part in made.splits.items():
        counts = ", ".join(f"{name} {count}" for name, count in zip(made.classes, part.counts)) or "no labels"
        mib = sum(shard.bytes for shard in part.shards) / 2**20
        files = "1 shard" if len(part.shards) == 1 else f"{len(part.shards)} shards"
        lines.append(f"  {split}: {part.pictures} pictures ({counts}), {files}, {mib:.1f} MiB")
    if made.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in made.rejected.items())
        lines.append(f"  left out: {reasons}; named in {output}/{writer.REJECTED_FILE}")
    return "\n".join(map(printable, lines))


def main(options: ShardOptions) -> None:
    """Makes the data set and says what to do next."""
    if options.only not in ("", "commit"):
        do_step(options)
        return
    made = shard_steps.commit(options.output) if options.only else make_data_set(options)
    print(describe(made, options.output))
    if made.classes and not made.options["validation"]:
        print("next: training needs validation pictures; make the data set with --validation above 0 for it")
    elif made.classes and is_address(options.output) and not options.output.lower().startswith("gs://"):
        scheme = options.output.partition("://")[0]
        print(f"next: copy it to where you train, unless TensorFlow opens {scheme}:// there")
    elif made.classes:
        where = "" if options.output == ShardOptions.output else f" {shlex.quote(options.output)}"
        print(printable(f"next: {commands.spelled('train')}{where}"))
    else:
        print(printable(f"next: {commands.spelled('inspect-tfrecords')} {shlex.quote(options.output)} --verify"))


if __name__ == "__main__":
    flags.run(main, ShardOptions)
