"""The noisy pool of bench/rank.py is what it says: shares as asked for, a truth that agrees, and the same pool for a seed."""

import hashlib
import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench import rank
from bench.rank_figures import MAIN_TASK, block_of, figures_of, plot, ranked, shares_of
from bench.rank_noise import SHARES, Pair, counts_of, real_pairs_for, saved_again, with_noise
from bench.rank_shards import read_pairs, texts_in_other_languages, write_shards, write_truth, write_uids
from bench.rank_stages import FILTERS, ORACLE, Folder, Stages
from pipeline.demo.truth import good_uids
from pipeline.samples import TarReader, pair_of
from pipeline.subset_file import read_subset
from schemas.rankings import AVERAGE, BASELINE
from schemas.subsets import array_to_uids

OTHERS = ["Một con mèo", "Un gato", "Kot na dachu"]


def encoded(number: int, side_px: int = 24) -> bytes:
    """A picture of one colour, another for each number."""
    target = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (number * 37 % 256, number * 101 % 256, number % 256)).save(target, "PNG")
    return target.getvalue()


def real_pairs(count: int) -> list[Pair]:
    """As many pairs of seven groups, one in twenty of them not English."""
    return [
        Pair(
            url=f"https://a.example/{i}.png",
            text=f"a thing of kind {i % 7}, number {i}" if i % 20 else f"một thứ {i}",
            lang="en" if i % 20 else "vi",
            group=f"kind {i % 7}" if i % 3 else "",
            source="a",
            path=f"pictures/thing-{i}.png",
            size_px=(240, 240),
            image=encoded(i % 50),
        )
        for i in range(count)
    ]


def noisy(rows: int, seed: int = 0) -> list[Pair]:
    return with_noise(real_pairs(real_pairs_for(rows)), OTHERS, rows=rows, seed=seed)


@settings(max_examples=20)
@given(st.integers(100, 400), st.integers(0, 1000))
def test_a_pool_has_every_kind_in_the_share_asked_for(rows: int, seed: int):
    pool = noisy(rows, seed)
    counts = Counter(pair.kind for pair in pool)
    assert len(pool) == rows
    assert counts_of(SHARES, rows) == {kind: counts[kind] for kind in SHARES}
    assert counts["clean"] == rows - sum(counts_of(SHARES, rows).values())


def test_the_usual_pool_and_the_scoring_model_share_all_real_pairs_between_them(shared_data: Path):
    files = (shared_data / "pairs" / "train").glob("*.parquet")
    assert real_pairs_for(rank._ROWS) + rank._CLEAN_ROWS == sum(pq.read_metadata(path).num_rows for path in files)


def test_one_seed_gives_one_pool_and_another_seed_another():
    assert noisy(200, 1) == noisy(200, 1)
    assert noisy(200, 1) != noisy(200, 2)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_a_swapped_caption_is_another_picture_s_of_another_group(seed: int):
    before = {pair.url: pair for pair in real_pairs(real_pairs_for(200))}
    owners = {pair.text: pair for pair in before.values()}
    swapped = [pair for pair in noisy(200, seed) if pair.kind == "mismatched"]
    assert swapped
    for pair in swapped:
        assert pair.original_text == before[pair.url].text != pair.text
        assert not pair.group or owners[pair.text].group != pair.group
    assert Counter(pair.text for pair in swapped) == Counter(pair.original_text for pair in swapped)


def test_captions_of_pictures_that_all_show_the_same_cannot_be_swapped():
    alike = [pair for pair in real_pairs(400) if pair.lang == "en" and pair.group == "kind 1"]
    with pytest.raises(ValueError, match="too many show the same"):
        with_noise(alike, OTHERS, rows=len(alike), seed=0, shares={**dict.fromkeys(SHARES, 0.0), "mismatched": 0.5})


def test_only_the_text_is_made_wrong_and_only_where_the_kind_says_so():
    before = {pair.url: pair for pair in real_pairs(real_pairs_for(300))}
    for pair in noisy(300):
        if pair.kind == "duplicate":
            continue
        real = before[pair.url]
        assert (pair.image, pair.size_px, pair.group) == (real.image, real.size_px, real.group)
        assert (pair.text == real.text) == (pair.kind == "clean" or real.lang != "en")
        assert pair.is_good == (pair.kind == "clean")
        assert pair.original_text == ("" if pair.text == real.text else real.text)


def test_a_copy_repeats_a_clean_pair_at_another_url_and_some_are_saved_again():
    pool = noisy(400)
    by_url = {pair.url: pair for pair in pool}
    copies = [pair for pair in pool if pair.kind == "duplicate"]
    assert len(by_url) == len(pool)
    for copy in copies:
        source = by_url[copy.copy_of]
        assert (source.kind, source.text) == ("clean", copy.text)
        with Image.open(io.BytesIO(copy.image)) as image:
            assert max(image.size) <= 24
    assert 0 < sum(copy.image == by_url[copy.copy_of].image for copy in copies) < len(copies) / 2


def test_a_picture_saved_again_has_the_sides_asked_for_and_the_same_colour():
    with Image.open(io.BytesIO(saved_again(encoded(3, 40), 0.5, 80))) as image:
        assert (image.format, image.size) == ("JPEG", (20, 20))
        assert np.abs(np.asarray(image, int) - np.array([111, 47, 3])).max() < 8


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match="a pool of 100 is made of 94"):
        with_noise(real_pairs(93), OTHERS, rows=100, seed=0)
    with pytest.raises(ValueError, match="some must be left"):
        with_noise(real_pairs(94), OTHERS, rows=100, seed=0, shares={**SHARES, "mismatched": 0.72})
    with pytest.raises(ValueError, match="at most 1"):
        counts_of({"mismatched": 0.7, "foreign": 0.4}, 100)


def test_shards_hold_the_pool_and_the_truth_agrees_with_them(tmp_path: Path):
    pool, at = noisy(120), Folder(tmp_path)
    at.truth.parent.mkdir(parents=True)
    uids = write_shards(at.shards, pool)
    write_truth(at.truth, pool, uids)
    assert uids == [hashlib.md5(f"{pair.text}{pair.url}".encode()).hexdigest() for pair in pool]
    assert good_uids(str(at.truth)) == {uid for uid, pair in zip(uids, pool, strict=True) if pair.kind == "clean"}
    with (at.shards / "00000.tar").open("rb") as file:
        stored = [pair_of(sample, {}) for sample in TarReader(file)]
    assert [(pair.uid, pair.caption, pair.image) for pair in stored] == [
        (uid, pair.text, pair.image) for uid, pair in zip(uids, pool, strict=True)
    ]
    sidecar = pq.read_table(at.shards / "00000.parquet").to_pylist()
    assert [row["uid"] for row in sidecar] == uids
    assert {(row["original_width"], row["width"]) for row, pair in zip(sidecar, pool, strict=True) if pair.is_good} == {(240, 24)}
    assert shares_of(at)["mismatched"] == pytest.approx(0.4)
    assert shares_of(at)["text_made_wrong"] == pytest.approx(0.57, abs=0.01)


def test_the_oracle_s_subset_holds_the_good_pairs(tmp_path: Path):
    uids = ["ff" * 16, "00" * 16]
    write_uids(tmp_path / "new" / "oracle.npy", uids)
    assert array_to_uids(read_subset(str(tmp_path / "new" / "oracle.npy"))) == sorted(uids)


def test_the_scoring_model_s_pairs_and_the_pool_s_are_different_ones(shared_data: Path):
    real = shared_data / "pairs" / "train"
    both = [read_pairs(real, first=first, count=count) for first, count in ((0, 300), (300, 300))]
    assert [len(pairs) for pairs in both] == [300, 300]
    assert not {pair.url for pair in both[0]} & {pair.url for pair in both[1]}
    across = read_pairs(real, first=12_690, count=10)  # from one file into the next
    assert len({pair.url for pair in across}) == 10


def test_texts_in_other_languages_are_not_those_of_english_pairs(shared_data: Path):
    real = shared_data / "pairs" / "train"
    others = {*texts_in_other_languages(real)}
    assert len(others) > 1000
    english = {pair.text for pair in read_pairs(real, first=0, count=3000) if pair.lang == "en"}
    assert len(english & others) < 5  # names


def test_a_stage_that_is_done_is_not_done_again(tmp_path: Path):
    for _ in range(2):
        stages = Stages(Folder(tmp_path))
        stages.run("count", [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"])
    assert (tmp_path / "ran").read_text() == "x"
    assert stages.costs["count"]["wall_s"] > 0
    with pytest.raises(SystemExit, match="status 3"):
        stages.run("fail", [sys.executable, "-c", "raise SystemExit(3)"])
    assert "fail" not in Stages(Folder(tmp_path)).costs


def test_a_folder_made_otherwise_is_refused(tmp_path: Path):
    at = Folder(tmp_path)
    at.truth.parent.mkdir(parents=True)
    (at.truth.parent / "prepared.json").write_text('{"rows": 5}')
    with pytest.raises(SystemExit, match="made otherwise"):
        rank.prepare(at, rows=6, clean_rows=1)


def test_the_readme_s_block_tells_choice_ranking_machine_and_command():
    line = {"scale": "demo", "filter": "webpairs", "seeds": 3, "average %": 9.25, "± sd": "0.40", "95 %": "[8.1, 10.4]"}
    line |= {"over no_filter": "+2.00", "95 % of it": "[+1.0, +3.0]", "Tiny-ImageNet %": 4.4, "verdict": "better"}
    found = {
        "measured": [line],
        "truth": [{"filter": "webpairs", "kept": 1200, "precision": 0.75, "recall": 0.5}],
        "training": {"samples_seen": {"demo": 61440}},
        "machine": {"cpu": "A CPU", "cores": 4},
        "command": "python -m bench.rank",
        "date": "2026-01-01",
        "wall_min": 12.3,
    }
    block = block_of(found)
    assert "webpairs                     1,200       0.750    0.500" in block
    assert "demo, 61,440 samples seen, 3 seeds" in block
    assert "+2.00" in block
    assert "the ceiling" in block
    assert block.endswith("python -m bench.rank  (2026-01-01, A CPU, 4 cores, 12 minutes)")


ARMS = (BASELINE, *FILTERS, ORACLE, *(f"random_like_{name}" for name in (*FILTERS, ORACLE)))
TRUTH = [{"filter": name, "kept": 10, "precision": 0.5, "recall": 0.25} for name in ARMS]


def write_ranking(at: Folder) -> None:
    """A ranking at two scales and two numbers of samples, in which each arm is better than the one before it."""
    rows = []
    for scale, seen, task in ((s, n, t) for s in ("demo", "micro") for n in (100, 200) for t in (AVERAGE, MAIN_TASK)):
        for number, name in enumerate(ARMS):
            mean = 0.01 * (number + 1) + seen / 10_000 + (scale == "micro") / 10
            over = [None, None, None] if name == BASELINE else [0.01 * number, 0.0, 0.1]
            row = {"filter": name, "scale": scale, "samples_seen": seen, "task": task, "n_seeds": 3, "mean": mean, "sd": 0.001}
            row |= {"metric": "acc1" if task == MAIN_TASK else "main_metric", "ci_low": mean - 0.01, "ci_high": mean + 0.01}
            row |= dict(zip(("difference", "difference_low", "difference_high"), over, strict=True))
            rows.append(row | {"verdict": None if name == BASELINE else "better"})
    at.ranking.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), at.ranking / "ranking.parquet")


def test_the_table_has_every_arm_at_every_scale_at_the_most_samples_seen_the_best_first(tmp_path: Path):
    at = Folder(tmp_path)
    write_ranking(at)
    rows = ranked(at, TRUTH, ["demo", "micro"])
    assert [(row["scale"], row["filter"]) for row in rows] == [(scale, arm) for scale in ("demo", "micro") for arm in ARMS[::-1]]
    assert rows[-1]["average %"] == pytest.approx(13.0)
    assert (rows[-1]["over no_filter"], rows[0]["over no_filter"]) == ("", "+8.00")


def test_the_figures_are_those_of_the_scale_asked_for(tmp_path: Path):
    at = Folder(tmp_path)
    write_ranking(at)
    found = {figure.key: figure.value for figure in figures_of(at, TRUTH, {"a": {"wall_s": 60, "cpu_s": 180}}, scale="micro")}
    assert found["webpairs_over_no_filter"] == pytest.approx(3.0)
    assert found["webpairs_over_random"] == pytest.approx(-4.0)
    assert (found["webpairs_precision"], found["webpairs_recall"]) == (0.5, 0.25)
    assert (found["wall_min"], found["cpu_min"]) == (1, 3)


def test_the_plot_shows_every_arm_and_no_picture(tmp_path: Path):
    at = Folder(tmp_path)
    write_ranking(at)
    for name in ("one.svg", "two.svg"):
        plot(ranked(at, TRUTH, ["demo", "micro"]), at.ranking / "ranking.parquet", tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text()
    assert all(arm in drawn for arm in ARMS)
    assert "<image" not in drawn
    assert drawn == (tmp_path / "two.svg").read_text()
