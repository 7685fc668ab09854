"""The benchmark of filter: its input, its clock and its figures are what they say. Nothing is compared here."""

import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench import filter_captions, filter_cost, filter_figures, filter_pool
from bench.filter_sides import OURS, PEER, WORKLOADS, Assets


def test_metadata_of_the_filter_benchmark_is_datacomp_s_and_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filter_pool, "CACHE", tmp_path / "one")
    monkeypatch.setattr(filter_pool, "ROWS_PER_FILE", 2000)
    folder = filter_pool.pool(2, wordnet_of(tmp_path, "dog", "garden", "house"))
    files = sorted(folder.glob("*.parquet"))
    tables = [pq.read_table(file) for file in files]
    assert [file.stem for file in files] == [filter_pool.name(0), filter_pool.name(1)]
    assert tables[0].schema.field("clip_l14_similarity_score").type == pa.float32()
    assert tables[0].schema.field("original_width").type == pa.int64()
    assert len({uid for table in tables for uid in table["uid"].to_pylist()}) == filter_pool.rows_in(folder) == 4000
    assert {len(uid) for uid in tables[0]["uid"].to_pylist()} == {32}
    scores = tables[0]["clip_b32_similarity_score"].to_numpy()
    assert any(np.isnan(table["clip_b32_similarity_score"].to_numpy()).any() for table in tables)
    assert len(np.unique(scores)) < len(scores)
    monkeypatch.setattr(filter_pool, "CACHE", tmp_path / "other")
    again = filter_pool.pool(2, wordnet_of(tmp_path, "dog", "garden", "house"))
    assert [file.read_bytes() for file in sorted(again.glob("*.parquet"))] == [file.read_bytes() for file in files]


def test_a_large_pool_has_new_uids_and_the_rows_of_the_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filter_pool, "CACHE", tmp_path)
    monkeypatch.setattr(filter_pool, "ROWS_PER_FILE", 300)
    small = filter_pool.pool(2, wordnet_of(tmp_path, "dog"))
    large = filter_pool.large_pool(5, small)
    tables = [pq.read_table(file) for file in sorted(large.glob("*.parquet"))]
    assert len({uid for table in tables for uid in table["uid"].to_pylist()}) == 1500
    assert tables[0]["text"].equals(tables[2]["text"])
    assert tables[0]["text"].equals(pq.read_table(small / f"{filter_pool.name(0)}.parquet")["text"])
    part = filter_pool.first_files(large, 3)
    assert sorted(file.name for file in part.iterdir()) == [f"{filter_pool.name(number)}.parquet" for number in range(3)]


def test_captions_hold_english_other_languages_codes_and_line_breaks(tmp_path: Path):
    found = filter_captions.captions(np.random.default_rng(0), 5000, wordnet_of(tmp_path, "dog", "garden"))
    words = [word for text in found for word in text.split()]
    assert {"dog", "gardens", "dog,", "Garten", "jardin", "собака"} <= set(words)
    assert 0.01 < np.mean(["\n" in text for text in found]) < 0.03
    assert any(not text.strip() for text in found)
    assert any(text.startswith("IMG_") for text in found)
    assert 5 <= np.median([len(text.split()) for text in found]) <= 7


def test_english_words_come_by_how_often_wordnet_has_them(tmp_path: Path):
    assert filter_captions.english_words(wordnet_of(tmp_path, "rare", "often", "often", "hot_dog")) == ("often", "rare")


def test_cpu_seconds_of_a_child_that_outlives_its_parent_are_counted(tmp_path: Path):
    burn = "import time; begun = time.process_time()\nwhile time.process_time() < begun + 0.5: pass"
    leave = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
    core = {max(os.sched_getaffinity(0))}
    command = [sys.executable, "-c", "import sys; exec(sys.argv[1])", leave]
    spent = filter_cost.spent_on(command, folder=tmp_path, log=tmp_path / "log", env={}, cores=core)
    assert 0.5 < spent.cpu_s < 5
    assert spent.rss_mb >= spent.pss_mb > 1


def test_a_command_that_fails_ends_the_benchmark_with_its_words(tmp_path: Path):
    command = [sys.executable, "-c", "raise SystemExit('it was that')"]
    with pytest.raises(SystemExit, match=r"(?s)status 1.*it was that"):
        filter_cost.spent_on(command, folder=tmp_path, log=tmp_path / "log", env={}, cores=os.sched_getaffinity(0))


def test_figures_are_ratios_of_the_peer_to_ours_and_the_worst_of_memory():
    answers = {name: {OURS: [run(2.0, 100.0, 200.0)], PEER: [run(8.0, 900.0, 1000.0)]} for name in ("clip_score", "basic")}
    figures = {figure.key: figure.value for figure in filter_figures.figures_of(answers)}
    assert figures == {"clip_score_x": 4.0, "basic_x": 4.0, "rss_x": 5.0, "identical": True}
    other = {**answers["basic"], PEER: [{**run(8.0, 900.0, 1000.0), "digest": "another"}]}
    assert filter_figures.figures_of({"basic": other})[-1].value is False
    assert {figure.removesuffix("_x") for figure in figures} - {"rss", "identical"} <= set(WORKLOADS)


def test_growth_is_the_exponent_and_xlarge_goes_by_one_more_row():
    runs = [{**run(seconds, 50.0, 60.0), "rows": rows} for rows, seconds in ((1_000, 1.0), (2_000, 4.0), (4_000, 16.0))]
    assert filter_figures.growth(runs) == pytest.approx(2)
    assert filter_figures.per_row_s(runs) == pytest.approx(12 / 2_000)
    figures = {figure.key: figure.value for figure in filter_figures.figures_of_large({"basic": runs})}
    assert figures["rows_12m_peak_mb"] == 60
    assert figures["basic_xlarge_core_h"] == pytest.approx(12.8e9 * 0.006 / 3600)


def test_assets_that_are_not_datacomp_s_are_called_stand_ins(tmp_path: Path):
    (tmp_path / "lid.176.bin").write_bytes(b"a small model")
    assert Assets(tmp_path).said() == "stand-ins, smaller"
    wordnet_of(tmp_path, "dog").rename(tmp_path / "nltk_wordnet.tar.gz")
    assert Assets(tmp_path).wordnet.is_file()


def run(cpu_s: float, pss_mb: float, rss_mb: float) -> dict:
    return {"cpu_s": cpu_s, "wall_s": cpu_s, "pss_mb": pss_mb, "rss_mb": rss_mb, "rows": 10, "kept": 3, "digest": "same"}


def wordnet_of(folder: Path, *words: str) -> Path:
    """An archive with as much of WordNet as captions are made of: each word as often as it is named."""
    lines = "".join(f"{word}%1:05:00:: 1 {words.count(word)}\n" for word in dict.fromkeys(words)).encode()
    path = folder / "wordnet.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("nltk_data/corpora/wordnet/cntlist.rev")
        entry.size = len(lines)
        archive.addfile(entry, io.BytesIO(lines))
    return path
