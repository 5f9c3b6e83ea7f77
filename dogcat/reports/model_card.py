"""The model card of an export: what it is for, how good it is, on what it was trained, how to load it; Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import jinja2

import dogcat
from dogcat.core import typed_json
from dogcat.core.options import InputError
from dogcat.core.text import escaped, printable
from dogcat.dataset.manifest import Manifest
from dogcat.evaluation import results
from dogcat.evaluation.assess import Assessment
from dogcat.evaluation.bootstrap import Interval
from dogcat.models.model_files import Description
from dogcat.reports import loading_code, recipe
from dogcat.reports.html import Table
from dogcat.reports.wording import duration, figure_text, interval_text, listed
from dogcat.training import epoch_records
from dogcat.training.finished_runs import FinishedRun

# Folder in that of a run, in which `dogcat evaluate --output` may leave figures for the card.
EVALUATION = "evaluation"
_METRICS = "metrics.json"
_MOST_METRICS_BYTES = 2**28
# More are in labels.txt alone.
_MOST_CLASSES = 100
_FIGURES = ("log_loss", "log_loss_clipped", "accuracy", "roc_auc", "brier_score", "expected_calibration_error")
_LOST = ("accuracy", "log_loss")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#&~$])")


class _Raw(str):
    """Text that is Markdown or code already."""


class Subject(NamedTuple):
    """What a card is of.

    Attributes:
        form: Format of the export, one of `export.FILES`.
        quantize: How it was quantized, one of `models.options.QUANTIZE`.
        description: What the model was made for.
        run: Its run; None: not known.
        data: The data set of its run; None: not known.
        figures: How good it is, a table for each set of pictures; see `figures`.
        no_figures: Why there are none.
        loss: What quantizing costs; see `loss`.
        files: Bytes and hash of each file of the export by its name.
        versions: Those of packages here, by name.
    """

    form: str
    quantize: str
    description: Description
    run: FinishedRun | None
    data: Manifest | None
    figures: Sequence[Table]
    no_figures: str
    loss: Table | None
    files: Mapping[str, tuple[int, str]]
    versions: Mapping[str, str]


def figures(caption: str, overall: Mapping[str, Interval]) -> Table:
    """A table of how good a model is, from `assess.ModelAssessment.overall` or the same in metrics.json."""
    rows = [
        (results.TITLES[name], figure_text(overall[name].value), interval_text(overall[name]))
        for name in _FIGURES
        if name in overall
    ]
    return Table(caption, (), rows)


def loss(caption: str, assessment: Assessment) -> Table:
    """A table of a quantized model beside the one that it is of, the first and the second of an assessment."""
    quantized, original = assessment.models
    rows = []
    for name in _LOST:
        values = [of.overall[name].value for of in (quantized, original)]
        difference = assessment.differences[name]
        rows.append((results.TITLES[name], *map(figure_text, (*values, difference.value)), interval_text(difference)))
    return Table(caption, (), rows)


def evaluation_of(run: FinishedRun, model: Path) -> Table | None:
    """The figures that `dogcat evaluate` left in the run's folder `EVALUATION`; None: it did not, or of another model.

    Raises:
        InputError: The file is damaged.
    """
    path = run.path / EVALUATION / _METRICS
    if not path.is_file():
        return None
    interval = dict.fromkeys(Interval._fields, Optional[float])
    of_model = {"predicted_by": str, "metrics": {"accuracy": interval, "log_loss": interval}}
    found = typed_json.read(path, {"source": str, "pictures": int, "models": list[Any]}, _MOST_METRICS_BYTES)
    try:
        first = typed_json.checked(found["models"][0], of_model)
        metrics = {name: typed_json.checked(values, interval) for name, values in first["metrics"].items()}
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: is damaged: {error}; evaluate again") from error
    if Path(first["predicted_by"]).resolve() != model.resolve():
        return None
    known = {
        name: Interval(*(float("nan") if values[field] is None else values[field] for field in Interval._fields))
        for name, values in metrics.items()
    }
    return figures(f"Evaluation on {found['pictures']:,} pictures of {found['source']}.", known)


def render(subject: Subject) -> bytes:
    """The card as UTF-8."""
    description, run, data = subject.description, subject.run, subject.data
    splits = [name for name, split in data.splits.items() if split.counts] if data else []
    of_classes = zip(*(data.splits[name].counts for name in splits)) if data and splits else None
    names = list(map(escaped, description.classes))
    rows: list[tuple[Any, ...]] = list(enumerate(names))
    if of_classes:
        rows = [(*row, *counts) for row, counts in zip(rows, of_classes)]
    limits = []
    if subject.quantize != "none":
        limits.append(f"Quantized to {subject.quantize}, it gives other probabilities than the model itself.")
    if not subject.figures:
        limits.append("How good it is, is not told here: evaluate it before you rely on it.")
    text = _TEMPLATES.get_template("model_card.md").render(
        backbone=description.backbone,
        classes=listed(names),
        count=len(description.classes),
        format=subject.form if subject.quantize == "none" else f"{subject.form}, {subject.quantize}",
        version=_Raw(dogcat.__version__),
        names_escaped=names != list(description.classes),
        splits=splits,
        class_rows=rows[:_MOST_CLASSES],
        left_out=max(0, len(rows) - _MOST_CLASSES),
        size=description.image_size,
        resize=loading_code.RESIZE[description.resize],
        snippet=_Raw(loading_code.snippet(subject.form, description.image_size, description.resize)),
        load_note=_Raw(loading_code.NOTES[subject.form]),
        figures=subject.figures,
        no_figures=subject.no_figures,
        loss=subject.loss,
        data=_data_rows(data),
        recipe=_recipe_rows(run),
        command=_Raw(printable(recipe.command(run))) if run else "",
        limits=limits,
        start=run.config.get("start", "") or "not known" if run else "not known",
        files=[(name, f"{size:,}", _Raw(f"`{hash_}`")) for name, (size, hash_) in subject.files.items()],
        versions=_versions(subject),
    )
    return text.encode("utf-8")


def _data_rows(data: Manifest | None) -> list[tuple[str, str]]:
    if data is None:
        return []
    counts = ", ".join(f"{split.pictures:,} {name}" for name, split in data.splits.items())
    rejected = sum(data.rejected.values())
    return [
        ("digest of the data set", _Raw(f"`{data.digest()}`")),
        ("pictures", counts),
        ("left out as unreadable", f"{rejected:,}"),
        ("size", f"{data.image_size} pixels, {loading_code.RESIZE[data.resize]}"),
    ]


def _recipe_rows(run: FinishedRun | None) -> list[tuple[str, str]]:
    if run is None:
        return []
    best = epoch_records.best_of(run.history)
    return [
        ("run", run.name),
        ("preset", str(run.options["preset"])),
        ("began with", str(run.config.get("start", "")) or "not known"),
        ("best epoch", f"{best.epoch} of {run.summary['epochs']}"),
        ("device", f"{run.config['replicas']} x {run.config['device']}, {run.config['precision']}"),
        ("time", duration(run.seconds)),
    ]


def _versions(subject: Subject) -> dict[str, Any]:
    trained = subject.run.config["versions"] if subject.run else {}
    names = list(dict.fromkeys([*subject.versions, *trained]))
    columns = ["exported with", *(["trained with"] if trained else [])]
    of_columns = [subject.versions, *([trained] if trained else [])]
    return {"columns": columns, "rows": [[name, *(of.get(name, "-") for of in of_columns)] for name in names]}


def _fit_for_markdown(value: Any) -> Any:
    """Text that came from outside, on one line and without what Markdown or HTML would take for its own."""
    if isinstance(value, _Raw) or not isinstance(value, str):
        return value
    return _MARKDOWN.sub(r"\\\1", printable(value))


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("dogcat.reports"),
    # Which is of HTML.
    autoescape=False,
    finalize=_fit_for_markdown,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
