"""The native engine against img2dataset itself, on the same pool from the same server: one layout, one outcome per pair."""

import importlib.util
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.download import DownloadConfig, run
from pipeline.download.peer import download, prepare
from pipeline.download.plan import plan
from schemas.shards import ACCOUNT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("img2dataset") is None, reason="needs the extra img2dataset")

ROTATED, DEEP, SPACED = "/rotated.jpg", "/sixteen.png", "/with space.jpg"
OURS_ALONE = [field.name for field in ACCOUNT]
EXEMPT = {ROTATED, DEEP, SPACED}  # differences on purpose: see image.py and url.py


@pytest.fixture(scope="module")
def runs(tmp_path_factory, make):
    """The folders that both engines wrote, and the sidecar schema that the library itself wrote before it was taken over."""
    folder, web = tmp_path_factory.mktemp("engines"), make.web()
    pairs = [(web.url(path), f"caption é {number} of {path}") for number, path in enumerate(_paths(web, make.picture))]
    pool = make.pool(folder / "pool", pairs, files=2)
    common = {"pool": str(pool), "allow_private_addresses": True, "samples_per_shard": 40, "retries": 1, "concurrency": 8}
    ours = DownloadConfig(out=str(folder / "ours"), **common)
    theirs = DownloadConfig(out=str(folder / "theirs"), engine="img2dataset", **common)
    run(ours)
    parts = plan(str(pool), 40)
    for part in parts:
        prepare(part, theirs)
    download(theirs, parts[0].carried)
    raw = pq.read_schema(folder / "theirs/_img2dataset/shards/00000.parquet")
    run(theirs)
    web.close()
    return folder / "ours", folder / "theirs", raw


def test_the_files_have_the_same_names(runs):
    ours, theirs, _ = runs
    assert _names(ours) == _names(theirs)
    assert "00000.tar" in _names(ours)
    assert "00001_stats.json" in _names(ours)


def test_sidecars_have_the_same_columns_types_and_order(runs):
    for shard in ("00000", "00001"):
        ours, theirs = (pq.read_schema(folder / f"{shard}.parquet") for folder in runs[:2])
        assert ours.equals(theirs)
    assert ours.names[0] == "uid"


def test_the_library_itself_writes_the_columns_that_we_write(runs):
    ours, raw = pq.read_schema(runs[0] / "00000.parquet"), runs[2]
    assert raw.names == [name for name in ours.names if name not in OURS_ALONE]
    # Times go through the library as text.
    assert [mine.name for mine, other in zip(ours, raw, strict=False) if mine.type != other.type] == ["fetched_at"]


def test_every_pair_has_the_same_key_and_status(runs):
    ours, theirs = map(_rows, runs[:2])
    assert [r["key"] for r in ours] == [r["key"] for r in theirs]
    differing = [
        (r["url"], r["status"], r["error_message"], t["status"], t["error_message"])
        for r, t in _pairs(ours, theirs)
        if r["status"] != t["status"]
    ]
    assert differing == []


def test_every_other_column_is_the_same(runs):
    """error_message is free text of the library; sizes and EXIF of a rotated image differ on purpose."""
    for mine, other in _pairs(*map(_rows, runs[:2])):
        apart = dict.fromkeys(["error_message", *OURS_ALONE])
        assert {**mine, **apart} == {**other, **apart}


def test_captions_and_json_members_are_the_same_bytes(runs):
    ours, theirs = map(_members, runs[:2])
    assert ours.keys() == theirs.keys() | {name for name in ours if _is_exempt(name, ours)}
    for name in theirs:
        if not _is_exempt(name, ours) and not name.endswith(".jpg"):
            assert ours[name] == theirs[name], name


def test_pixels_are_the_same(runs):
    ours, theirs = map(_members, runs[:2])
    pictures = [name for name in theirs if name.endswith(".jpg") and not _is_exempt(name, ours)]
    assert len(pictures) > 40
    for name in pictures:
        mine, other = (np.asarray(Image.open(io.BytesIO(m[name]))).astype(int) for m in (ours, theirs))
        assert mine.shape == other.shape
        assert np.abs(mine - other).mean() < 0.5, json.loads(ours[name.replace(".jpg", ".json")])["url"]


def test_stats_count_the_same(runs):
    for shard in ("00000", "00001"):
        ours, theirs = (json.loads((folder / f"{shard}_stats.json").read_bytes()) for folder in runs[:2])
        assert list(ours) == list(theirs)
        spaced = sum(r["url"].endswith(SPACED) and r["key"].startswith(shard) for r in _rows(runs[0]))
        assert ours["count"] == theirs["count"]
        assert ours["successes"] == theirs["successes"] + spaced


def _paths(web, picture) -> list[str]:
    """60 paths: every ordinary format and mode in several sizes, and every ordinary failure."""
    good = {}
    for seed, (width, height) in enumerate([(64, 48), (512, 512), (800, 600), (601, 1303), (2000, 90), (513, 37)]):
        for kind, mode in [("JPEG", "RGB"), ("PNG", "RGB"), ("WEBP", "RGB"), ("PNG", "RGBA")]:
            good[f"/{mode}_{width}x{height}.{kind.lower()}"] = picture(width, height, seed, kind=kind, mode=mode)
    for kind, mode in [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("GIF", "P"), ("PNG", "1")]:
        for width, height in [(90, 70), (700, 400), (333, 1000)]:
            good[f"/{mode}_{width}x{height}.{kind.lower()}"] = picture(width, height, kind=kind, mode=mode)
    good["/progressive.jpg"] = picture(900, 700, progressive=True)
    good["/webp_alpha.webp"] = picture(600, 700, kind="WEBP", mode="RGBA")
    good["/image.bmp"] = picture(90, 70, kind="BMP")
    good["/one.png"] = picture(1, 1, kind="PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    good[ROTATED] = picture(800, 600, exif=turned)
    good[DEEP] = _sixteen_bits()
    good[SPACED.replace(" ", "%20")] = picture(50, 50)
    for path, body in good.items():
        web.serve(path, body)
    web.serve("/missing.jpg", b"gone", status=404)
    web.serve("/broken.jpg", b"oops", status=500)
    web.serve("/moved.jpg", status=302, headers={"Location": "/progressive.jpg"})
    web.serve("/page.html", b"<html>not an image</html>" * 20)
    web.serve("/empty.jpg", b"")
    web.serve("/refused.jpg", picture(50, 50), headers={"X-Robots-Tag": "noai, noimageai"})
    web.serve("/refused_by_none.jpg", picture(50, 50), headers={"X-Robots-Tag": "none"})
    web.serve("/refused_to_collectors.jpg", picture(50, 50), headers={"X-Robots-Tag": "img2dataset: noai"})
    web.serve("/for_others.jpg", picture(50, 50), headers={"X-Robots-Tag": "otherbot: noai"})
    for kind in ("jpeg", "png", "webp", "gif"):
        whole = picture(400, 300, kind=kind.upper(), mode="RGB")
        web.serve(f"/cut.{kind}", whole[: len(whole) // 2])
    failing = [path for path in web.paths if path not in good]
    return [SPACED if path == "/with%20space.jpg" else path for path in [*good, *failing]]


def _sixteen_bits() -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)).save(encoded, "PNG")
    return encoded.getvalue()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _rows(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]


def _members(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            found.update({member.name: tar.extractfile(member).read() for member in tar})
    return found


def _pairs(ours: list[dict], theirs: list[dict]) -> list[tuple[dict, dict]]:
    return [(r, t) for r, t in zip(ours, theirs, strict=True) if not any(r["url"].endswith(path) for path in EXEMPT)]


def _is_exempt(name: str, members: dict[str, bytes]) -> bool:
    sample = json.loads(members[name.rsplit(".", 1)[0] + ".json"])
    return any(sample["url"].endswith(path) for path in EXEMPT)
