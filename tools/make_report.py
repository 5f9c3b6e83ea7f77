"""Makes the page of a run anew, or a page that compares several.

Of one run: report.html and pictures.csv in its folder, as dogcat.train writes them at its end. Of several: a table,
their curves over each other, and for each whether the data tells it apart from the best one.
"""

from __future__ import annotations

import os
from pathlib import Path

from dogcat import files, flags, folders, latest_run, outputs, runtime
from dogcat.config import InputError, ReportOptions
from dogcat.printing import printable

COMPARISON = "comparison.html"


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
    if output.exists() and not output.is_file():
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

    from dogcat import devices, run_report

    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    if len(runs) == 1:
        page = run_report.write(runs[0], options.tfrecords)
        if page is None:
            raise InputError(f"{runs[0]}: was validated on less than two pictures; there is nothing to report")
    else:
        comparison = run_report.compare(runs, options.tfrecords)
        page = output
        if options.output:
            files.write_atomically(page, comparison)
        else:
            outputs.write(page.parent, {page.name: comparison})
    print(printable(f"wrote {page}"))


if __name__ == "__main__":
    flags.run(main, ReportOptions)
