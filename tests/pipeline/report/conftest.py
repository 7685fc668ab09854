"""A small data root in the contracts' formats: manifests, shards, scores, subsets and a ranking, all real files."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from pipeline.manifest import InputReport, Manifest, to_json
from pipeline.report import ReportConfig, run
from schemas.columns import STRINGS
from schemas.rankings import RANKINGS
from schemas.scalings import CROSSINGS, SCALINGS
from schemas.scores import SCORES, clip_column
from schemas.subsets import uids_to_array

COLUMN = "clip_demo_similarity_score"
PER_SHARD = 100
FAILURES = {"failed_to_download_http_404": 60, "failed_to_download_timeout": 25, "failed_to_resize_truncated": 15}
COUNTS = {
    "extract": {"rows_in": 1000, "rows_out": 800, "dropped_no_alt_text": 150, "dropped_not_an_image": 50},
    "pool": {"rows_in": 800, "rows_out": 500, "dropped_duplicate": 200, "dropped_opt_out": 100},
    "download": {"rows_in": 500, "rows_out": 400, "success": 400, **FAILURES},
    "score": {"rows_in": 400, "rows_out": 400},
}
FOLDERS = {"extract": "1_candidates", "pool": "2_pool", "download": "3_shards", "score": "4_scores"}
CAPTIONS = ["a red circle on a green field", "two blue squares", "DSC_0042.JPG", "click here to enlarge", "ein gelbes Dreieck"]


def pairs(n: int, seed: int = 7) -> list[dict]:
    """n made-up pairs; good ones score high, and the truth column says which they are."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        good = bool(rng.random() < 0.6)
        text = CAPTIONS[i % 2 if good else 2 + i % 3]
        url = f"http://images.example/{i}.jpg"
        score = float(np.clip(rng.normal(0.42 if good else 0.18, 0.09), -1, 1))
        uid = hashlib.md5((text + url).encode(), usedforsecurity=False).hexdigest()
        rows.append({"uid": uid, "url": url, "text": text, COLUMN: score, "truth": "clean" if good else "mismatched"})
    for i, row in enumerate(rows):
        row.update(shard=f"{i // PER_SHARD:05d}", key=f"{i // PER_SHARD:05d}{i % PER_SHARD:04d}")
    return rows


def picture(i: int) -> bytes:
    """A 128 px JPEG that differs from its neighbours."""
    image = Image.new("RGB", (128, 128 if i % 3 else 90), ["#e8e2d0", "#cfe0ea", "#dfe8d2"][i % 3])
    colour = ["#c23b22", "#2456a6", "#e0a526", "#2e8b57"][i % 4]
    [ImageDraw.Draw(image).ellipse, ImageDraw.Draw(image).rectangle][i % 2]((24, 20, 90, 80), fill=colour)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=90)
    return written.getvalue()


def write_manifests(root: Path) -> None:
    for at, (stage, counts) in enumerate(COUNTS.items()):
        inputs = [InputReport(path=f"input-{k}", rows=10) for k in range(4)]
        if stage == "extract":
            inputs.append(InputReport(path="damaged.wat.gz", status="failed", error="not gzip at byte 0"))
        manifest = Manifest(
            stage=stage, config={"stage": stage, "seed": 0}, config_hash="0123456789abcdef",
            versions={"webpairs": "0.1.0", "pyarrow": "26.0.0"}, counts=counts, inputs=tuple(inputs), parts=("00000",),
            parts_resumed=0, facts={}, started_at=f"2025-03-01T10:0{at}:00+00:00", duration_s=12.5 * (at + 1),
            peak_rss_bytes=(at + 1) * 300_000_000,
        )  # fmt: skip
        folder = root / FOLDERS[stage]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_manifest.json").write_bytes(to_json(manifest))


def write_shards(root: Path, rows: list[dict]) -> None:
    (root / "3_shards").mkdir(parents=True, exist_ok=True)
    for shard in sorted({row["shard"] for row in rows}):
        with tarfile.open(root / "3_shards" / f"{shard}.tar", "w") as tar:
            for i, row in enumerate(r for r in rows if r["shard"] == shard):
                for suffix, data in (("jpg", picture(i)), ("txt", row["text"].encode())):
                    member = tarfile.TarInfo(f"{row['key']}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def write_scores(root: Path, rows: list[dict]) -> None:
    schema = SCORES.append(clip_column("demo"))
    (root / "4_scores").mkdir(parents=True, exist_ok=True)
    for shard in sorted({row["shard"] for row in rows}):
        mine = [{name: row.get(name) for name in schema.names} for row in rows if row["shard"] == shard]
        pq.write_table(pa.Table.from_pylist(mine, schema=schema), root / "4_scores" / f"{shard}.parquet")


def write_subset(root: Path, name: str, rows: list[dict], resolved: dict) -> None:
    folder = root / "5_subsets"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", uids_to_array([row["uid"] for row in rows]))
    parameters = {key: value for key, value in resolved.items() if key != "filter"}
    steps = [("min_side", 90, 90, 310), ("clip_score", 180, 90, len(rows))] if resolved["filter"] == "clip_score" else []
    waterfall = [
        {"rule": {"filter": rule}, "removed_alone": alone, "removed_in_order": removed, "left": left}
        for rule, alone, removed, left in steps
    ]
    made = {"recipe": resolved["filter"], "resolved": resolved, "parameters": parameters, "waterfall": waterfall}
    (folder / f"{name}.json").write_text(json.dumps(made))


def ranking_rows() -> Iterator[dict]:
    """Four filters, two tasks and their average, two points in samples seen; clip_score ahead, the random subset not."""
    lead = {"no_filter": 0.0, "basic_filter": 0.02, "clip_score": 0.09, "random_clip_score": -0.012}
    size = {"no_filter": 400, "basic_filter": 300, "clip_score": 220, "random_clip_score": 220}
    for name, gain in lead.items():
        for task, base in {"average": 0.42, "colours": 0.5, "shapes": 0.34}.items():
            for seen in (16_000, 32_000):
                mean = base + gain * seen / 32_000 + 0.08 * np.log2(seen / 32_000)
                yield {
                    "filter": name, "scale": "demo", "model": "demo", "samples_seen": seen, "task": task,
                    "metric": "main_metric" if task == "average" else "acc1",
                    "n_seeds": 3, "mean": mean, "sd": 0.011, "ci_low": mean - 0.021, "ci_high": mean + 0.017,
                    "p_better_than_no_filter": {"no_filter": None, "clip_score": 0.0004}.get(name, 0.21),
                    "rows": size[name], "repeats": seen / size[name], **compared(name, gain * seen / 32_000),
                    **controlled(name, (gain + 0.012) * seen / 32_000),
                }  # fmt: skip


def compared(name: str, gain: float) -> dict:
    if name == "no_filter":
        return {"difference": None, "difference_low": None, "difference_high": None, "verdict": None}
    said = "better" if gain > 0.08 else "tie"
    return {"difference": gain, "difference_low": gain - 0.03, "difference_high": gain + 0.025, "verdict": said}


def controlled(name: str, gain: float) -> dict:
    """clip_score against the random subset of its size."""
    if name != "clip_score":
        return dict.fromkeys(column for column in RANKINGS.names if "control" in column)
    return {
        "control": "random_clip_score", "control_difference": gain, "control_difference_low": gain - 0.03,
        "control_difference_high": gain + 0.025, "p_better_than_control": 0.002, "control_verdict": "better",
    }  # fmt: skip


def write_ranking(root: Path, rows: list[dict]) -> None:
    (root / "7_ranking").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=RANKINGS), root / "7_ranking" / "ranking.parquet")


def write_truth(root: Path, rows: list[dict]) -> None:
    (root / "0_web").mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist([{"uid": r["uid"], "kind": r["truth"], "is_good": r["truth"] == "clean"} for r in rows]),
        root / "0_web" / "truth.parquet",
    )
    found = [{"filter": "clip_score", "precision": 0.93, "recall": 0.88, "kept": 220}]
    (root / "7_ranking" / "truth_of_filters.json").write_text(json.dumps(found))


def write_copies(root: Path, rows: list[dict]) -> None:
    """Every tenth pair is a copy of the first, the pair after it one of the copy; a set of 50 images has 3 pairs near."""
    uids = [row["uid"] for row in rows]
    of = [uids[0] if i and i % 10 == 0 else uids[i - 1] if i % 10 == 1 and i > 10 else None for i in range(len(uids))]
    cosines = [None if each is None else 0.97 if i % 3 else 0.9 for i, each in enumerate(of)]
    columns = {"uid": uids, "dup_of": pa.array(of, pa.string()), "dup_cos": pa.array(cosines, pa.float32())}
    facts = {"decontaminate": {"sets": {"cls_<b>shapes": {"images": 50, "pairs_near": 3}}}}
    for stage, folder in (("dedup", "4_duplicates"), ("decontaminate", "4_contamination")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        manifest = Manifest(
            stage=stage, config={"stage": stage}, config_hash="0123456789abcdef", versions={}, counts={}, inputs=(), parts=(),
            parts_resumed=0, facts=facts.get(stage, {}), started_at="2025-03-01T10:09:00+00:00", duration_s=1.0, peak_rss_bytes=1,
        )  # fmt: skip
        (root / folder / "_manifest.json").write_bytes(to_json(manifest))
    pq.write_table(pa.table(columns), root / "4_duplicates" / "00000.parquet")


def write_census(root: Path, rows: list[dict]) -> None:
    """Candidates of which every tenth opts out by robots and every fifteenth by reservation; the pool: those that do neither."""
    deeds = [None, "https://creativecommons.org/licenses/by/4.0/", "https://elsewhere.example/terms", ""]
    table = pa.table(
        {
            "uid": [row["uid"] for row in rows],
            "robots": pa.array([["noai"] if i % 10 == 0 else ["follow"] for i in range(len(rows))], STRINGS),
            "tdm_reserved": pa.array([True if i % 15 == 0 else None for i in range(len(rows))], pa.bool_()),
            "license_url": pa.array([deeds[i % 4] for i in range(len(rows))], pa.string()),
        }
    )
    pool = table.filter(pa.array([i % 10 != 0 and i % 15 != 0 for i in range(len(rows))]))
    languages = pa.array([["en", "de", None][min(2, i % 4)] for i in range(len(pool))], pa.string())
    pq.write_table(table, root / "1_candidates" / "a.parquet", row_group_size=50)
    pq.write_table(pool.append_column("lang", languages), root / "2_pool" / "a.parquet")


def scaling_row(name: str, a: float, alpha: float, **more: object) -> dict:
    """A fit over five points of compute, the curve that it says, and a prediction of the last."""
    compute = [1e3 * 4.0**n for n in range(5)]
    curve = [1e3 * 2.0**n for n in range(11)]
    errors = [a * c**-alpha for c in curve]
    return {
        "filter": name, "scale": "demo+micro", "model": "envelope", "task": "average", "metric": "main_metric", "n_points": 5,
        "n_seeds": 3, "compute_unit": "samples", "form": "power", "a": a, "alpha": alpha, "e_inf": 0.0, "alpha_low": alpha - 0.01,
        "alpha_high": alpha + 0.01, "points_compute": compute, "points_error": [a * c**-alpha for c in compute],
        "curve_compute": curve, "curve_error": errors, "curve_low": [0.9 * e for e in errors],
        "curve_high": [1.1 * e for e in errors], "held_out_compute": compute[-1], "held_out_error": a * compute[-1] ** -alpha,
        "predicted": a * compute[-1] ** -alpha + 0.01, "predicted_low": 0.2, "predicted_high": 0.9, "repeats": 12.5, **more,
    }  # fmt: skip


def crossing_row(**more: object) -> dict:
    return {
        "before": "basic_filter", "after": "clip_score", "model": "envelope", "task": "average", "metric": "main_metric",
        "compute_unit": "samples", "compute": 40_000.0, "compute_low": 9_000.0, "compute_high": 200_000.0, "probability": 0.87,
        "extrapolated": False, **more,
    }  # fmt: skip


def write_scalings(root: Path) -> None:
    rows = [scaling_row(name, 2.0, 0.12 + 0.02 * n) for n, name in enumerate(("no_filter", "clip_score", "random_clip_score"))]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCALINGS), root / "7_ranking" / "scalings.parquet")
    pq.write_table(pa.Table.from_pylist([crossing_row()], schema=CROSSINGS), root / "7_ranking" / "crossings.parquet")


def build(root: Path, rows: list[dict]) -> Path:
    """Everything that the stages would leave, for these pairs."""
    write_manifests(root)
    write_census(root, rows)
    write_shards(root, rows)
    write_scores(root, rows)
    good = [row for row in rows if row[COLUMN] >= 0.3]
    write_subset(root, "no_filter", rows, {"filter": "no_filter"})
    write_subset(root, "clip_score", good, {"filter": "clip_score", "column": COLUMN, "at_least": 0.3})
    write_subset(
        root,
        "random_clip_score",
        rows[:: max(1, len(rows) // max(1, len(good)))][: len(good)],
        {"filter": "random_subset", "seed": 0},
    )
    write_copies(root, rows)
    write_ranking(root, list(ranking_rows()))
    write_scalings(root)
    write_truth(root, rows)
    return root


@pytest.fixture(scope="session")
def whole_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which every stage has run, shared by tests that only read it."""
    return build(tmp_path_factory.mktemp("whole"), pairs(400))


@pytest.fixture(scope="session")
def whole_page(whole_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report, written once."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    run(ReportConfig(root=str(whole_root), out=str(out)))
    return out


@pytest.fixture
def build_root(tmp_path: Path) -> Callable[[list[dict]], Path]:
    """Builds a root of one's own for given pairs."""
    return lambda rows: build(tmp_path / "root", rows)


@pytest.fixture
def make_pairs() -> Callable[[int], list[dict]]:
    return pairs
