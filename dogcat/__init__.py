"""Tells cats from dogs: TFRecord pipeline, trainer and batch inference.

For other programs: `make_dataset`, `open_dataset`, `train`, `open_run`, `evaluate` and `load_model`; docs/python.md has
examples. What a user gave wrong is raised as `InputError`.
"""

from __future__ import annotations

import importlib
import typing

if typing.TYPE_CHECKING:
    from dogcat.core.options import InputError as InputError
    from dogcat.library.data_sets import DataSet as DataSet
    from dogcat.library.data_sets import Split as Split
    from dogcat.library.data_sets import make_dataset as make_dataset
    from dogcat.library.data_sets import open_dataset as open_dataset
    from dogcat.library.runs import Evaluation as Evaluation
    from dogcat.library.runs import Run as Run
    from dogcat.library.runs import evaluate as evaluate
    from dogcat.library.runs import open_run as open_run
    from dogcat.library.runs import train as train
    from dogcat.library.trained_models import Model as Model
    from dogcat.library.trained_models import Predicted as Predicted
    from dogcat.library.trained_models import load_model as load_model
    from dogcat.training.augmentations import AugmentationRanges as AugmentationRanges

__version__ = "0.2.0"

# Where each public name is from; imported when it is asked for, so that `import dogcat` takes no time.
_HOMES = {
    "AugmentationRanges": "dogcat.training.augmentations",
    "DataSet": "dogcat.library.data_sets",
    "Evaluation": "dogcat.library.runs",
    "InputError": "dogcat.core.options",
    "Model": "dogcat.library.trained_models",
    "Predicted": "dogcat.library.trained_models",
    "Run": "dogcat.library.runs",
    "Split": "dogcat.library.data_sets",
    "evaluate": "dogcat.library.runs",
    "load_model": "dogcat.library.trained_models",
    "make_dataset": "dogcat.library.data_sets",
    "open_dataset": "dogcat.library.data_sets",
    "open_run": "dogcat.library.runs",
    "train": "dogcat.library.runs",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> typing.Any:
    """A public name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dogcat' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, and what is there anyway."""
    return sorted({*globals(), *__all__})
