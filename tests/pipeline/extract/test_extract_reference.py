"""extract against the reference in reference.py: the same rows, in order and in every column, and the same counts by reason.

For a longer search: WEBPAIRS_EXAMPLES=100000 pytest tests/pipeline/extract/test_extract_reference.py
"""

import gzip
import importlib.util
import io
import os
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random
from types import ModuleType

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.extract.compiled.sources import IMAGE_LINK, OG_IMAGE, VIDEO_POSTER
from pipeline.extract.wat import read_candidates
from schemas.candidates import CANDIDATES

WAT_PATH = "crawl-data/CC-TEST-1/wat/x.warc.wat.gz"
COUNTED = re.compile(
    "dropped_.*|mended_.*|rows_in|rows_out|records|records_invalid_json|records_without_url|pages_with_images|damaged_members|truncated_files"
)
BITS = {"og:image": OG_IMAGE, "a": IMAGE_LINK, "video": VIDEO_POSTER}
ALL = frozenset(BITS)
# What is asked for besides <img>, in turn: most often nothing or everything.
ASKED = [frozenset(), ALL, frozenset(), *({source} for source in BITS)]
# Every example is another one where many are asked for, the same ones otherwise.
EXAMPLES = int(os.environ.get("WEBPAIRS_EXAMPLES", "0"))
# A seed tells nothing of its WAT, so that there is no smaller one to look for.
ALL_AT_ONCE = [Phase.explicit, Phase.generate]
SEARCH = {"derandomize": not EXAMPLES, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


def beside(name: str, file: str) -> ModuleType:
    """A module or package of this folder: test files cannot import each other."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)  # a package's own modules look for it there
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


reference = beside("extract_reference", "reference/__init__.py")
random_wats = beside("extract_random_wats", "random_wats/__init__.py")


class Dribble(io.BytesIO):
    """A file that gives a part at a time, as a network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        part = 1000 + len(self.getbuffer()) // 20
        return super().read(part if size is None or size < 0 else min(size, part))


def extracted(data, sources=frozenset()):
    """Rows (fetched_at in µs) and counts of the product."""
    tally = Counter()
    wanted = sum(BITS[source] for source in sources)
    batches = list(read_candidates(Dribble(data), WAT_PATH, tally, wanted))
    table = pa.Table.from_batches(batches, CANDIDATES)
    table.validate(full=True)
    at = table.schema.get_field_index("fetched_at")
    return table.set_column(at, "fetched_at", table["fetched_at"].cast(pa.int64())).to_pylist(), tally


def counted(tally):
    return {name: count for name, count in tally.items() if count and COUNTED.fullmatch(name)}


def assert_as_the_reference(data, sources=frozenset()):
    rows, tally = extracted(data, sources)
    right, counts = reference.extract(data, WAT_PATH, set(sources))
    assert rows == right
    assert counted(tally) == counted(counts)


@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES or 300, **SEARCH)
def test_a_random_wat_gives_the_reference_s_rows_and_counts(rng):
    assert_as_the_reference(random_wats.wat(rng), rng.choice(ASKED))


@given(first=st.integers(0, 2**60))
@settings(max_examples=EXAMPLES or 60, phases=ALL_AT_ONCE, **SEARCH)
def test_many_random_wats_give_the_reference_s_rows_and_counts(first):
    for seed in range(first, first + 50):  # a seed is drawn in a fraction of the time of hypothesis' own numbers
        try:
            assert_as_the_reference(random_wats.wat(Random(seed)), ASKED[seed % len(ASKED)])
        except BaseException as error:
            error.add_note(f"random_wats.wat(Random({seed})), {ASKED[seed % len(ASKED)]}")
            raise


@pytest.fixture(scope="session")
def real_pages(shared_data):
    """A function: the JSON of real pages with images, none of them large."""
    pages = []
    for name in ("wat/clueweb.warc", "wat/site2008.warc", "wat/site2008_arc.arc", "web/books.warc", "wat/bench_base.warc"):
        with gzip.open(shared_data / f"{name}.wat.gz") as file:
            records = file.read(4 << 20).split(b"\r\n\r\nWARC/")[:-1]
        blocks = [record.partition(b"\r\n\r\n")[2].strip() for record in records]
        pages += [block for block in blocks if b"IMG@/src" in block and len(block) < 40_000][:60]
    return lambda: pages  # a list would be printed


@given(seed=st.integers(0, 2**60))
@settings(max_examples=EXAMPLES or 1000, phases=ALL_AT_ONCE, **SEARCH)
def test_real_pages_changed_at_random_give_the_reference_s_rows_and_counts(real_pages, seed):
    assert_as_the_reference(random_wats.changed(Random(seed), real_pages()), ASKED[seed % len(ASKED)])


@pytest.mark.parametrize(
    "name",
    ["wat/clueweb.warc", "wat/site2008.warc", "wat/site2008_arc.arc", "wat/small.warc", "web/books.warc", "wat/bench_base.warc"],
)
def test_a_real_wat_gives_the_reference_s_rows_and_counts(shared_data, name):
    assert_as_the_reference((shared_data / f"{name}.wat.gz").read_bytes())


@pytest.mark.parametrize("name", ["wat/site2008.warc", "wat/site2008_arc.arc", "web/books.warc", "wat/bench_base.warc"])
def test_a_real_wat_gives_the_reference_s_rows_of_every_source(shared_data, name):
    data = (shared_data / f"{name}.wat.gz").read_bytes()
    assert_as_the_reference(data[: 2 << 20], ALL)  # a larger one is cut off inside a member


def test_a_wat_larger_than_every_buffer_gives_the_reference_s_rows_and_counts(make):
    """Records over 2 MiB, a group's rows and bytes exceeded, more uids than the first table holds, a pair larger than a group."""
    refusing = {"X-Robots-Tag": "noindex"}
    pages = [
        make.page([make.image(f"/{n}.jpg", f"picture {n}") for n in range(35_000)]),
        *(make.page([make.image(f"/{n}.jpg", f"picture {n}") for n in range(at * 900, at * 900 + 1800)]) for at in range(36, 40)),
        make.page([make.image(f"/{n}.jpg", f"{n:06d} ä\t" * 20_000) for n in range(90)], url="https://long.example/"),
        make.page([make.image(f"/{n}.jpg", f"picture {n}") for n in range(0, 35_000, 20)], headers=refusing),
        make.page([make.image("/huge.jpg", "x" * (17 << 20)), make.image("/after.jpg")]),
        make.page([make.image("/last.jpg")]),
    ]
    data = b"".join(gzip.compress(make.record(page), compresslevel=1, mtime=0) for page in pages)
    rows, tally = extracted(data)
    right, counts = reference.extract(data, WAT_PATH, set())
    differing = [number for number, (row, expected) in enumerate(zip(rows, right, strict=False)) if row != expected]
    assert (len(rows), differing[:5]) == (len(right), [])  # not the rows themselves: they would fill the screen
    assert counted(tally) == counted(counts)


def test_the_random_wats_reach_every_reason_and_are_mostly_regular():
    total = Counter()
    for seed in range(1500):
        rows, counts = reference.extract(random_wats.wat(Random(seed)), WAT_PATH, ALL)
        total.update(counts)
        total.update(row["source"] for row in rows)
    dropped = [
        "no_alt",
        "blank_src",
        "data_url",
        "javascript_url",
        "other_scheme",
        "invalid_host",
        "invalid_port",
        "duplicate_in_wat",
    ]
    named = [*(f"dropped_{reason}" for reason in dropped), "mended_stripped_src", "mended_upper_case_scheme"]
    named += ["records_invalid_json", "records_without_url", "damaged_members", "truncated_files"]
    assert {name: total[name] for name in (*named, "img", *BITS) if total[name] < 10} == {}
    assert total["rows_out"] > 0.4 * total["rows_in"]
