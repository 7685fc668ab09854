"""Image libraries on one core: what decoding, resizing and encoding cost with each, and what whole chains cost and lose.

`python -m bench.decoders` makes its own pictures, prints three tables and one JSON line, and writes the line to
bench/results/decoders.json where it ran with the usual number of pictures. Three minutes.
"""

import argparse
import sys
from typing import Any

from bench.child import Side
from bench.decoders_pictures import KINDS, SETS, SHARES
from bench.measure import one_core, table
from bench.peer import environment, versions_in
from bench.places import CACHE, REPOSITORY
from bench.result import Figure, finish, result, versions

_EACH = 12  # pictures of each kind and set
_TRIED = ("pyvips", "pyvips-binary", "imagecodecs", "cffi", "pycparser")
_THEIRS, _OURS, _AGAIN = "opencv INTER_AREA, as img2dataset", "ours", "ours, always encoded again"


def main() -> None:
    """Measure."""
    asked = _options().parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    python = environment("decoders", alone=_TRIED)
    site = python.parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    command = [sys.executable, "-m", "bench.decoders_side", str(site), str(asked.each)]
    with Side("decoders", command, folder=REPOSITORY, cpu=one_core(), env={"OMP_NUM_THREADS": "1"}) as side:
        answer = side.run()
    print(table(_beside(answer["steps"], ("step", "with"), "ms")))
    print(table(_beside(answer["chains"], ("kind", "chain"), "ms")))
    print(table(_beside(answer["chains"], ("kind", "chain"), "psnr_db")))
    used = {**versions("opencv-python-headless", "pillow", "simplejpeg", "numpy", "numba"), **versions_in(python, *_TRIED[:3])}
    more = {"steps": answer["steps"], "mix": SHARES, "pictures_each": asked.each}
    finish(result("decoders", _figures(answer), answer["chains"], versions=used, **more), whole=asked.each == _EACH)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.decoders", description=__doc__, allow_abbrev=False)
    parser.add_argument("--each", type=int, default=_EACH, help=f"pictures of each kind and set ({_EACH})")
    return parser


def _beside(rows: list[dict[str, Any]], names: tuple[str, str], value: str) -> list[dict[str, Any]]:
    """One row per pair of names, the sets beside one another."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        found.setdefault(key, dict(zip(names, key, strict=True)))[f"{row['set']}, {value}"] = row[value]
    return list(found.values())


def _figures(answer: dict[str, Any]) -> list[Figure]:
    figures = []
    for size in SETS:
        ms = {name: _mixed(answer["chains"], size, name) for name in (_THEIRS, _OURS, _AGAIN)}
        figures += [
            Figure(key=f"x_opencv_{size}", value=ms[_THEIRS] / ms[_OURS], meaning=f"CPU of opencv's chain ÷ ours, {size} mix"),
            Figure(key=f"ms_{size}", value=ms[_OURS], meaning=f"CPU ms per picture of make_picture, {size} mix"),
            Figure(key=f"ms_opencv_{size}", value=ms[_THEIRS], meaning=f"the same of opencv's chain, {size} mix"),
        ]
    losses = [_psnr_of(answer, size, kind, _THEIRS) - _psnr_of(answer, size, kind, _AGAIN) for size in SETS for kind in KINDS]
    meaning = "the most that ours, encoded again, loses against opencv's chain, of any kind and set"
    return [*figures, Figure(key="psnr_lost_db", value=max(losses), meaning=meaning)]


def _mixed(chains: list[dict[str, Any]], size: str, name: str) -> float:
    return float(sum(SHARES[row["kind"]] * row["ms"] for row in chains if row["set"] == size and row["chain"] == name))


def _psnr_of(answer: dict[str, Any], size: str, kind: str, name: str) -> float:
    wanted = (size, kind, name)
    return float(next(row["psnr_db"] for row in answer["chains"] if (row["set"], row["kind"], row["chain"]) == wanted))


if __name__ == "__main__":
    main()
