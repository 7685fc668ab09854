"""A plan: sums are sums, more costs more, nonsense is refused, JSON says it all, executors are as jobs/conf has them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.plan import PlanConfig
from pipeline.plan.executors import overhead_gb
from pipeline.plan.planning import ADDED, planned
from pipeline.plan.showing import as_json, count, hours, shown, size
from schemas.errors import UsageError

CONF = Path(__file__).resolve().parents[3] / "jobs" / "conf"
SIZES = st.floats(1, 1e12)
SHARES = st.floats(0.01, 1)


@st.composite
def configs(draw: st.DrawFn) -> PlanConfig:
    return PlanConfig(
        pairs=draw(SIZES),
        success=draw(SHARES),
        https=draw(st.floats(0, 1)),
        subset=draw(SHARES),
        utilisation=draw(SHARES),
        busy=draw(SHARES),
        image_size=draw(st.integers(224, 768)),
        pictures=draw(st.sampled_from(["laion", "dense"])),
        gpu=draw(st.sampled_from(["a100", "h100", "h200", "l4", "l40s"])),
        models=tuple(draw(st.sets(st.sampled_from(["b32", "b16", "l14", "h14"]), min_size=1))),
        cores=draw(st.integers(1, 64)),
        hours=draw(st.floats(0.1, 1000)),
    )


@settings(max_examples=50, deadline=None)
@given(configs(), st.floats(1, 1000))
def test_more_pairs_never_cost_less(config: PlanConfig, times: float):
    small, large = planned(config), planned(replace(config, pairs=config.pairs * times))
    for few, many in zip(small.stages, large.stages, strict=True):
        for name in (*ADDED, "rows_in", "rows_out", "parts", "driver_bytes"):
            assert getattr(few, name) <= getattr(many, name) * (1 + 1e-9), (few.stage, name)
    for few, many in zip(small.executors, large.executors, strict=True):
        assert few.count <= many.count


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 1e9), st.floats(1, 1000))
def test_more_wats_never_cost_less(wats: float, times: float):
    small, large = planned(PlanConfig(wats=wats)), planned(PlanConfig(wats=wats * times))
    assert [cost.stage for cost in small.stages][:3] == ["extract", "pool", "download"]
    assert all(small.totals[name] <= large.totals[name] * (1 + 1e-9) for name in ADDED)


@settings(max_examples=50, deadline=None)
@given(configs())
def test_totals_are_the_sums_of_the_stages_and_nothing_is_negative(config: PlanConfig):
    plan = planned(config)
    for name in ADDED:
        each = [getattr(cost, name) for cost in plan.stages]
        assert min(each) >= 0
        assert plan.totals[name] == pytest.approx(sum(each))


@settings(max_examples=30, deadline=None)
@given(configs())
def test_rows_of_a_stage_are_those_that_the_stage_before_left(config: PlanConfig):
    stages = {cost.stage: cost for cost in planned(config).stages}
    assert stages["download"].rows_out == stages["score"].rows_in == stages["dedup"].rows_in == stages["filter"].rows_in
    assert stages["filter"].rows_out == stages["reshard"].rows_out == pytest.approx(stages["filter"].rows_in * config.subset)


@settings(max_examples=30, deadline=None)
@given(configs())
def test_executors_do_the_work_in_the_hours_asked_or_have_a_core_for_every_part(config: PlanConfig):
    plan = planned(config)
    for cost, asked in zip(plan.stages, plan.executors, strict=True):
        slots = asked.count * (asked.gpus or asked.cores)
        takes_h = (cost.gpu_h if asked.gpus else cost.core_h) / (slots * config.busy)
        assert takes_h <= config.hours * (1 + 1e-9) or slots >= cost.parts


def test_json_has_the_plan_and_every_figure_and_reads_back_the_same(capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--pairs", "1e9", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    plan = planned(PlanConfig(pairs=1e9))
    assert told == json.loads(as_json(plan))
    assert told["totals"] == plan.totals
    assert [stage["stage"] for stage in told["stages"]] == [cost.stage for cost in plan.stages]
    assert told["stages"][0]["core_h"] == plan.stages[0].core_h
    assert {"measured", "source", "unit", "value", "what", "name"} == set(told["figures"][0])
    assert told["asked"]["pairs"] == 1e9


def test_a_pool_alone_begins_with_download_and_says_of_how_many_wats_it_comes():
    plan = planned(PlanConfig(pairs=1.75e7))
    assert plan.stages[0].stage == "download"
    assert "1,000 WATs" in plan.notes[0]


def test_few_pairs_come_of_one_wat_at_least_which_is_what_the_option_takes():
    assert any("`--wats 1`" in note for note in planned(PlanConfig(pairs=1)).notes)


def test_pairs_and_wats_together_take_the_pool_s_size_from_the_pairs():
    plan = planned(PlanConfig(wats=100, pairs=1e6))
    assert plan.stages[1].rows_in == 2.5e6
    assert plan.stages[1].rows_out == plan.stages[2].rows_in == 1e6


def test_gpu_hours_are_called_calculated_and_say_when_cores_are_what_counts():
    fed, starved = planned(PlanConfig(pairs=1e9)), planned(PlanConfig(pairs=1e9, models=("b32",), cores_per_gpu=1))
    assert any("GPU hours are calculated, not measured" in note for note in fed.notes)
    assert not any("which is what counts" in note for note in fed.notes)
    assert any("1 cores decode" in note and "which is what counts" in note for note in starved.notes)


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_table_has_a_line_for_every_stage_and_the_sums(form: str):
    text = shown(planned(PlanConfig(wats=90_000)), form)
    for stage in ("extract", "pool", "download", "score", "dedup", "filter", "reshard", "release"):
        assert len(re.findall(rf"^(?:\| )?{stage} ", text, re.MULTILINE)) == 2
    assert re.search(r"^(?:\| )?all ", text, re.MULTILINE)
    assert ("|---" in text) == (form == "markdown")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--wats (a crawl), --pairs (a pool) or both"),
        (("--pairs", "0"), "--pairs 0: must be 1 to 1e+15"),
        (("--pairs", "-5"), "--pairs -5: must be"),
        (("--pairs", "1e30"), "--pairs 1e+30: must be"),
        (("--wats", "0"), "--wats 0: must be"),
        (("--wats", "2", "--pairs", "50001"), "2 WATs have 50000 candidates"),
        (("--pairs", "5", "--success", "0"), "--success 0: must be"),
        (("--pairs", "5", "--success", "1.5"), "--success 1.5: must be"),
        (("--pairs", "5", "--https", "-0.1"), "--https -0.1: must be 0 to 1"),
        (("--pairs", "5", "--image-size", "32"), "--image-size 32: must be 224 to 768"),
        (("--pairs", "5", "--models", "b33"), "--models b33: must be one or several of b32, b16, l14, h14"),
        (("--pairs", "5", "--models", "b32", "b32"), "each once"),
        (("--pairs", "5", "--hours", "0"), "--hours 0: must be"),
        (("--pairs", "5", "--cores", "0"), "--cores 0: must be"),
        (("--pairs", "5", "--cores-per-gpu", "0"), "--cores-per-gpu 0: must be"),
        (("--pairs", "5", "--busy", "0"), "--busy 0: must be"),
    ],
)
def test_absurd_sizes_are_refused_by_name(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]):
    assert main(["plan", *words]) == UsageError.exit_code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["nan", "inf", "many"])
def test_what_is_no_number_is_wrong_usage(word: str):
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--pairs", word])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("conf", "stages"),
    [("shuffle.conf", ("extract", "pool", "reshard")), ("fetch.conf", ("download",)), ("gpu.conf", ("score",))],
)
def test_the_settings_in_jobs_conf_ask_for_what_the_plan_asks_for(conf: str, stages: tuple[str, ...]):
    told = dict(re.findall(r"^(spark\.\S+)\s+(\S+)$", (CONF / conf).read_text(), re.MULTILINE))
    cores, asked = int(told["spark.executor.cores"]), int(told["spark.executor.memoryOverhead"].removesuffix("g"))
    for stage in stages:
        assert asked >= overhead_gb(stage, cores), stage


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (16, "16"),
        (999, "999"),
        (1000, "1.00 k"),
        (90_000, "90.0 k"),
        (999_999, "1.00 M"),
        (12.8e9, "12.8 G"),
        (5e15, "5,000 T"),
    ],
)
def test_counts_have_three_digits(number: float, said: str):
    assert count(number) == said


def test_sizes_and_hours_are_short():
    assert [size(n) for n in (0, 12, 3.54e11)] == ["0", "12 B", "354 GB"]
    assert [hours(n) for n in (0, 0.01, 0.44, 9.96, 1234.4)] == ["0", "< 0.1", "0.4", "10.0", "1,234"]
