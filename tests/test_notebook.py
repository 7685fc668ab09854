"""docs/from_a_release.ipynb runs from its first cell to its last, on the demo's release, and is committed without outputs."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "from_a_release.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_is_committed_without_outputs(notebook):
    nbformat.validate(notebook)
    assert [cell.source for cell in code_cells(notebook) if cell.outputs or cell.execution_count] == []


@pytest.mark.slow
def test_the_notebook_goes_from_a_release_to_a_ranking(notebook, demo_root, tmp_path, monkeypatch):
    pytest.importorskip("nbclient")
    for needed in ("datasets", "ipykernel", "polars"):
        pytest.importorskip(needed)
    places = {
        "RELEASE": demo_root / "release",
        "SHARDS": demo_root / "3_shards",
        "EVAL": demo_root / "0_web" / "eval",
        "OUT": tmp_path / "out",
        "HF_HOME": tmp_path / "hf",
        "IPYTHONDIR": tmp_path / "ipython",
        "JUPYTER_RUNTIME_DIR": tmp_path / "jupyter",
    }
    for name, place in places.items():
        monkeypatch.setenv(name, str(place))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told = [told_by(cell) for cell in code_cells(executed(notebook, tmp_path))]
    everything = "\n".join(told)
    assert "revision 1" in told[1]
    assert "the same as by SQL: True" in everything
    assert "image/png" in everything
    assert "random_like_mine" in everything
    assert "found: 1 row" in told[-1]
    ranking = (tmp_path / "out" / "ranking" / "ranking.md").read_text()
    assert all(name in ranking for name in ("mine", "no_filter", "random_like_mine"))


def executed(notebook, folder):
    """The notebook with its outputs. Raises CellExecutionError naming the cell that failed, and how."""
    from nbclient import NotebookClient

    return NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()


def told_by(cell):
    """What a cell printed and showed, pictures as their type."""
    shown = [
        output.get("text") or os.linesep.join(f"{kind} {data}" for kind, data in output.get("data", {}).items())
        for output in cell.outputs
    ]
    return "\n".join(shown)
