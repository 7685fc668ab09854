"""webpairs rank --budget, whole: planned on a real pool, killed, gone on with, ranked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.demo.eval_sets import write_eval_sets
from pipeline.demo.seed_set import write_seed_set
from pipeline.subset_file import read_subset, write_subset

ARMS = ["half", "no_filter", "random_like_half"]


def command(folder: Path, *more: str) -> list[str]:
    places = {
        "--shards": "pool/shards",
        "--subset": "half.npy",
        "--eval": "evals",
        "--models": "models",
        "--out": "ranking",
    }
    words = [word for name, place in places.items() for word in (name, str(folder / place))]
    return ["rank", "--budget", "20h", "--scale", "demo", "--device", "cpu", "--draws", "1000", *words, *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pool of 60 pairs, half of it as a subset, small evaluation sets, and a plan for them."""
    folder = tmp_path_factory.mktemp("budget")
    write_subset(str(folder / "half.npy"), read_subset(write_seed_set(str(folder / "pool"), 60, 0))[::2])
    write_eval_sets(str(folder / "evals"), 24, 1)
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command(folder, "--dry-run")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (folder / "told.txt").write_text(ran.stdout)
    return folder


def test_a_dry_run_prints_the_plan_and_trains_nothing(folder):
    told, plan = (folder / "told.txt").read_text(), json.loads((folder / "ranking" / "plan.json").read_text())
    assert told.startswith("plan for 20h, one run at a time: ")
    assert "random_like_half" in told
    assert "rank: runs_planned 24 → " in told
    assert [design["seeds"] for design in plan["designs"]] == [8]
    assert plan["costs"]["demo"]["seconds_per_step"] > 0
    assert [path.name for path in (folder / "models").iterdir() if not path.name.startswith("_")] == []
    assert not (folder / "models" / "_timing").exists()
    assert not (folder / "ranking" / "_config.json").exists()


def results(folder: Path) -> dict[str, float]:
    """Results that stand, and when they were written."""
    return {str(path.parent): path.stat().st_mtime for path in folder.glob("models/*/demo/seed_*/results.json")}


def kill_after_the_first_run(words: list[str], folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *words], start_new_session=True, stdout=subprocess.DEVNULL
    ) as it:
        until = time.monotonic() + 300
        while not results(folder) and it.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(it.pid, signal.SIGKILL)


def test_a_killed_command_goes_on_with_its_plan_to_the_ranking(folder, capfd):
    path = folder / "ranking" / "plan.json"
    plan = json.loads(path.read_text())
    # As on a machine so slow that no more fits; the command takes the plan that stands.
    plan["designs"] = [{"scale": "demo", "seeds": 2, "samples_seen": 256, "seconds": 60.0}]
    path.write_text(json.dumps(plan))
    written = path.read_bytes()
    kill_after_the_first_run(command(folder), folder)
    before = results(folder)
    assert 0 < len(before) < 6
    assert json.loads((folder / "ranking" / "budget.json").read_text())["rounds_begun"] >= 1

    assert main(command(folder)) == 0
    assert path.read_bytes() == written
    assert before.items() <= results(folder).items()
    assert {Path(run).parent.parent.name for run in results(folder)} == {*ARMS}
    assert len(results(folder)) == 6
    rows = pq.read_table(folder / "ranking" / "ranking.parquet").to_pylist()
    final = [row for row in rows if row["task"] == "average" and row["samples_seen"] == 256]
    assert sorted((row["filter"], row["n_seeds"]) for row in final) == [(name, 2) for name in ARMS]
    assert (folder / "ranking" / "ranking.md").exists()
    told = capfd.readouterr().out
    assert "detects at demo with 2 seeds: " in told
    assert "(measured on 2 differences at demo, 256 samples seen; " in told

    standing = results(folder)
    assert main(command(folder)) == 0
    assert results(folder) == standing


def test_seeds_for_which_there_is_no_time_left_are_left_out_of_every_arm_and_named(folder, capfd):
    plan, out = json.loads((folder / "ranking" / "plan.json").read_text()), folder / "late"
    plan["designs"] = [{"scale": "demo", "seeds": 3, "samples_seen": 256, "seconds": 1.0}]
    plan["options"]["out"] = str(out)
    out.mkdir()
    (out / "plan.json").write_text(json.dumps({**plan, "budget_s": 1.0, "first_seed": 10}))
    words = [{str(folder / "ranking"): str(out)}.get(word, word) for word in command(folder)]
    assert main(words) == 0
    assert {Path(run).name for run in results(folder)} & {"seed_10", "seed_11", "seed_12"} == {"seed_10"}
    assert len([run for run in results(folder) if run.endswith("seed_10")]) == 3
    assert json.loads((out / "budget.json").read_text())["rounds_left_out"] == [1, 2]
    told = capfd.readouterr().out
    assert "left out at demo, of every arm alike, as runs took longer than timed: seeds 11, 12" in told
    assert (out / "ranking.md").exists()


def test_other_options_in_the_same_folder_are_refused_before_any_work(folder, capsys):
    assert main([*command(folder), "--most-seeds", "5"]) == 1
    assert "made with another configuration (most_seeds: 8 there, 5 now)" in capsys.readouterr().err


def test_a_subset_of_another_content_under_a_standing_name_is_refused(folder, capsys, tmp_path):
    write_subset(str(tmp_path / "half.npy"), read_subset(str(folder / "pool" / "seed.npy"))[::3])
    words = [*command(folder), "--subset", str(tmp_path / "half.npy"), "--out", str(tmp_path / "out")]
    words.remove(str(folder / "half.npy"))
    words.remove("--subset")
    assert main(words) == 1
    assert "is not what" in capsys.readouterr().err


def test_a_budget_that_nothing_fits_in_says_what_would(folder, capsys, tmp_path):
    words = [
        {"20h": "2s", str(folder / "ranking"): str(tmp_path), str(folder / "models"): str(tmp_path / "m")}.get(w, w)
        for w in command(folder)
    ]
    assert main(words) == 1
    assert "--budget 2s: too short for 3 arms at scale demo: 2 seeds on 2,560 samples each take " in capsys.readouterr().err
    assert not (tmp_path / "_config.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "soon", "--shards", "s"], "--budget soon: not a time"),
        (["--budget", "1h"], "--budget 1h: needs --shards, --subset, --eval, --scale, too"),
        (["--shards", "s"], "--shards: only means something with --budget"),
        (["--dry-run"], "--dry-run: only means something with --budget"),
    ],
)
def test_options_that_will_not_do_are_wrong_usage(words, message, capsys):
    assert main(["rank", "--models", "m", "--out", "o", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--most-seeds", "1"], "--most-seeds 1: must be 2 or more"),
        (["--subset", "x/half.npy"], "--subset: half is given twice"),
        (["--subset", "x/half"], "--subset: half is given twice"),
        (["--scale", "huge"], "scale 'huge': no such scale"),
    ],
)
def test_budgets_out_of_bounds_are_refused_before_any_work(more, message, capsys):
    assert main([*command(Path("nowhere")), *more]) > 0
    assert message in capsys.readouterr().err
