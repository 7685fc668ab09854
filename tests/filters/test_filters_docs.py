"""docs/filters.md: current, complete, and with examples that the command takes."""

import argparse
import dataclasses
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from filters.contract import Sampler, Selector, columns_of
from filters.docs import OPTIONS, command, reads_of, render
from filters.examples import COLUMNS, EXAMPLES, GROUPS, READS
from filters.registry import GROUP, Context, build, find, names
from pipeline.filter import FilterConfig
from pipeline.filter.recipe import parameters_from, read_recipe
from pipeline.options import add_options, from_arguments

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = sorted(set(names()) - {point.name for point in metadata.entry_points(group=GROUP)})


def test_the_page_is_what_the_generator_gives():
    assert (REPOSITORY / "docs/filters.md").read_text(encoding="utf-8") == render(), "run `make docs`"


def test_every_filter_stands_in_one_group_and_has_an_example():
    assert sorted(name for group in GROUPS.values() for name in group) == OURS
    assert sorted(EXAMPLES) == OURS


@pytest.mark.parametrize("name", OURS)
def test_a_filter_has_a_line_a_source_and_all_its_parameters_with_their_meaning(name: str):
    entry, section = find(name), section_of(name)
    assert f"| [{name}](#{name}) | {entry.summary} |" in render()
    assert f"Source: {entry.source}." in section
    assert entry.summary[1:] in section
    for field in dataclasses.fields(entry.parameters):
        assert re.search(rf"^\| `{field.name}` \| [^|]+ \| [^|]+ \| .{{5,}} \|$", section, re.MULTILINE), field.name


@pytest.mark.parametrize("name", OURS)
def test_an_example_is_a_command_that_webpairs_takes(name: str):
    config = parsed(command(name, EXAMPLES[name])[2:])
    given = {key: value for key in OPTIONS if (value := getattr(config, key)) is not None} | parameters_from(config.param)
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()} == EXAMPLES[name].values
    if name not in READS:
        assert build(name, given, Context(columns=COLUMNS)).name


def test_options_are_those_that_the_command_has():
    fields = {field.name for field in dataclasses.fields(FilterConfig)}
    parameters = {field.name for name in OURS for field in dataclasses.fields(find(name).parameters)}
    assert set(OPTIONS) == fields & parameters


def test_columns_that_are_written_down_are_those_that_filters_read_once_they_have_their_files(tmp_path, shared_data):
    (tmp_path / "entries").write_text("car\n")
    np.save(tmp_path / "rows.npy", np.eye(8, dtype=np.float32))
    assets = shared_data / "datacomp/assets"
    files = {
        "metaclip": {"entries": str(tmp_path / "entries")},
        "norm_sim": {"target": str(tmp_path / "rows.npy")},
        "density": {"centroids": str(tmp_path / "rows.npy")},
        **{name: {"assets": str(assets), "lid_model": str(assets / "lid.176.bin")} for name in READS if "based" in name},
    }
    assert set(files) == set(READS)
    for name, given in files.items():
        small = {"image_based_scale": "small"} if name.startswith("image_based") else {}
        built = build(name, {**EXAMPLES[name].values, **small, **given}, Context(columns=COLUMNS))
        resolved = [built.resolve(lambda _: [])] if name == "metaclip" and isinstance(built, Selector) else []
        assert set(columns_of(built, *resolved)) == set(READS[name]), name


def test_the_recipe_on_the_page_can_be_read(tmp_path):
    lines = render().partition("    name = ")[2].partition("\n\nA table has")[0]
    recipe = tmp_path / "ours.toml"
    recipe.write_text("name = " + re.sub("(?m)^    ", "", lines))
    read = read_recipe(str(recipe), {}, Context(columns=COLUMNS))
    assert read.name == "ours"
    assert isinstance(read.sample, Sampler)


def test_no_line_of_the_page_tells_of_columns_that_no_table_has():
    for name in OURS:
        assert set(reads_of(name, EXAMPLES[name].values)) <= set(COLUMNS), name


def section_of(name: str) -> str:
    return render().partition(f"\n### {name}\n")[2].partition("\n### ")[0]


def parsed(words: list[str]) -> FilterConfig:
    parser = argparse.ArgumentParser()
    add_options(parser, FilterConfig)
    return from_arguments(FilterConfig, parser.parse_args([with_dashes(word) for word in words]))


def with_dashes(word: str) -> str:
    return word.replace("_", "-") if word.startswith("--") else word
