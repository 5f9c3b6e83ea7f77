"""The import rules of WORKSPACE.md, read off the code."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each package, and whether it may import TensorFlow when it is imported: "no", or "where it must". A package imports
# those above it and none below.
PACKAGES = {
    "core": "no",
    "pictures": "no",
    "evaluation": "no",
    "models": "where it must",
    "dataset": "no",
    "loading": "where it must",
    "prediction": "where it must",
    "training": "where it must",
    "reports": "where it must",
    "cleaning": "where it must",
    "library": "no",
    "top": "no",
}
# Of the packages that may, the modules that do without: --help and a mistyped flag answer at once.
WITHOUT_TENSORFLOW = {
    "models": {
        "backbones",
        "options",
        "gpus",
        "gpu_remedies",
        "untrusted",
        "keras_configs",
        "feature_cache",
        "linear_head",
        "latest_run",
        "model_list",
        "onnx_network",
        "bundle",
        "messages",
        "object_graph",
        "hdf5",
        "keras_files",
        "weights_cache",
        "weights_download",
    },
    "loading": {"records", "byte_ranges", "dispatcher", "fold_set", "foreign_index", "foreign_labels", "foreign_set"},
    "prediction": {
        *("options", "labelled_files", "partial", "picture_batches", "pieces", "predictions", "submission_csv"),
    },
    "training": {
        *(
            "options",
            "stored_options",
            "augmentations",
            "presets",
            "source_runs",
            "epoch_records",
            "finished_runs",
            "plots",
        ),
        *("trackers", "wandb_tracker", "mlflow_tracker"),
    },
    "reports": {
        *("html", "thumbnails", "findings", "wording", "verdict", "recipe", "prediction_plots", "plot_texts"),
        *("run_tables", "run_page", "comparison_page", "loading_code"),
    },
    "cleaning": {
        *("options", "survey", "fingerprints", "duplicates", "neighbours", "outliers", "label_errors", "suspects"),
        *("survey_verdict", "pieces", "network_pieces"),
    },
}
ORDER = list(PACKAGES)
LONGEST_FILE = 350

LIBRARY = sorted((ROOT / "dogcat").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def package_of(module: str) -> str:
    """Of a dotted name below dogcat."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in PACKAGES else "top"


def imports_of(path: Path, only_at_import: bool = False) -> set[str]:
    """Dotted names that a file imports; `only_at_import` leaves out those inside functions, and for types alone."""
    found = set()

    def is_for_types(node: ast.AST) -> bool:
        return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")

    def visit(node: ast.AST) -> None:
        if only_at_import and (isinstance(node, ast.FunctionDef) or is_for_types(node)):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "tools." if node.level else ""
            found.add(start + (node.module or ""))
            found.update(f"{start}{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_imports_run_one_way(path):
    own = package_of(name_of(path))
    imported = imports_of(path)
    if path.name == "__init__.py" and path.parent.name != "dogcat":
        assert imported == set(), "a package's __init__ imports nothing"
    for name in imported:
        assert name.split(".")[0] != "tools"
        if name.startswith("dogcat."):
            assert ORDER.index(package_of(name)) <= ORDER.index(own), f"{name_of(path)} imports {name}"


def test_modules_of_a_package_do_not_import_each_other_in_a_circle():
    edges = {name_of(path): {name for name in imports_of(path) if name.startswith("dogcat.")} for path in LIBRARY}

    def reaches(start: str, wanted: str, seen: set[str]) -> bool:
        for name in edges.get(start, set()) - seen:
            seen.add(name)
            if name == wanted or reaches(name, wanted, seen):
                return True
        return False

    assert [name for name in edges if reaches(name, name, set())] == []


@pytest.mark.parametrize("path", LIBRARY + TOOLS, ids=name_of)
def test_who_touches_what(path):
    imports = {name.split(".")[0] for name in imports_of(path)}
    if "absl" in imports:
        assert name_of(path) == "dogcat.core.flags"
    if "tensorflow_addons" in imports:
        assert name_of(path) == "dogcat.models.keras_versions"
    package = package_of(name_of(path))
    without = (
        path.is_relative_to(ROOT / "tools")
        or PACKAGES[package] == "no"
        or path.stem in WITHOUT_TENSORFLOW[package] | {"__init__"}
    )
    if without:
        at_import = {name.split(".")[0] for name in imports_of(path, only_at_import=True)}
        assert not at_import & {"tensorflow", "tensorflow_addons", "keras"}


@pytest.mark.parametrize("path", LIBRARY + TOOLS, ids=name_of)
def test_no_file_is_too_long_to_read(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_workspace_md_shows_the_same():
    text = (ROOT / "WORKSPACE.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\w ]+) \|$", text, re.MULTILINE)
    assert dict(rows) == {name: tensorflow for name, tensorflow in PACKAGES.items() if name != "top"}


def test_the_wheel_holds_every_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    folders = {path.parent for path in LIBRARY} | {path.parent for path in TOOLS}
    in_wheel = {
        f"dogcat.{name_of(folder)}" if name_of(folder).startswith("tools") else name_of(folder) for folder in folders
    }
    assert set(listed) == in_wheel
