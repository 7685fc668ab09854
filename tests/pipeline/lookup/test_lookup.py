"""lookup: one word finds exactly the rows that a slow reading of every row finds, and says where they stand besides."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.addresses import domain_of, host_of, normalise
from pipeline.cli import main
from pipeline.lookup import LookupConfig
from pipeline.lookup.finding import answer_to, rows_of
from pipeline.lookup.sought import read_sought
from schemas.errors import UsageError, UserError
from tests.pipeline.release.making import make_release, row, uid_of

HOSTS = [
    "example.com",
    "img.example.com",
    "a.img.example.com",
    "example.com.au",
    "a.example",
    "aa.example",
    "b.a.example",
    "example.co.uk",
    "other.co.uk",
    "xn--bcher-kva.example",
    "BÜCHER.example",
    "EXAMPLE.com",
    "user@example.com",
    "example.com:8080",
    "192.0.2.1",
    "0xc0.0.2.1",
    "me.github.io",
    "you.github.io",
]
PATHS = [
    "",
    "/",
    "/a.jpg",
    "/%61.jpg",
    "/b/../a.jpg",
    "/a.jpg#x",
    "/a.jpg?",
    "/a.jpg?q=1",
    "/%7Ea/ü.png",
    "/~a/%c3%bc.png",
    "/A.jpg",
]
ADDRESSES = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}{path}",
    st.sampled_from(["http", "https"]),
    st.sampled_from(HOSTS),
    st.sampled_from(PATHS),
)


def row_at(url, page_url, number):
    text = f"picture {number}"
    made = row(number, text=text, url=url, page_url=page_url, uid=uid_of(url, text))
    return made | {"domain": domain_of(host_of(url))}


def found_in(folder, word, **options):
    answer = answer_to(LookupConfig(release=str(folder), sought=word, format="json", **options))
    found = list(rows_of(answer))
    assert len(found) == answer.found.count
    return {each["columns"]["uid"] for each in found}


def scan(rows, word, *, pages=False):
    """The uids of the rows that are meant, by reading every one of them."""
    sought = read_sought(word)
    if sought.kind == "uid":
        return {each["uid"] for each in rows if each["uid"] == word.lower()}
    found = set()
    for each in rows:
        near = each["domain"] in sought.domains  # a page is compared only where the image is of its domain
        urls = [each["url"], *([each["page_url"]] if pages or (sought.kind == "url" and near) else [])]
        for url in urls:
            host = host_of(url)
            below = host == sought.key or host.endswith(f".{sought.key}")
            if below if sought.kind == "host" else normalise(url) == sought.key:
                found.add(each["uid"])
    return found


def told(capsys, *words):
    assert main(["lookup", *map(str, words)]) == 0
    return capsys.readouterr().out


def told_as_json(capsys, *words):
    return [json.loads(line) for line in told(capsys, *words, "--format", "json").splitlines()]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A release of URLs in many spellings, under a name that no pattern and no query may take for its own."""
    addresses = [f"{scheme}://{host}{path}" for host in HOSTS for path in PATHS for scheme in ("http", "https")]
    rows = [row_at(url, addresses[(7 * i) % len(addresses)], i) for i, url in enumerate(addresses)]
    return make_release(tmp_path_factory.mktemp("lookup") / "a*b[c]'d", rows, file_rows=90), rows


@settings(max_examples=20)
@given(word=ADDRESSES, pages=st.booleans())
def test_an_address_finds_what_a_slow_scan_finds_however_it_is_spelled(mixed, word, pages):
    folder, rows = mixed
    assert found_in(folder, word, pages=pages) == scan(rows, word, pages=pages) != set()


@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize(
    "word", ["bücher.example", "*.example.com", "example.com.", "www.example.com", "github.io", "co.uk", "192.0.2.1", *HOSTS[:11]]
)
def test_a_host_finds_its_own_rows_and_those_below_it(mixed, word, pages):
    folder, rows = mixed
    assert found_in(folder, word, pages=pages) == scan(rows, word, pages=pages)


def test_a_name_is_not_taken_for_another_that_begins_or_ends_like_it(mixed):
    folder, rows = mixed
    hosts = {each["uid"]: host_of(each["url"]) for each in rows}
    assert {hosts[uid] for uid in found_in(folder, "example.com")} == {"example.com", "img.example.com", "a.img.example.com"}
    assert {hosts[uid] for uid in found_in(folder, "a.example")} == {"a.example", "b.a.example"}
    assert {hosts[uid] for uid in found_in(folder, "img.example.com")} == {"img.example.com", "a.img.example.com"}


@settings(max_examples=6)
@given(
    urls=st.lists(st.tuples(ADDRESSES, ADDRESSES), min_size=1, max_size=6),
    words=st.lists(ADDRESSES | st.sampled_from(HOSTS[:6]), min_size=1, max_size=2),
    pages=st.booleans(),
)
def test_random_releases_are_searched_as_a_slow_scan_would(tmp_path_factory, urls, words, pages):
    rows = [row_at(url, page, i) for i, (url, page) in enumerate(urls)]
    folder = make_release(tmp_path_factory.mktemp("random"), rows, file_rows=5)
    uids = [rows[0]["uid"].upper(), "0" * 32]
    for word in [*words, *uids]:
        assert found_in(folder, word, pages=pages) == scan(rows, word, pages=pages)


def test_a_uid_is_found_in_either_case_with_all_its_columns(tmp_path, capsys):
    rows = [row(i) for i in range(12)]
    folder = make_release(tmp_path, rows, file_rows=5)
    found, summary = told_as_json(capsys, folder, rows[7]["uid"].upper())
    assert found["columns"]["fetched_at"] == "2024-05-21T00:00:00+00:00"
    assert found["columns"]["clip_b32_similarity_score"] == pytest.approx(0.07)
    assert {name: found["columns"][name] for name in ("url", "robots", "record_offset", "opted_out")} == {
        name: rows[7][name] for name in ("url", "robots", "record_offset", "opted_out")
    }
    table = pq.read_table(folder / found["file"]).slice(found["row"], 1)
    assert table["uid"].to_pylist() == [rows[7]["uid"]]
    assert set(found["columns"]) == set(table.column_names)
    assert (summary["found"], summary["searched"]) == (1, {"rows": 12, "files": 3, "missing": []})


def test_what_is_not_there_is_said_with_what_was_searched(tmp_path, capsys):
    folder = make_release(tmp_path, [row(i) for i in range(12)], file_rows=5)
    for word in ("0" * 32, "https://nowhere.example/a.jpg", "nowhere.example"):
        out = told(capsys, folder, word)
        assert "found: nothing" in out
        assert "searched: 12 rows in 3 files" in out
    assert "look up nowhere.example" in told(capsys, folder, "https://nowhere.example/a.jpg")


def test_a_release_without_rows_is_searched_too(tmp_path, capsys):
    assert "found: nothing" in told(capsys, make_release(tmp_path, []), "example.org")


def test_the_first_rows_of_a_domain_are_shown_and_all_are_counted(tmp_path, capsys):
    folder = make_release(tmp_path, [row(i, domain="big.example") for i in range(30)], file_rows=7)
    out = told(capsys, folder, "big.example", "--limit", 3)
    assert "row 3 of 30" in out
    assert "row 4 of 30" not in out
    assert "found: 30 rows; the first 3 are shown" in out
    assert "found: 30 rows; the first 0 are shown" in told(capsys, folder, "big.example", "--limit", 0)
    assert [each["kind"] for each in told_as_json(capsys, folder, "big.example", "--limit", 3)] == ["row"] * 30 + ["summary"]


def test_a_host_without_rows_of_its_own_is_told_of_its_domain(tmp_path, capsys):
    folder = make_release(tmp_path, [row(1, domain="big.example")])
    assert "hint: big.example has rows" in told(capsys, folder, "www.big.example")


def test_a_pair_is_told_of_what_it_is_a_copy_and_which_are_its_copies(tmp_path, capsys):
    rows = [row(i) for i in range(20)]
    first, second, third = (rows[i]["uid"] for i in (2, 9, 15))
    rows[9] |= {"dup_of": first, "dup_cos": 0.97, "exact_dup_of": first}
    rows[15] |= {"phash_dup_of": first, "phash_dup_bits": 3}
    folder = make_release(tmp_path, rows, file_rows=6)
    assert f"{first}  {rows[2]['url']}" in told(capsys, folder, second)
    lines = [each for each in told_as_json(capsys, folder, first, "--copies") if each["kind"] == "copy"]
    assert {each["columns"]["uid"]: each["copy_of"] for each in lines} == {
        second: {"exact_dup_of": first, "dup_of": first},
        third: {"phash_dup_of": first},
    }
    assert "copies: 2 rows" in told(capsys, folder, first, "--copies")


def test_what_is_found_becomes_a_removal_list(tmp_path, capsys):
    rows = [row(i) for i in range(20)]
    rows[9] |= {"dup_of": rows[2]["uid"]}
    folder, listed = make_release(tmp_path / "release", rows), tmp_path / "list.txt"
    told(capsys, folder, rows[2]["url"], "--copies", "--save-list", listed, "--limit", 0)
    assert listed.read_text().split() == [rows[2]["uid"], rows[9]["uid"]]


def test_what_a_page_wrote_reaches_the_terminal_escaped(tmp_path, capsys):
    made = row(1, text="\x1b[2J a \u202e caption\r\n")
    folder = make_release(tmp_path, [made | {"page_url": "https://a.example/\x1b]0;x\x07"}])
    out = told(capsys, folder, made["uid"])
    assert all(sign.isprintable() or sign == "\n" for sign in out)
    assert "\\x1b[2J a \\u202e caption\\r\\n" in out
    (found, _) = told_as_json(capsys, folder, made["uid"])
    assert found["columns"]["text"] == made["text"]


@pytest.mark.parametrize(
    "word", ["hello world", "ftp://a.example/b", "a@b.example", "abc123", "https://", "' OR 1=1 --", "..", "x\0.example"]
)
def test_what_is_neither_uid_nor_address_nor_domain_is_refused_with_examples(tmp_path, word):
    with pytest.raises(UsageError, match="give a uid"):
        answer_to(LookupConfig(release=str(tmp_path), sought=word))


def test_the_command_ends_with_2_on_a_wrong_word_and_1_on_a_folder_that_is_no_release(tmp_path, capsys):
    assert main(["lookup", str(tmp_path), "not a domain"]) == 2
    assert main(["lookup", str(tmp_path), "a.example"]) == 1
    assert "release.json" in capsys.readouterr().err


def test_files_that_a_copy_lacks_are_told(tmp_path, capsys):
    rows = [row(i) for i in range(12)]
    folder = make_release(tmp_path, rows, file_rows=5, subsets={"all": [each["uid"] for each in rows]})
    (folder / "data" / "00001.parquet").unlink()
    (folder / "subsets" / "all.npy").unlink()
    out = told(capsys, folder, "0" * 32)
    assert "searched: 7 rows of the release's 12 in 2 files" in out
    assert "2 files that release.json names are not here: data/00001.parquet, subsets/all.npy" in out


def test_a_copy_with_some_columns_is_searched_by_those(tmp_path, capsys):
    rows = [row(i) for i in range(12)]
    folder = make_release(tmp_path, rows)
    path = folder / "data" / "00000.parquet"
    pq.write_table(pq.read_table(path, columns=["uid", "url"]), path)
    assert found_in(folder, "site001.example") == scan(rows, "site001.example")
    assert found_in(folder, rows[3]["url"], pages=True) == {rows[3]["uid"]}
    pq.write_table(pq.read_table(path, columns=["uid"]), path)
    assert found_in(folder, rows[3]["uid"]) == {rows[3]["uid"]}
    with pytest.raises(UserError, match="no column 'url'"):
        found_in(folder, "site001.example")


def test_a_damaged_file_is_named_as_such(tmp_path, capsys):
    folder = make_release(tmp_path, [row(i) for i in range(12)])
    (folder / "data" / "00000.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert main(["lookup", str(folder), "a.example"]) == 1
    assert "SHA256SUMS" in capsys.readouterr().err


def test_the_search_imports_nothing_that_it_does_not_need(tmp_path):
    folder = make_release(tmp_path, [row(1)], subsets={"all": [row(1)["uid"]]})
    words = ["lookup", str(folder), row(1)["url"]]
    code = f"import sys\nfrom pipeline.cli import main\nmain({words})\nprint(sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.strip("'[] ") for name in ran.stdout.splitlines()[-1].split(",")}
    assert loaded & {"numpy", "pandas", "pyarrow", "torch", "tldextract"} == set()


def test_a_release_on_an_object_store_is_searched_where_it_is(tmp_path, s3_environment, monkeypatch, capsys):
    import s3fs

    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    rows = [row(i) for i in range(30)]
    folder = make_release(tmp_path / "small", rows, file_rows=10, subsets={"one": [rows[4]["uid"]] * 2})
    store = s3fs.S3FileSystem(endpoint_url=s3_environment["AWS_ENDPOINT_URL"], use_listings_cache=False)
    store.mkdir("published")
    store.put(str(folder), "published/", recursive=True)
    out = told(capsys, "s3://published/small", rows[4]["uid"])
    assert "row 1 of 1: data/00000.parquet" in out
    assert "2 times" in out
    assert "found: 5 rows" in told(capsys, "s3://published/small", "site002.example")
