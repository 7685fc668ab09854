"""dedup on a GPU: ten million rows, beside what the card's arithmetic would take for all pairs.

In: a pool and a device, so that the path can be tried without a GPU. Out: one row, and the figures made of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bench import score_device
from bench.dedup_pool import DIM, Pool
from bench.dedup_sides import Place, once, ours
from bench.dedup_truth import truth
from bench.result import Figure, result

ROWS = 10_000_000
_SAMPLED, _MEMORY_GB = 20_000, 64.0
_PEAK = {"cuda": ("bf16", 8192, 3.0), "cpu": ("fp32", 1024, 0.5)}  # number format, side of the matrices, seconds


def measure(made: Pool, device: str, place: Place) -> dict[str, Any]:
    """Seconds of the whole command on the device, recall on a sample of rows, and all pairs' operations ÷ (seconds × peak)."""
    known = truth(made, _SAMPLED, device)
    run = once(ours(_MEMORY_GB, "--device", device), made, known, place)
    precision, side, seconds = _PEAK[device.partition(":")[0]]
    peak = score_device.matrix_products(device, precision, side, seconds)["tflops"]
    limit_s = all_pairs_tflop(made.rows) / peak
    return {
        "rows": made.rows,
        "device": score_device.name(device)["name"],
        "s": run["wall_s"],
        "CPU s": run["cpu_s"],
        "recall": run["recall_95"],
        "wrong": run["wrong_95"],
        "rows asked": run["rows_asked"],
        "all pairs s": limit_s,
        "of limit": limit_s / run["wall_s"],
        "peak TFLOP/s": peak,
        "peak PSS MB": run["peak_pss_mb"],
    }


def all_pairs_tflop(rows: int) -> float:
    """10^12 operations of the products of all pairs of rows, each pair once, an addition and a multiplication as two."""
    return rows * (rows - 1) / 2 * 2 * DIM / 1e12


def figures(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The figures of `measure`'s row."""
    (row,) = rows
    what = "10M × 512 float16 on a GPU"
    told = {
        "10m_s": (row["s"], f"{what}: seconds of the whole command, reading and writing included; smaller is better"),
        "10m_recall_95": (row["recall"], f"{what}: share found of a sample's rows with a true cosine of at least 0.95"),
        "10m_of_limit": (row["of limit"], f"{what}: seconds that all pairs' products take at the card's peak ÷ its seconds"),
        "peak_tflops": (row["peak TFLOP/s"], "the card's measured peak of bf16 matrix products, TFLOP/s"),
    }
    return [Figure(key=f"gpu_{key}", value=value, meaning=meaning) for key, (value, meaning) in told.items()]


def added(to: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A result measured without a GPU, with what this run measured on one, and where and when that was."""
    fresh = result(to["bench"], figures(rows), rows)
    about = {"gpu": fresh["measured"], **{f"gpu_{what}": fresh[what] for what in ("date", "machine", "command")}}
    values = {key: fresh[key] for key in fresh["meaning"]}
    return {**to, **values, **about, "meaning": {**to["meaning"], **fresh["meaning"]}}


def nothing() -> dict[str, None]:
    """The keys of `figures` where there is no GPU."""
    return {figure.key: None for figure in figures([dict.fromkeys(("s", "recall", "of limit", "peak TFLOP/s"))])}
