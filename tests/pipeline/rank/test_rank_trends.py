"""webpairs rank over several computes, and with and without controls: what is compared, and what is told to be lacking."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import io
from pipeline.evaluate.results import Result, items_path, read_results, write_items, write_line
from pipeline.rank import RankConfig, run
from schemas.rankings import PAIRS
from schemas.scalings import CROSSINGS, SCALINGS

ROWS = {"no_filter": 1000, "steep": 300, "flat": 200}
SEEN = (1000, 2000, 4000, 8000, 16000)


def error(name, seen):
    """The true error: `flat` is ahead at first, `steep` from 4000 samples on, both ahead of no_filter."""
    alpha = {"steep": 0.4, "flat": 0.2}.get(name.removeprefix("random_like_"), 0.3)
    level = 0.5 if name == "no_filter" or name.startswith("random") else 0.35
    return level * (seen / 4000) ** -(alpha if level < 0.5 else 0.3)


def write_runs(folder, name, *, rows, seeds=3, model="demo", seen=SEEN, n=1500, flops=None):
    """Results of a filter's runs: items of the same difficulty for all, luck of its own for each seed."""
    threshold = np.random.default_rng(0).random(n)
    for seed in range(seeds):
        rng = np.random.default_rng([seed, *name.encode(), *model.encode()])
        results = []
        for samples in seen:
            chance = 1 - error(name, samples) + rng.normal(0, 0.004)
            hits = np.where(rng.random(n) < 0.2, rng.random(n), threshold) < chance
            told = {"filter": name, "scale": "demo", "model": model, "seed": seed, "samples_seen": samples, "rows": rows}
            told |= {"task": "cls_things", "dataset": "things", "digest": "d", "main_metric": "acc1"}
            results.append(Result(**told, flops_per_sample=flops, items={"acc1": hits.astype(np.float32)}))
        path = str(folder / name / model / str(seed) / "results.jsonl")
        with io.atomic_write(path) as file:
            file.write("".join(map(write_line, results)).encode())
        with io.atomic_write(items_path(path)) as file:
            write_items(results, file)


def ranked(root):
    manifest = run(RankConfig(models=str(root / "models"), out=str(root / "out"), draws=1000))
    tables = {n: pq.read_table(root / "out" / f"{n}.parquet") for n in ("ranking", "pairs", "scalings", "crossings")}
    return manifest.facts["ranking"], tables, (root / "out" / "ranking.md").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three filters and their controls at five numbers of samples."""
    root = tmp_path_factory.mktemp("whole")
    for name, rows in ROWS.items():
        write_runs(root / "models", name, rows=rows)
        if name != "no_filter":
            write_runs(root / "models", f"random_like_{name}", rows=rows)
    return ranked(root)


def test_published_models_beside_checkpoints_are_compared_and_no_point_of_a_curve(tmp_path):
    for name in ("published", "another"):
        write_runs(tmp_path / "models", name, rows=0, seeds=1, seen=(1,))
        path = str(tmp_path / "models" / name / "demo" / "0" / "results.jsonl")
        results = [replace(result, samples_seen=0) for result in read_results(path)]
        with io.atomic_write(path) as file:
            file.write("".join(map(write_line, results)).encode())
        with io.atomic_write(items_path(path)) as file:
            write_items(results, file)
    write_runs(tmp_path / "models", "no_filter", rows=100, seeds=2, seen=SEEN[:2])
    write_runs(tmp_path / "models", "flat", rows=100, seeds=2, seen=SEEN[:2])
    _, tables, _ = ranked(tmp_path)
    assert {row["samples_seen"] for row in tables["pairs"].to_pylist()} == {0, 1000, 2000}
    assert {row["filter"] for row in tables["scalings"].to_pylist()} == {"no_filter", "flat"}


def test_the_tables_have_their_schemas(whole):
    _, tables, _ = whole
    assert tables["pairs"].schema.equals(PAIRS)
    assert tables["scalings"].schema.equals(SCALINGS)
    assert tables["crossings"].schema.equals(CROSSINGS)


def test_each_filter_is_compared_with_the_random_subset_of_its_own_size(whole):
    facts, tables, page = whole
    rows = [row for row in tables["ranking"].to_pylist() if row["task"] == "average" and row["samples_seen"] == 16000]
    told = {row["filter"]: row for row in rows}
    assert {name: row["control"] for name, row in told.items() if row["control"]} == {
        "steep": "random_like_steep",
        "flat": "random_like_flat",
    }
    assert told["steep"]["control_difference"] == pytest.approx(told["steep"]["mean"] - told["random_like_steep"]["mean"])
    assert told["steep"]["control_verdict"] == "better"
    assert told["no_filter"]["control_verdict"] is None
    assert all(each["lacking"] == {"no_filter": False, "random": []} for each in facts["computes"])
    assert "Δ to own random control" in page
    assert "No random subset" not in page


def test_what_a_ranking_lacks_is_named(tmp_path):
    write_runs(tmp_path / "models", "steep", rows=300, seen=(1000,))
    write_runs(tmp_path / "models", "flat", rows=200, seen=(1000,))
    write_runs(tmp_path / "models", "random_other", rows=199, seen=(1000,))
    facts, _, page = ranked(tmp_path)
    assert facts["computes"][0]["lacking"] == {"no_filter": True, "random": ["steep"]}
    assert "No run of no_filter" in page
    assert "No random subset of the same size for steep:" in page


def test_a_subset_whose_account_says_so_is_a_random_one_whatever_its_name(tmp_path):
    write_runs(tmp_path / "models", "steep", rows=300, seen=(1000,))
    write_runs(tmp_path / "models", "random_thoughts", rows=300, seen=(1000,))
    write_runs(tmp_path / "models", "plain", rows=300, seen=(1000,))
    for name, recipe in (("random_thoughts", "mine"), ("plain", "random_subset")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"recipe": recipe}))
        for seed in range(3):
            config = {"subset": str(tmp_path / f"{name}.npy")}
            (tmp_path / "models" / name / "demo" / str(seed) / "_config.json").write_text(json.dumps(config))
    _, tables, _ = ranked(tmp_path)
    told = {row["filter"]: row["control"] for row in tables["ranking"].to_pylist()}
    assert told == {"steep": "plain", "random_thoughts": "plain", "plain": None}


def test_pairs_are_told_the_better_first_and_ties_are_named(whole):
    facts, tables, page = whole
    last = [row for row in tables["pairs"].to_pylist() if row["samples_seen"] == 16000]
    assert len(last) == 10
    assert all(row["difference"] >= 0 for row in last)
    told = {(row["filter"], row["other"]): row for row in last}
    assert told["steep", "flat"]["verdict"] == "better"
    assert told["steep", "flat"]["probability"] > 0.99
    ties = {frozenset(pair) for pair in next(c for c in facts["computes"] if c["samples_seen"] == 16000)["ties"]}
    assert frozenset({"random_like_steep", "random_like_flat"}) in ties
    assert "Ties: " in page


def test_less_compute_is_told_to_rank_otherwise_than_more(whole):
    facts, _, page = whole
    told = {row["less"]["samples_seen"]: row for row in facts["agreement"]}
    assert set(told) == {1000, 2000, 4000, 8000}
    assert told[8000]["tau_b"] > told[1000]["tau_b"]
    assert told[1000]["same_order"] < told[1000]["told_apart_at_both"]
    assert told[1000]["tau_b_low"] <= told[1000]["tau_b"] <= told[1000]["tau_b_high"]
    assert "Does less compute rank as more does?" in page


def test_curves_predict_the_held_out_point_and_cross_where_they_should(whole):
    facts, tables, page = whole
    curves = {row["filter"]: row for row in tables["scalings"].to_pylist() if row["task"] == "average"}
    assert curves["steep"]["n_points"] == 5
    assert curves["steep"]["form"] == "power_floor"
    assert curves["steep"]["compute_unit"] == "samples"
    assert curves["steep"]["held_out_compute"] == 16000
    assert curves["steep"]["repeats"] == pytest.approx(16000 / 300)
    assert facts["held_out_inside"] >= 4
    assert facts["held_out_points"] == 5
    crossed = [row for row in tables["crossings"].to_pylist() if (row["before"], row["after"]) == ("flat", "steep")]
    assert any(2500 < row["compute"] < 6500 and row["probability"] > 0.9 and not row["extrapolated"] for row in crossed)
    assert "Where curves cross" in page
    assert "repeats more than 4 times" in page


def test_one_compute_gives_no_trends(tmp_path):
    write_runs(tmp_path / "models", "steep", rows=300, seen=(1000,))
    facts, tables, page = ranked(tmp_path)
    assert facts["agreement"] == []
    assert tables["scalings"].num_rows == tables["crossings"].num_rows == 0
    assert "Error against compute" not in page


def test_two_models_are_compared_at_their_ends_and_have_a_curve_each(tmp_path):
    for name, rows in ROWS.items():
        for model in ("demo", "micro"):
            write_runs(tmp_path / "models", name, rows=rows, seeds=2, model=model, seen=SEEN[:3])
    facts, tables, _ = ranked(tmp_path)
    ends = [(row["less"]["model"], row["more"]["model"]) for row in facts["agreement"]]
    assert ("demo", "micro") in ends
    assert {(row["model"], row["form"]) for row in tables["scalings"].to_pylist()} == {("demo", "power"), ("micro", "power")}


def test_with_flops_told_several_models_have_a_curve_over_their_lower_envelope(tmp_path):
    for model, flops in (("demo", 1e6), ("micro", 8e6)):
        write_runs(tmp_path / "models", "steep", rows=300, seeds=2, model=model, seen=SEEN[:4], flops=flops)
    _, tables, _ = ranked(tmp_path)
    rows = {row["model"]: row for row in tables["scalings"].to_pylist() if row["task"] == "average"}
    assert {row["compute_unit"] for row in rows.values()} == {"flops"}
    envelope = rows["envelope"]
    assert envelope["points_compute"][0] == 1000 * 1e6
    assert envelope["points_compute"] == sorted(envelope["points_compute"])
    assert envelope["points_error"] == sorted(envelope["points_error"], reverse=True)
    points = set(zip(rows["demo"]["points_compute"], rows["demo"]["points_error"], strict=True))
    points |= set(zip(rows["micro"]["points_compute"], rows["micro"]["points_error"], strict=True))
    best = {(c, e) for c, e in points if not any(c2 <= c and e2 <= e and (c2, e2) != (c, e) for c2, e2 in points)}
    assert set(zip(envelope["points_compute"], envelope["points_error"], strict=True)) == best


def test_runs_of_which_one_does_not_tell_its_flops_are_compared_in_samples_without_an_envelope(tmp_path):
    for model, flops in (("demo", 1e6), ("micro", None)):
        write_runs(tmp_path / "models", "steep", rows=300, seeds=2, model=model, seen=SEEN[:2], flops=flops)
    _, tables, _ = ranked(tmp_path)
    assert {(row["model"], row["compute_unit"]) for row in tables["scalings"].to_pylist()} == {
        ("demo", "samples"),
        ("micro", "samples"),
    }
