"""docs/cluster.md tells what the command prints, and names options, files and headings that are there."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS
from pipeline.options import add_options
from pipeline.plan.docs import PAGE, with_plans

TEXT = PAGE.read_text()
REPOSITORY = PAGE.parent.parent
# What a page shows in place of a value: it cannot be parsed as one.
JOBS = re.findall(r"jobs/(\w+)\.py ((?:--|-)[^\n`]*)", TEXT.replace("\\\n", " "))
FILES = sorted(set(re.findall(r"(?:tests/jobs|jobs|bench)/(?:conf|deploy)?/?[\w.]+\.(?:py|sh|conf|yaml|json|sbatch)", TEXT)))


def test_the_plans_are_what_the_command_prints():
    assert with_plans(TEXT) == TEXT, "run: python -m pipeline.plan.docs"


def test_a_stale_table_is_written_anew():
    stale = re.sub(r"\| extract .*\n", "| extract | stale |\n", TEXT, count=1)
    assert stale != TEXT
    assert with_plans(stale) == TEXT


def test_there_are_plans_of_a_crawl_and_of_two_pools():
    markers = re.findall(r"<!-- (webpairs plan [^>]*?) -->", TEXT)
    assert [shlex.split(marker)[2:4] for marker in markers] == [["--wats", "90000"], ["--pairs", "1e9"], ["--pairs", "12.8e9"]]


@pytest.mark.parametrize(("stage", "words"), JOBS, ids=lambda value: value[:40])
def test_the_options_of_a_job_are_the_command_s(stage: str, words: str):
    assert (REPOSITORY / "jobs" / f"{stage}.py").is_file()
    command = COMMANDS[stage]
    parser = argparse.ArgumentParser()
    add_options(parser, getattr(importlib.import_module(command.module), command.config))
    known = {flag for action in parser._actions for flag in action.option_strings}
    assert {word for word in shlex.split(words) if word.startswith("-")} <= known


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_is_named_is_there(path: str):
    assert path == "jobs/conf/NAME.conf" or (REPOSITORY / path).is_file()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", TEXT))))
def test_a_link_leads_somewhere(link: str):
    path, _, heading = link.partition("#")
    target = PAGE.parent / path if path else PAGE
    assert target.is_file()
    headings = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", target.read_text(), re.M)
    }
    assert not heading or heading in headings


def test_every_file_of_the_recipes_is_named_in_the_page_or_the_dockerfile():
    told = TEXT + (REPOSITORY / "Dockerfile").read_text()
    missing = [path.name for path in Path(REPOSITORY / "jobs" / "deploy").iterdir() if path.is_file() and path.name not in told]
    assert missing == []


def test_the_image_is_made_of_what_the_dockerfile_copies():
    """.dockerignore lets through nothing else, and all of that."""
    copied = {
        name for line in re.findall(r"^COPY (.+)$", (REPOSITORY / "Dockerfile").read_text(), re.M) for name in line.split()[:-1]
    }
    let_through = set(re.findall(r"^!(.+)$", (REPOSITORY / ".dockerignore").read_text(), re.M))
    assert copied == let_through
    assert all((REPOSITORY / name).exists() for name in copied)
