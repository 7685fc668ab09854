"""The rules of the house: who may import whom, how long a file may be, how fast the command answers."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ["schemas", "filters", "pipeline", "jobs"]
SOURCES = sorted(p for name in PACKAGES for p in (REPOSITORY / name).rglob("*.py"))
HEAVY = {"torch", "pyspark", "faiss", "open_clip", "torchvision", "numba"}
# The stages that compute with torch, and the one module that knows Spark. schemas/spark.py converts and imports it inside.
_COMPUTING = ("score", "dedup", "train", "evaluate")
TORCH_AT_TOP = ("pipeline/clip.py", "pipeline/torchvision_ops.py", *(f"pipeline/{stage}/" for stage in _COMPUTING))


def names_imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def top_level(tree: ast.Module) -> ast.Module:
    guarded = [n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.If)]
    return ast.Module(body=guarded, type_ignores=[])


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_go_left_to_right_only(path: Path):
    own = relative(path).split("/")[0]
    to_the_right = set(PACKAGES[PACKAGES.index(own) + 1 :])
    assert names_imported(ast.parse(path.read_text())) & to_the_right == set()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_heavy_libraries_are_imported_at_top_only_by_the_stages_that_compute_with_them(path: Path):
    heavy = names_imported(top_level(ast.parse(path.read_text()))) & HEAVY
    allowed = HEAVY - {"pyspark", "numba"} if relative(path).startswith(TORCH_AT_TOP) else set()
    allowed |= {"numba"} if path.parent.name == "compiled" or relative(path) == "filters/compiling.py" else set()
    assert heavy <= allowed


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_file_says_in_its_first_line_what_it_is_for(path: Path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", [*SOURCES, *sorted((REPOSITORY / "tests").rglob("*.py"))], ids=relative)
def test_no_file_is_longer_than_400_lines(path: Path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_function_is_longer_than_60_lines(path: Path):
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno >= 60]
    assert long == []


@pytest.mark.parametrize(
    "path", [path for path in sorted((REPOSITORY / "jobs").glob("*.py")) if path.stem in COMMANDS], ids=relative
)
def test_a_job_has_at_most_40_lines(path: Path):
    assert len(path.read_text().splitlines()) <= 40


def modules_loaded_by(*words: str) -> set[str]:
    code = (
        f"import sys\nfrom pipeline.cli import main\ntry:\n main({list(words)})\nexcept SystemExit:\n print(sorted(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in ast.literal_eval(result.stdout.splitlines()[-1])}


def test_help_imports_nothing_heavy_and_answers_at_once():
    started = time.perf_counter()
    assert modules_loaded_by("--help") & (HEAVY | {"pyarrow", "numpy"}) == set()
    took_s = time.perf_counter() - started
    assert took_s < 5, "the bound is 0.5 s on a quiet machine; this one only catches an import that went astray"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_stage_loads_no_heavy_library(command: str):
    assert modules_loaded_by(command, "--help") & HEAVY == set()
