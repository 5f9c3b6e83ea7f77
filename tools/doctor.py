"""Tells what there is to compute with, and what does not fit: for yourself, or for a report of a bug.

Versions, GPUs and their libraries, the processor, memory and limits, folders, the environment, what dogcat would choose
by itself, and what came of small computations on the devices. The home folder is written as ~, TF_CONFIG without names
of machines, and variables that may hold secrets without their values; read it all the same before you publish it.

Exit codes: 0 nothing was found that stops the work, 1 something was, like a TensorFlow that cannot be imported or a GPU
that does not compute. What only makes the work slower is told, too.
"""

from __future__ import annotations

import dataclasses

from dogcat.core import flags, runtime
from dogcat.core.options import Options

from .checkup import computing, machine, packages
from .checkup.report import Report

EXIT_STOPS = 1


@dataclasses.dataclass(frozen=True)
class DoctorOptions(Options):
    """There are none."""


def examine() -> Report:
    """Looks at everything."""
    report = Report()
    can_be_imported = packages.look(report)
    computing.look_at_driver(report)
    # As the user left it, before it is made ready for TensorFlow.
    machine.look_at_environment(report)
    machine.look_at_processor(report)
    machine.look_at_memory(report)
    machine.look_at_folders(report)
    if can_be_imported:
        runtime.prepare()
        computing.look_at_tensorflow(report)
    return report


def main(options: DoctorOptions) -> int:
    """Prints the report."""
    report = examine()
    print(report.text())
    return EXIT_STOPS if report.stops() else 0


if __name__ == "__main__":
    flags.run(main, DoctorOptions, must_print=True)
