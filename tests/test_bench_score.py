"""The benchmark of score: its input and its comparisons are what they say. Nothing is timed here."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

# isort: split
import open_clip

from bench import score_device, score_figures, score_gpu, score_models, score_shards, soak_score
from bench.score_agreement import agreement
from bench.score_sides import Place
from pipeline.clip import load_clip
from pipeline.samples import TarReader, pair_of


def test_shards_of_the_score_benchmark_are_img2dataset_s_and_always_the_same(tmp_path: Path):
    pictures = [score_shards.encoded("32", number) for number in range(3)]
    assert pictures == [score_shards.encoded("32", number) for number in range(3)]
    score_shards.write_shard(tmp_path, 7, range(10, 15), pictures)
    told = pq.read_table(tmp_path / "00007.parquet").to_pylist()
    with (tmp_path / "00007.tar").open("rb") as tar:
        samples = list(TarReader(tar))
    assert [sample.key for sample in samples] == [row["key"] for row in told] == [f"00007{at:04d}" for at in range(5)]
    for sample, row in zip(samples, told, strict=True):
        pair = pair_of(sample, {})
        assert (pair.uid, pair.caption) == (row["uid"], row["caption"])
        assert Image.open(io.BytesIO(pair.image)).size == (row["width"], row["height"])
    assert len({row["uid"] for row in told}) == len({row["caption"] for row in told}) == 5


def test_pictures_of_the_score_benchmark_have_the_sizes_that_they_state():
    for aspect in (0.667, 1.0, 1.78):
        width, height = score_shards.KINDS["web"].size(aspect)
        assert width * height == pytest.approx(430_000, rel=0.005)
        assert min(score_shards.KINDS["256"].size(aspect)) == 256
    assert Image.open(io.BytesIO(score_shards.encoded("256", 3))).size == score_shards.KINDS["256"].size(1.5)


def test_captions_of_the_score_benchmark_are_distinct_whether_real_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    score_shards.texts.cache_clear()
    monkeypatch.setenv("WEBPAIRS_SHARED", str(tmp_path))
    captions, what = score_shards.texts()
    score_shards.texts.cache_clear()
    assert what == "synthetic"
    assert len(set(captions)) == len(captions) == 10_000


def test_agreement_is_told_by_the_worst_pair_and_without_what_all_pictures_share():
    draw = np.random.default_rng(0)
    theirs = {f"{at}": (draw.normal(size=(2, 16)) + 50).astype(np.float32) for at in range(20)}
    found = agreement(theirs, dict(reversed(theirs.items())))
    assert found["image_least"] == pytest.approx(1)
    assert found["between_pictures"] > 0.99
    theirs_but_one = {**theirs, "3": theirs["3"] + [[2, -2] * 8, [0] * 16]}
    found = agreement(theirs, theirs_but_one)
    assert found["image_least"] > 0.99
    assert found["image_centred_least"] < 0.9
    assert found["text_least"] == pytest.approx(1)
    with pytest.raises(SystemExit, match="19 pairs on one side, 20 on the other, 19 on both"):
        agreement({key: theirs[key] for key in list(theirs)[1:]}, theirs)


def test_texts_that_are_cut_to_their_length_have_the_embeddings_of_whole_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(score_models, "CACHE", tmp_path)
    open_clip.add_model_config(score_models.configs())
    clip = load_clip(score_models.TINY, str(score_models.checkpoint(score_models.TINY)))
    batches = list(score_device.by_length(clip.tokenizer, 100, 32, step=1))
    assert [len(tokens) for tokens in batches] == [32, 32, 32, 4]
    for tokens in batches:
        assert (tokens.argmax(dim=1) == tokens.shape[1] - 1).any()
        whole = torch.nn.functional.pad(tokens, (0, 77 - tokens.shape[1]))
        with torch.inference_mode():
            torch.testing.assert_close(score_device.encode_shortened(clip.model, tokens), clip.model.encode_text(whole))


@pytest.mark.slow
def test_what_is_measured_on_a_gpu_runs_without_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(score_models, "CACHE", tmp_path)
    monkeypatch.setattr(score_gpu, "MODELS", {score_models.TINY: ""})
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, rows in ((few, range(2)), (many, range(64))):
        folder.mkdir()
        score_shards.write_shard(folder, 0, rows, [score_shards.encoded("32", number) for number in range(3)])
    card = score_gpu.Card(device="cpu", precision="fp32", batch_size=16, matrix_side=128, matrix_s=0.01, pairs_in_memory=32)
    place = Place(scratch=tmp_path, cores=os.sched_getaffinity(0))
    rows = score_gpu.measure(card, [score_models.TINY], few, many, place)
    found = {figure.key: figure.value for figure in score_gpu.figures(rows)}
    assert found["gpu_of_limit"] == found["gpu_pairs_per_s"] / found["gpu_limit_pairs_per_s"]
    assert found["gpu_limit_pairs_per_s"] > 0
    assert found["gpu_peak_tflops"] > 0
    assert found["gpu_busy"] is None or shutil.which("nvidia-smi")
    assert score_gpu.nothing() == dict.fromkeys(found)
    stands = {"bench": "score", "cosine_least": 1.0, "meaning": {"cosine_least": "…"}, "gpu": [], **score_gpu.nothing()}
    more = score_gpu.added(stands, rows)
    assert more["cosine_least"] == 1
    assert more["gpu_pairs_per_s"] == more["gpu"][0]["pairs/s"] == pytest.approx(found["gpu_pairs_per_s"], rel=0.001)
    assert set(more["meaning"]) == {"cosine_least", *found}


def test_a_gpu_is_judged_busy_over_the_last_seconds_in_which_it_worked():
    assert score_gpu.busy("7\n0\n80\n0\n100\n0\n0\n", seconds=0.3) == 60
    assert score_gpu.busy("0\n[N/A]\n", seconds=1) is None


def test_figures_of_the_score_benchmark_are_ratios_within_a_round_and_left_out_where_nothing_was_told():
    def runs(cpu_s: float, wall_s: float, share: float | None) -> list[dict]:
        cost = {"cpu_s": cpu_s, "wall_s": wall_s, "cpu_ms_per_pair": cpu_s, "model_share": share, "peak_pss_mb": 100 * wall_s}
        return [cost, {**cost, "cpu_s": 2 * cpu_s, "wall_s": 2 * wall_s}]

    around = {"ours": runs(1, 1, None), "ours, exact": runs(2, 1, None), "clip-retrieval": runs(3, 1, 0.1)}
    whole = {"ours": runs(1, 2, None), "ours, auto": runs(1, 1, None), "clip-retrieval": runs(3, 4, 0.5)}
    same = {"image_least": 0.9995, "text_least": 0.9999}
    agreements = {"whole_256, ours": same, "whole_256, ours, auto": {**same, "text_least": 0.99}}
    found = score_figures.figures_of({"around_web": around, "whole_256": whole}, agreements)
    assert {figure.key: figure.value for figure in found} == {
        "cpu_x_clip_retrieval": 3,
        "cpu_exact_x_clip_retrieval": 1.5,
        "cpu_ms_per_pair": 1,
        "wall_256_x_clip_retrieval": 2,
        "wall_256_auto_x_clip_retrieval": 4,
        "whole_cpu_256_x_clip_retrieval": 3,
        "pss_256_ratio": 0.5,
        "their_model_256_share": 0.5,
        "cosine_least": 0.9995,
        "cosine_auto_least": 0.99,
    }


def test_a_soak_of_score_finds_what_is_lost_and_what_grows():
    def run(last_mb: float, last_fds: int) -> list[soak_score.Look]:
        return [
            soak_score.Look(
                at_s=float(at), parts=at, pss_mb=last_mb if at > 75 else 500.0, processes=4, fds=last_fds if at > 75 else 60
            )
            for at in range(101)
        ]

    assert soak_score.findings(0, 10, {"rows_in": 10, "rows_out": 10}, run(520, 61)) == []
    found = soak_score.findings(1, 10, {"rows_in": 10, "rows_out": 9}, run(900, 100))
    assert [line.split(":")[0] for line in found] == ["exit status 1", "of 10 pairs", "memory grows", "open files grow"]
    assert soak_score.findings(None, 1, {}, run(500, 60))[0] == "it did not end by itself"
