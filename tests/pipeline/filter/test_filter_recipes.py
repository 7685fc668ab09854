"""Recipes: filters composed in TOML, what they keep, and what is said of those that cannot be cooked."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from schemas.subsets import array_to_uids

ROWS = 100
UIDS = [f"{i * 7919 % 251:032x}" for i in range(ROWS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """100 rows in 2 files: scores rise from 0.00 to 0.99, sides from 100 to 298 px."""
    (tmp_path / "m").mkdir()
    sides = pa.array([100 + 2 * i for i in range(ROWS)], pa.int32())
    scores = pa.array([i / ROWS for i in range(ROWS)], pa.float32())
    table = pa.table(
        {
            "uid": UIDS,
            "text": ["a b c"] * ROWS,
            "original_width": sides,
            "original_height": sides,
            "clip_x_similarity_score": scores,
        }
    )
    for i in range(2):
        pq.write_table(table.slice(50 * i, 50), tmp_path / "m" / f"{i}.parquet")
    return tmp_path


def cook(folder: Path, text: str, *words: str) -> int:
    (folder / "recipe.toml").write_text(text)
    inputs = ["--recipe", str(folder / "recipe.toml"), "--metadata_dir", str(folder / "m")]
    return main(["filter", *inputs, "--save_path", str(folder / "s.npy"), *words])


def kept(folder: Path, text: str, *words: str) -> set[int]:
    assert cook(folder, text, *words) == 0
    return {UIDS.index(uid) for uid in array_to_uids(np.load(folder / "s.npy"))}


SCORE = '{ filter = "clip_score", arch = "x", fraction = 0.2 }'
LARGE = '{ filter = "min_side", px = 200 }'


def test_all_any_and_not_keep_what_sets_would(folder: Path):
    top, large = set(range(79, 100)), set(range(50, 100))
    assert kept(folder, f"keep = {SCORE}") == top
    assert kept(folder, f"keep = {{ all = [{SCORE}, {{ not = {LARGE} }}] }}") == top - large
    assert kept(folder, f"keep = {{ any = [{SCORE}, {LARGE}] }}") == top | large
    assert kept(folder, f"keep = {{ not = {{ any = [{SCORE}, {LARGE}] }} }}") == set(range(100)) - top - large


def test_a_fraction_is_of_the_whole_pool_but_after_then_of_what_is_left(folder: Path):
    small = f"{{ not = {LARGE} }}"
    assert kept(folder, f"keep = {{ all = [{small}, {SCORE}] }}") == set()
    assert kept(folder, f"keep = {{ then = [{small}, {SCORE}] }}") == set(range(39, 50))


def test_the_account_tells_the_recipe_its_source_and_the_waterfall(folder: Path):
    assert cook(folder, f'name = "two"\nsource = "someone 2026"\nkeep = {{ all = [{LARGE}, {SCORE}] }}') == 0
    told = json.loads((folder / "s.json").read_text())
    assert (told["recipe"], told["source"]) == ("two", "someone 2026")
    steps = [(s["rule"]["filter"], s["removed_alone"], s["removed_in_order"], s["left"]) for s in told["waterfall"]]
    assert steps == [("min_side", 50, 50, 50), ("clip_score", 79, 29, 21)]


def test_options_fill_what_the_recipe_leaves_open_and_go_before_what_it_says(folder: Path):
    assert kept(folder, 'keep = { filter = "clip_score", fraction = 0.2 }', "--arch", "x") == set(range(79, 100))
    assert kept(folder, 'keep = { filter = "min_side" }', "--param", "px=298") == {99}
    either = f"keep = {{ any = [{LARGE}, {SCORE}] }}"
    assert kept(folder, either, "--param", "px=298", "--fraction", "0.04") == set(range(95, 100))


def test_a_random_subset_takes_the_size_of_another_file_beside_the_recipe(folder: Path):
    np.save(folder / "other.npy", np.zeros(17, "u8,u8"))
    assert len(kept(folder, 'keep = { filter = "random_subset", like = "other.npy" }')) == 17


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("keep = 3", 2, "recipe.toml: keep: a table with exactly one of filter, all, any, then, not; found 3"),
        ("keep = {}", 2, "keep: a table with exactly one of filter"),
        ("name = 'a'", 2, "no [keep]"),
        ("kept = {}", 2, "unknown kept; a recipe has name"),
        ("keep = [", 1, "recipe.toml: not TOML"),
        ('keep = { filter = "clipscore" }', 2, "keep: filter clipscore: no such filter; did you mean clip_score?"),
        ('keep = { all = [{ filter = "min_side", px = "big" }] }', 2, "keep.all[0]: min_side: px = 'big' must be a whole number"),
        ('keep = { all = [{ filter = "min_side", side = 3 }] }', 2, "keep.all[0]: --side: min_side does not take it"),
        ("keep = { all = [] }", 2, "keep.all: a list of filters that is not empty"),
        (f"keep = {{ all = [{LARGE}], px = 3 }}", 2, "parameters belong to a filter"),
        (f"keep = {LARGE}\nsample = {LARGE}", 2, "sample: min_side says which rows are kept, not how often"),
        ('keep = { filter = "clip_score", arch = "y", threshold = 0.1 }', 1, "it has: x"),
    ],
)
def test_what_cannot_be_cooked_is_told_with_its_place_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, status: int, message: str
):
    assert cook(folder, text) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "s.npy").exists()


def test_deep_nesting_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]):
    text = LARGE
    for _ in range(40):
        text = f"{{ not = {text} }}"
    assert cook(folder, f"keep = {text}") == 2
    assert "nested more than 32 deep" in capsys.readouterr().err


def test_an_option_that_no_filter_of_the_recipe_takes_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert cook(folder, f"keep = {LARGE}", "--arch", "x") == 2
    assert "--arch: no filter of the recipe takes it" in capsys.readouterr().err


def test_a_name_that_no_recipe_of_ours_has_is_told_with_those_that_there_are(folder: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--recipe", "datacomp-1b", "--metadata_dir", str(folder / "m"), "--save_path", str(folder / "s.npy")]
    assert main(["filter", *words]) == 2
    assert "neither a .toml file nor one of laion_2b_en, datacomp_1b" in capsys.readouterr().err


def test_name_and_recipe_exclude_each_other(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert cook(folder, f"keep = {LARGE}", "--name", "no_filter") == 2
    assert "either --name or --recipe" in capsys.readouterr().err


def test_a_value_that_is_given_twice_is_refused(folder: Path, capsys):
    assert cook(folder, f"keep = {LARGE}", "--param", "px=1", "px=2") == 2
    assert "px: given twice, as 1 and as 2" in capsys.readouterr().err
    assert cook(folder, f"keep = {SCORE}", "--arch", "x", "--param", "arch=y") == 2


def test_like_is_for_the_filters_of_a_recipe_that_take_it(folder: Path, capsys):
    assert kept(folder, f"keep = {SCORE}") == set(range(79, 100))
    like = ("--like", str(folder / "s.npy"))
    assert len(kept(folder, '[keep]\nfilter = "random_subset"\nlike = "none.npy"', *like)) == 21
    assert cook(folder, f"keep = {LARGE}", *like) == 2
    assert "no filter of the recipe takes it" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a." * 2000 + "b = 1", "# " + "x" * 70_000], ids=["many dots", "large"])
def test_a_file_that_would_keep_the_parser_busy_is_no_recipe(folder: Path, text: str, capsys):
    assert cook(folder, text) == 1
    assert "not TOML" in capsys.readouterr().err


def test_an_assets_folder_is_relative_to_the_recipe(folder: Path, capsys):
    assert cook(folder, '[keep]\nfilter = "basic_filter"\nassets = "mine"') == 1
    assert f"{folder}/mine" in capsys.readouterr().err
