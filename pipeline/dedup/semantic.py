"""The same picture to a model: rows whose embeddings have a high cosine. In memory where they fit, else cluster by cluster."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.dedup.budget import budget_for
from pipeline.dedup.centroids import nearest_centroids, train_centroids, training_sample
from pipeline.dedup.embeddings import dimensions_of, embeddings_of
from pipeline.dedup.found import Found, keep_nearest
from pipeline.dedup.nearest import best_earlier, plan
from pipeline.dedup.pool import Pool
from pipeline.metadata.files import MetadataFile
from schemas.errors import UserError

HOMES = 2  # clusters in which a row is compared: pairs cut apart by one border meet in the other
NO_EMBEDDING = "{column}: no row that was looked at has an embedding (all are zero or NaN); score the pool again"
Homes = Callable[[int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is asked: of which column, the least cosine, how many clusters (0: as many as `plan` says), and with what."""

    column: str
    floor: float
    clusters: int
    seed: int
    memory_gb: float
    device: str
    plan_device: str  # cpu or cuda, as `plan` is told: with Spark that of its tasks
    threads: int
    out: str


@dataclass(frozen=True)
class Semantic:
    """found: what `Found` says, with cosines. homes(file number): its rows' nearest centroid (n,) int32, -1 without an embedding,
    and the cosine to it (n,) float32. centroids (k, d) float32. facts: what the manifest tells.
    """

    found: Found
    homes: Homes
    centroids: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)


def same_picture(pool: Pool, search: Search, spark: Any = None) -> Semantic:
    """For each row the nearest earlier row at a cosine of at least the floor. Files without embeddings fail (pool.failed).

    Raises UsageError where --memory-gb is too little, UserError where no file has embeddings or the disk has no room.
    """
    d = dimensions_of([file for file in pool.files if file.path not in pool.failed], search.column)
    clusters = min(search.clusters or plan(len(pool), d, device=search.plan_device), len(pool))
    budget = budget_for(search.memory_gb, n=len(pool), d=d, clusters=clusters)
    if spark is None and budget.all_at_once:
        return _in_memory(pool, search, d, clusters)
    from pipeline.dedup.out_of_core import out_of_core

    return out_of_core(pool, search, d=d, clusters=clusters, rows_at_once=budget.rows_at_once, spark=spark)


def _in_memory(pool: Pool, search: Search, d: int, clusters: int) -> Semantic:
    rows = np.zeros((len(pool), d), np.float16)  # by rank; a row of zeros is nobody's duplicate

    def take(file: MetadataFile, ranks: np.ndarray) -> None:
        at = 0
        try:
            for batch in embeddings_of(file, search.column, d):
                rows[ranks[at : at + len(batch)]] = batch
                at += len(batch)
        except BaseException:
            rows[ranks] = 0
            raise

    pool.per_file(take)
    sample = rows[training_sample(len(pool), clusters, search.seed)]
    centroids = train_centroids(sample, clusters, seed=search.seed, device=search.device)
    del sample
    if not len(centroids):
        raise UserError(NO_EMBEDDING.format(column=search.column))
    homes, cosines = nearest_centroids(rows, centroids, count=HOMES if clusters > 1 else 1, device=search.device)
    found = Found.nothing(len(pool), np.float32)
    if clusters < 2:
        keep_found(
            found, np.arange(len(rows)), best_earlier(rows, floor=search.floor, device=search.device, threads=search.threads)
        )
    else:
        for members in members_of(homes, len(centroids)):
            nearest = best_earlier(rows[members], floor=search.floor, device=search.device, threads=search.threads)
            keep_found(found, members, nearest)

    def homes_of(number: int) -> tuple[np.ndarray, np.ndarray]:
        ranks = pool.ranks_of(number)
        return homes[ranks, 0], cosines[ranks, 0]

    facts = {"clusters": len(centroids), "dimensions": d, "device": search.plan_device}
    return Semantic(found, homes_of, centroids, facts)


def keep_found(found: Found, members: np.ndarray, nearest: tuple[np.ndarray, np.ndarray]) -> None:
    """Merge what `best_earlier` found among the rows of these ranks (m,), ascending, into what is found of the pool."""
    index, cosine = nearest
    some = np.flatnonzero(index >= 0)
    keep_nearest(found, members[some], members[index[some]], cosine[some])


def members_of(homes: np.ndarray, clusters: int) -> Iterator[np.ndarray]:
    """For each cluster the numbers, ascending, of the rows that have it among their homes (n, h)."""
    flat = homes.reshape(-1)
    order = np.argsort(flat, kind="stable")
    edges = np.searchsorted(flat, np.arange(clusters + 1), sorter=order)
    for start, end in pairwise(edges):
        yield order[start:end] // homes.shape[1]


__all__ = ["HOMES", "Homes", "Search", "Semantic", "keep_found", "members_of", "same_picture"]
