"""pool on synthetic candidates, local[2]: rows/s, CPU seconds, bytes shuffled; its parts alone: language id, removal lists.

`python -m bench.pool` makes its inputs in bench/.cache, prints two tables and one JSON line, and writes the line to
bench/results/pool.json where the sizes are the usual ones.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.measure import table
from bench.places import CACHE, REPOSITORY, shared
from bench.pool_rows import candidates, removal_list
from bench.result import Figure, finish, result, versions
from bench.tree import Cost, cost_of

_ROWS, _FILES, _ENTRIES, _CORES = 2_000_000, 20, 20_000_000, 2
_LIBRARIES = ("pyspark", "pyarrow", "numpy", "scipy", "py3langid", "fasttext-predict", "tldextract")


def main() -> None:
    """Measure."""
    asked = _options().parse_args()
    print(f"making {asked.rows:,} synthetic candidates and a synthetic removal list of {asked.entries:,} entries", flush=True)
    folder, listed = candidates(asked.rows, _FILES), removal_list(asked.entries)
    with TemporaryDirectory(dir=CACHE) as scratch:
        runs = [_run(folder, mode, listed, Path(scratch)) for mode in ("uid", "uid, removal list", "text")]
        print(table(runs), flush=True)
        parts = _parts(folder, listed, Path(scratch))
    print(table(parts))
    sizes = {"rows": asked.rows, "files": _FILES, "entries": asked.entries, "cores": _CORES}
    found = result("pool", _figures(runs, parts), runs, parts=parts, synthetic=sizes, versions=versions(*_LIBRARIES))
    finish(found, whole=(asked.rows, asked.entries) == (_ROWS, _ENTRIES))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.pool", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=_ROWS, help="synthetic candidates (2,000,000)")
    parser.add_argument("--entries", type=int, default=_ENTRIES, help="synthetic entries of the removal list (20,000,000)")
    return parser


def _run(folder: Path, mode: str, listed: Path, scratch: Path) -> dict[str, Any]:
    """One pool; seconds on the clock are those of Spark's work, CPU seconds those of all processes from start to end."""
    dedup, _, removing = mode.partition(", ")
    out = scratch / dedup / (removing or "plain")
    words = ["pool", "--candidates", str(folder), "--out", str(out), "--dedup", dedup, "--workers", str(_CORES)]
    words += ["--remove", str(listed)] if removing else []
    log = scratch / "pool.log"
    cost = cost_of([sys.executable, "-m", "pipeline.cli", *words], folder=REPOSITORY, log=log)
    manifest = json.loads((out / "_manifest.json").read_text())
    counts, spent = manifest["counts"], manifest["facts"]["cost"]
    print(f"{mode}: {log.read_text().splitlines()[-2]}; {cost.total_s:.0f} CPU s ({_by_program(cost)})", flush=True)
    return {
        "dedup": mode,
        "rows_in": counts["rows_in"],
        "rows_out": counts["rows_out"],
        "rows_per_s": spent["rows_per_s"],
        "wall_s": cost.wall_s,
        "cpu_s": cost.total_s,
        "shuffle_bytes_per_row": spent["shuffle_bytes_per_row"],
        "peak_rss_python_mb": manifest["peak_rss_bytes"] / 2**20,
    }


def _by_program(cost: Cost) -> str:
    return ", ".join(f"{program} {cpu_s:.1f}" for program, cpu_s in sorted(cost.cpu_s.items()))


def _parts(folder: Path, listed: Path, scratch: Path) -> list[dict[str, Any]]:
    texts, lid = shared("wat", "bench_base.warc.golden.parquet"), shared("datacomp", "assets", "lid.176.bin")
    compiled = str(scratch / "compiled")
    bundled, fasttext = _part("language", str(texts), ""), _part("language", str(texts), str(lid))
    made = _part("compile", str(listed), compiled)
    found = _part("look_up", compiled, str(folder / "00000.parquet"))
    sets = _part("in_sets", str(listed))
    on_list = f"{made['entries']:,} md5 and sha256 (synthetic)"
    return [
        _line("language id, bundled model", f"{bundled['texts']:,} distinct real alt texts", bundled["distinct_per_s"]),
        _line("language id, fastText", "the same; a small stand-in for lid.176.bin", fasttext["distinct_per_s"]),
        _line(
            "removal list compiled",
            on_list,
            made["entries_per_s"],
            own_mb=made["own_mb"],
            disk_mb=made["compiled_mb"],
        ),
        _line("rows looked up in it", "one file's rows", found["rows_per_s"], own_mb=found["own_mb"], disk_mb=found["mapped_mb"]),
        _line("the list as a Python set", on_list, sets["entries"] / sets["cpu_s"], own_mb=sets["own_mb"]),
    ]


def _line(part: str, of: str, per_cpu_s: float, *, own_mb: float = 0.0, disk_mb: float = 0.0) -> dict[str, Any]:
    """`own_mb`: memory that each process holds; `disk_mb`: on disk, or mapped from there and shared by a machine's processes."""
    return {"part": part, "of": of, "per_cpu_s": per_cpu_s, "own_mb": own_mb, "disk_or_mapped_mb": disk_mb}


def _part(name: str, *words: str) -> dict[str, Any]:
    out = CACHE / f"pool_part_{name}.json"
    cost_of([sys.executable, "-m", "bench.pool_parts", name, *words], folder=REPOSITORY, log=out)
    return dict(json.loads(out.read_text().splitlines()[-1]))


def _figures(runs: Sequence[dict[str, Any]], parts: Sequence[dict[str, Any]]) -> list[Figure]:
    plain, removing = runs[0], runs[1]
    language, fasttext, made, found, sets = parts
    return [
        Figure(
            key="rows_per_s",
            value=plain["rows_per_s"],
            meaning="synthetic candidates per second of Spark's work on two cores, --dedup uid",
        ),
        Figure(
            key="cpu_us_per_row",
            value=1e6 * plain["cpu_s"] / plain["rows_in"],
            meaning="CPU µs per candidate, all processes, start included",
        ),
        Figure(
            key="shuffle_bytes_per_row",
            value=plain["shuffle_bytes_per_row"],
            meaning="bytes written to the shuffle per candidate read, by Spark's count",
        ),
        Figure(
            key="language_rows_per_s",
            value=language["per_cpu_s"],
            meaning="distinct real alt texts per CPU second, bundled model",
        ),
        Figure(key="fasttext_rows_per_s", value=fasttext["per_cpu_s"], meaning="the same by a small fastText model"),
        Figure(key="removal_entries_per_s", value=made["per_cpu_s"], meaning="entries of a removal list compiled per CPU second"),
        Figure(
            key="removal_rows_per_s", value=found["per_cpu_s"], meaning="rows looked up per CPU second in a list of 20 million"
        ),
        Figure(
            key="removal_rss_mb",
            value=found["own_mb"],
            meaning="MB that a task holds for such a list, besides pages shared by all",
        ),
        Figure(key="removal_set_rss_mb", value=sets["own_mb"], meaning="MB that it would hold as a Python set"),
        Figure(
            key="removal_cpu_x",
            value=removing["cpu_s"] / plain["cpu_s"],
            meaning="CPU of the pool with that list ÷ without (smaller is better)",
        ),
    ]


if __name__ == "__main__":
    main()
