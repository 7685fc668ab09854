"""Compiled removal lists against the obvious: Python sets of what stands on the lists."""

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.addresses import host_of, normalise
from pipeline.removal import REASONS, compiled
from pipeline.removal.compile import compile_lists
from pipeline.removal.keys import keys_of_hex
from pipeline.removal.table import Table
from schemas.errors import UserError

HOSTS = ["a.example", "b.a.example", "c.b.a.example", "ba.example", "x.co.uk", "y.x.co.uk", "münchen.example"]
PATHS = ["", "/", "/a.jpg", "/%61.jpg", "/b/../a.jpg", "/a.jpg?x=1", "/A.jpg", "/a%2fb"]
URLS = [f"{scheme}://{host}{path}" for scheme in ("http", "https") for host in HOSTS for path in PATHS]
UIDS = [hashlib.md5(str(n).encode()).hexdigest() for n in range(20)]
HASHES = [hashlib.new(name, url.encode()).hexdigest() for name in ("md5", "sha1", "sha256") for url in URLS]


def reason_by_sets(entries, uid, url):
    """What a list means, said as plainly as can be."""
    listed = {entry.lower() for entry in entries}
    urls = {normalise(entry) for entry in entries if "://" in entry}
    domains = {host_of(f"http://{entry}") for entry in entries if "." in entry and "://" not in entry}
    labels = host_of(url).split(".")
    hashes = {hashlib.new(name, url.encode()).hexdigest() for name in ("md5", "sha1", "sha256")}
    holds = {
        "uid": uid in listed,
        "url": normalise(url) in urls,
        "domain": any(".".join(labels[n:]) in domains for n in range(len(labels))),
        "hash": bool(hashes & listed),
    }
    return next((reason for reason in REASONS if holds[reason]), None)


@given(
    st.lists(st.sampled_from([*URLS, *HOSTS, *UIDS, *(uid.upper() for uid in UIDS), *HASHES]), max_size=30),
    st.lists(st.tuples(st.sampled_from(UIDS), st.sampled_from(URLS)), max_size=30),
)
def test_the_compiled_lists_answer_as_sets_do(tmp_path_factory, entries, pairs):
    path = tmp_path_factory.mktemp("removal") / "list.txt"
    path.write_text("\n".join(entries))
    with compiled((str(path),)) as removal:
        codes = removal.reasons([uid for uid, _ in pairs], [url for _, url in pairs])
    expected = [reason_by_sets(entries, uid, url) for uid, url in pairs]
    assert [REASONS[code - 1] if code else None for code in codes] == expected


def test_a_uid_that_is_none_and_a_url_that_is_none_are_on_no_list(tmp_path):
    (tmp_path / "list.txt").write_text("\n".join([UIDS[0], URLS[0], HOSTS[1]]))
    with compiled((str(tmp_path / "list.txt"),)) as removal:
        assert removal.reasons(["", "7", "g" * 32, UIDS[0]], ["", "no url", "ftp://a.example/", ""]).tolist() == [0, 0, 0, 1]
        assert removal.reasons([], []).tolist() == []


def test_bytes_are_known_by_any_of_their_hashes(tmp_path):
    contents = [b"", b"one picture", b"another"]
    for name in ("md5", "sha1", "sha256"):
        (tmp_path / "list.txt").write_text("\n".join(hashlib.new(name, content).hexdigest() for content in contents[:2]))
        with compiled((str(tmp_path / "list.txt"),)) as removal:
            assert [removal.reason_of_content(content) for content in contents] == [name, name, None]


@pytest.fixture
def small_runs(monkeypatch):
    """Blocks and runs so small that a short list needs many of them."""
    monkeypatch.setattr("pipeline.removal.lists._BLOCK_BYTES", 1000)
    monkeypatch.setattr("pipeline.removal.compile._RUN_KEYS", 50)


def test_lists_of_many_blocks_and_runs_are_one_sorted_set(tmp_path, small_runs):
    # Few high halves on purpose: keys that share one must be told apart by the other.
    draw = random.Random(7)
    digests = [f"{draw.randrange(9) << 60:016x}{draw.randrange(2000):016x}" for _ in range(5000)]
    lists = [tmp_path / "one.txt", tmp_path / "two.txt"]
    lists[0].write_text("".join(f"{digest}{draw.choice(['', ' # note', chr(13)])}\n" for digest in digests[:2000]))
    lists[1].write_text("\n".join([*digests[1000:4000], "example.org"]))
    said = compile_lists([str(path) for path in lists], str(tmp_path / "compiled"))
    table = Table(str(tmp_path / "compiled"))
    high, low = table._halves["md5"]
    assert list(zip(high.tolist(), low.tolist(), strict=True)) == sorted({divmod(int(d, 16), 2**64) for d in digests[:4000]})
    asked = sorted(set(digests))
    assert len(asked) > len(set(digests[:4000])) + 300
    assert table.contains("md5", keys_of_hex(asked)).tolist() == [digest in set(digests[:4000]) for digest in asked]
    assert said == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in lists}
    assert table.has("domain")
    assert not table.has("url")


def test_the_line_of_an_error_is_right_in_a_later_block(tmp_path, small_runs):
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{UIDS[0]}\n" for _ in range(500)) + "no entry\n")
    with pytest.raises(UserError, match=r"list\.txt:501: 'no entry'"), compiled((str(path),)):
        pass


def test_the_same_entries_in_any_order_compile_to_the_same_bytes(tmp_path, small_runs):
    for name, entries in (("one", [*URLS, *UIDS]), ("two", [*UIDS, *URLS[::-1], *UIDS])):
        (tmp_path / f"{name}.txt").write_text("\n".join(entries))
        compile_lists([str(tmp_path / f"{name}.txt")], str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_nothing_is_found_in_nothing(tmp_path):
    (tmp_path / "list.txt").write_text("")
    compile_lists([str(tmp_path / "list.txt")], str(tmp_path / "compiled"))
    assert Table(str(tmp_path / "compiled")).contains("md5", np.array([[1, 2]], np.uint64)).tolist() == [False]


@pytest.mark.parametrize("content", [b"", b"no table", b'{"format": "webpairs removal 0"}'.ljust(4096)])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "compiled").write_bytes(content)
    with pytest.raises(UserError, match="not a compiled removal list"):
        Table(str(tmp_path / "compiled"))
