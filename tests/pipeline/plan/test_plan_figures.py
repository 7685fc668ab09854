"""The figures that a plan is made of are those that the benchmarks found, and say which were not measured."""

import pytest

from bench.plan_figures import FIGURES, measured, pictures, quoted, rewritten
from pipeline.plan import MODELS
from pipeline.plan.figures import figure, stored, told, value
from pipeline.plan.gpus import embedding_bytes, gflop_per_pair, gpu_s_per_pair
from pipeline.plan.planning import every_figure

QUOTED = quoted(FIGURES.read_text())
AGAIN = "run: python -m bench.plan_figures && python -m pipeline.plan.docs"


@pytest.mark.parametrize("name", QUOTED)
def test_a_figure_equals_what_stands_in_the_bench_s_result(name: str):
    assert value(name) == pytest.approx(measured(QUOTED[name]), rel=1e-3), AGAIN


def test_pictures_are_those_of_the_bench():
    assert [(row["kind"], row["image_size_px"]) for row in told()["pictures"]] == [
        (row["kind"], row["image_size_px"]) for row in pictures()
    ]
    for kept, found in zip(told()["pictures"], pictures(), strict=True):
        assert (kept["stored_bytes"], kept["megapixels"]) == pytest.approx((found["stored_bytes"], found["megapixels"]), rel=1e-3)


def test_writing_the_figures_anew_changes_nothing_and_mends_what_is_stale():
    text = FIGURES.read_text()
    assert rewritten(text) == text, AGAIN
    stale = text.replace(f"value = {value('extract.cpu_s'):.4g}", "value = 12.5", 1)
    assert stale != text
    assert rewritten(stale) == text


def test_every_figure_tells_its_source_and_whether_it_was_measured():
    figures = every_figure()
    assert {one.name for one in figures if one.measured} == set(QUOTED)
    for one in figures:
        assert one.unit
        assert one.what
        assert one.source
        assert one.measured == one.source.startswith("bench/results/")


def test_a_gpu_that_was_measured_must_not_be_calculated():
    import json

    from bench.plan_figures import RESULTS

    assert json.loads((RESULTS / "score.json").read_text())["gpu_pairs_per_s"] is None, "let pipeline/plan/gpus.py quote it"


def test_a_picture_between_two_sizes_measured_lies_between_them():
    low, between, high = (stored("laion", size) for size in (256, 300, 384))
    assert low.stored_bytes < between.stored_bytes < high.stored_bytes
    assert low.megapixels < between.megapixels < high.megapixels
    assert stored("dense", 512).stored_bytes == figure_of("dense", 512)


def figure_of(kind: str, size: int) -> float:
    (row,) = (row for row in told()["pictures"] if (row["kind"], row["image_size_px"]) == (kind, size))
    return row["stored_bytes"]


def test_a_picture_outside_of_the_sizes_measured_is_refused():
    with pytest.raises(ValueError, match="800 px"):
        stored("laion", 800)


def test_an_unknown_figure_is_a_key_error():
    with pytest.raises(KeyError):
        figure("extract.wishes")


@pytest.mark.parametrize("model", MODELS)
def test_a_model_s_towers_are_those_of_open_clip(model: str):
    import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

    # isort: split
    from open_clip import get_model_config

    ours = told()["models"][model]
    theirs = get_model_config(ours["name"])
    vision, text = theirs["vision_cfg"], theirs["text_cfg"]
    assert ours["dimensions"] == theirs["embed_dim"]
    assert ours["image"] == {
        "layers": vision["layers"],
        "width": vision["width"],
        "image_px": vision["image_size"],
        "patch_px": vision["patch_size"],
    }
    assert ours["text"] == {"layers": text["layers"], "width": text["width"], "tokens": text["context_length"]}


@pytest.mark.parametrize(("model", "gflop"), [("b32", 14.78), ("b16", 41.09), ("l14", 175.33)])
def test_a_pair_takes_the_operations_that_open_clip_s_profile_counts(model: str, gflop: float):
    assert gflop_per_pair(model) == pytest.approx(gflop, rel=0.02)


def test_gpu_seconds_add_up_over_models_and_fall_with_use():
    both, one, other = (gpu_s_per_pair(models, "h100", 0.4) for models in (("b32", "l14"), ("b32",), ("l14",)))
    assert both == pytest.approx(one + other)
    assert gpu_s_per_pair(("b32",), "h100", 0.8) == pytest.approx(one / 2)


def test_embeddings_are_two_of_float16_for_each_model():
    assert embedding_bytes(("b32", "l14")) == 2 * 2 * (512 + 768)
