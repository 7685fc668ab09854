"""Card, datasheet, Croissant and release.json: what they say, and that no value in them does anything else."""

import json
import re
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.release import ReleaseConfig, run
from pipeline.release.census import Census, census_of
from pipeline.release.column_types import croissant_type, feature_of
from pipeline.release.documents import write_documents
from pipeline.release.escaping import code, markdown, yaml
from pipeline.release.layout import read_release
from pipeline.release.licences import known_licence, licence_url
from pipeline.release.provenance import without_local_paths
from schemas.errors import UsageError
from tests.pipeline.release.roots import config_of, contents, make_root, pair, write_manifest

HOSTILE = "x\n---\n# <script>alert(1)</script> [a](javascript:b) | ``` {{ 7*7 }} \"' : \u202e\u0085 https://evil.example @me"
PAIRS = [pair(number) for number in range(60)]


def front_matter(card):
    import yaml as reader

    return reader.safe_load(card.split("---\n")[1])


def test_the_card_begins_with_what_a_hub_needs_to_show_it(tmp_path):
    run(config_of(make_root(tmp_path / "root", PAIRS), tmp_path / "out", name="Our pairs"))
    front = front_matter((tmp_path / "out/README.md").read_text())
    assert front["pretty_name"] == "Our pairs"
    assert front["license"] == "cc-by-4.0"
    assert front["language"] == ["en", "de"]
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"] == ["image-to-text", "text-to-image", "zero-shot-image-classification"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/*.parquet"}]
    assert {"name": "robots", "list": "string"} in front["dataset_info"]["features"]


def test_the_funnel_goes_from_links_to_released_rows_with_every_counted_drop(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    write_manifest(root, "1_candidates", "extract", {}, rows_in=90, rows_out=80, dropped_no_alt=10)
    write_manifest(root, "2_pool", "pool", {}, rows_in=80, rows_out=60, dropped_duplicate=15, dropped_opt_out_noai=3)
    run(config_of(root, tmp_path / "out"))
    for name in ("README.md", "DATASHEET.md"):
        text = (tmp_path / "out" / name).read_text()
        assert "| − no alt | 10 |" in text
        assert "| − page opts out: noai | 3 |" in text
        assert "| − not counted by reason | 2 |" in text  # 80 - 60 - 15 - 3
        assert re.search(r"^\| (\*\*)?rows released(\*\*)? \| 48 \|", text, re.M)


def test_the_datasheet_has_every_parameter_of_every_stage_and_marks_what_a_person_must_answer(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    write_manifest(
        root, "2_pool", "pool", {"seed": 7, "remove": ["list.txt sha256:ab12"], "nested": {"inner": True}}, rows_in=1, rows_out=1
    )
    run(config_of(root, tmp_path / "out"))
    text = (tmp_path / "out/DATASHEET.md").read_text()
    assert all(line in text for line in ("| `seed` | `7` |", '| `remove` | `["sha256:ab12"]` |', "| `nested.inner` | `true` |"))
    assert text.count("o be answered by the publisher") >= 5
    assert "Versions: python 3.11.0, webpairs 0.1.0." in text


def test_no_path_or_user_name_of_the_machine_is_in_any_file(tmp_path):
    secret = "jane-doe-secret"
    home = tmp_path / secret / "my data"
    pairs = [
        pair(number, wat_path=f"{home}/root/0_web/wat/a.wat.gz" if number % 2 else f"/home/{secret}/b.wat.gz")
        for number in range(60)
    ]
    root = make_root(home / "root", pairs, subsets={"some": [pairs[1]["uid"]]})
    told = {"wat": [f"{home}/root/0_web", f"/home/{secret}/wats/x.gz sha256:ab12"], "sets": {f"{home}/eval/a.parquet": "digest"}}
    write_manifest(root, "1_candidates", "extract", {**told, "proxy": f"http://{secret}:pw@host.example/"}, rows_in=1, rows_out=1)
    run(config_of(root, home / "out", creator="A Lab"))
    everything = {path: path.read_bytes() for path in (home / "out").rglob("*") if path.is_file()}
    assert [path.name for path, data in everything.items() if secret.encode() in data] == []
    stages = json.loads((home / "out/release.json").read_text())["stages"]
    assert stages["1_candidates"]["config"]["wat"] == ["0_web", "x.gz sha256:ab12"]
    assert stages["1_candidates"]["config"]["sets"] == {"a.parquet": "digest"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("/data/root/4_scores", "4_scores"),
        ("/data/root", "."),
        ("/data/rooted/x", "x"),
        ("s3://bucket/folder/x", "s3://bucket/folder/x"),
        ("https://user:pw@host/a/b", "https://host/a/b"),
        ("file:///home/me/x", "x"),
        ("~/x/y", "y"),
        ("../up/y", "y"),
        ("crawl-data/CC-MAIN/a.gz", "crawl-data/CC-MAIN/a.gz"),
        ('["/home/me/a.npy", "/data/root/b.npy"]', '["a.npy", "b.npy"]'),
        ("clip/score at 0.3 and/or", "clip/score at 0.3 and/or"),
        ({"upstream /data/root/2_pool": 1}, {"upstream 2_pool": 1}),
        (3.5, 3.5),
    ],
)
def test_local_paths_are_reduced_and_addresses_are_kept(value, told):
    assert without_local_paths(value, "/data/root") == told


def test_hostile_names_of_all_kinds_stay_text(tmp_path):
    pairs = [pair(number, text=HOSTILE, lang="</x>" if number % 2 else "en", domain=f"<b>`{number}|") for number in range(60)]
    root = make_root(tmp_path / "root", pairs, subsets={"a`b|<i>": [pairs[1]["uid"]]})
    write_manifest(root, "2_pool", "pool", {HOSTILE: HOSTILE}, rows_in=1, rows_out=1, **{f"dropped_{HOSTILE}": 4})
    run(config_of(root, tmp_path / "out", name=HOSTILE, license=HOSTILE, homepage=HOSTILE, creator=HOSTILE))
    card = (tmp_path / "out/README.md").read_text()
    front = front_matter(card)
    assert front["license"] == "other"
    assert front["license_name"] == front["pretty_name"]
    assert "⟨U+000A⟩" in front["pretty_name"]
    for name in ("README.md", "DATASHEET.md"):
        text = (tmp_path / "out" / name).read_text()
        body = text.split("---\n", 2)[2] if name == "README.md" else text
        outside = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", body)  # what is no code
        assert "<script" not in outside
        assert "](javascript" not in outside.replace("\\]", "")
        assert "https://evil" not in outside
        assert "\u202e" not in text
        assert "{{" not in outside or "{{ 7\\*7 }}" in outside
        assert len([line for line in body.splitlines() if line.startswith("# ")]) == 1
    json.loads((tmp_path / "out/croissant.json").read_text())


def test_captions_never_get_into_a_document(tmp_path):
    pairs = [pair(number, text=f"caption-of-number-{number}") for number in range(60)]
    run(config_of(make_root(tmp_path / "root", pairs), tmp_path / "out"))
    documents = {name: data for name, data in contents(tmp_path / "out").items() if not name.startswith("data/")}
    assert [name for name, data in documents.items() if b"caption-of-number" in data] == []


def test_markdown_is_shown_as_it_is_written():
    assert markdown("a_b *c* [d](e) `f` <g> & | #h") == r"a\_b \*c\* \[d\](e) \`f\` &lt;g&gt; &amp; \| \#h"
    assert markdown("- item") == "\\- item"
    assert markdown("1. item") == "1\\. item"
    assert markdown("see http://x.example and WWW.y.example") == r"see http\://x.example and WWW\.y.example"
    assert markdown("two\nlines") == "two⟨U+000A⟩lines"


@pytest.mark.parametrize("text", ["a", "`", "``a`b``", "a|b", "", "a\nb"])
def test_code_is_fenced_by_more_backticks_than_it_has(text):
    made = code(text)
    fence = re.match("`+", made)[0]
    assert made.endswith(fence)
    assert fence not in made[len(fence) : -len(fence)]
    assert re.search(r"(?<!\\)\|", made) is None


@pytest.mark.parametrize("text", ["plain", HOSTILE, "yes", "null", "1e3", "\ud800", "\U0001f600 \x7f \ufffe \u2028"])
def test_a_scalar_of_yaml_is_read_back_as_text(text):
    import yaml as reader

    assert isinstance(reader.safe_load(f"key: {yaml(text)}")["key"], str)


def test_types_are_told_in_the_words_of_others():
    assert feature_of("list<element: list<element: float not null> not null>") == {"list": {"list": "float32"}}
    assert croissant_type("list<element: list<element: float not null> not null>") == ("cr:Float32", 2)
    assert feature_of("struct<a: int32>") is None
    assert croissant_type("struct<a: int32>") is None


def test_licences_are_known_by_the_names_of_spdx():
    assert known_licence("CC-BY-4.0") == "cc-by-4.0"
    assert known_licence("ODbL-1.0") == "odbl"
    assert known_licence("our own") is None
    assert licence_url("CC0-1.0").startswith("https://creativecommons.org/publicdomain/zero")


def test_the_documents_can_be_written_from_the_description_alone(tmp_path):
    """As `revise` does it."""
    run(config_of(make_root(tmp_path / "root", PAIRS, subsets={"some": [PAIRS[1]["uid"]]}), tmp_path / "out", file_rows=20))
    before = contents(tmp_path / "out")
    for name in ("README.md", "DATASHEET.md", "croissant.json", "SHA256SUMS"):
        (tmp_path / "out" / name).unlink()
    write_documents(str(tmp_path / "out"), read_release(str(tmp_path / "out")))
    assert contents(tmp_path / "out") == before


def test_a_census_of_files_is_the_census_of_all_rows(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    for name, file_rows in (("whole", 1000), ("parts", 7)):
        run(config_of(root, tmp_path / name, file_rows=file_rows))
    whole, parts = (read_release(str(tmp_path / name)).census for name in ("whole", "parts"))
    assert whole == parts
    assert census_of([whole]).n_domains == len({each["domain"] for each in PAIRS})
    assert Census.of({}).rows == 0


def test_the_command_line_needs_no_more_than_root_and_out(tmp_path, capsys):
    root = make_root(tmp_path / "root", PAIRS)
    assert main(["release", "--root", str(root), "--out", str(tmp_path / "out")]) == 0
    assert "release: rows_in 48, rows_out 48" in capsys.readouterr().out


def test_a_blank_name_and_files_without_rows_are_refused():
    with pytest.raises(UsageError, match="--name"):
        ReleaseConfig(root="r", out="o", name=" ")
    with pytest.raises(UsageError, match="--file-rows 0: must be at least 1"):
        ReleaseConfig(root="r", out="o", file_rows=0)


def test_a_relative_root_leaves_no_trace_of_where_it_is(tmp_path, monkeypatch):
    make_root(tmp_path / "root", PAIRS)
    monkeypatch.chdir(tmp_path)
    run(config_of("root", "out"))
    assert Path("out/SHA256SUMS").exists()
    stages = json.loads(Path("out/release.json").read_text())["stages"]
    assert stages["3_shards"]["config"]["pool"] == "2_pool"
    everything = [path for path in Path("out").rglob("*") if path.is_file()]
    assert [path for path in everything if str(tmp_path).encode() in path.read_bytes()] == []


def test_a_removal_list_is_told_by_its_hash_for_its_name_may_say_who_asked(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    lists = ["asked-by-jane-doe.txt sha256:ab12", "/home/me/jane-doe.txt"]
    for folder in ("2_pool", "3_shards"):
        write_manifest(root, folder, folder[2:], {"remove": lists}, rows_in=1, rows_out=1)
    run(config_of(root, tmp_path / "out"))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"jane" in path.read_bytes()]
    stages = json.loads((tmp_path / "out/release.json").read_text())["stages"]
    assert stages["2_pool"]["config"]["remove"] == ["sha256:ab12", "a list"]
