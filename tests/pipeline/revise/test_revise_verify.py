"""What --verify proves: each remnant, wherever it is planted, and each file that is not what it should be, is found."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.release.data_files import write_data_file
from pipeline.release.layout import read_release
from pipeline.release.sums import sums_of, write_sums
from pipeline.subset_file import write_subset
from schemas.errors import UserError
from schemas.subsets import uids_to_array
from tests.pipeline.release.making import make_release, row
from tests.pipeline.revise.making import entries_of, revised, sums, verified

ROWS = [row(number) for number in range(30)]
ENTRIES = [ROWS[3]["url"], "site004.example", ROWS[11]["uid"]]


@pytest.fixture
def old(tmp_path):
    return make_release(tmp_path / "one", ROWS, file_rows=10, subsets={"all": [each["uid"] for each in ROWS]}, arrays=3)


@pytest.fixture
def new(tmp_path, old):
    revised(old, tmp_path / "two", ENTRIES, folder=tmp_path)
    return tmp_path / "two"


def summed_anew(release, **told):
    """SHA256SUMS over what is there now, and release.json changed as told."""
    path = release / "release.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    write_sums(str(release), sums_of(str(release), [name for name in sums(release) if name != "SHA256SUMS"]))


def rewrite(path, table):
    with path.open("wb") as file:
        write_data_file(file, table.schema, [table])


def test_a_revision_is_proven_and_left_as_it_is(new, old, tmp_path, capsys):
    before = sums(new)
    assert main(["revise", str(new), "--verify", "--parent", str(old), "--remove", str(tmp_path / "list0.txt")]) == 0
    assert "0 of 46 rows, samples and subset entries" in capsys.readouterr().out
    assert sums(new) == before


def test_a_release_that_was_not_revised_is_told_by_reason_and_file(old, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("\n".join(ENTRIES))
    assert main(["revise", str(old), "--verify", "--remove", str(tmp_path / "list.txt")]) == 1
    told = capsys.readouterr()
    assert "data/00000.parquet: 1 of 10 remain: 1 by url" in told.out
    assert "data/00002.parquet: 5 of 10 remain: 5 by domain" in told.out
    assert "(5 by domain, 2 by uid, 1 by url)" in told.err


@pytest.mark.parametrize("given", [ENTRIES, []])
def test_a_row_that_came_back_is_found_by_the_lists_or_by_the_ledger_alone(new, old, tmp_path, given):
    table = pq.read_table(old / "data/00000.parquet")
    rewrite(new / "data/00000.parquet", table)
    files = read_release(str(new)).data | {"data/00000.parquet": len(table)}
    summed_anew(new, data=files, rows=sum(files.values()))
    np.savez(new / "data/00000.npz", b32_img=np.load(old / "data/00000.npz")["b32_img"])
    summed_anew(new)
    with pytest.raises(UserError, match=rf"1 of .* on the lists or in a ledger \(1 by {'url' if given else 'ledger'}\)"):
        verified(new, *[given] if given else [], folder=tmp_path)


def test_an_entry_of_a_subset_that_came_back_is_found_although_a_subset_knows_no_url(new, old, tmp_path, capsys):
    uids = entries_of(new / "subsets/all.npy")
    write_subset(str(new / "subsets/all.npy"), uids_to_array([*uids, ROWS[3]["uid"]]))
    summed_anew(new, subsets={"subsets/all.npy": len(uids) + 1})
    with pytest.raises(UserError, match=r"\(1 by ledger\)"):
        verified(new, ENTRIES, folder=tmp_path)
    assert "subsets/all.npy: 1 of 24 entries remain" in capsys.readouterr().out


def test_a_file_that_is_not_as_its_checksum_says_is_found(new, tmp_path, capsys):
    for name in ("README.md", "data/00001.npz", "subsets/all.json"):
        path = new / name
        data = path.read_bytes()
        path.write_bytes(data + b" ")
        with pytest.raises(UserError, match="1 findings"):
            verified(new, ENTRIES, folder=tmp_path)
        assert f"{name}: not as SHA256SUMS has it" in capsys.readouterr().out
        path.write_bytes(data)
    verified(new, ENTRIES, folder=tmp_path)


def test_a_file_that_nobody_vouches_for_and_one_that_is_missing_are_found(new, old, tmp_path, capsys):
    (new / "data/00009.parquet").write_bytes((old / "data/00002.parquet").read_bytes())
    (new / "ledger/00002.parquet").unlink()
    with pytest.raises(UserError, match="findings"):
        verified(new, folder=tmp_path)
    told = capsys.readouterr().out
    assert "data/00009.parquet: is not in SHA256SUMS" in told
    assert "ledger/00002.parquet: is not there" in told


def test_a_ledger_that_does_not_tell_what_release_json_counts_is_found(new, tmp_path, capsys):
    path = new / "ledger/00002.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    summed_anew(new)
    with pytest.raises(UserError, match="1 findings"):
        verified(new, folder=tmp_path)
    assert "ledger/00002.parquet: has {" in capsys.readouterr().out


def test_more_lost_than_the_ledger_names_is_found_against_the_parent(new, old, tmp_path, capsys):
    rewrite(new / "data/00001.parquet", pq.read_table(new / "data/00001.parquet").slice(1))
    files = read_release(str(new)).data | {"data/00001.parquet": 8}
    summed_anew(new, data=files, rows=sum(files.values()))
    verified(new, ENTRIES, folder=tmp_path)
    with pytest.raises(UserError, match="1 findings"):
        verified(new, ENTRIES, folder=tmp_path, parent=str(old))
    assert "data/00001.parquet: its rows are not its parent's less what the ledger names" in capsys.readouterr().out


def test_a_changed_value_or_array_or_order_is_found_against_the_parent(new, old, tmp_path, capsys):
    path = new / "data/00000.parquet"
    table = pq.read_table(path)
    texts = pa.array(["changed", *table["text"].to_pylist()[1:]])
    arrays = np.load(new / "data/00000.npz")["b32_img"]
    for change, word in (
        (
            lambda: rewrite(path, table.set_column(table.schema.get_field_index("text"), table.schema.field("text"), texts)),
            "rows",
        ),
        (lambda: rewrite(path, table.take(list(range(len(table)))[::-1])), "rows"),
        (lambda: np.savez(path.with_suffix(".npz"), b32_img=arrays + np.float16(1)), "arrays"),
    ):
        saved = {each: each.read_bytes() for each in (path, path.with_suffix(".npz"))}
        change()
        summed_anew(new)
        with pytest.raises(UserError, match="1 findings"):
            verified(new, folder=tmp_path, parent=str(old))
        assert f"its {word} are not its parent's" in capsys.readouterr().out
        for each, data in saved.items():
            each.write_bytes(data)


def test_an_untouched_file_with_other_bytes_is_found_against_the_parent(old, tmp_path, capsys):
    revised(old, tmp_path / "two", ROWS[3]["url"], folder=tmp_path)
    path = tmp_path / "two/data/00002.parquet"
    table = pq.read_table(path)
    path.unlink()  # it is a link to the parent's
    pq.write_table(table, path)
    summed_anew(tmp_path / "two")
    with pytest.raises(UserError, match="1 findings"):
        verified(tmp_path / "two", folder=tmp_path, parent=str(old))
    assert "data/00002.parquet: lost no row, and has other bytes" in capsys.readouterr().out


def test_a_revision_of_another_release_is_no_child_of_this_one(new, tmp_path, capsys):
    other = make_release(tmp_path / "other", ROWS[:20], file_rows=10)
    with pytest.raises(UserError, match="findings"):
        verified(new, folder=tmp_path, parent=str(other))
    assert "names another parent" in capsys.readouterr().out


@pytest.mark.parametrize(("column", "pages"), [("url", False), ("page_url", True)])
def test_a_copy_without_addresses_is_not_called_clean_of_urls_and_domains(tmp_path, old, column, pages):
    for path in (old / "data").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns([column]), path)
    summed_anew(old)
    with pytest.raises(UserError, match=f"no column {column} to compare"):
        verified(old, ["site004.example"], folder=tmp_path, pages=pages)
    with pytest.raises(UserError, match=f"no column {column} to compare"):
        revised(old, tmp_path / "two", ["site004.example"], folder=tmp_path, pages=pages)
    verified(old, ["f" * 32], folder=tmp_path, pages=pages)


def test_a_row_is_of_the_site_that_its_column_domain_names_though_its_url_cannot_be_taken_apart(tmp_path):
    odd = row(31, url="https:/\\\\a.example\\x.jpg", domain="A.Example")
    one = make_release(tmp_path / "one", [*ROWS, odd, row(32, url="//b.a.example/x.jpg", domain="b.a.example")])
    with pytest.raises(UserError, match=r"2 of 32 rows.*2 by domain"):
        verified(one, ["a.example"], folder=tmp_path)
    revised(one, tmp_path / "two", ["a.example"], folder=tmp_path)
    verified(tmp_path / "two", ["a.example"], folder=tmp_path, parent=str(one))


@pytest.mark.parametrize("name", ["old.parquet", "data/more/00000.parquet", "data/_part.parquet", "_revising/rows/00000.parquet"])
def test_a_file_that_would_be_published_but_that_nobody_looked_at_is_told_wherever_it_lies(tmp_path, new, old, name, capsys):
    for account in ("_pull.json", "_pulled.jsonl", "_pull.lock", "data/_config.json", "data/_parts/00000.json", ".git/config"):
        (new / account).parent.mkdir(parents=True, exist_ok=True)
        (new / account).write_text("{}")
    verified(new, ENTRIES, folder=tmp_path)
    (new / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(old / "data/00000.parquet", new / name)
    with pytest.raises(UserError, match="1 findings"):
        verified(new, ENTRIES, folder=tmp_path)
    assert f"{name}: is not in SHA256SUMS" in capsys.readouterr().out
