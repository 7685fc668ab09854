"""A pool larger than memory, or on a cluster: three stages in OUT/_clusters, each resumable and each a Spark job if need be.

  sample    per metadata file: the rows that centroids are trained on
  spilled   per metadata file: every row written to the clusters of its nearest two centroids (pipeline.dedup.spill)
  found     per cluster: the nearest earlier row of each of its rows

The folder is named after the rows of the pool and what is asked of them, so what another pool left is never taken up.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from pipeline import io
from pipeline.dedup.budget import require_disk, spill_bytes
from pipeline.dedup.centroids import nearest_centroids, train_centroids, training_sample
from pipeline.dedup.clusters import nearest_in_cluster
from pipeline.dedup.embeddings import embeddings_of
from pipeline.dedup.found import Found, keep_nearest
from pipeline.dedup.pool import Pool, digest
from pipeline.dedup.semantic import HOMES, NO_EMBEDDING, Search, Semantic
from pipeline.dedup.spill import FOLDER, Contents, SpillWriter, remove_folder
from pipeline.devices import device_here
from pipeline.manifest import InputReport, Manifest, PartReport, hash_of
from pipeline.metadata.files import MetadataFile
from pipeline.stage import Part, PartFolder, run_stage
from schemas.errors import UserError

_RANKS, _SAMPLED, _CENTROIDS = "ranks", "sampled", "centroids.npy"  # in the folder of the pool
_RUN_ROWS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the tasks are told. `files`: each metadata file by its stem, with the positions of its rows, from and to."""

    folder: str = field(metadata={"affects_output": False})  # its name says what is asked; it may be moved
    column: str
    d: int
    clusters: int
    floor: float
    device: str = field(metadata={"affects_output": False})
    rows_at_once: int
    threads: int = field(metadata={"affects_output": False})
    workers: int = field(default=1, metadata={"affects_output": False})  # one search at a time: its threads use the cores
    files: dict[str, tuple[MetadataFile, int, int]] = field(metadata={"affects_output": False})

    def path(self, *names: str) -> str:
        """A path in the folder of the pool."""
        return io.join(self.folder, *names)


def out_of_core(pool: Pool, search: Search, *, d: int, clusters: int, rows_at_once: int, spark: Any) -> Semantic:
    """`same_picture` in bounded memory: finds what would be found in memory, as long as no cluster must be cut into blocks."""
    place = _take_place(pool, search, d, clusters, rows_at_once)
    needed = spill_bytes(len(pool), d, clusters)
    if not io.exists(place.path("spilled")):
        require_disk(search.out, needed)
        where = io.join(search.out, FOLDER)
        print(
            f"dedup: {len(pool):,} rows in {clusters} clusters, up to {needed / 1e9:.1f} GB of them in {where}", file=sys.stderr
        )
    _centroids(pool, place, search, spark)
    parts = [Part(name=stem, inputs=(file.path,)) for stem, (file, _, _) in place.files.items()]
    spilled = run_stage("dedup: spill", place, parts, spill_file, out=place.path("spilled"), spark=spark)
    _take_failures(pool, spilled)
    done = set(spilled.parts)
    stems = [stem for stem, (file, _, _) in place.files.items() if stem in done and file.path not in pool.failed]
    contents = Contents(place.path("contents"), stems)
    k = len(_load(place.path(_CENTROIDS)))
    rows = contents.write(place.path("spilled"), k)
    # Without a file that could not be read, or with it, the clusters are others.
    folder = place.path(f"found-{hash_of({'stems': stems})}")
    tasks = [Part(name=f"{cluster:07d}") for cluster in range(k)]
    work = partial(search_cluster, contents, k)
    manifest = run_stage("dedup: search", place, tasks, work, out=folder, spark=spark, facts=_largest)
    if manifest.failed_inputs:
        first = manifest.failed_inputs[0]
        raise UserError(f"dedup: cluster {first.path}: {first.error}; run the same command again to go on where it stopped")
    facts = {
        "clusters": k,
        "dimensions": d,
        "device": search.plan_device,
        "spilled_rows": rows,
        "spilled_bytes": rows * (2 * d + 4),
        "rows_at_once": rows_at_once,
    }
    facts |= {
        "largest_cluster_rows": manifest.facts["largest"],
        "search_peak_rss_bytes": max(spilled.peak_rss_bytes, manifest.peak_rss_bytes),
    }
    return Semantic(_gathered(len(pool), folder, tasks), partial(_homes, pool, place), _load(place.path(_CENTROIDS)), facts)


def _take_place(pool: Pool, search: Search, d: int, clusters: int, rows_at_once: int) -> Place:
    """The folder of this pool in OUT/_clusters, with the ranks in it; that of another pool or question is removed."""
    ours = hash_of(
        {
            "state": pool.state,
            "ranks": hash_of({"ranks": digest(pool.ranks)}),
            "column": search.column,
            "d": d,
            "seed": search.seed,
        }
        | {"clusters": clusters, "floor": search.floor, "rows_at_once": rows_at_once, "plan_device": search.plan_device}
    )
    root = io.absolute(io.join(search.out, FOLDER))
    folder = io.join(root, ours)
    if io.exists(root) and not io.exists(io.join(folder, _RANKS)):
        remove_folder(root)
    io.make_folder(folder)
    bounds = zip(pool.files, pool.starts.tolist(), pool.starts[1:].tolist(), strict=False)
    files = {file.stem: (file, start, end) for file, start, end in bounds if file.path not in pool.failed}
    if not io.exists(io.join(folder, _RANKS)):
        with io.atomic_write(io.join(folder, _RANKS)) as file:
            file.write(pool.ranks.tobytes())
    return Place(
        folder=folder,
        column=search.column,
        d=d,
        clusters=clusters,
        floor=search.floor,
        device=search.device,
        rows_at_once=rows_at_once,
        threads=search.threads,
        files=files,
    )


def _centroids(pool: Pool, place: Place, search: Search, spark: Any) -> None:
    """Train the centroids, of the rows of which a pool in memory would train them, unless they stand."""
    if io.exists(place.path(_CENTROIDS)):
        return
    sampled = training_sample(len(pool), place.clusters, search.seed)  # ranks
    chosen = np.zeros(len(pool), bool)
    chosen[sampled] = True
    positions = np.flatnonzero(chosen[pool.ranks])
    del chosen
    with io.atomic_write(place.path(_SAMPLED)) as file:
        file.write(positions.tobytes())
    parts = [Part(name=stem, inputs=(file.path,)) for stem, (file, _, _) in place.files.items()]
    done = run_stage("dedup: sample", place, parts, sample_file, out=place.path("sample"), spark=spark)
    _take_failures(pool, done)
    rows = np.zeros((len(sampled), place.d), np.float16)  # zeros: of a file that could not be read
    for stem in done.parts:
        _, start, end = place.files[stem]
        own = positions[slice(*np.searchsorted(positions, (start, end)))]
        with io.open_read(place.path("sample", f"{stem}.npy")) as file:
            rows[np.searchsorted(sampled, pool.ranks[own])] = np.load(file)
    trained = train_centroids(rows, place.clusters, seed=search.seed, device=device_here(place.device))
    if not len(trained):
        raise UserError(NO_EMBEDDING.format(column=place.column))
    with io.atomic_write(place.path(_CENTROIDS)) as file:
        np.save(file, trained)
    remove_folder(place.path("sample"))


def sample_file(place: Place, part: Part, folder: PartFolder) -> PartReport:
    """Write STEM.npy: the embeddings of the file's sampled rows, (m, d) float16, in their order there."""
    file, start, end = place.files[part.name]
    with io.open_read(place.path(_SAMPLED)) as sampled:
        positions = np.frombuffer(sampled.read(), np.int64)
    own = positions[slice(*np.searchsorted(positions, (start, end)))] - start
    taken, at = [np.empty((0, place.d), np.float16)], 0
    for rows in embeddings_of(file, place.column, place.d):
        taken.append(rows[own[slice(*np.searchsorted(own, (at, at + len(rows))))] - at])
        at += len(rows)
    with folder.open(f"{part.name}.npy") as out:
        np.save(out, np.concatenate(taken))
    return PartReport(name=part.name, inputs=(InputReport(path=file.path, rows=at),))


def spill_file(place: Place, part: Part, folder: PartFolder) -> PartReport:
    """Write the file's rows by cluster, and STEM.homes: nearest centroids (rows,) int32, then the cosines (rows,) float32."""
    file, start, end = place.files[part.name]
    with io.open_read(place.path(_RANKS)) as source:
        source.seek(4 * start)
        ranks = np.frombuffer(source.read(4 * (end - start)), np.int32)
    centroids, device = _load(place.path(_CENTROIDS)), device_here(place.device)
    homes, cosines = np.empty(len(ranks), np.int32), np.empty(len(ranks), np.float32)
    run_rows = max(1, min(_RUN_ROWS, place.rows_at_once // 2, len(ranks)))
    writer = SpillWriter(folder, part.name, clusters=len(centroids), d=place.d, run_rows=run_rows)
    try:
        at = 0
        for rows in embeddings_of(file, place.column, place.d):
            some = slice(at, at + len(rows))
            near, cosine = nearest_centroids(rows, centroids, count=min(HOMES, len(centroids)), device=device)
            writer.add(rows, ranks[some], near)
            homes[some], cosines[some] = near[:, 0], cosine[:, 0]
            at += len(rows)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    with folder.open(f"{part.name}.homes") as out:
        out.write(homes.tobytes())
        out.write(cosines.tobytes())
    return PartReport(name=part.name, inputs=(InputReport(path=file.path, rows=at),))


def search_cluster(contents: Contents, clusters: int, place: Place, part: Part, folder: PartFolder) -> PartReport:
    """Write NUMBER.npy, (3, m) int32: rank of a row that has an earlier one, the rank of that, and the bits of the cosine."""
    segments = contents.of(int(part.name), clusters)
    size = sum(segment.rows for segment in segments)
    ranks, others, cosines = nearest_in_cluster(
        place.path("spilled"),
        segments,
        d=place.d,
        floor=place.floor,
        rows_at_once=place.rows_at_once,
        device=device_here(place.device),
        threads=place.threads,
    )
    with folder.open(f"{part.name}.npy") as out:
        np.save(out, np.stack([ranks, others, cosines.view(np.int32)]))
    return PartReport(name=part.name, counts={"rows": size, "found": len(ranks)})


def _largest(reports: Sequence[PartReport]) -> dict[str, int]:
    return {"largest": max((report.counts["rows"] for report in reports if not report.failed), default=0)}


def _gathered(n: int, folder: str, tasks: Sequence[Part]) -> Found:
    found = Found.nothing(n, np.float32)
    for task in tasks:
        with io.open_read(io.join(folder, f"{task.name}.npy")) as file:
            ranks, others, bits = np.load(file)
        keep_nearest(found, ranks, others, bits.view(np.float32))
    return found


def _homes(pool: Pool, place: Place, number: int) -> tuple[np.ndarray, np.ndarray]:
    rows = int(pool.starts[number + 1] - pool.starts[number])
    data = io.read_bytes(place.path("spilled", f"{pool.files[number].stem}.homes"))
    return np.frombuffer(data, np.int32, rows), np.frombuffer(data, np.float32, rows, 4 * rows)


def _take_failures(pool: Pool, manifest: Manifest) -> None:
    for report in manifest.failed_inputs:
        pool.failed.setdefault(report.path, report.error)


def _load(path: str) -> np.ndarray:
    with io.open_read(path) as file:
        loaded: np.ndarray = np.load(file)
    return loaded


__all__ = ["Place", "out_of_core", "sample_file", "search_cluster", "spill_file"]
