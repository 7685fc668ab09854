"""The config a stage's folder was made with, `_config.json`: written once, compared by every later run, grown where it may."""

import json
from collections.abc import Collection
from typing import Any

from pipeline import io
from pipeline.manifest import CONFIG_NAME, to_json
from schemas.errors import UserError


def written_config(out: str, wanted: dict[str, Any], growing: Collection[str]) -> dict[str, Any]:
    """The config that stands in the folder from now on: as wanted, and with what else was there in fields that grow.

    Raises UserError where the folder was made with another.
    """
    path = io.join(out, CONFIG_NAME)
    if not io.exists(path):
        io.make_folder(out)
        found, grown = None, wanted
    else:
        found = read_json(path)
        _refuse_other(out, _comparable(wanted, found, growing), _comparable(found, wanted, growing))
        grown = {**wanted, **{name: {**found.get(name, {}), **wanted[name]} for name in growing}}
    if grown != found:
        with io.atomic_write(path) as file:
            file.write(to_json(grown))
    return grown


def _comparable(one: dict[str, Any], other: dict[str, Any], growing: Collection[str]) -> dict[str, Any]:
    """What of one config must be as in the other: of a field that grows, the entries that both have."""
    fixed = {name: value for name, value in one.items() if name not in growing}
    common = {(name, entry) for name in growing for entry in one.get(name, {}) if entry in other.get(name, {})}
    return {**fixed, **{f"{name} {entry}": one[name][entry] for name, entry in common}}


def _refuse_other(folder: str, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    differing = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if differing:
        changes = "; ".join(f"{key}: {found.get(key)!r} there, {wanted.get(key)!r} now" for key in differing)
        raise UserError(
            f"{folder}: made with another configuration ({changes}); give another --out, or remove the folder to start anew"
        )


def read_json(path: str) -> dict[str, Any]:
    """The object in a file that a stage wrote. Raises UserError for anything else."""
    try:
        found = json.loads(io.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); remove this folder and run the stage that made it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a JSON object; remove this folder and run the stage that made it again")
    return found
