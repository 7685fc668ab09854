"""DataComp's suite: its table, its special metrics, its aggregate scores, and what is said when sets are missing."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.evaluate import EvaluateConfig, run
from pipeline.evaluate.datacomp import SETS, known_set
from pipeline.evaluate.special_metrics import association_items, f1_items, worst_group_items
from schemas.errors import UsageError
from tests.pipeline.evaluate.conftest import classified, lines_of, npy, picture, write_webdataset


def test_the_aggregate_scores_are_those_of_datacomp_byte_for_byte(shared_data, capsys):
    results = shared_data / "datacomp" / "eval_results.jsonl"
    assert main(["evaluate", "--aggregate", str(results)]) == 0
    assert capsys.readouterr().out == (shared_data / "datacomp" / "aggregate_golden.txt").read_text()


def test_keys_and_names_are_those_of_datacomp_s_results(shared_data):
    lines = lines_of(shared_data / "datacomp" / "eval_results.jsonl")
    counted = {line["key"]: line["dataset"] for line in lines if line["metrics"]["main_metric"] is not None}
    assert counted == {key: known.name for key, known in SETS.items()}


def test_a_mean_over_fewer_sets_is_never_called_an_average_of_datacomp(shared_data, tmp_path, capsys):
    lines = (shared_data / "datacomp" / "eval_results.jsonl").read_text().splitlines()
    (tmp_path / "r.jsonl").write_text("\n".join(line for line in lines if "SVHN" not in line and "wilds/cam" not in line))
    main(["evaluate", "--aggregate", str(tmp_path / "r.jsonl")])
    said = capsys.readouterr().out
    assert "Average" not in said
    assert "VTAB, mean over 12 of 13 sets: " in said
    assert "mean over 36 of 38 sets: " in said
    assert "missing, so no average of DataComp's: SVHN, Camelyon17" in said


TOO_LARGE = '{"key": "cifar10", "metrics": {"main_metric": 1' + "0" * 400 + "}}"


@pytest.mark.parametrize("content", ["", "{half", "[1]\n", '{"key": 1}\n', "[" * 100_000, TOO_LARGE])
def test_a_file_without_results_is_told_in_one_line(tmp_path, capsys, content):
    (tmp_path / "r.jsonl").write_text(content)
    assert main(["evaluate", "--aggregate", str(tmp_path / "r.jsonl")]) == 1
    assert "no results" in capsys.readouterr().err


def test_what_a_results_file_calls_its_models_cannot_pass_for_lines_of_scores(tmp_path, capsys):
    line = {"key": "cifar10", "metrics": {"main_metric": 0.5}, "filter": "f\x1b[2J\nAverage: 0.999"}
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps({**line, "seed": seed}) for seed in (1, 2)))
    assert main(["evaluate", "--aggregate", str(tmp_path / "r.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\nAverage" not in said


def test_without_results_to_add_up_a_model_and_sets_are_needed():
    with pytest.raises(UsageError, match="give --model and --eval"):
        EvaluateConfig(model="a")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("wds_vtab-caltech101_test", "vtab/caltech101"),
        ("wds_imagenet-a_test", "imagenet-a"),
        ("wds/vtab/cifar10", "cifar10"),
        ("wds_dollar_street_test", "fairness/dollar_street"),
        ("wds_wilds-fmow_test", "wilds/fmow"),
        ("wds_mscoco_captions", "retrieval/mscoco_2014_5k_test_image_text_retrieval"),
    ],
)
def test_a_set_is_known_by_the_folder_names_that_are_published(name, key):
    assert known_set(name).key == key


def test_the_suite_evaluates_what_is_there_and_names_what_is_missing(trained, tmp_path, capsys):
    write_webdataset(tmp_path / "eval" / "wds_cifar10_test", classified(12))
    write_webdataset(tmp_path / "eval" / "wds_vtab-pets_test", classified(12))
    write_webdataset(tmp_path / "eval" / "wds_fairface_test", classified(12))
    write_webdataset(tmp_path / "eval" / "wds_other", classified(12))
    config = EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), suite="datacomp", out=str(tmp_path / "r.jsonl"))
    manifest = run(config)
    lines = [line for line in lines_of(tmp_path / "r.jsonl") if line["samples_seen"] == 256]
    assert [(line["key"], line["dataset"], line["main_metric"]) for line in lines] == [
        ("cifar10", "CIFAR-10", "acc1"),
        ("vtab/pets", "Oxford-IIIT Pet", "mean_per_class_recall"),
    ]
    told = manifest.facts["suite"]
    assert told["sets"] == ["CIFAR-10", "Oxford-IIIT Pet"]
    assert len(told["missing"]) == 36
    assert told["other_sizes"]["CIFAR-10"] == [12, 10000]
    said = capsys.readouterr().out
    assert "mean over 2 of 38 sets: " in said
    assert "Average" not in said
    assert "not supported, and none of the 38: FairFace, UTKFace" in said


def test_fairface_is_refused_by_name(trained, tmp_path):
    write_webdataset(tmp_path / "eval" / "wds_fairface_test", classified(12))
    write_webdataset(tmp_path / "eval" / "wds_cifar10_test", classified(12))
    manifest = run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl")))
    assert "FairFace is not supported" in manifest.failed_inputs[0].error


@pytest.mark.parametrize(
    ("folder", "metric", "basic"),
    [
        ("wds_wilds-fmow_test", "acc_worst_region", "acc1"),
        ("wds_geode_test", "acc_wg", "acc1"),
        ("wds_dollar_street_test", "acc_top5_wg", "acc5"),
    ],
)
def test_the_worst_group_is_that_of_the_samples_own_numbers(trained, tmp_path, *, folder, metric, basic):
    samples = classified(30, npy=lambda number: npy([number % 4, 7, 7]))
    names = ["red", "green", "blue", "white", "black", "grey"]
    write_webdataset(tmp_path / "eval" / folder, samples, classes=names)
    run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"), device="cpu"))
    line = lines_of(tmp_path / "r.jsonl")[0]
    hits = np.load(tmp_path / "r.items.npz")[f"{line['key']}/128/{basic}"]
    expected = min(hits[np.arange(30) % 4 == group].mean() for group in range(4))
    assert line["metrics"]["main_metric"] == line["metrics"][metric] == pytest.approx(expected, abs=1e-6)


def test_a_set_with_groups_needs_the_numbers(trained, tmp_path):
    write_webdataset(tmp_path / "eval" / "wds_geode_test", classified(6))
    write_webdataset(tmp_path / "eval" / "wds_a", classified(6))
    manifest = run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl")))
    assert "has no group in .npy, column 0" in manifest.failed_inputs[0].error


def test_f1_is_the_mean_over_the_classes_that_are_present():
    truth, answers = np.array([0, 0, 1, 1, 3]), np.array([0, 2, 1, 0, 3])
    of_0 = 2 * 1 / (2 * 1 + 1 + 1)  # 2 TP ÷ (2 TP + FP + FN)
    of_1 = 2 * 1 / (2 * 1 + 0 + 1)
    assert f1_items(truth, answers).mean() == pytest.approx((of_0 + of_1 + 1) / 3)


def test_the_worst_group_s_mean_is_the_mean_of_items():
    hits, groups = np.array([1, 0, 1, 1, 0, 1.0]), np.array([5, 5, 5, 9, 9, 2])
    assert worst_group_items(hits, groups).mean() == pytest.approx(0.5)


def test_as_many_images_are_chosen_as_a_puzzle_wants():
    scores = [np.array([0.1, 0.9, 0.5]), np.arange(10.0)]
    wanted = [np.array([True, True, False]), np.arange(10) >= 8]
    found = association_items(scores, wanted)
    assert found["jaccard_score_5-6"].mean() == pytest.approx(1 / 3)
    assert found["jaccard_score_10-12"].mean() == pytest.approx(1)
    assert found["avg_jaccard_score"].mean() == pytest.approx(2 / 3)


def test_winogavil_is_read_as_the_hub_has_it(trained, tmp_path):
    names = [f"image {number}" for number in range(10)]
    rows = [
        {
            "cue": cue,
            "candidates": names,
            "associations": names[:3],
            "candidate_images": [{"bytes": picture(number + at), "path": "a"} for number in range(10)],
        }
        for at, cue in enumerate(("apple", "sea"))
    ]
    (tmp_path / "eval" / "winogavil").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "eval" / "winogavil" / "test.parquet")
    run(EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"), device="cpu"))
    line = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[0])
    assert (line["key"], line["main_metric"]) == ("misc/winogavil", "jaccard_score_10-12")
    assert 0 <= line["metrics"]["main_metric"] <= 1
