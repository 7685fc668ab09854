"""The demo, small: every stage on real parts, nothing failed, the account at its end, and nothing done twice."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

STAGES = ["1_candidates", "2_pool", "3_shards", "4_scores", "4_duplicates", "4_contamination", "7_ranking"]


def manifest(root: Path, folder: str) -> dict:
    return json.loads((root / folder / "_manifest.json").read_text())


def test_it_ends_with_the_truth_the_ranking_and_the_report(demo_root: Path):
    told = (demo_root / "told.txt").read_text()
    tables = told[told.index("What the generator knows") :]
    for name in [
        "no_filter",
        *(f"{kind}{name}" for name in ["basic_filter", "clip_score", "webpairs"] for kind in ["", "random_like_"]),
    ]:
        assert len(re.findall(rf"^{name} ", tables, re.MULTILINE)) == 2
    report = Path(told.splitlines()[-1].removeprefix("report: "))
    assert report.name == "report.html"
    assert report.stat().st_size > 100_000


@pytest.mark.parametrize("folder", STAGES)
def test_no_stage_had_an_input_that_failed(demo_root: Path, folder: str):
    assert {report["status"] for report in manifest(demo_root, folder)["inputs"]} <= {"ok"}


@pytest.mark.parametrize("folder", STAGES[:3])
def test_what_a_stage_drops_is_counted_to_the_last_row(demo_root: Path, folder: str):
    counts = manifest(demo_root, folder)["counts"]
    lost = sum(count for reason, count in counts.items() if reason.startswith(("dropped_", "failed_")))
    assert counts["rows_in"] == counts["rows_out"] + lost


def test_the_filters_do_what_the_truth_says_they_should(demo_root: Path):
    rows = json.loads((demo_root / "7_ranking/truth_of_filters.json").read_text())
    precision = {row["filter"]: row["precision"] for row in rows}
    assert precision["basic_filter"] > precision["no_filter"]
    assert abs(precision["random_like_clip_score"] - precision["no_filter"]) < 0.15


def test_run_again_it_does_nothing_again(demo_root: Path):
    before = {path: path.stat().st_mtime_ns for path in demo_root.rglob("*.parquet") if "7_ranking" not in str(path)}
    command = [sys.executable, "-m", "pipeline.cli", *(demo_root / "command.txt").read_text().split()]
    subprocess.run(command, check=True, capture_output=True, cwd=demo_root.parent)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_demo_in_the_same_folder_is_refused(demo_root: Path):
    command = [sys.executable, "-m", "pipeline.cli", "demo", "--root", str(demo_root), "--pairs", "77"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert re.fullmatch(r"webpairs: .*pairs.*\n", refused.stderr)


def test_every_recipe_of_ours_ran_and_tells_what_each_of_its_rules_removed(demo_root: Path):
    for path in sorted((Path(__file__).parent.parent / "recipes").glob("*.toml")):
        told = json.loads((demo_root / "5_subsets" / f"{path.stem}.json").read_text())
        assert told["recipe"] == path.stem
        assert told["waterfall"][-1]["left"] == told["counts"]["rows_out"]
        assert told["counts"]["rows_in"] > told["counts"]["rows_out"]


def test_the_report_shows_waterfalls_overlaps_and_groups_of_copies(demo_root: Path):
    page = (demo_root / "7_ranking" / "report.html").read_text()
    for said in ["What each rule removes", "What subsets share", "A group of", "Near evaluation images"]:
        assert said in page
    assert "would stand here" not in page
