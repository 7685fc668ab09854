"""Options derived from a config dataclass."""

import argparse
from dataclasses import dataclass
from typing import Literal

import pytest

from pipeline.options import StageConfig, add_options, from_arguments, option, parse, with_dashes


@dataclass(frozen=True, kw_only=True)
class ShoutConfig(StageConfig):
    save_path: str = option("where to")
    words: tuple[str, ...] = option("what to say", ())
    times: int = option("how often", 2)
    share: float | None = option("how much, 100 % at most", None)
    mode: Literal["soft", "loud"] = option("how", "soft")
    twice: bool = option("again", False)


def test_types_come_from_the_fields():
    config = parse(ShoutConfig, ["--save-path", "x", "--words", "a", "b", "--times", "3", "--share", ".5", "--twice"], "")
    assert config == ShoutConfig(save_path="x", words=("a", "b"), times=3, share=0.5, twice=True)


def test_underscores_and_dashes_are_one():
    assert parse(ShoutConfig, ["--save_path", "a_b"], "").save_path == "a_b"
    assert with_dashes(["--save_path=a_b", "--", "a_b"]) == ["--save-path=a_b", "--", "a_b"]


@pytest.mark.parametrize("argv", [[], ["--save-path", "x", "--times", "many"], ["--save-path", "x", "--mode", "hoarse"]])
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse(ShoutConfig, argv, "")
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_shows_defaults_and_percent_signs():
    parser = argparse.ArgumentParser()
    add_options(parser, ShoutConfig)
    text = parser.format_help()
    assert "how often (default: 2)" in text
    assert "100 % at most" in text


def test_defaults_of_options_are_the_fields_defaults():
    parser = argparse.ArgumentParser()
    add_options(parser, ShoutConfig)
    assert from_arguments(ShoutConfig, parser.parse_args(["--save-path", "x"])) == ShoutConfig(save_path="x")
