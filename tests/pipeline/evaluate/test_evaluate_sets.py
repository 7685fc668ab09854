"""Evaluation sets in the layouts of others: image folders, WebDatasets, the Hub's parquet files; good ones and bad ones."""

import io
import json
import re
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate import EvaluateConfig, run
from pipeline.evaluate.results import read_results
from pipeline.evaluate.sources.decoding import decoded
from pipeline.evaluate.sources.sets import find_sets
from pipeline.evaluate.sources.tasks import Item
from pipeline.score.decoding.pixels import Recipe
from schemas.errors import UsageError, UserError
from tests.pipeline.evaluate.conftest import (
    both_tasks,
    captioned,
    classified,
    lines_of,
    npy,
    picture,
    write_image_folder,
    write_webdataset,
)


def evaluate(trained, folder, **options):
    out = folder.parent / "r.jsonl"
    manifest = run(EvaluateConfig(model=str(trained), eval=str(folder), out=str(out), device="cpu", **options))
    return manifest, {line["key"]: line for line in lines_of(out) if line["samples_seen"] == 256}


def test_the_same_items_give_the_same_numbers_in_every_layout(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    write_webdataset(tmp_path / "eval" / "wds_tars_test", classified(24), templates=None)
    write_image_folder(tmp_path / "eval" / "folders")
    _, lines = evaluate(trained, tmp_path / "eval")
    assert set(lines) == {"cls_squares", "ret_squares", "tars", "folders"}
    assert lines["tars"]["metrics"] == lines["cls_squares"]["metrics"]
    assert lines["folders"]["metrics"]["acc1"] == pytest.approx(lines["tars"]["metrics"]["acc1"])


def test_results_tell_what_a_sample_costs_in_training(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    _, lines = evaluate(trained, tmp_path / "eval")
    assert {line["flops_per_sample"] for line in lines.values()} == {1.5e6}


@pytest.mark.parametrize("place", ["wds_squares", "wds_squares_test", "wds/squares", "squares/test"])
def test_a_set_has_its_name_without_what_publishers_put_around_it(tmp_path, place):
    write_webdataset(tmp_path / place.removesuffix("/test"), classified(4))
    assert [found.names for found in find_sets(str(tmp_path))] == [("squares",)]


def test_a_folder_that_is_itself_a_set_is_taken(tmp_path):
    write_webdataset(tmp_path / "wds_squares", classified(4))
    assert [found.names for found in find_sets(str(tmp_path / "wds_squares"))] == [("squares",)]


def test_of_an_image_folder_with_splits_the_one_to_test_on_is_taken(tmp_path):
    write_image_folder(tmp_path / "eval" / "squares" / "train", 9)
    write_image_folder(tmp_path / "eval" / "squares" / "val", 6)
    (found,) = find_sets(str(tmp_path / "eval"))
    assert found.names == ("squares",)
    assert len(list(found.open().items())) == 6


def classes_of(folder):
    return find_sets(str(folder))[0].open().tasks[0].classes


def test_classes_of_an_image_folder_are_named_by_folder_by_mapping_or_line_by_line(tmp_path):
    folder = write_image_folder(tmp_path / "eval" / "squares")
    assert classes_of(tmp_path / "eval") == ("blue", "green", "red")
    (folder / "classnames.txt").write_text("sea\ngrass\nblood\n")
    assert classes_of(tmp_path / "eval") == ("sea", "grass", "blood")
    (folder / "classes.json").write_text(json.dumps({"red": "blood", "black": "coal", "green": "grass", "blue": "sea"}))
    assert classes_of(tmp_path / "eval") == ("blood", "coal", "grass", "sea")
    assert [item.label for item in find_sets(str(tmp_path / "eval"))[0].open().items()] == [3] * 8 + [2] * 8 + [0] * 8


def test_folders_that_are_numbers_are_the_lines_of_classnames(tmp_path):
    for number in (10, 2):
        (tmp_path / "eval" / "a" / str(number)).mkdir(parents=True)
        (tmp_path / "eval" / "a" / str(number) / "1.png").write_bytes(picture(0))
    (tmp_path / "eval" / "a" / "classnames.txt").write_text("".join(f"n{number}\n" for number in range(11)))
    assert [item.label for item in find_sets(str(tmp_path / "eval"))[0].open().items()] == [10, 2]


def test_hub_parquets_are_pairs_with_captions(trained, tmp_path):
    samples = captioned(8, 3)
    (tmp_path / "eval" / "flickr_1k_test_image_text_retrieval" / "data").mkdir(parents=True)
    rows = [{"image": {"bytes": s["png"], "path": "a.png"}, "caption": s["txt"].decode().splitlines()} for s in samples]
    place = tmp_path / "eval" / "flickr_1k_test_image_text_retrieval" / "data" / "test-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows), place)
    write_webdataset(tmp_path / "eval" / "wds_squares", samples, classes=None, templates=None, kind="retrieval")
    _, lines = evaluate(trained, tmp_path / "eval")
    hub = lines["retrieval/flickr_1k_test_image_text_retrieval"]
    assert hub["dataset"] == "Flickr"
    assert hub["metrics"] == lines["squares"]["metrics"]


def cut(folder):
    path = folder / "test" / "0.tar"
    path.write_bytes(path.read_bytes()[:9000])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, r"0\.tar: not a whole tar"),
        (lambda folder: (folder / "classnames.txt").unlink(), r"no classnames\.txt"),
        (lambda folder: (folder / "classnames.txt").write_text("red\ngreen\n"), "is of class 2, and there are 2 class names"),
        (lambda folder: (folder / "test" / "nshards.txt").write_text("3"), r"tells of 3 shards, and 2\.tar is not there"),
        (lambda folder: (folder / "test" / "nshards.txt").write_text("two"), "must hold the number of shards"),
        (lambda folder: (folder / "zeroshot_classification_templates.txt").write_text("a photo"), "has no {c}"),
        (lambda folder: (folder / "dataset_type.txt").write_text("multilabel"), "only classification and retrieval"),
        (lambda folder: (folder / "test").rename(folder / "train"), "no split to test on"),
    ],
)
def test_a_spoilt_webdataset_costs_only_itself_and_is_told_of(trained, tmp_path, *, spoil, told):
    both_tasks(tmp_path / "eval", n=6)
    spoil(write_webdataset(tmp_path / "eval" / "wds_bad", classified(12)))
    manifest, lines = evaluate(trained, tmp_path / "eval")
    (report,) = manifest.failed_inputs
    assert report.path == str(tmp_path / "eval" / "wds_bad")
    assert re.search(told, report.error)
    assert set(lines) == {"cls_squares", "ret_squares"}


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([{"png": b"no image", "cls": b"0"}], r"the image of 0\.tar, sample s0000000 cannot be read"),
        ([{"png": picture(0), "cls": b"red"}], "has no class number in .cls"),
        ([{"cls": b"0"}], r"sample s0000000 has no image \(cls\)"),
        ([], "no items in it"),
    ],
)
def test_a_sample_that_will_not_do_is_named(trained, tmp_path, *, samples, told):
    write_webdataset(tmp_path / "eval" / "wds_bad", samples)
    with pytest.raises(UserError, match=told):
        evaluate(trained, tmp_path / "eval")


def npz():
    out = io.BytesIO()
    np.savez(out, a=np.zeros(1))
    return out.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", npz(), npy([]), npy([[1.5]])[:60]])
def test_a_group_that_is_no_number_costs_only_its_set(trained, tmp_path, content):
    both_tasks(tmp_path / "eval", n=6)
    write_webdataset(tmp_path / "eval" / "wds_fairness-geode_test", classified(6, npy=lambda _: content))
    manifest, lines = evaluate(trained, tmp_path / "eval")
    assert "0.tar: sample s0000000 has no group in .npy" in manifest.failed_inputs[0].error
    assert set(lines) == {"cls_squares", "ret_squares"}


def not_utf8(folder):
    texts = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff\xfe"] * 2, pa.binary()).buffers())
    pq.write_table(pa.table({"jpg": [picture(0)] * 2, "text": texts}), folder / "ret_bad.parquet")


def numbers_for_captions(folder):
    (folder / "flickr30k").mkdir()
    pq.write_table(pa.table({"image": [picture(0)] * 2, "caption": [1, 2]}), folder / "flickr30k" / "test.parquet")


def deep_json(folder):
    (write_image_folder(folder / "deep") / "classes.json").write_text("[" * 100_000)


@pytest.mark.parametrize("spoil", [not_utf8, numbers_for_captions, deep_json])
def test_whatever_reading_a_bad_set_raises_costs_only_that_set(trained, tmp_path, spoil):
    both_tasks(tmp_path / "eval", n=6)
    spoil(tmp_path / "eval")
    manifest, lines = evaluate(trained, tmp_path / "eval")
    assert len(manifest.failed_inputs) == 1
    assert set(lines) == {"cls_squares", "ret_squares"}


def test_a_set_may_have_a_name_that_is_not_utf8(trained, tmp_path):
    write_image_folder(tmp_path / "eval" / "caf\udce9")
    _, lines = evaluate(trained, tmp_path / "eval")
    assert set(lines) == {"caf\udce9"}
    assert [result.task for result in read_results(str(tmp_path / "r.jsonl"))] == ["caf\udce9"] * 2


def test_a_class_name_without_end_does_not_keep_the_tokenizer_busy(trained, tmp_path):
    word = "".join(np.random.default_rng(0).choice(list("abcdefghij"), 100_000))  # as it is: minutes
    write_webdataset(tmp_path / "eval" / "wds_a", classified(6), classes=[word, "b", "c"])
    started = time.process_time()
    assert set(evaluate(trained, tmp_path / "eval")[1]) == {"a"}
    assert time.process_time() - started < 30


def test_two_sets_of_one_name_are_both_refused(trained, tmp_path):
    both_tasks(tmp_path / "eval", n=6)
    write_webdataset(tmp_path / "eval" / "wds_a", classified(6))
    write_webdataset(tmp_path / "eval" / "wds_a_test", classified(6))
    manifest, _ = evaluate(trained, tmp_path / "eval")
    assert len(manifest.failed_inputs) == 2
    assert all("defines the task a, too" in report.error for report in manifest.failed_inputs)


def test_a_set_is_evaluated_again_when_its_shards_change(trained, tmp_path):
    folder = write_webdataset(tmp_path / "eval" / "wds_a", classified(6))
    evaluate(trained, tmp_path / "eval")
    before = (tmp_path / "r.jsonl").stat().st_mtime_ns
    evaluate(trained, tmp_path / "eval")
    assert (tmp_path / "r.jsonl").stat().st_mtime_ns == before
    (folder / "classnames.txt").write_text("a\nb\nc\n")
    evaluate(trained, tmp_path / "eval")
    assert (tmp_path / "r.jsonl").stat().st_mtime_ns != before


def test_a_published_model_is_evaluated_by_its_name(trained, tmp_path):
    write_webdataset(tmp_path / "eval" / "wds_a", classified(6))
    weights = trained / "checkpoint_000000000256.pt"
    config = {"model": "demo", "pretrained": str(weights), "eval": str(tmp_path / "eval"), "device": "cpu"}
    run(EvaluateConfig(**config, out=str(tmp_path / "p.jsonl")))
    (line,) = lines_of(tmp_path / "p.jsonl")
    assert (line["filter"], line["scale"], line["samples_seen"]) == ("checkpoint_000000000256", "published", 0)
    assert line["metrics"] == evaluate(trained, tmp_path / "eval")[1]["a"]["metrics"]
    with pytest.raises(UsageError, match="give --out"):
        EvaluateConfig(**config)


def test_lower_precision_is_another_evaluation(trained, tmp_path):
    write_webdataset(tmp_path / "eval" / "wds_a", classified(6))
    evaluate(trained, tmp_path / "eval")
    manifest, _ = evaluate(trained, tmp_path / "eval", precision="bf16")
    assert manifest.config["precision"] == "bf16"


def test_no_more_than_three_batches_of_images_are_in_memory():
    drawn = []

    def items():
        for number in range(40):
            drawn.append(number)
            yield Item(where=str(number), image=picture(number))

    recipe = Recipe(size_px=(16, 16), resize_mode="shortest", interpolation="bicubic", fill_color=0, exact=True)
    batches = decoded(items(), recipe, batch_size=4, threads=2, path="a")
    for taken, (batch, pixels) in enumerate(batches):
        assert [item.where for item in batch] == [str(4 * taken + number) for number in range(4)]
        assert pixels.shape == (4, 16, 16, 3)
        assert len(drawn) <= 4 * (taken + 3)
    assert taken == 9
