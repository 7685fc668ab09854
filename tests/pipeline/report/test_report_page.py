"""The report as a reader gets it: every section, nothing loaded, nothing run, the same bytes for the same root."""

import io
import json
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.report import ReportConfig, run
from pipeline.report.panels import MOST_PANELS, with_panel
from pipeline.report.read import read_root
from schemas.errors import UserError
from schemas.rankings import RANKINGS
from schemas.subsets import SUBSET_DTYPE

SECTIONS = ["funnel", "ranking", "scaling", "pool", "filters", "copies", "pairs", "stages", "provenance"]


class Page(HTMLParser):
    """Tags with attributes, and the text, of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def report(root: Path, out: Path, **options) -> str:
    run(ReportConfig(root=str(root), out=str(out), **options))
    return out.read_text("utf-8")


@pytest.fixture(scope="module")
def html(whole_page: Path) -> str:
    return whole_page.read_text("utf-8")


def test_every_section_is_there_and_filled(html):
    page = Page(html)
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == SECTIONS
    assert "would stand here" not in page.text


def test_the_page_loads_nothing_and_runs_no_script(html):
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attrs in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "poster", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:image/jpeg;base64,")), f"<{tag} {name}={value!r}>"
        assert not [name for name in attrs if name.startswith("on")]
    assert not re.search(r"@import|url\((?!#)", html)


def test_ids_that_are_referred_to_exist(html):
    ids = set(re.findall(r'\bid="([^"]+)"', html))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', html)) <= ids


def test_the_first_sentence_names_the_winner_and_the_control(html):
    assert (
        "clip_score beats no_filter by 9.0 points (95 % interval +6.0 to +11.5; p < 0.001; 51.0 against 42.0 %)"
        in Page(html).text
    )
    said = "it beats a random subset of its size by 10.2 points (95 % interval +7.2 to +12.7; p = 0.002)."
    assert said in Page(html).text
    assert "clip_score random_clip_score +10.2 +7.2 to +12.7 0.002 better" in Page(html).text


def test_the_funnel_tells_counts_shares_and_reasons(html):
    text = Page(html[: html.index('<section id="ranking">')]).text
    assert "candidates 800 80.0 % 150 no alt text · 50 not an image" in text
    assert "pool 500 62.5 % 200 duplicate · 100 opt out" in text
    assert "downloaded 400 80.0 % 60 HTTP 404 · 25 timeout · 15 truncated" in text
    assert "clip_score 217 54.2 %" in text


def test_the_gallery_shows_as_many_pairs_as_asked_for(whole_root, tmp_path):
    html = report(whole_root, tmp_path / "r.html", pairs=5)
    page = Page(html[html.index('<section id="pairs">') :])
    images = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 5 + 2 * 10 + 5  # no_filter drops nothing, and one filter cuts a score
    assert sum(map(len, images)) < 6_000_000


def test_the_threshold_stands_on_the_filter_that_has_one_and_no_other(html):
    section = html[html.index('<section id="pairs">') : html.index('<section id="stages">')]
    drawn = [panel for panel in section.split('<div class="panel"')[1:] if ">0.300<" in panel]
    assert len(drawn) == 1
    assert "<h3>clip_score</h3>" in drawn[0]
    assert "Nearest the threshold of 0.3 on clip_demo_similarity_score" in drawn[0]


def test_only_the_styles_of_the_page_are_its_own_and_no_script_is_allowed(html):
    (policy,) = [attrs["content"] for tag, attrs in Page(html).tags if "Content-Security-Policy" in attrs.values()]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_account_lists_inputs_that_failed(html):
    assert "failed: damaged.wat.gz : not gzip at byte 0" in Page(html).text


def test_the_same_root_gives_the_same_bytes(whole_root, tmp_path, html):
    assert report(whole_root, tmp_path / "again.html") == html


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("1_candidates", "webpairs extract"),
        ("3_shards", "webpairs download"),
        ("4_scores", "webpairs score"),
        ("5_subsets", "webpairs filter"),
        ("7_ranking", "webpairs rank"),
    ],
)
def test_a_section_without_input_names_the_stage_that_fills_it(build_root, make_pairs, tmp_path, gone, named):
    root = build_root(make_pairs(60))
    (root / gone).rename(tmp_path / "elsewhere")
    missing = re.findall(r'<p class="missing">(.*?)</p>', report(root, tmp_path / "r.html"))
    assert any(named in note for note in missing)


def test_a_root_with_nothing_in_it_is_refused(tmp_path):
    with pytest.raises(UserError, match="no stage has finished here"):
        report(tmp_path, tmp_path / "r.html")
    with pytest.raises(UserError, match="no such folder"):
        report(tmp_path / "absent", tmp_path / "r.html")


@pytest.mark.parametrize(
    "broken", ["2_pool/_manifest.json", "7_ranking/ranking.parquet", "5_subsets/clip_score.npy", "4_scores/00000.parquet"]
)
def test_a_file_that_is_not_what_its_name_says_is_named(build_root, make_pairs, tmp_path, broken):
    root = build_root(make_pairs(60))
    (root / broken).write_bytes(b"{not this}")
    with pytest.raises(UserError, match=re.escape(broken)):
        report(root, tmp_path / "r.html")
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config", []),
        ("versions", []),
        ("facts", []),
        ("counts", {"rows_in": "many"}),
        ("started_at", 3),
        ("duration_s", None),
        ("stage", ["score"]),
    ],
)
def test_a_manifest_whose_fields_are_of_other_types_is_named(build_root, make_pairs, tmp_path, field, value):
    path = build_root(make_pairs(20)) / "4_scores" / "_manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(
        UserError, match=rf"4_scores/_manifest.json: not a manifest .*{field if field != 'counts' else 'rows_in'}"
    ):
        report(path.parents[1], tmp_path / "r.html")


@pytest.mark.parametrize("name", ["4_scores/_manifest.json", "5_subsets/clip_score.json"])
def test_json_that_is_nested_too_deep_is_named(build_root, make_pairs, tmp_path, name):
    root = build_root(make_pairs(20))
    (root / name).write_text("[" * 100_000)
    with pytest.raises(UserError, match=re.escape(name)):
        report(root, tmp_path / "r.html")


def test_a_ranking_with_an_unknown_verdict_is_named(build_root, make_pairs, tmp_path):
    path = build_root(make_pairs(20)) / "7_ranking" / "ranking.parquet"
    rows = [{**row, "verdict": "<b>best</b>"} for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=RANKINGS), path)
    with pytest.raises(UserError, match="verdict of '<b>best</b>'"):
        report(path.parents[1], tmp_path / "r.html")


def test_of_very_many_subsets_those_that_were_ranked_have_a_panel_and_the_others_are_counted(build_root, make_pairs):
    root = build_root(make_pairs(20))
    for number in range(40):
        np.save(root / "5_subsets" / f"a{number:02d}.npy", np.zeros(1, SUBSET_DTYPE))
    read = read_root(str(root))
    shown = [subset.name for subset in with_panel(read)]
    assert len(shown) == MOST_PANELS
    assert {"no_filter", "clip_score"} <= {*shown}
    assert shown == [subset.name for subset in read.subsets if subset.name in shown]


def npy(save, *arrays):
    """The bytes that np.save or np.savez writes."""
    file = io.BytesIO()
    save(file, *arrays)
    return file.getvalue()


GOOD = np.zeros(3, SUBSET_DTYPE)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a subset"),
        (npy(np.save, GOOD)[:-1], "not a subset"),
        (npy(np.save, np.array([{}])), "not a subset"),
        (npy(np.savez, GOOD), "an archive of arrays"),
        (npy(np.savez, GOOD)[:60], "not a subset"),
        (npy(np.save, np.arange(3)), "dtype int64"),
        (npy(np.save, GOOD.reshape(3, 1)), r"dtype .*, shape \(3, 1\)"),
    ],
    ids=["empty", "cut", "pickled", "archive", "cut archive", "numbers", "two-dimensional"],
)
def test_a_subset_that_is_none_is_named_with_what_is_wrong(build_root, make_pairs, tmp_path, content, problem):
    root = build_root(make_pairs(20))
    (root / "5_subsets" / "clip_score.npy").write_bytes(content)
    with pytest.raises(UserError, match=rf"5_subsets/clip_score\.npy: {problem}"):
        report(root, tmp_path / "r.html")
    assert not list(tmp_path.glob("*.html"))


def test_a_truncated_shard_costs_its_pictures_only(build_root, make_pairs, tmp_path):
    root = build_root(make_pairs(60))
    tar = root / "3_shards" / "00000.tar"
    tar.write_bytes(tar.read_bytes()[:20_000])
    html = report(root, tmp_path / "r.html")
    assert "no image" in html
    assert "data:image/jpeg" in html


def test_subset_accounts_that_hold_a_manifest_join_the_table_of_stages(build_root, make_pairs, tmp_path):
    root = build_root(make_pairs(60))
    manifest = json.loads((root / "4_scores" / "_manifest.json").read_text()) | {"stage": "filter"}
    del manifest["facts"]  # `filter` tells its own in other entries
    del manifest["content_hash"]  # not in accounts of older releases, nor needed
    path = root / "5_subsets" / "clip_score.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | manifest))
    assert "5_subsets" in Page(report(root, tmp_path / "r.html")).text


def test_it_works_from_a_zip(whole_root, tmp_path):
    here = Path(__file__).resolve().parents[3]
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        for package in ("schemas", "pipeline"):
            for path in (here / package).rglob("*"):
                if path.suffix in {".py", ".html", ".css"}:
                    archive.write(path, path.relative_to(here))
    code = (
        f"import pipeline.report as r; assert '.zip' in r.__file__; r.run(r.ReportConfig(root={str(whole_root)!r}, out='r.html'))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'code.zip'); {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.html").stat().st_size > 100_000


def test_datacomps_own_metadata_gives_captions_and_scores_without_pictures(shared_data, tmp_path):
    (tmp_path / "4_scores").symlink_to(shared_data / "datacomp" / "metadata")
    page = Page(report(tmp_path, tmp_path / "r.html", pairs=3))
    captions = [attrs["title"] for tag, attrs in page.tags if attrs.get("class") == "caption"]
    assert len(captions) == 3
    assert "clip_l14_similarity_score" in page.text
    assert page.text.count("no image") == 3
