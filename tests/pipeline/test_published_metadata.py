"""From published metadata alone (parquet and .npz: no image, no GPU) a researcher marks, measures, filters, compares, reports."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.registry import names
from pipeline.cli import main
from schemas.subsets import array_to_uids

FILES, ROWS, TOPICS = 3, 1500, 12
WIDTHS = {"b32": 512, "l14": 768}
THINGS = ("bicycle", "boat", "cat", "bridge", "bus", "soup", "lake", "clock", "chair", "lamp", "engine", "tree")
PLACES = ("beside the old harbour", "on a quiet street", "in front of the white house", "near a forest", "under a blue sky")
# How many rows of each defect are planted; of copies, how many pairs.
DEFECTS = {"mismatched": 60, "boilerplate": 40, "file_name": 45, "short": 25, "repeated": 30, "german": 80}
DEFECTS |= {"small": 50, "long": 35, "opted_out": 45, "non_commercial": 55, "of_imagenet": 20, "of_flickr": 15}
COPIES = {"exact": 30, "perceptual": 25, "near": 35}
TEXTS = {
    "boilerplate": "image for illustration purposes only",
    "file_name": "IMG_{row:04d}.jpg",
    "short": "oil",
    "repeated": "shoes shoes shoes shoes buy shoes",
    "german": "Ein altes Fahrrad steht vor dem weißen Haus am Rande des Waldes, Bild {row}",
}


class Release(NamedTuple):
    """`root` holds 4_scores and eval; rows by uid, and the uids of each planted kind (of copies: the one that is to go)."""

    root: Path
    rows: dict[str, dict[str, Any]]
    planted: dict[str, set[str]]

    def uids(self, *kinds: str) -> set[str]:
        return set().union(*(self.planted[kind] for kind in kinds))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def turned(rng: np.random.Generator, rows: np.ndarray, cosine: float | np.ndarray) -> np.ndarray:
    """Unit rows at that cosine to the given unit rows."""
    away = rng.normal(size=rows.shape)
    away = unit(away - (away * rows).sum(axis=1, keepdims=True) * rows)
    part = np.broadcast_to(cosine, len(rows))[:, None]
    return part * rows + np.sqrt(1 - part**2) * away


def embeddings(rng: np.random.Generator, where: dict[str, np.ndarray], topics: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """Images in clusters, copies near their originals, and texts at cosines of .30 to .40, but for those that were mixed up."""
    centres = unit(rng.normal(size=(TOPICS, width)))
    images = unit(centres[topics] + 0.8 * unit(rng.normal(size=(ROWS, width))))
    for kind, cosine in (("exact", 1.0), ("perceptual", 0.93), ("near", 0.985)):
        originals, copies = where[kind]
        images[copies] = turned(rng, images[originals], cosine)
    texts = turned(rng, images, rng.uniform(0.30, 0.40, ROWS))
    mixed = where["mismatched"]
    mixed = mixed[np.argsort(topics[mixed], kind="stable")]
    texts[mixed] = texts[np.roll(mixed, len(mixed) // 2)]  # of an image of another topic
    return {"img": images.astype(np.float16), "txt": texts.astype(np.float16)}


def hashes(rng: np.random.Generator, where: dict[str, np.ndarray]) -> np.ndarray:
    """(n,) uint64, copies to the eye within two bits of their originals."""
    found = rng.integers(0, 2**64, ROWS, np.uint64)
    for kind, flips in (("exact", 0), ("perceptual", 2)):
        originals, copies = where[kind]
        found[copies] = flipped(rng, found[originals], flips)
    return found


def flipped(rng: np.random.Generator, values: np.ndarray, bits: int) -> np.ndarray:
    first = rng.integers(0, 32, len(values), np.uint64)
    for step in range(bits):
        values = values ^ (np.uint64(1) << (first + np.uint64(20 * step)))
    return values


def columns(where: dict[str, np.ndarray], topics: np.ndarray) -> dict[str, list[Any]]:
    """What a page says of each row: a caption of its own, a size, a page, its rights; then the defects."""
    rows = range(ROWS)
    made: dict[str, list[Any]] = {
        "url": [f"https://img.example/{row}.jpg" for row in rows],
        "text": [f"A {THINGS[topics[row]]} {PLACES[row % 5]}, photographed in {row // 5}" for row in rows],
        "original_width": [640] * ROWS,
        "original_height": [480] * ROWS,
        "face_bboxes": [[[0.1, 0.1, 0.3, 0.3]] if row % 9 == 0 else [] for row in rows],
        "lang": ["en"] * ROWS,
        "page_url": [f"https://site{row % 70}.example/{row}" for row in rows],
        "license_url": ["https://creativecommons.org/licenses/by/4.0/" if row % 3 == 0 else None for row in rows],
        "opted_out": [False if row % 11 else None for row in rows],
    }
    changes = {
        "german": {"lang": "de"},
        "small": {"original_width": 150, "original_height": 120},
        "long": {"original_width": 1000, "original_height": 250},
        "opted_out": {"opted_out": True},
        "non_commercial": {"license_url": "https://creativecommons.org/licenses/by-nc/2.0/de/"},
    }
    for kind in DEFECTS:
        for row in where[kind]:
            text = {"text": TEXTS[kind].format(row=row)} if kind in TEXTS else {}
            for name, value in {**changes.get(kind, {}), **text}.items():
                made[name][row] = value
    return made


def evaluation_sets(root: Path, rng: np.random.Generator, where: dict[str, np.ndarray], images: np.ndarray, seen: np.ndarray):
    """Two scored sets: imagenet has near images of some rows by embedding, flickr by hash; the rest is far from all."""
    for name, kind, items in (("imagenet", "of_imagenet", 40), ("flickr", "of_flickr", 30)):
        vectors, values = unit(rng.normal(size=(items, images.shape[1]))), rng.integers(0, 2**64, items, np.uint64)
        count = len(where[kind])
        if name == "imagenet":
            vectors[:count] = turned(rng, unit(images[where[kind]].astype(np.float64)), 0.98)
        else:
            values[:count] = flipped(rng, seen[where[kind]], 1)
        folder = root / "eval" / name
        folder.mkdir(parents=True)
        table = {"uid": [f"{item:032x}" for item in range(items)], "phash": [f"{value:016x}" for value in values]}
        pq.write_table(pa.table(table), folder / "00000.parquet")
        np.savez(folder / "00000.npz", l14_img=vectors.astype(np.float16))


def places(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Kind → its rows, (n,), or of copies the originals and the copies, (2, n). No row is of two kinds."""
    sizes = [*DEFECTS.values(), *(2 * n for n in COPIES.values())]
    parts = np.split(rng.permutation(ROWS), np.cumsum(sizes))[:-1]
    return {kind: part.reshape(2, -1) if kind in COPIES else part for kind, part in zip([*DEFECTS, *COPIES], parts, strict=True)}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """1,500 rows in three files in DataComp's layout, with the columns that our releases add."""
    root, rng = tmp_path_factory.mktemp("published"), np.random.default_rng(6)
    where, topics = places(rng), rng.integers(0, TOPICS, ROWS)
    made = columns(where, topics)
    arrays = {}
    for arch, width in WIDTHS.items():
        found = embeddings(rng, where, topics, width)
        cosines = np.einsum("nd,nd->n", *(unit(rows.astype(np.float32)) for rows in found.values()))
        made[f"clip_{arch}_similarity_score"] = cosines.astype(np.float32).tolist()
        arrays |= {f"{arch}_{part}": rows for part, rows in found.items()}
    seen = hashes(rng, where)
    bytes_of = np.arange(ROWS)
    bytes_of[where["exact"][1]] = where["exact"][0]
    made["sha256"] = [hashlib.sha256(str(name).encode()).hexdigest() for name in bytes_of]
    made["phash"] = [f"{value:016x}" for value in seen]
    made["uid"] = [hashlib.md5((t + u).encode()).hexdigest() for t, u in zip(made["text"], made["url"], strict=True)]
    write(root / "4_scores", made, arrays)
    evaluation_sets(root, rng, where, arrays["l14_img"], seen)
    rows = {uid: {name: values[row] for name, values in made.items()} | {"row": row} for row, uid in enumerate(made["uid"])}
    return Release(root, rows, {kind: worse(made, rows) for kind, rows in where.items()})


def worse(made: dict[str, list[Any]], rows: np.ndarray) -> set[str]:
    """The uids of these rows; of two copies that with the lower score."""
    if rows.ndim == 1:
        return {made["uid"][row] for row in rows}
    scores = made["clip_l14_similarity_score"]
    return {made["uid"][min(pair, key=lambda row: scores[row])] for pair in rows.T}


def write(folder: Path, made: dict[str, list[Any]], arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir()
    kinds = {"original_width": pa.int32(), "original_height": pa.int32(), "opted_out": pa.bool_(), "license_url": pa.string()}
    kinds |= {f"clip_{arch}_similarity_score": pa.float32() for arch in WIDTHS}
    table = pa.table({name: pa.array(values, kinds.get(name)) for name, values in made.items()})
    step = ROWS // FILES
    for number in range(FILES):
        pq.write_table(table.slice(number * step, step), folder / f"{number:08d}.parquet")
        part = {name: rows[number * step : (number + 1) * step] for name, rows in arrays.items()}
        np.savez(folder / f"{number:08d}.npz", **part)


def run(command: str, *words: object) -> None:
    assert main([*command.split(), *map(str, words)]) == 0


@pytest.fixture(scope="module")
def marked(release: Release) -> Release:
    """The release with what dedup, decontaminate and measure make of it, and the files that some filters take."""
    root = release.root
    metadata = ("--metadata", root / "4_scores", "--out")
    kinds = "dedup --by semantic perceptual exact --embeddings l14_img --floor 0.9 --clusters 24"
    run(kinds, *metadata, root / "4_duplicates")
    run("decontaminate --embeddings l14_img", *metadata, root / "4_contamination", "--eval", root / "eval")
    targets = np.concatenate([np.load(path)["l14_img"] for path in sorted((root / "4_scores").glob("*.npz"))])
    np.save(root / "targets.npy", targets[[row["row"] for row in release.rows.values() if "cat" in row["text"].split()][:20]])
    (root / "entries.txt").write_text("\n".join(THINGS))
    wordnet(root / "assets")
    return release


def wordnet(folder: Path) -> None:
    """WordNet's index with two nouns, and a list of synsets that has one of them."""
    (folder / "wordnet").mkdir(parents=True)
    lines = {"noun": "cat n 1 0 1 1 02121620  \nboat n 1 0 1 1 02858304  \n", "verb": "see v 1 0 1 1 02129289  \n"}
    lines |= {"adj": "big a 1 0 1 1 01382086  \n", "adv": "soon r 1 0 1 1 00033922  \n"}
    for kind, line in lines.items():
        (folder / "wordnet" / f"index.{kind}").write_text(f"  1 WordNet 3.0 Copyright 2006 by Princeton University.\n{line}")
        (folder / "wordnet" / f"{kind}.exc").write_text("")
    (folder / "imagenet21k_wordnet_ids.txt").write_text("n02121620\n")


def kept(release: Release, *words: object, name: str, beside: str = "4_duplicates 4_contamination") -> list[str]:
    """The uids, repeated ones as often as they stand there, of a subset made by `webpairs filter`."""
    save = release.root / "5_subsets" / f"{name}.npy"
    folders = ("--beside", *(release.root / folder for folder in beside.split())) if beside else ()
    run("filter --metadata_dir", release.root / "4_scores", "--save_path", save, *folders, *words)
    return array_to_uids(np.load(save))


def told(release: Release, name: str) -> dict[str, Any]:
    return json.loads((release.root / "5_subsets" / f"{name}.json").read_text())


# Filter → its words, and the planted kinds that are exactly what it removes.
EXACT: dict[str, tuple[str, tuple[str, ...]]] = {
    "no_filter": ("", ()),
    "basic_filter": ("", ("german", "short", "file_name", "small", "long")),
    "clip_score": ("--arch l14 --threshold 0.2", ("mismatched",)),
    "exact_dedup": ("", ("exact",)),
    "perceptual_dedup": ("--param bits=2", ("exact", "perceptual")),
    "semantic_dedup": ("--param cosine=0.97", ("exact", "near")),
    "decontaminated": ("", ("of_imagenet", "of_flickr")),
    "language": ("--param code=en", ("german",)),
    "min_words": ("--param words=3", ("short", "file_name")),
    "min_characters": ("--param characters=6", ("short",)),
    "repetition": ("", ("repeated",)),
    "boilerplate": ("--param most=10", ("boilerplate", "repeated", "short")),
    "file_name_text": ("", ("file_name",)),
    "metaclip": ("--param entries={root}/entries.txt", ("german", "short", "file_name", "repeated", "boilerplate")),
    "min_side": ("--param px=200", ("small",)),
    "max_aspect_ratio": ("--param ratio=3.0", ("long",)),
    "opt_out": ("", ("opted_out",)),
    "licence": ("--param missing=keep", ("non_commercial",)),
}
# Filter → its words, and how many rows it keeps of the pool.
SIZED = {
    "random_subset": ("--fraction 0.3 --seed 1", (400, 500)),
    "score_range": ("--param column=clip_b32_similarity_score --fraction 0.5", (751, 751)),
    "language_share": ("--arch l14 --param head=0.5", (750, 752)),
    "negclip_loss": ("--arch l14 --fraction 0.8", (1201, 1201)),
    "norm_sim": ("--arch l14 --fraction 0.3 --param target={root}/targets.npy", (451, 451)),
    "density": ("--fraction 0.4 --param centroids={root}/4_duplicates/centroids.npy", (590, 610)),
    "soft_cap": ("--arch l14 --fraction 1.0", (1500, 1500)),
}
REASONED = {"laion2b", "text_based", "image_based", "image_based_intersect_clip_score"}  # each has a test of its own


def test_every_filter_that_is_known_is_tried_here():
    assert {*EXACT, *SIZED, *REASONED} == set(names())


@pytest.mark.parametrize("name", EXACT)
def test_a_filter_removes_precisely_what_was_planted_for_it(marked: Release, name: str):
    words, kinds = EXACT[name]
    uids = kept(marked, "--name", name, *words.format(root=marked.root).split(), name=name)
    assert sorted(uids) == sorted(set(marked.rows) - marked.uids(*kinds))


@pytest.mark.parametrize("name", SIZED)
def test_a_fraction_is_as_large_as_it_was_asked_for(marked: Release, name: str):
    words, (least, most) = SIZED[name]
    assert least <= len(kept(marked, "--name", name, *words.format(root=marked.root).split(), name=name)) <= most


def test_laion2b_removes_other_languages_and_texts_of_other_images(marked: Release):
    dropped = set(marked.rows) - set(kept(marked, "--name", "laion2b", name="laion2b"))
    assert marked.uids("german", "mismatched") <= dropped
    # CLD3 may take a text that is no sentence for any language.
    assert dropped <= marked.uids("german", "mismatched", "file_name", "repeated", "short", "boilerplate")


def test_text_based_keeps_english_texts_that_name_a_listed_synset(marked: Release):
    uids = kept(marked, "--name", "text_based", "--assets", marked.root / "assets", name="text_based")
    assert set(uids) == {uid for uid, row in marked.rows.items() if "cat" in row["text"].split()}


def near_targets(release: Release) -> tuple[list[str], set[str]]:
    """image_based's parameters with centroids of our own, and by hand, what it keeps."""
    centroids = np.load(release.root / "4_duplicates" / "centroids.npy")
    counted = set((np.load(release.root / "targets.npy").astype(np.float32) @ centroids.T).argmax(axis=1).tolist())
    clusters = pa.concat_tables(pq.read_table(path) for path in sorted((release.root / "4_duplicates").glob("*.parquet")))
    near = {
        uid for uid, number in zip(*(clusters[name].to_pylist() for name in ("uid", "cluster")), strict=True) if number in counted
    }
    files = (f"centroids={release.root}/4_duplicates/centroids.npy", f'features=["{release.root}/targets.npy"]')
    return ["--param", *files], near - release.uids("german", "short", "file_name")


def test_image_based_takes_centroids_of_dedup_and_targets_of_ones_own(marked: Release):
    words, near = near_targets(marked)
    assert set(kept(marked, "--name", "image_based", *words, name="image_based")) == near
    both = kept(marked, "--name", "image_based_intersect_clip_score", "--arch", "l14", "--fraction", 0.3, *words, name="both")
    best = kept(marked, "--name", "clip_score", "--arch", "l14", "--fraction", 0.3, name="best")
    assert set(both) == near & set(best)
    assert 0 < len(both) < len(near) < ROWS
    assert both == kept(marked, "--recipe", "datacomp_1b", *words, name="datacomp_1b")


RECIPE = """
name = "mine"
sample = { filter = "soft_cap", arch = "l14", fraction = 2.0 }

[keep]
then = [
    { all = [{ filter = "exact_dedup" }, { not = { filter = "licence", allow = ["cc-by-nc"] } }] },
    { any = [{ filter = "language", code = "de" }, { filter = "clip_score", arch = "l14", fraction = 0.5 }] },
]
"""


def test_a_recipe_of_all_any_not_then_and_a_sampler(marked: Release):
    (marked.root / "mine.toml").write_text(RECIPE)
    uids = kept(marked, "--recipe", marked.root / "mine.toml", name="mine")
    left = set(marked.rows) - marked.uids("exact", "non_commercial")
    scores = {uid: marked.rows[uid]["clip_l14_similarity_score"] for uid in left}
    best = set(sorted(left, key=scores.get)[-int(len(left) * 0.5) - 1 :])
    allowed = best | marked.uids("german")
    assert len(uids) == 2 * len(allowed)
    assert set(uids) <= allowed
    assert 1 < max(uids.count(uid) for uid in set(uids)) < 20
    assert told(marked, "mine")["counts"]["rows_kept"] == len(allowed)


def test_our_recipe_removes_each_defect_and_its_waterfall_says_which_rule_did(marked: Release):
    uids = set(kept(marked, "--recipe", "webpairs", "--arch", "l14", name="webpairs"))
    assert not uids & marked.uids(*(set(DEFECTS) | set(COPIES)) - {"mismatched", "non_commercial"})
    steps = {step["rule"]["filter"]: step for step in told(marked, "webpairs")["waterfall"]}
    alone = {name: step["removed_alone"] for name, step in steps.items()}
    assert alone.pop("clip_score") > 0
    assert alone == {name: len(marked.uids(*EXACT[name][1])) for name in alone}
    assert steps["exact_dedup"]["removed_in_order"] == COPIES["exact"]
    assert steps["semantic_dedup"]["removed_in_order"] == COPIES["near"]  # the exact copies were gone
    assert steps["clip_score"]["left"] == len(uids)


def test_the_recipes_of_laion_and_of_filtering_networks_work_on_published_columns(marked: Release):
    laion = set(kept(marked, "--recipe", "laion_2b_en", name="laion_2b_en"))
    assert not laion & marked.uids("german", "mismatched", "short")
    assert len(kept(marked, "--recipe", "dfn", "--arch", "l14", name="dfn")) == 226


def test_measures_are_stored_once_and_cut_at_any_threshold(marked: Release):
    import torch

    root, weight = marked.root, torch.randn(1, 768, generator=torch.Generator().manual_seed(0))
    torch.save({"weight": weight, "bias": torch.tensor([0.5])}, root / "aesthetic.pt")
    measure = ("measure --metadata", root / "4_scores", "--out")
    run(*measure, root / "4_aesthetic", "--head", root / "aesthetic.pt", "--on", "l14_img")
    run(*measure, root / "4_negclip", "--name", "negclip_loss", "--arch", "l14")
    run(*measure, root / "4_normsim", "--name", "norm_sim", "--arch", "l14", "--param", f"target={root}/targets.npy")
    column = pq.read_table(root / "4_aesthetic" / "00000000.parquet")["aesthetic_score"].to_numpy()
    rows = unit(np.load(root / "4_scores" / "00000000.npz")["l14_img"].astype(np.float32))
    assert np.allclose(column, rows @ weight.numpy()[0] + 0.5, atol=1e-4)
    for name, words in (("negclip_loss", ""), ("norm_sim", f"--param target={root}/targets.npy")):
        stored = ["--name", "score_range", "--fraction", "0.3", "--param", f"column={name}_l14"]
        direct = ["--name", name, "--arch", "l14", "--fraction", "0.3", *words.split()]
        assert kept(marked, *stored, name="stored", beside="4_negclip 4_normsim") == kept(
            marked, *direct, name="direct", beside=""
        )
    worst = ["--name", "score_range", "--param", "column=negclip_loss_l14", "at_most=-0.1"]
    assert marked.uids("mismatched") <= set(kept(marked, *worst, name="worst", beside="4_negclip"))


def test_what_subsets_share_is_told(marked: Release, capsys: pytest.CaptureFixture[str]):
    for name in ("exact_dedup", "semantic_dedup"):
        kept(marked, "--name", name, *EXACT[name][0].split(), name=name)
    capsys.readouterr()
    run("compare --json", *(marked.root / "5_subsets" / f"{name}.npy" for name in ("exact_dedup", "semantic_dedup")))
    pair = json.loads(capsys.readouterr().out)["pairs"][0]
    assert (pair["only_a"], pair["only_b"]) == (COPIES["near"], 0)
    assert pair["union"] == ROWS - COPIES["exact"]


def test_decontaminate_counts_each_set(marked: Release):
    sets = json.loads((marked.root / "4_contamination" / "_manifest.json").read_text())["facts"]["sets"]
    assert sets == {"imagenet": {"images": 40, "pairs_near": 20}, "flickr": {"images": 30, "pairs_near": 15}}


def test_a_report_is_drawn_of_a_root_without_images_or_models(marked: Release, tmp_path: Path):
    for folder in ("4_scores", "4_duplicates", "4_contamination"):
        shutil.copytree(marked.root / folder, tmp_path / folder)
    there = marked._replace(root=tmp_path)
    kept(there, "--name", "no_filter", name="no_filter")
    kept(there, "--recipe", "webpairs", "--arch", "l14", name="webpairs")
    run("report --root", tmp_path)
    page = (tmp_path / "7_ranking" / "report.html").read_text()
    for said in ("webpairs: opt_out removes 45", "semantic_dedup removes 35", "imagenet", "flickr"):
        assert said in page
