"""Makes the page of a run anew, or a page that compares several.

Of one run: report.html and pictures.csv in its folder, as dogcat.train writes them at its end. Of several: a table,
their curves over each other, and for each whether the data tells it apart from the best one.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from dogcat.core import files, flags, outputs, runtime
from dogcat.core.options import InputError, Options, option
from dogcat.core.text import printable
from dogcat.models import latest_run
from dogcat.pictures import folders

COMPARISON = "comparison.html"


@dataclasses.dataclass(frozen=True)
class ReportOptions(Options):
    """Options of `tools.make_report`."""

    runs: str = option(
        "runs/latest",
        "Folder of a finished run, or of several to compare.",
        positional=True,
        several=True,
        path=True,
    )
    tfrecords: str = option(
        "",
        "Folder of the data set that they were trained on, or its address. Empty: where each run had it.",
        path=True,
        remote=True,
    )
    output: str = option("", "Page that compares several runs. Empty: comparison.html beside the first one.", path=True)


def find_runs(places: str) -> list[Path]:
    """The folders of runs, each once; `places` are folders or patterns with commas between them.

    Raises:
        InputError: A pattern fits nothing.
    """
    found: dict[str, Path] = {}
    for place, matches in folders.expand(places, latest_run.may_be_run):
        if not matches:
            raise InputError(f"{place} fits no folder; give those of runs, like runs/latest")
        for match in matches:
            run = latest_run.resolve(match)
            found.setdefault(os.path.realpath(run), run)
    return list(found.values())


def _require_place(output: Path, named: bool) -> None:
    """Raises InputError where the comparison cannot be written, or would replace a file that the user has not named."""
    if not output.parent.is_dir():
        raise InputError(f"--output={output}: its folder does not exist; make it, or give another")
    if files.is_in_the_way(output):
        raise InputError(f"--output={output}: is not a regular file; give another name")
    if not named:
        outputs.require_own(output.parent, [output.name])


def main(options: ReportOptions) -> None:
    """Makes the page, and says where it is."""
    runs = find_runs(options.runs)
    output = Path(options.output) if options.output else runs[0].resolve().parent / COMPARISON
    if len(runs) == 1 and options.output:
        raise InputError(f"--output={options.output}: is for several runs; the page of one is in its folder")
    if len(runs) > 1:
        _require_place(output, named=bool(options.output))
    runtime.prepare()
    from tensorflow import keras

    from dogcat.models import devices
    from dogcat.reports import build

    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    if len(runs) == 1:
        page = build.write(runs[0], options.tfrecords)
        if page is None:
            raise InputError(f"{runs[0]}: was validated on less than two pictures; there is nothing to report")
    else:
        comparison = build.compare(runs, options.tfrecords)
        page = output
        if options.output:
            files.write_atomically(page, comparison)
        else:
            outputs.write(page.parent, {page.name: comparison})
    print(printable(f"wrote {page}"))


if __name__ == "__main__":
    flags.run(main, ReportOptions)
