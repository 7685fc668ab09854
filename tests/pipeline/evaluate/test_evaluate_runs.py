"""webpairs evaluate: a trained run and a folder of tasks in, results.jsonl and items out."""

import io
import json
import os
import signal
from dataclasses import replace

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline.cli import main
from pipeline.clip import load_clip
from pipeline.evaluate import EvaluateConfig, reference, run
from pipeline.evaluate.results import read_results
from pipeline.evaluate.sources.parquet_sets import open_parquet
from pipeline.evaluate.sources.tasks import TEMPLATES, Classification, Retrieval
from schemas.errors import UserError
from tests.pipeline.evaluate.conftest import CLASSES, NAMES, both_tasks, lines_of, write_task


def slow_embedding(encode, items):
    """One at a time, by the model's own preprocessing: independent of the stage's batches and decoding."""
    with torch.inference_mode():
        found = torch.cat([encode(item) for item in items])
    return torch.nn.functional.normalize(found, dim=-1).numpy()


def test_metrics_are_those_of_open_clip_s_preprocessing_one_image_at_a_time(trained, tmp_path):
    path = both_tasks(tmp_path / "eval")
    run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"), device="cpu"))
    clip = load_clip("demo", str(trained / "checkpoint_000000000256.pt"))
    table = pq.read_table(path).to_pydict()
    opened = [Image.open(io.BytesIO(jpg)) for jpg in table["jpg"]]
    images = slow_embedding(lambda image: clip.model.encode_image(clip.preprocess(image)[None]), opened)

    def texts_of(texts):
        return slow_embedding(lambda text: clip.model.encode_text(clip.tokenizer([text])), texts)

    right = []
    classes = [texts_of([template.format(name) for template in TEMPLATES]).mean(axis=0) for name in NAMES]
    for image, label in zip(images, table["label"], strict=True):
        right.append(NAMES[int(np.argmax([image @ c / np.linalg.norm(c) for c in classes]))] == label)
    texts = texts_of(table["text"])
    hits = [int(np.argmax(texts @ image)) == row for row, image in enumerate(images)]
    metrics = {line["key"]: line["metrics"] for line in lines_of(tmp_path / "r.jsonl") if line["samples_seen"] == 256}
    assert metrics["cls_squares"]["acc1"] == pytest.approx(np.mean(right))
    assert metrics["ret_squares"]["text_retrieval_recall@1"] == pytest.approx(np.mean(hits))


def test_every_checkpoint_and_task_is_a_line_with_datacomp_s_keys_and_ours(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    manifest = run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl")))
    lines = lines_of(tmp_path / "r.jsonl")
    assert {(line["key"], line["samples_seen"]) for line in lines} == {
        (key, seen) for key in ("cls_squares", "ret_squares") for seen in (128, 256)
    }
    for line in lines:
        assert {"key", "dataset", "metrics"} <= set(line)
        assert (line["filter"], line["scale"], line["model"], line["seed"]) == ("f", "demo", "demo", 1)
        assert line["metrics"]["main_metric"] == line["metrics"][line["main_metric"]]
    assert manifest.counts["results"] == 4


def test_the_items_mean_is_the_metric(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl")))
    for line, result in zip(lines_of(tmp_path / "r.jsonl"), read_results(str(tmp_path / "r.jsonl")), strict=True):
        for name, items in result.items.items():
            assert items.shape == (24,)
            assert items.mean(dtype=np.float64) == pytest.approx(line["metrics"][name])


def test_results_that_stand_are_not_made_again_unless_the_tasks_change(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    config = EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"))
    run(config)
    before = (tmp_path / "r.jsonl").stat().st_mtime_ns
    run(config)
    assert (tmp_path / "r.jsonl").stat().st_mtime_ns == before
    both_tasks(tmp_path / "eval", n=12)
    run(config)
    assert len(read_results(str(tmp_path / "r.jsonl"))[0].items["acc1"]) == 12


def test_a_bad_task_costs_only_itself_and_is_named(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    bad = write_task(tmp_path / "eval", "cls_bad", {"jpg": [b"no image"], "label": ["red"]}, CLASSES)
    manifest = run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl")))
    assert [report.path for report in manifest.failed_inputs] == [bad]
    assert manifest.counts["failed_tasks"] == 1


def test_a_class_is_found_by_key_by_name_and_by_number(tmp_path):
    classes = [["n1", "cat"], ["", "dog"], ["n3", "cat"]]
    columns = {"jpg": [b"x"] * 3, "wnid": ["n3", "", "n1"], "label": ["cat", "dog", "cat"]}
    of_keys = open_parquet(write_task(tmp_path, "cls_a", columns, classes))
    assert [item.label for item in of_keys.items()] == [2, 1, 0]
    of_numbers = open_parquet(write_task(tmp_path, "cls_b", {"jpg": [b"x"] * 2, "label": [1, 0]}, CLASSES))
    assert [item.label for item in of_numbers.items()] == [1, 0]


def test_prompts_may_stand_beside_the_task(tmp_path):
    path = write_task(tmp_path, "cls_a", {"jpg": [b"x"], "label": ["red"]}, CLASSES, ["the colour {}"])
    assert open_parquet(path).tasks[0].templates == ("the colour {}",)


@pytest.mark.parametrize(
    ("name", "columns", "classes", "templates", "message"),
    [
        ("cls_a", {"jpg": [b"x"], "label": ["pink"]}, CLASSES, None, "row 0 .* is of no class"),
        ("cls_a", {"jpg": [b"x"], "label": ["red"]}, None, None, "no such file"),
        ("cls_a", {"jpg": [b"x"], "label": ["red"]}, ["red"], None, "must be a list of"),
        ("cls_a", {"jpg": [b"x"], "label": ["red"]}, CLASSES, ["no place"], "must be a list of"),
        ("cls_a", {"label": ["red"]}, CLASSES, None, "no column `jpg`"),
        ("ret_a", {"jpg": [b"x"]}, None, None, "needs a column `text`"),
    ],
)
def test_a_task_file_that_will_not_do_is_told_in_one_line(tmp_path, *, name, columns, classes, templates, message):
    with pytest.raises(UserError, match=message):
        open_parquet(write_task(tmp_path, name, columns, classes, templates))


def test_a_folder_without_tasks_or_without_a_run_is_told_in_one_line(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no cls_NAME"):
        run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "empty")))
    with pytest.raises(UserError, match=r"no train\.json"):
        run(EvaluateConfig(model=str(tmp_path), eval=str(tmp_path / "empty")))


@pytest.mark.parametrize("told", [b"", b"{half", b"[]", b"{}", b'{"model": "demo", "checkpoints": 3}', b"\xff"])
def test_a_train_json_that_will_not_do_is_named_with_what_to_do(tmp_path, capsys, told):
    both_tasks(tmp_path / "eval")
    (tmp_path / "train.json").write_bytes(told)
    assert main(["evaluate", "--model", str(tmp_path), "--eval", str(tmp_path / "eval")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"webpairs: {tmp_path}/train.json: not what `train` writes (")
    assert "train again" in said
    assert said.count("\n") == 1


def test_a_device_or_a_checkpoint_that_will_not_do_is_told_as_such(trained, tmp_path, capsys):
    both_tasks(tmp_path / "eval")
    words = ["evaluate", "--model", str(trained), "--eval", str(tmp_path / "eval"), "--out", str(tmp_path / "r.jsonl")]
    assert main([*words, "--device", "warp"]) == 1
    assert capsys.readouterr().err.startswith("webpairs: device warp: not available here")
    (tmp_path / "train.json").write_bytes((trained / "train.json").read_bytes())
    words[2] = str(tmp_path)
    assert main(words) == 1
    assert capsys.readouterr().err.startswith(f"webpairs: {tmp_path}/checkpoint_000000000128.pt: neither a file nor")


@pytest.mark.parametrize("name", ["r.jsonl", "r.items.npz", "r.json"])
def test_an_out_that_cannot_be_written_is_told_before_any_task_is_evaluated(trained, tmp_path, name):
    write_task(tmp_path / "eval", "cls_bad", {"jpg": [b"no image"], "label": ["red"]}, CLASSES)  # would be told of otherwise
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name}: is a folder; give the name of a file to write"):
        run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl")))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "file" / "r.jsonl")))


def test_asking_whether_results_can_be_written_leaves_nothing(trained, tmp_path):
    write_task(tmp_path / "eval", "cls_bad", {"jpg": [b"no image"], "label": ["red"]}, CLASSES)
    with pytest.raises(UserError, match="no task could be evaluated"):
        run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "out" / "r.jsonl")))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_account_of_the_results_is_made_again(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    config = EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"))
    run(config)
    for damaged in ("{half", "[" * 100_000):
        (tmp_path / "r.json").write_text(damaged)
        assert run(config).counts["results"] == 4
    assert json.loads((tmp_path / "r.json").read_text())["stage"] == "evaluate"


def test_results_half_replaced_do_not_pass_for_those_that_stood(trained, tmp_path, monkeypatch):
    both_tasks(tmp_path / "eval")
    config = EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"), device="cpu")
    run(config)
    with monkeypatch.context() as patch:
        patch.setattr(reference, "write_line", lambda _: os.kill(os.getpid(), signal.SIGINT))  # the items stand by then
        with pytest.raises(KeyboardInterrupt):
            run(replace(config, precision="bf16"))
    run(config)
    assert len(read_results(str(tmp_path / "r.jsonl"))) == 4


@pytest.mark.parametrize("name", ["cls_cifar10", "cls_ret_fashion", "cls_tinyimagenet200", "ret_cc3m"])
def test_real_evaluation_sets_are_read(shared_data, name):
    found = open_parquet(str(shared_data / "pairs" / "eval" / f"{name}.parquet"))
    assert [type(task) for task in found.tasks] == [
        kind for kind, prefix in ((Classification, "cls_"), (Retrieval, "ret_")) if prefix in name
    ]
    assert sum(1 for _ in found.items()) > 500


def test_a_run_may_lie_behind_a_url(trained, tmp_path):
    both_tasks(tmp_path / "eval")
    fs = fsspec.filesystem("memory")
    for path in trained.iterdir():
        if path.suffix in {".pt", ".json"}:
            fs.pipe_file(f"/evaluated/{path.name}", path.read_bytes())
    run(EvaluateConfig(model="memory://evaluated", eval=str(tmp_path / "eval"), device="cpu"))
    run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"), device="cpu"))
    assert fs.cat_file("/evaluated/results.jsonl") == (tmp_path / "r.jsonl").read_bytes()
    fs.rm("/evaluated", recursive=True)
