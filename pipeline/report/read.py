"""A data root → plain data: manifests, subsets, ranking, truth. Nothing here draws, and whatever is absent stays empty."""

import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.manifest import MANIFEST_NAME, Manifest, manifest_from_json
from pipeline.report.verdict import is_random
from pipeline.subset_file import read_subset
from schemas.errors import UserError
from schemas.rankings import BASELINE, RANKINGS

# What each command writes under a root, in the order of the flow.
FOLDERS = {
    "extract": "1_candidates",
    "pool": "2_pool",
    "download": "3_shards",
    "score": "4_scores",
    "filter": "5_subsets",
    "train": "6_models",
    "evaluate": "6_models",
    "rank": "7_ranking",
}

# What an account must be made of to be shown, and what is raised of one that is not.
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("stage", "config_hash", "started_at"), str),
    **dict.fromkeys(("config", "versions", "counts", "facts"), dict),
    **dict.fromkeys(("duration_s", "peak_rss_bytes"), int | float),
}
_NOT_A_MANIFEST = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

_RUNS = "6_models/*/*/*"
_MANIFESTS = (f"*/{MANIFEST_NAME}", f"{_RUNS}/{MANIFEST_NAME}")
_RESULTS = (f"{_RUNS}/results.json",)  # the account that `evaluate` writes beside results.jsonl


@dataclass(frozen=True, kw_only=True)
class Subset:
    """One filter's result: its sorted (n,) `u8,u8` uids and what NAME.json says of how it was made."""

    name: str
    uids: np.ndarray
    made: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the demo's web knows of a pair: its kind, clean or a defect, and whether an ideal filter keeps it."""

    kind: str
    is_good: bool


@dataclass(frozen=True, kw_only=True)
class Root:
    """What stands in a data root. Empty where a stage has not run."""

    path: str
    manifests: tuple[Manifest, ...] = ()
    folders: dict[str, Manifest] = field(default_factory=dict)  # of the manifests, those that stand in a folder of the root
    results: dict[str, Manifest] = field(default_factory=dict)  # those of `evaluate`, by its results.jsonl
    of_subsets: dict[str, Manifest] = field(default_factory=dict)  # those of `filter`, by the subset's name
    subsets: tuple[Subset, ...] = ()
    score_files: tuple[str, ...] = ()
    ranking: tuple[dict[str, Any], ...] = ()
    truth: dict[str, Truth] = field(default_factory=dict)
    truth_of_filters: tuple[dict[str, Any], ...] = ()

    def of(self, stage: str) -> tuple[Manifest, ...]:
        """The manifests of one stage: none where it has not finished, several where it ran per model."""
        return tuple(manifest for manifest in self.manifests if manifest.stage == stage)


def read_root(path: str) -> Root:
    """Read what is there. Raises UserError where nothing is, or where a file is not what its name says."""
    if not io.exists(path):
        raise UserError(f"{path}: no such folder; --root is the folder that holds 1_candidates … 7_ranking")
    subsets = sorted(
        (_read_subset(name) for name in _files(path, "5_subsets", ".npy")), key=lambda s: (s.name != BASELINE, s.name)
    )
    folders = {name.rpartition("/")[0]: made for name, made in _read_manifests(path, _MANIFESTS).items()}
    results = {f"{name}l": made for name, made in _read_manifests(path, _RESULTS).items()}
    of_subsets = {subset.name: made for subset in subsets if (made := _manifest_of(subset))}
    root = Root(
        path=path,
        manifests=(*folders.values(), *results.values(), *of_subsets.values()),
        folders=folders,
        results=results,
        of_subsets=of_subsets,
        subsets=tuple(subsets),
        score_files=tuple(_files(path, "4_scores", ".parquet")),
        ranking=_read_ranking(io.join(path, "7_ranking", "ranking.parquet"), subsets),
        truth=_read_truth(io.join(path, "0_web", "truth.parquet")),
        truth_of_filters=_read_truth_of_filters(io.join(path, "7_ranking", "truth_of_filters.json")),
    )
    if not (root.manifests or root.subsets or root.score_files or root.ranking):
        wanted = ", ".join(FOLDERS.values())
        raise UserError(f"{path}: no stage has finished here (none of {wanted} holds anything to report); give the data root")
    return root


def _files(root: str, folder: str, suffix: str) -> list[str]:
    path = io.join(root, folder)
    return io.list_files(path, suffix) if io.exists(path) else []


def _read_manifests(root: str, patterns: Sequence[str]) -> dict[str, Manifest]:
    """File, relative to the root → the manifest that it is."""
    fs, folder = io.arrow_filesystem(root)
    folder = folder.rstrip("/")
    found = [path for pattern in patterns for path in sorted(fs.glob(f"{folder}/{pattern}"))]
    manifests = {}
    for path in found:
        try:
            manifests[path.removeprefix(f"{folder}/")] = _manifest(fs.cat_file(path))
        except _NOT_A_MANIFEST as error:
            raise UserError(f"{path}: not a manifest ({error}); run the stage that made this folder again") from error
    return manifests


def _manifest(data: bytes) -> Manifest:
    """The manifest, its fields of the types that the page counts on. Raises one of _NOT_A_MANIFEST for anything else."""
    found = manifest_from_json(data)
    wrong = next((name for name, kind in _TYPES.items() if not isinstance(getattr(found, name), kind)), None)
    if wrong:
        raise TypeError(f"{wrong} is {getattr(found, wrong)!r:.100}")
    uncounted = next((name for name, number in found.counts.items() if not isinstance(number, int)), None)
    if uncounted is not None:
        raise TypeError(f"the count {uncounted} is {found.counts[uncounted]!r:.100}")
    return found


def _read_subset(path: str) -> Subset:
    made = _read_json(path.removesuffix(".npy") + ".json", {})
    return Subset(name=io.stem(path), uids=read_subset(path), made=made if isinstance(made, dict) else {})


def _manifest_of(subset: Subset) -> Manifest | None:
    """The manifest that NAME.json holds beside the recipe; None where the subset was made by something else."""
    said = {"facts": {}, **subset.made}
    if not all(f.name in said for f in fields(Manifest) if f.default is MISSING):
        return None
    try:
        return _manifest(json.dumps({f.name: said[f.name] for f in fields(Manifest) if f.name in said}).encode())
    except _NOT_A_MANIFEST:
        return None


def _read_ranking(path: str, subsets: Sequence[Subset]) -> tuple[dict[str, Any], ...]:
    """The rows of the ranking, each with `is_random`: whether its filter is a random subset."""
    if not io.exists(path):
        return ()
    made = {subset.name: subset.made for subset in subsets}
    wanted = [field.name for field in RANKINGS if not field.nullable]
    known = dict.fromkeys(RANKINGS.names)  # columns that an older release did not write are null
    rows = [known | row for row in _read_table(path, wanted, RANKINGS.names).to_pylist()]
    said = {row[name] for row in rows for name in ("verdict", "control_verdict")} - {None, "better", "worse", "tie"}
    if said:
        raise UserError(f"{path}: a verdict of {min(said)!r:.100}, not better, worse or tie; run `webpairs rank` again")
    return tuple({**row, "is_random": is_random(row["filter"], made.get(row["filter"], {}))} for row in rows)


def read_rows(path: str, columns: list[str]) -> list[dict[str, Any]]:
    """The rows of a table; none where the file is not there. Raises UserError where it is no table with these columns."""
    return _read_table(path, columns).to_pylist() if io.exists(path) else []


def _read_truth(path: str) -> dict[str, Truth]:
    """By uid, what the demo's web knows; of a pair on several pages, what it knows of the best of them."""
    if not io.exists(path):
        return {}
    known: dict[str, Truth] = {}
    for row in _read_table(path, ["uid", "kind", "is_good"]).to_pylist():
        if row["uid"] is not None and (row["uid"] not in known or row["is_good"]):
            known[row["uid"]] = Truth(kind=row["kind"], is_good=row["is_good"])
    return known


def _read_truth_of_filters(path: str) -> tuple[dict[str, Any], ...]:
    rows = _read_json(path, [])
    wanted = {"filter", "kept", "precision", "recall"}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and wanted <= row.keys() for row in rows):
        raise UserError(f"{path}: not a list of filters; run the demo again, or remove the file")
    return tuple(rows)


def _read_table(path: str, columns: Sequence[str], also: Sequence[str] = ()) -> pa.Table:
    """The columns, and those of `also` that are there."""
    try:
        with io.open_read(path) as file:
            table = pq.read_table(file)
        return table.select([*columns, *(name for name in also if name in table.column_names and name not in columns)])
    except (pa.ArrowException, KeyError) as error:
        raise UserError(f"{path}: not the table it should be ({error}); run the stage that made it again") from error


def _read_json(path: str, otherwise: Any) -> Any:
    if not io.exists(path):
        return otherwise
    try:
        return json.loads(io.read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); run the stage that made it again") from error
