"""The command that the report shows is the one that gives the recorded config: parsed again, it is the same."""

import argparse
import dataclasses
import importlib
import json
import shlex
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import COMMANDS
from pipeline.manifest import Manifest, output_config
from pipeline.options import add_options, from_arguments, with_dashes
from pipeline.report.commands import command_words, commands, from_root
from pipeline.report.read import Root
from schemas.errors import UsageError


def type_of(stage: str) -> type:
    return getattr(importlib.import_module(COMMANDS[stage].module), COMMANDS[stage].config)


def parsed(words: list[str]) -> Any:
    """What `webpairs` makes of these words."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, type_of(words[1]))
    return from_arguments(type_of(words[1]), parser.parse_args(with_dashes(words[2:])))


TEXTS = st.text(min_size=1, max_size=12)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values that an option of this type can be given."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.none() | values(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        return st.lists(values(arguments[0]), min_size=1, max_size=3).map(tuple)
    if origin is Literal:
        return st.sampled_from(arguments)
    if hint is bool:
        return st.booleans()
    return {str: TEXTS, int: st.integers(-99, 999), float: st.floats(-9, 99, allow_nan=False)}[hint]


@st.composite
def configs(draw: st.DrawFn, stage: str) -> Any:
    """A config of the stage that is in bounds, with some options given."""
    hints, given_ = get_type_hints(type_of(stage)), {}
    for field in dataclasses.fields(type_of(stage)):
        required = field.default is dataclasses.MISSING
        if "help" in field.metadata and (required or draw(st.booleans())):
            given_[field.name] = draw(values(hints[field.name]))
    try:
        return type_of(stage)(**given_)
    except UsageError:
        return None


@pytest.mark.parametrize("stage", COMMANDS)
@given(data=st.data())
def test_a_shown_command_gives_the_config_back(stage, data):
    config = data.draw(configs(stage))
    if config is None:
        return
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if "help" in f.metadata}
    recorded = json.loads(json.dumps(fields))
    again = parsed(shlex.split(shlex.join(command_words(stage, recorded))))
    assert {name: getattr(again, name) for name in fields} == fields


def test_a_file_that_looks_like_an_option_is_shown_as_a_file():
    words = command_words("compare", {"subsets": ["--a_b", "-V"]})
    assert words == ["webpairs", "compare", "--", "--a_b", "-V"]
    assert parsed(words).subsets == ("--a_b", "-V")


def manifest(stage: str, config: dict[str, Any], started_at: str = "2025-03-01T10:00:00+00:00") -> Manifest:
    return Manifest(
        stage=stage, config={"stage": stage, **config}, config_hash="0", versions={}, counts={}, inputs=(), parts=(),
        parts_resumed=0, facts={}, started_at=started_at, duration_s=1.0, peak_rss_bytes=1,
    )  # fmt: skip


def shown(**folders: Manifest) -> list[str]:
    root = Root(
        path="/data/root", manifests=tuple(folders.values()), folders={k.replace("__", "/"): v for k, v in folders.items()}
    )
    return [command.text for group in commands(root) for command in group.commands]


def test_defaults_are_left_out_and_paths_are_as_seen_from_the_root():
    config = type_of("pool")(candidates="/data/root/1_candidates", out="/data/root/2_pool", partitions=4)
    recorded = {name: value for name, value in output_config(config).items() if name != "out"}
    assert shown(_2_pool=manifest("pool", recorded)) == ["webpairs pool --candidates 1_candidates --out _2_pool --partitions 4"]


def test_digests_behind_file_names_are_left_out():
    recorded = {"candidates": "c", "remove": [f"/data/root/list.txt sha256:{'0' * 64}"]}
    assert shown(pool=manifest("pool", recorded)) == ["webpairs pool --candidates c --out pool --remove list.txt"]


def test_scores_are_told_per_model_and_a_checkpoint_by_path_where_one_is_known():
    columns = {
        "b32": {"model": "ViT-B-32", "weights": "openai", "precision": "bf16", "preprocess": "fast"},
        "own": {"model": "demo", "weights": "sha256 12ab", "precision": "fp32", "preprocess": "exact"},
        "head": {"of": "b32"},
    }
    scored = manifest("score", {"shards": "/data/root/3_shards", "columns": columns})
    assert shown(s=scored) == [
        "webpairs score --shards 3_shards --out s --model ViT-B-32 --pretrained openai --column b32 --precision bf16",
        "webpairs score --shards 3_shards --out s --model demo --pretrained CHECKPOINT --column own --precision fp32"
        " --preprocess exact",
        "webpairs score --shards 3_shards --out s --plan-file PLAN.toml",
    ]
    near = manifest("decontaminate", {"pretrained": "/data/root/m.pt", "made_by": {"weights": "sha256 12ab"}})
    assert "--pretrained m.pt --column own" in shown(s=scored, d=near)[1]


def test_a_run_is_trained_into_the_root_of_the_models():
    recorded = {"shards": "s", "subset": "/data/root/5_subsets/a b.npy", "scale": "demo", "seed": 3}
    words = shown(**{"6_models__a b__demo__seed_3": manifest("train", recorded)})
    assert words == ["webpairs train --shards s --subset '5_subsets/a b.npy' --scale demo --seed 3 --out 6_models"]


def test_stages_that_no_command_runs_have_none():
    assert shown(x=manifest("dedup: spill", {"metadata": "m"})) == []


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("/data/root/4_scores", "4_scores"),
        ("/data/root", "."),
        ("/data/root2/x", "/data/root2/x"),
        ("x/data/root/y", "x/data/root/y"),
        ('features=["/data/root/a.npy"]', 'features=["a.npy"]'),
        (["/data/root/a", 1, None], ["a", 1, None]),
    ],
)
def test_only_paths_below_the_root_are_shortened(value, seen):
    assert from_root(value, "/data/root/") == seen
