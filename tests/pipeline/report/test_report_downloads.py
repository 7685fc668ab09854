"""What the report tells of downloads: drawn from manifests as the stage frame writes them, and nothing drawn where none tells."""

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from pipeline.manifest import PartReport
from pipeline.options import StageConfig, option
from pipeline.report import ReportConfig, run
from pipeline.report.downloads import MOST_TLDS, REST, domains, outcomes, shard_rates
from pipeline.report.read import read_root
from pipeline.stage import Part, run_stage


@dataclass(frozen=True, kw_only=True)
class CountConfig(StageConfig):
    out: str = option("folder")
    shards: tuple = option("per shard {top-level domain: {count's name: pairs}}", ())


def count_shard(config, part, folder):
    """A shard of which only the account is written."""
    by_tld = config.shards[int(part.name)]
    counts = Counter()
    for found in by_tld.values():
        counts.update(found)
    rate = counts["success"] / counts.total()
    facts = {"success_rate": rate, "outcomes_by_tld": by_tld}
    return PartReport(name=part.name, counts={"rows_in": counts.total(), "rows_out": counts["success"], **counts}, facts=facts)


def summed(reports):
    found = {}
    for report in reports:
        for tld, counts in report.facts["outcomes_by_tld"].items():
            found.setdefault(tld, Counter()).update(counts)
    return {"outcomes_by_tld": {tld: dict(counts) for tld, counts in found.items()}}


@pytest.fixture
def download(tmp_path):
    """Make a root whose shards have these outcomes; its path."""

    def make(*shards, facts=summed):
        out = str(tmp_path / "root" / "3_shards")
        parts = [Part(name=f"{i:05d}") for i in range(len(shards))]
        run_stage("download", CountConfig(out=out, shards=shards), parts, count_shard, out=out, facts=facts)
        return tmp_path / "root"

    return make


def section(root):
    """The part of the report on downloads."""
    out = root / "r.html"
    run(ReportConfig(root=str(root), out=str(out)))
    html = out.read_text("utf-8")
    return html[html.index("Download outcomes</h3>") : html.index('<section id="provenance">')]


COM = {"success": 8, "failed_to_download_http_404": 2}
ORG = {"success": 1, "failed_to_resize_truncated": 3}


def test_outcomes_are_drawn_most_first_with_counts_and_shares(download):
    html = section(download({"com": COM, "org": ORG}, {"com": COM}))
    bars = re.findall(r"<text[^>]*>([^<]+)</text>", html)
    drawn = [text for text in bars if "(" in text]
    assert drawn == ["17 (70.8 %)", "4 (16.7 %)", "3 (12.5 %)"]
    assert {"success", "HTTP 404", "truncated"} <= set(bars)


def test_the_success_rate_of_each_top_level_domain_is_told_with_its_pairs(download):
    root = download({"com": COM, "org": ORG}, {"com": COM, "other": {"success": 1}})
    assert [(d.name, d.successes, d.pairs) for d in domains(read_root(str(root)))] == [
        ("com", 16, 20),
        ("org", 1, 4),
        (REST, 1, 1),
    ]
    html = section(root)
    assert ">80.0 % of 20<" in html
    assert ">.org<" in html
    assert ">25.0 % of 4<" in html


def test_domains_beyond_the_most_frequent_are_told_together(download):
    tlds = {f"t{i:02d}": {"success": 30 - i} for i in range(20)}
    found = domains(read_root(str(download(tlds))))
    assert [domain.name for domain in found] == [*(f"t{i:02d}" for i in range(MOST_TLDS)), REST]
    assert found[-1].pairs == sum(30 - i for i in range(MOST_TLDS, 20))


def test_success_over_the_shards_is_drawn_from_two_shards_on(download):
    root = download({"com": COM}, {"org": ORG})
    assert shard_rates(read_root(str(root))) == (0.8, 0.25)
    assert "By shard" in section(root)


def test_one_shard_has_no_curve(download):
    assert "By shard" not in section(download({"com": COM}))


def test_thousands_of_shards_are_drawn_small(download):
    root = download(*({"com": {"success": 60 + i % 40, "failed_to_download_timeout": 40 - i % 40}} for i in range(2000)))
    html = section(root)
    assert "success rate of 2,000 shards: 60.0 to 99.0 %" in html
    assert len(html) < 150_000


def test_a_manifest_without_these_facts_gives_the_outcomes_alone(download):
    root = download({"com": COM}, facts=None)
    html = section(root)
    assert "By outcome" in html
    assert "By top-level domain" not in html


def test_a_root_without_downloads_says_what_fills_the_place(download, tmp_path):
    root = download({"com": COM})
    (root / "3_shards").rename(tmp_path / "elsewhere")
    run_stage("score", CountConfig(out=str(root / "4_scores")), [], count_shard, out=str(root / "4_scores"))
    html = section(root)
    assert "<svg" not in html
    assert "<code>webpairs download</code>" in html


def test_names_from_the_web_are_shown_and_never_obeyed(download):
    nasty = "</svg><script>x</script>"
    html = section(download({nasty: {"success": 1, f"failed_to_download_{nasty}": 2}, "a\u202eb": {"success": 1}}))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "\u202e" not in html


@pytest.mark.parametrize(
    "facts", [{"outcomes_by_tld": []}, {"outcomes_by_tld": {"com": 3}}, {"outcomes_by_tld": {"com": {"success": "9"}}}]
)
def test_facts_of_another_shape_are_passed_over(download, facts):
    root = download({"com": COM}, {"com": COM}, facts=lambda _: {**facts, "00000": {"success_rate": "high"}, "00001": 7})
    assert domains(read_root(str(root))) == ()
    assert shard_rates(read_root(str(root))) == ()
    assert [o.pairs for o in outcomes(read_root(str(root)))] == [16, 4]
    assert "By outcome" in section(root)
