"""The import rules of WORKSPACE.md, read off the code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import those of earlier tiers, and none of its own.
TIERS = [
    {"backbones", "presets", "printing", "source_runs", "jpeg_header", "streams", "hdf5", "essentials"},
    {"config"},
    {"training_options", "spelling", "files"},
    {"outputs", "journal", "typed_json", "keras_files"},
    {
        *("runtime", "progress", "interrupts", "images", "folders", "shards", "examples", "records", "order"),
        *("foreign_models", "tables", "evaluation", "bootstrap", "optimizers", "plotting"),
        *("openvino_network", "neighbours", "distribution", "byte_ranges", "views", "cache_files"),
    },
    {"raw", "augment", "threads", "processes"},
    {
        *("pages", "manifest", "labels", "encoding", "weights", "devices", "feature_cache", "calibration", "history"),
        "outliers",
    },
    {
        *("model", "features", "staging", "stored", "forward", "assessment", "survey", "predictions", "partial"),
        *("index", "finished_runs", "gallery", "fingerprints"),
    },
    {"decoding", "raw_pictures", "writer", "model_files"},
    {"readers"},
    {"pipeline", "pixel_cache"},
    {"export", "verification", "state", "trainer", "extraction", "submission", "scorecard", "sources", "heatmaps"}
    | {"duplicates", "label_errors"},
    {"folder_pass"},
    {"run_plots", "suspects", "imagenet", "folder_features"},
    {"runs", "inference", "report_page", "cleaning"},
    {"preparation", "comparison_page", "inputs"},
    {"loop"},
    {"run_report"},
    {"training"},
    {"flags"},
    {"train", "predict", "evaluate"},
]
TIER_OF = {name: tier for tier, names in enumerate(TIERS) for name in names}
WITHOUT_TENSORFLOW = {
    *(
        "backbones",
        "presets",
        "config",
        "training_options",
        "runtime",
        "progress",
        "printing",
        "images",
        "folders",
        "shards",
        "examples",
    ),
    *("records", "manifest", "interrupts", "feature_cache", "pages", "tables", "survey"),
    *("jpeg_header", "essentials", "processes", "history", "labels", "encoding", "staging", "writer", "stored"),
    *("verification", "evaluation", "bootstrap", "calibration", "assessment", "submission", "scorecard", "predictions"),
    *("partial", "foreign_models", "neighbours", "outliers", "fingerprints", "duplicates", "label_errors", "suspects"),
    *("raw", "index", "order", "byte_ranges", "raw_pictures", "decoding", "threads", "cache_files"),
    *("plotting", "source_runs", "finished_runs", "gallery", "run_plots", "report_page", "comparison_page"),
    *("features", "flags", "files", "streams", "outputs", "journal", "typed_json", "keras_files", "hdf5", "spelling"),
    *("train", "predict", "evaluate"),
}
ENTRY_POINTS = {"train", "predict", "evaluate"}

FILES = sorted((ROOT / "dogcat").glob("*.py")) + sorted((ROOT / "tools").glob("*.py"))


def imports_of(path: Path, only_at_import: bool = False) -> set[str]:
    """Dotted names that a file imports; `only_at_import` leaves out those inside functions."""
    tree = ast.parse(path.read_text())
    found = set()

    def visit(node: ast.AST) -> None:
        if only_at_import and isinstance(node, ast.FunctionDef):
            return
        found.update(imports_of_node(node))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def imports_of_node(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


def own_modules(imports: set[str]) -> set[str]:
    return {name.split(".")[1] for name in imports if name.startswith("dogcat.")} & set(TIER_OF)


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "dogcat"], ids=lambda p: p.stem)
def test_imports_run_one_way(path):
    if path.stem == "__init__":
        assert imports_of(path) == set()
        return
    for name in own_modules(imports_of(path)):
        assert TIER_OF[name] < TIER_OF[path.stem], f"{path.stem} imports {name}"
    assert not any(name.split(".")[0] == "tools" for name in imports_of(path))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_who_touches_what(path):
    imports = {name.split(".")[0] for name in imports_of(path)}
    if "absl" in imports:
        assert path.stem == "flags"
    if "tensorflow_addons" in imports:
        assert path.stem in ("optimizers", "preparation")
    at_import = {name.split(".")[0] for name in imports_of(path, only_at_import=True)}
    if path.parent.name == "tools" or path.stem in WITHOUT_TENSORFLOW:
        assert not at_import & {"tensorflow", "tensorflow_addons", "keras"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_matplotlib_is_imported_behind_what_keeps_the_users_settings_away(path):
    if path.stem == "plotting":
        return
    imported = [imports_of_node(node) for node in ast.parse(path.read_text()).body]
    of_matplotlib = [at for at, names in enumerate(imported) if any(name.startswith("matplotlib") for name in names)]
    if of_matplotlib:
        assert any("dogcat.plotting" in names for names in imported[: of_matplotlib[0]])


def test_workspace_md_shows_the_same():
    text = (ROOT / "WORKSPACE.md").read_text()
    block = text.split("down this list")[1].split("```")[1]
    # A long line goes on in the next, indented.
    lines = block.replace("\n    ", "  ").strip().splitlines()
    assert [set(line.split()) for line in lines[:-1]] == TIERS[:-1]
    the_map = text.split("## The map")[1].split("## The life")[0]
    for path in FILES:
        if path.stem != "__init__":
            assert path.name in the_map, f"{path.name} is not in the map"
