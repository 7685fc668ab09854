"""pull from sources that behave: a whole copy, again, some files, the next revision, from a web server, a hub and a folder."""

import hashlib
import json
import shutil
import subprocess

import pytest

from pipeline.pull.hub import hub_folder
from pipeline.release.layout import read_release
from pipeline.release.sums import read_sums
from schemas.errors import UsageError, UserError
from tests.pipeline.pull.serving import redirect, serving
from tests.pipeline.release.making import make_release, row

FILES = 9  # of the release, besides release.json and SHA256SUMS


def test_a_copy_equals_the_release_and_sha256sum_agrees(pulled, same_as, tmp_path, server):
    manifest = pulled()
    assert same_as(tmp_path / "copy")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "copy", check=True)
    assert manifest.failed_inputs == []
    assert manifest.counts["files_downloaded"] == FILES
    assert manifest.counts["bytes_downloaded"] == server.bytes_sent()
    assert {"retries", "resumed"} <= manifest.counts.keys()


def test_it_tells_the_hash_of_the_checksums_and_can_demand_it(pulled, release, capsys, tmp_path):
    told = hashlib.sha256((release / "SHA256SUMS").read_bytes()).hexdigest()
    assert pulled(sums_sha256=told.upper()).facts["sums_sha256"] == told
    assert told in capsys.readouterr().out
    with pytest.raises(UserError, match=f"hashes to {told}, --sums-sha256 demands {'0' * 64}"):
        pulled(sums_sha256="0" * 64, out=str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_what_is_there_and_right_is_not_downloaded_again(pulled, same_as, server, tmp_path):
    pulled()
    before = len(server.asked)
    again = pulled()
    assert again.counts["files_there_already"] == FILES
    assert {one.path for one in server.asked[before:]} == {"/SHA256SUMS", "/release.json"}
    assert same_as(tmp_path / "copy")


def test_a_file_that_was_damaged_since_is_downloaded_again(pulled, same_as, tmp_path):
    pulled()
    damaged = tmp_path / "copy" / "data" / "00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert pulled().counts["files_downloaded"] == 1
    assert same_as(tmp_path / "copy")


def test_what_killed_runs_left_is_removed_when_the_copy_is_whole(pulled, same_as, tmp_path):
    left = [
        tmp_path / "copy" / "data" / name for name in ("_part.gone.npz.00", "_part.00000.parquet.00.made", "_tmp.x.parquet.00")
    ]
    left[0].parent.mkdir(parents=True)
    for path in left:
        path.write_bytes(b"left")
    pulled()
    assert same_as(tmp_path / "copy")
    assert [path for path in left if path.exists()] == []


def test_a_copy_made_by_other_means_is_completed(pulled, release, same_as, tmp_path):
    shutil.copytree(release, tmp_path / "copy")
    (tmp_path / "copy" / "data" / "00001.parquet").unlink()
    assert pulled().counts["files_downloaded"] == 1
    assert same_as(tmp_path / "copy")


def test_a_file_of_that_name_that_no_pull_brought_is_left_alone(pulled, tmp_path):
    mine = tmp_path / "copy" / "data" / "00001.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    manifest = pulled()
    assert [each.path for each in manifest.failed_inputs] == ["data/00001.parquet"]
    assert "which no pull brought" in manifest.failed_inputs[0].error
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / "copy" / "SHA256SUMS").exists()


def test_files_are_chosen_by_glob_and_the_copy_says_what_it_has(pulled, same_as, tmp_path, release):
    pulled(files=("data/*1.parquet", "subsets/*"))
    copy = tmp_path / "copy"
    assert read_sums(str(copy)).keys() == {"data/00001.parquet", "subsets/some.npy", "subsets/some.json", "release.json"}
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=copy, check=True)
    part, whole = read_release(str(copy)), read_release(str(release))
    assert (part.data, part.rows, part.arrays) == ({"data/00001.parquet": 100}, 100, {})
    assert part.parent == hashlib.sha256((release / "SHA256SUMS").read_bytes()).hexdigest()
    assert (part.name, part.revision, part.subsets) == (whole.name, whole.revision, whole.subsets)
    pulled(files=("data/*.parquet",))
    assert read_release(str(copy)).rows == whole.rows
    pulled()
    assert same_as(copy), "with all files it is the release itself"


def test_what_was_changed_since_it_was_pulled_is_not_vouched_for(pulled, tmp_path):
    pulled(files=("data/00000.parquet", "README.md"))
    copy = tmp_path / "copy"
    (copy / "README.md").write_text("mine")
    pulled(files=("data/00001.parquet",))
    assert read_sums(str(copy)).keys() == {"data/00000.parquet", "data/00001.parquet", "release.json"}


def test_a_glob_that_names_nothing_says_what_there_is(pulled):
    with pytest.raises(UsageError, match=r"--files data/9\*: there is no such file in the release; it has .*data/00000.parquet"):
        pulled(files=("data/9*",))


def test_the_next_revision_replaces_what_changed_and_removes_what_is_gone(release, pulled, same_as, tmp_path):
    pulled()
    (tmp_path / "copy" / "notes.txt").write_text("mine")
    after = make_release(tmp_path / "next", [row(number) for number in range(150)])
    with serving(after) as server:
        with pytest.raises(UserError, match="holds another revision"):
            pulled(url=server.url, files=("data/*",))
        manifest = pulled(url=server.url)
        assert server.requests("data/00000.parquet") == [], "it is the same in both"
    assert manifest.counts["files_of_an_earlier_revision_removed"] == 6
    assert (tmp_path / "copy" / "notes.txt").exists()
    (tmp_path / "copy" / "notes.txt").unlink()
    assert same_as(tmp_path / "copy", after)


def test_another_release_is_not_pulled_over_the_one_that_is_there(pulled, tmp_path, release):
    other = make_release(tmp_path / "other", [row(1)], name="other")
    pulled(url=str(other))
    with pytest.raises(UserError, match="holds the release 'other', not 'small'"):
        pulled()
    with pytest.raises(UserError, match="holds a release that no pull brought"):
        pulled(out=str(make_release(tmp_path / "own", [row(1)], name="own")))


def test_from_a_folder_and_never_onto_itself(pulled, release, same_as, tmp_path):
    pulled(url=str(release))
    assert same_as(tmp_path / "copy")
    pulled(url=f"file://{release}", out=str(tmp_path / "second"))
    assert same_as(tmp_path / "second")
    with pytest.raises(UsageError, match="is the release that is to be pulled"):
        pulled(url=str(release), out=str(release))
    with pytest.raises(UsageError, match="is inside of the release that is to be pulled"):
        pulled(url=str(release), out=str(release / "copies/1"))


def test_from_a_cdn_that_the_server_redirects_to(pulled, server, release, same_as, tmp_path):
    with serving(release) as cdn:
        for name in ("SHA256SUMS", "data/00000.parquet"):
            server.on(name, redirect(f"{cdn.url}/{name}?signed=secret"))
        pulled()
        assert len(cdn.asked) == 2
    assert same_as(tmp_path / "copy")
    assert "secret" not in (tmp_path / "copy" / "_manifest.json").read_text()


def test_a_query_is_sent_with_every_file_and_told_to_nobody(pulled, server, tmp_path, capsys):
    pulled(url=f"{server.url}/?sig=secret")
    assert "secret" not in (tmp_path / "copy" / "_manifest.json").read_text() + capsys.readouterr().out
    with pytest.raises(UserError, match="HTTP 404") as raised:
        pulled(url=f"{server.url}/nowhere?sig=secret", out=str(tmp_path / "other"))
    assert "secret" not in str(raised.value)


def test_from_a_hub_whose_token_no_other_host_sees(pulled, release, same_as, tmp_path, monkeypatch):
    folder = tmp_path / "hub" / "datasets" / "org" / "name" / "resolve"
    folder.mkdir(parents=True)
    shutil.copytree(release, folder / "main")
    shutil.copytree(release, folder / "refs" / "convert")
    with serving(tmp_path / "hub") as hub, serving(folder / "main") as cdn:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        hub.on("datasets/org/name/resolve/main/data/00000.parquet", redirect(f"{cdn.url}/data/00000.parquet", 307))
        for number, url in enumerate(
            ("hf://datasets/org/name", "hf://datasets/org/name@refs%2Fconvert", f"{hub.url}/datasets/org/name/tree/main")
        ):
            pulled(url=url, out=str(tmp_path / str(number)))
            assert same_as(tmp_path / str(number))
        assert {one.headers.get("authorization") for one in hub.asked} == {"Bearer hf_secret"}
        assert [one.headers.get("authorization") for one in cdn.asked] == [None]
        pulled(url=f"{cdn.url}", out=str(tmp_path / "plain"))
        assert all("authorization" not in one.headers for one in cdn.asked)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("hf://datasets/org/name", "https://huggingface.co/datasets/org/name/resolve/main"),
        ("hf://datasets/org/name@v1/sub/folder", "https://huggingface.co/datasets/org/name/resolve/v1/sub/folder"),
        ("hf://datasets/name@v1", "https://huggingface.co/datasets/name/resolve/v1"),
        ("https://huggingface.co/datasets/org/name", "https://huggingface.co/datasets/org/name/resolve/main"),
        ("https://huggingface.co/datasets/org/name/tree/refs%2Fpr%2F1/x", "https://huggingface.co/datasets/org/name/resolve/refs%2Fpr%2F1/x"),
        ("https://example.org/datasets/org/name", None),
        ("s3://bucket/datasets/org", None),
    ],
)  # fmt: skip
def test_addresses_of_a_hub(url, folder, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub_folder(url, "main") == folder


@pytest.mark.parametrize("url", ["hf://org/name", "hf://datasets/", "hf://datasets/org/../x", "hf://datasets/@v1"])
def test_an_address_of_a_hub_that_names_no_data_set_is_refused(url):
    with pytest.raises(UsageError, match="names no data set; give hf://datasets/ORG/NAME"):
        hub_folder(url, "main")


def test_by_a_proxy_if_the_environment_names_one(pulled, server, monkeypatch, tmp_path):
    with serving(server.root) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        pulled(url="http://releases.invalid")
        assert len(proxy.asked) == FILES + 2
    assert json.loads((tmp_path / "copy" / "_manifest.json").read_bytes())["counts"]["files_downloaded"] == FILES
