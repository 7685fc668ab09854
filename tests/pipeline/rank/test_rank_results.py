"""webpairs rank: results of many runs in, ranking.parquet and ranking.md out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import io
from pipeline.cli import main
from pipeline.evaluate.results import Result, items_path, write_items, write_line
from pipeline.rank import RankConfig, run
from schemas.errors import UserError
from schemas.rankings import RANKINGS

SKILL = {"no_filter": 0.4, "good": 0.7, "random_like_good": 0.4}


def result(name, seed, *, task="cls_things", samples_seen=1000, rows=100, digest="d", n=300, main="", score=None):
    rng = np.random.default_rng([seed, *name.encode(), *task.encode()])
    difficulty = np.random.default_rng([*task.encode()]).normal(0, 0.1, n)
    hits = (rng.random(n) < SKILL.get(name, 0.5) + difficulty).astype(np.float32)
    main = main or ("acc1" if task.startswith("cls") else "mean_recall@1")
    hits[:1] = hits[:1] if score is None else score
    return Result(
        filter=name,
        scale="demo",
        model="demo",
        seed=seed,
        samples_seen=samples_seen,
        rows=rows,
        task=task,
        dataset=task[4:],
        digest=digest,
        main_metric=main,
        items={main: hits},
    )


def write(folder, name, results):
    path = str(folder / name / "results.jsonl")
    with io.atomic_write(path) as file:
        file.write("".join(map(write_line, results)).encode())
    with io.atomic_write(items_path(path)) as file:
        write_items(results, file)
    return path


TASKS = ("cls_things", "ret_scenes")


def write_runs(folder, name, seeds, tasks=TASKS):
    """One results file per seed, as `evaluate` writes them."""
    for seed in range(seeds):
        write(folder, f"{name.encode().hex()}/{seed}", [result(name, seed, task=task) for task in tasks])


def write_all(folder, seeds=4):
    for name in SKILL:
        write_runs(folder, name, seeds)


def ranked(tmp_path, **settings):
    manifest = run(RankConfig(models=str(tmp_path / "models"), out=str(tmp_path / "out"), draws=2000, **settings))
    rows = pq.read_table(tmp_path / "out" / "ranking.parquet").to_pylist()
    return manifest, {(row["filter"], row["task"], row["metric"]): row for row in rows}


def test_the_better_filter_is_called_better_and_the_random_control_a_tie(tmp_path):
    write_all(tmp_path / "models")
    manifest, rows = ranked(tmp_path)
    good, random, none = (rows[name, "average", "main_metric"] for name in ("good", "random_like_good", "no_filter"))
    assert good["verdict"] == "better"
    assert good["p_better_than_no_filter"] < 0.05
    assert good["difference"] == pytest.approx(good["mean"] - none["mean"])
    assert random["verdict"] == "tie"
    assert random["difference_low"] < 0 < random["difference_high"]
    assert none["p_better_than_no_filter"] is None
    assert none["verdict"] is None
    assert manifest.counts["runs"] == 12


def test_the_table_has_the_schema_and_one_row_per_filter_task_and_metric(tmp_path):
    write_all(tmp_path / "models")
    _, rows = ranked(tmp_path)
    table = pq.read_table(tmp_path / "out" / "ranking.parquet")
    assert table.schema.equals(RANKINGS)
    assert len(rows) == table.num_rows == 3 * 3
    row = rows["good", "cls_things", "acc1"]
    means = [result("good", seed).items["acc1"].mean() for seed in range(4)]
    assert row["mean"] == pytest.approx(np.mean(means), abs=1e-6)
    assert row["sd"] == pytest.approx(np.std(means, ddof=1), abs=1e-6)
    assert (row["rows"], row["repeats"], row["n_seeds"]) == (100, 10.0, 4)


def test_the_same_results_give_the_same_bytes(tmp_path):
    write_all(tmp_path / "models", seeds=2)
    files = [tmp_path / "out" / name for name in ("ranking.parquet", "ranking.md")]
    ranked(tmp_path)
    first = [file.read_bytes() for file in files]
    ranked(tmp_path)
    assert [file.read_bytes() for file in files] == first


def test_one_seed_is_ranked_without_sd_and_the_page_says_so(tmp_path):
    write_all(tmp_path / "models", seeds=1)
    _, rows = ranked(tmp_path)
    assert rows["good", "average", "main_metric"]["sd"] is None
    assert "One seed only" in (tmp_path / "out" / "ranking.md").read_text()


def test_the_page_names_ties_and_escapes_names(tmp_path):
    write_all(tmp_path / "models", seeds=2)
    write_runs(tmp_path / "models", "a|b <script>", 2)
    write_runs(tmp_path / "models", "\x1b[31mred\u202e", 2)
    ranked(tmp_path)
    page = (tmp_path / "out" / "ranking.md").read_text()
    assert "| tie |" in page
    assert "a\\|b \\<script\\>" in page
    assert "\ufffd\\[31mred\ufffd" in page


def test_without_no_filter_there_are_means_but_no_comparison(tmp_path):
    write_runs(tmp_path / "models", "good", 3)
    _, rows = ranked(tmp_path)
    assert rows["good", "average", "main_metric"]["difference"] is None


def test_a_task_that_a_run_lacks_is_left_out_and_named(tmp_path):
    write_runs(tmp_path / "models", "good", 2)
    write_runs(tmp_path / "models", "no_filter", 2, tasks=("cls_things",))
    manifest, rows = ranked(tmp_path)
    assert {task for _, task, _ in rows} == {"average", "cls_things"}
    assert manifest.facts["ranking"]["tasks_left_out"] == ["ret_scenes"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"digest": "other"}, "other items"),
        ({"seed": 0}, "there twice"),
        ({"rows": 99}, "another number"),
        ({"n": 200}, "200 items, and 300 elsewhere"),
        ({"main": "acc5"}, "main metric is acc5"),
        ({"score": np.inf}, "no number"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(tmp_path, second, message):
    write(tmp_path / "models", "a", [result("good", 0)])
    write(tmp_path / "models", "b", [result("good", **{"seed": 1, **second})])
    with pytest.raises(UserError, match=message):
        ranked(tmp_path)


def test_metrics_that_only_some_runs_have_are_left_out(tmp_path):
    write_all(tmp_path / "models", seeds=1)
    more = result("zzz", 0)
    write(
        tmp_path / "models",
        "more",
        [replace(more, items={**more.items, "acc5": more.items["acc1"]}), result("zzz", 0, task=TASKS[1])],
    )
    _, rows = ranked(tmp_path)
    assert {metric for _, _, metric in rows} == {"main_metric", "acc1", "mean_recall@1"}
    more = result("aaa", 0)
    write(
        tmp_path / "models",
        "first",
        [replace(more, items={**more.items, "acc5": more.items["acc1"]}), result("aaa", 0, task=TASKS[1])],
    )
    _, again = ranked(tmp_path)
    assert {metric for _, _, metric in again} == {metric for _, _, metric in rows}


def test_of_two_filters_with_other_seeds_the_one_ahead_on_the_seeds_they_share_stands_first(tmp_path):
    """`lucky` has the higher mean by a seed that `good` lacks."""
    write_runs(tmp_path / "models", "good", 2, tasks=("cls_things",))
    for seed in range(3):
        few = result("lucky", seed)
        items = {"acc1": np.ones(300, np.float32) if seed == 2 else few.items["acc1"] * (np.arange(300) < 290)}
        write(tmp_path / "models", f"lucky/{seed}", [replace(few, items=items)])
    ranked(tmp_path)
    (pair,) = pq.read_table(tmp_path / "out" / "pairs.parquet").to_pylist()
    assert (pair["filter"], pair["other"]) == ("good", "lucky")
    assert pair["difference"] > 0
    assert pair["probability"] > 0.5


def test_items_of_another_run_beside_the_results_are_refused(tmp_path):
    path = write(tmp_path / "models", "a", [result("good", 0)])
    with open(items_path(path), "wb") as file:
        write_items([result("no_filter", 3)], file)
    with pytest.raises(UserError, match="not the two files"):
        ranked(tmp_path)


@pytest.mark.parametrize("kept_lines", [0, 1])
def test_results_that_lack_lines_are_refused_by_name_and_no_seed_is_dropped(tmp_path, kept_lines):
    write_all(tmp_path / "models", seeds=2)
    path = write(tmp_path / "models", "cut", [result("good", 2, task=task) for task in TASKS])
    lines = Path(path).read_bytes().splitlines(keepends=True)
    Path(path).write_bytes(b"".join(lines[:kept_lines]))
    with pytest.raises(UserError, match=rf"{path}.*not the two files.*run `webpairs evaluate`"):
        ranked(tmp_path)


def test_an_empty_file_of_results_beside_an_empty_archive_is_refused(tmp_path):
    path = write(tmp_path / "models", "none", [])
    with pytest.raises(UserError, match=rf"{path}.*no results"):
        ranked(tmp_path)


def damaged(content):
    """The bytes with some of the compressed ones turned over: the archive opens, a member does not unpack."""
    return content[:80] + bytes(255 - byte for byte in content[80:90]) + content[90:]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda content: content[:100], damaged], ids=["empty", "cut", "damaged"])
def test_items_that_cannot_be_read_are_named(tmp_path, damage):
    path = write(tmp_path / "models", "a", [result("good", 0)])
    items = Path(items_path(path))
    items.write_bytes(damage(items.read_bytes()))
    with pytest.raises(UserError, match=rf"{items}: not the two files"):
        ranked(tmp_path)


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--draws", "999"]])
def test_options_that_will_not_do_are_wrong_usage(tmp_path, capsys, words):
    write_runs(tmp_path / "models", "good", 1)
    assert main(["rank", "--models", str(tmp_path / "models"), "--out", str(tmp_path / "out"), *words]) == 2
    assert capsys.readouterr().err.startswith(f"webpairs: {' '.join(words)}: ")
    assert not (tmp_path / "out").exists()


def test_a_url_that_nothing_opens_is_told_in_one_line(tmp_path, capsys):
    assert main(["rank", "--models", "foo://bucket/models", "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("webpairs: foo://bucket/models: Protocol not known: foo; give a local path")


def test_a_folder_without_results_is_told_in_one_line(tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(UserError, match="run `webpairs evaluate`"):
        ranked(tmp_path)


def test_a_published_model_of_which_no_run_tells_is_ranked_beside_the_others_and_fitted_to_no_curve(tmp_path):
    write_all(tmp_path / "models", seeds=2)
    published = [replace(result("ViT-B-32 openai", 0, task=task, samples_seen=0, rows=0), scale="published") for task in TASKS]
    write(tmp_path / "models", "published", published)
    _, rows = ranked(tmp_path)
    row = rows["ViT-B-32 openai", "average", "main_metric"]
    assert (row["rows"], row["repeats"], row["scale"]) == (0, 0.0, "published")
    assert pq.read_table(tmp_path / "out" / "scalings.parquet").num_rows == 0
