"""A stage's recorded config → the command line that asks for it: `webpairs STAGE --option value …`, quoted for a shell.

Options at their defaults are left out. So are those that change no output (workers, batch sizes), which no manifest records.
"""

import dataclasses
import importlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.cli import COMMANDS
from pipeline.manifest import Manifest
from pipeline.report.read import Root

MOST_COMMANDS = 100  # per stage: a large ranking trains more models, whose commands differ in filter, scale and seed only
CHECKPOINT = "CHECKPOINT"  # stands where a checkpoint is known by its content, and its path is not
PLAN = "PLAN.toml"

# Where a stage writes, by the option that says so; their other name for --out is not recorded, as it decides no output.
_OUT_OPTIONS = ("out", "save_path", "output_dir")
_DIGEST = re.compile(r" sha256:[0-9a-f]{64}$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command line; what stands in it for something; the config's hash, and when it ran."""

    stage: str
    words: tuple[str, ...]
    note: str
    config_hash: str
    started_at: str

    @property
    def text(self) -> str:
        """For a shell."""
        return shlex.join(self.words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """One stage's commands: the first MOST_COMMANDS in full, and how many more there are."""

    stage: str
    commands: tuple[Command, ...]
    more: int


def commands(root: Root) -> tuple[Group, ...]:
    """The commands of every manifest under the root, stages in the order of the flow. Paths are as seen from the root."""
    subsets = {f"5_subsets/{name}.npy": made for name, made in root.of_subsets.items()}
    places = [*root.folders.items(), *subsets.items(), *root.results.items()]
    checkpoints = _checkpoints(manifest for _, manifest in places)
    by_stage: dict[str, list[Command]] = {stage: [] for stage in COMMANDS}
    for place, manifest in places:
        if manifest.stage in COMMANDS:
            by_stage[manifest.stage] += _commands(manifest, place, root.path, checkpoints)
    return tuple(
        Group(stage=stage, commands=tuple(found[:MOST_COMMANDS]), more=max(0, len(found) - MOST_COMMANDS))
        for stage, found in by_stage.items()
        if found
    )


def command_words(stage: str, config: Mapping[str, Any]) -> list[str]:
    """`webpairs STAGE` with every option of `config` that is not at its default. Keys that are no option are passed over.

    Parsing the words gives the same config back.
    """
    command = COMMANDS[stage]
    config_type = getattr(importlib.import_module(command.module), command.config)
    fields = [field for field in dataclasses.fields(config_type) if "help" in field.metadata and field.name in config]
    positional = [word for field in fields if field.metadata["positional"] for word in _values(config[field.name])]
    options = [word for field in fields if not field.metadata["positional"] for word in _option(field, config[field.name])]
    if any(word.startswith("-") for word in positional):
        return ["webpairs", stage, *options, "--", *positional]
    return ["webpairs", stage, *positional, *options]


def from_root(value: Any, root: str) -> Any:
    """A config's value with paths below the root as seen from there: text that begins with the root loses it."""
    if isinstance(value, str):
        folder = re.escape(root.rstrip("/"))
        return re.sub(rf"(?<![\w./-]){folder}(/+|(?=$))", lambda found: "" if found[1] else ".", value)
    if isinstance(value, list | tuple):
        return [from_root(item, root) for item in value]
    return value


def _commands(manifest: Manifest, place: str, root: str, checkpoints: Mapping[str, str]) -> Iterator[Command]:
    """The command of a manifest; of a folder of scores, those of each model that is in it."""
    recorded = {name: _without_digests(value) for name, value in manifest.config.items()}
    added = recorded.get("columns") if manifest.stage == "score" else None
    for extra, note in _scored(added, checkpoints) if isinstance(added, dict) else [({}, "")]:
        config = {name: from_root(value, root) for name, value in {**recorded, **extra}.items()}
        out = {name: _out_of(manifest, place) for name in _OUT_OPTIONS if not config.get(name)}
        yield Command(
            stage=manifest.stage,
            words=tuple(command_words(manifest.stage, {**config, **out})),
            note=note,
            config_hash=manifest.config_hash,
            started_at=manifest.started_at,
        )


def _without_digests(value: Any) -> Any:
    """A recorded value without the digests that stages write behind the files' names, ` sha256:…`."""
    if isinstance(value, str):
        return _DIGEST.sub("", value)
    return [_without_digests(item) for item in value] if isinstance(value, list) else value


def _out_of(manifest: Manifest, place: str) -> str:
    """--out of the stage whose work stands at `place`: of `train`, the root of the models."""
    return place.split("/", maxsplit=1)[0] if manifest.stage == "train" else place


def _checkpoints(manifests: Iterable[Manifest]) -> dict[str, str]:
    """By their digest, the paths of checkpoints that some manifest tells."""
    found = {}
    for manifest in manifests:
        made_by, path = manifest.config.get("made_by"), manifest.config.get("pretrained")
        if isinstance(made_by, dict) and isinstance(path, str):
            found[str(made_by.get("weights"))] = path
    return found


def _scored(columns: Mapping[str, Any], checkpoints: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Per model that gave scores the options that ask for it, and what they leave open; the same of what a plan file added."""
    planned = []
    for name, made in columns.items():
        if not isinstance(made, dict) or not {"model", "weights", "precision", "preprocess"} <= made.keys():
            planned.append(name)
            continue
        weights = str(made["weights"])
        path = checkpoints.get(weights, CHECKPOINT) if weights.startswith("sha256 ") else weights
        options = {key: made[key] for key in ("model", "precision", "preprocess")}
        note = f"The checkpoint is the file with {weights}." if weights.startswith("sha256 ") else ""
        yield {**options, "pretrained": path, "column": name}, note
    if planned:
        yield {"plan_file": PLAN}, f"{PLAN} is a file that names {', '.join(planned)}."


def _option(field: "dataclasses.Field[Any]", value: Any) -> list[str]:
    """The words for one option; none at its default."""
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    if value is None or value == default or value is False:
        return []
    flag = f"--{field.name.replace('_', '-')}"
    if value is True:
        return [flag]
    values = _values(value)
    if any(word.startswith("-") for word in values):  # a separate word would be taken for an option
        return [f"{flag}={word}" for word in values]
    return [flag, *values]


def _values(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
