"""Manifests of a data root → how the data was made, as a release tells it: without anything that tells of this machine.

Out: per folder the stage, its config, counts and versions. Paths inside the root are relative to it; of others only the last
component is left.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline import io
from pipeline.manifest import MANIFEST_NAME, Manifest, PartReport, manifest_from_json, total, versions
from pipeline.release import ReleaseConfig
from schemas.errors import UserError

# What led to the rows; models and rankings are made from them, and are not published.
_FOLDERS = re.compile(r"[1-4]_.+")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")  # user and password in a URL
_DIGEST = re.compile(r" sha256:[0-9a-f]+$")
# An absolute path inside a text: not the path of a URL, which follows // or a host.
_EMBEDDED = re.compile(r"(?<![\w.:/~-])(?:file://)?~?/(?:[^/\s:;,'\"]+/)*[^/\s:;,'\"]*")


def stages_of(config: ReleaseConfig, reports: Iterable[PartReport], subsets: Mapping[str, Any]) -> dict[str, Any]:
    """What release.json says in `stages`: of the folders of the root in their order, then of the release itself.

    `subsets` tells of each how many entries it has, and how many are of pairs that are not in the release.
    """
    told = {folder: _told(manifest, config.root) for folder, manifest in manifests(config.root).items()}
    settings = {name: getattr(config, name) for name in ("of", "embeddings", "file_rows")}
    found = versions()
    told["release"] = {
        "stage": "release",
        "config": {**settings, "embeddings": list(config.embeddings)},
        "counts": total([report.counts for report in reports]),
        "subsets": dict(subsets),
        "versions": {name: found[name] for name in ("python", "webpairs", "pyarrow", "numpy") if name in found},
    }
    return told


def manifests(root: str) -> dict[str, Manifest]:
    """The manifests of the root's folders 1_… to 4_…, by folder. Raises UserError for one that is none."""
    found = {}
    for folder in folders_of(root):
        path = io.join(root, folder, MANIFEST_NAME)
        if _FOLDERS.fullmatch(folder) and io.exists(path):
            try:
                found[folder] = manifest_from_json(io.read_bytes(path))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path}: not a manifest; remove it and run the stage that made the folder again") from error
    return found


def folders_of(root: str) -> list[str]:
    """The names of the folders directly in a folder, sorted."""
    fs, name = io.url_to_fs(root)
    return sorted(
        entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(name, detail=True) if entry["type"] == "directory"
    )


def newest_day(root: str) -> str:
    """The day, ISO 8601, on which the newest of the root's stages began; "" where none tells."""
    days = [match[0] for made in manifests(root).values() if (match := re.match(r"\d{4}-\d{2}-\d{2}", str(made.started_at)))]
    return max(days, default="")


def without_local_paths(value: Any, root: str) -> Any:
    """A config's value, or anything in JSON, in which no local path is left, neither in texts nor in names."""
    if isinstance(value, str):
        return portable(value, spellings(root))
    if isinstance(value, Mapping):
        return {without_local_paths(str(name), root): without_local_paths(item, root) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_local_paths(item, root) for item in value]
    return value


def _without_names_of_lists(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config in which removal lists are told by their sha256 alone: a list's name may say who asked for something."""
    lists = config.get("remove")
    if not isinstance(lists, list | tuple):
        return dict(config)
    return {**config, "remove": [_digest_of(str(each)) for each in lists]}


def _digest_of(told: str) -> str:
    found = _DIGEST.search(told)
    return found[0].strip() if found else "a list"


def _told(manifest: Manifest, root: str) -> dict[str, Any]:
    statuses = [report.status for report in manifest.inputs]
    config = _without_names_of_lists({name: value for name, value in manifest.config.items() if name != "stage"})
    return {
        "stage": manifest.stage,
        "config": without_local_paths(config, root),
        "config_hash": manifest.config_hash,
        "counts": dict(sorted(manifest.counts.items())),
        "inputs": {status: statuses.count(status) for status in ("ok", "partial", "failed") if status in statuses},
        "versions": dict(sorted(manifest.versions.items())),
    }


def spellings(root: str) -> tuple[str, ...]:
    """The ways in which the root may be written, the longest first."""
    found = {root.rstrip("/"), io.absolute(root).rstrip("/")}
    if io.is_local(root):
        found.add(os.path.realpath(io.absolute(root)))
    return tuple(sorted((each for each in found if each not in {"", "."}), key=len, reverse=True))


def portable(text: str, roots: Sequence[str]) -> str:
    """A text without local paths: those below one of `roots` are relative to it, of others the last component is left."""
    text = _CREDENTIALS.sub("", text)
    for root in roots:
        text = re.sub(rf"(?<![\w./-]){re.escape(root)}(/+|(?=$|[\s:;,'\"]))", lambda found: "" if found[1] else ".", text)
    bare = _DIGEST.sub("", text)
    digest = text[len(bare) :]
    if bare.startswith(("/", "~", "..", "file://")):  # all of it is one path, which may have spaces
        return _last(bare) + digest
    return _EMBEDDED.sub(lambda found: _last(found[0]), bare) + digest


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1] or "."
