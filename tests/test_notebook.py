"""The notebook for Colab and Kaggle, run from top to bottom in a kernel of its own."""

from __future__ import annotations

import json
import os
import sys

from conftest import ROOT, environment

import dogcat

_PLOT = "import matplotlib.pyplot as plt; plt.plot([record.val_loss for record in run.history]); plt.show()"

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def test_it_is_kept_without_what_cells_gave():
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    assert f'SOURCE = "dogcat-{dogcat.__version__}-py3-none-any.whl"' in "".join(cells[0]["source"])
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}


def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    # What a reader may add.
    notebook.cells.append(nbformat.v4.new_code_cell(_PLOT, id="plot"))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    command = tmp_path / "bin" / "dogcat"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m dogcat "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    client.execute(env=environment(PATH=path, DOGCAT_CACHE=str(tmp_path / "cache")))

    shown = {cell["id"]: cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"}
    texts = {name: "".join(output.get("text", "") for output in outputs) for name, outputs in shown.items()}
    for name in ("look", "curves", "heat-map", "plot"):
        assert any("image/png" in output.get("data", {}) for output in shown[name]), name
    assert not shown["install"], "dogcat was there"
    assert "'train': {'cat': " in texts["data-set"]
    assert "epoch  1: log loss " in texts["training"]
    assert "log_loss" in texts["evaluation"] and (tmp_path / "runs" / "latest" / "report.html").is_file()
    assert texts["prediction"].count("%)") >= 6
    assert "INFO:" not in "".join(texts.values())
