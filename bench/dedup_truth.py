"""What is true of a pool, by products of all pairs, and how much of it an answer found.

In: a pool's images in the order that decides who survives. Out: for rows of a seeded sample the highest cosine with any earlier
row, kept beside the pool; of an answer, recall at a cosine of .95.
"""

from typing import NamedTuple

import numpy as np
import torch

from bench.dedup_pool import Pool, content

AT = 0.95
# An answer may say .948 of a true .95: half the distance of neighbours in bf16 just below 1, the coarsest format in which
# products of embeddings come out, is 2^-9 = .00195.
TOLERANCE = 0.002
BANDS = {"1": (0.995, 2.0), ".99": (0.98, 0.995), ".97": (0.96, 0.98), ".95": (AT, 0.96)}  # around the planted cosines
_COLUMNS, _ROWS = 4096, 8192  # of a block of products: 128 MiB in float32


class Truth(NamedTuple):
    """Of some rows: their uids (m,) S32, and their highest cosine with an earlier row, (m,) float32; 0 for the first row."""

    uids: np.ndarray
    cosines: np.ndarray


def truth(made: Pool, sample: int, device: str = "cpu") -> Truth:
    """The truth about `sample` rows of the pool, all where it has no more; computed where it is not there."""
    path = made.folder / f"truth_{sample}.npz"
    if not path.is_file():
        print(f"exact cosines of {min(sample, made.rows):,} rows with all earlier ones of {made.rows:,}", flush=True)
        found = content(made)
        rows = np.sort(np.random.default_rng(made.rows).permutation(made.rows)[:sample])
        new = path.with_suffix(".new.npz")
        np.savez(new, uids=found.uids[rows], cosines=nearest_earlier(found.images, rows, device))
        new.rename(path)
    with np.load(path) as kept:
        return Truth(kept["uids"], kept["cosines"])


def nearest_earlier(images: np.ndarray, rows: np.ndarray, device: str = "cpu") -> np.ndarray:
    """(m,) float32: of each of `rows` (m,), ascending, the highest cosine with a row of images (n, d) before it; 0 for row 0."""
    best = torch.zeros(len(rows), device=device)
    at = torch.from_numpy(rows).to(device)
    asked = _unit(images[rows], device)
    products = torch.empty(_ROWS * _COLUMNS, device=device)
    for start in range(0, len(images), _COLUMNS):
        earlier = _unit(images[start : start + _COLUMNS], device)
        number = torch.arange(start, start + len(earlier), device=device)
        for first in range(int(np.searchsorted(rows, start, side="right")), len(rows), _ROWS):
            block = slice(first, first + _ROWS)
            into = products[: len(asked[block]) * len(earlier)].view(-1, len(earlier))
            cosines = torch.mm(asked[block], earlier.T, out=into)
            if rows[first] < start + len(earlier):
                cosines.masked_fill_(number >= at[block, None], 0)
            torch.maximum(best[block], cosines.amax(dim=1), out=best[block])
    return best.cpu().numpy()


def recalls(known: Truth, uids: np.ndarray, cosines: np.ndarray) -> dict[str, float | int]:
    """What an answer found: uids (n,) S32 and the cosine that it gives each, (n,) float32, 0 or NaN where it found nothing.

    `recall_95`: of the rows whose true cosine is at least .95, the share that the answer gives as much, within TOLERANCE; also by
    bands of the true cosine. `wrong_95`: rows that it gives as much, by more than TOLERANCE, and have less. Raises SystemExit
    where a row is missing or stands twice.
    """
    order = np.argsort(uids)
    at = np.searchsorted(uids, known.uids, sorter=order)
    if not len(uids) or not np.array_equal(uids[order[np.minimum(at, len(uids) - 1)]], known.uids) or _repeated(uids[order]):
        raise SystemExit(f"an answer of {len(uids):,} rows does not have each of the pool's rows once")
    given = np.nan_to_num(cosines[order[at]])
    found, true = given >= AT - TOLERANCE, known.cosines >= AT
    bands = {
        f"recall_near_{name}": float(found[(known.cosines >= least) & (known.cosines < most)].mean())
        for name, (least, most) in BANDS.items()
        if ((known.cosines >= least) & (known.cosines < most)).any()
    }
    wrong = int((given[~true] >= AT + TOLERANCE).sum())
    return {"recall_95": float(found[true].mean()), **bands, "wrong_95": wrong, "rows_asked": int(true.sum())}


def _repeated(ascending: np.ndarray) -> bool:
    return bool((ascending[1:] == ascending[:-1]).any())


def _unit(rows: np.ndarray, device: str) -> torch.Tensor:
    found = torch.from_numpy(rows).to(device).float()
    unit: torch.Tensor = found / found.norm(dim=1, keepdim=True)
    return unit
