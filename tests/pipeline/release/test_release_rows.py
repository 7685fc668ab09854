"""Which rows a release has, in which order, with which columns."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.release import run
from pipeline.release.rows import in_order
from pipeline.release.survey import repeated
from schemas.errors import UsageError, UserError
from schemas.releases import RELEASES, SORT_ORDER
from schemas.subsets import uid_rows
from tests.pipeline.release.roots import config_of, make_pool, make_root, pair, released, uids_of, vector_of

PAIRS = [pair(number) for number in range(100)]


def key(row):
    return tuple(row[name] for name in SORT_ORDER)


def test_every_scored_pair_is_released_once_sorted_over_all_files_by_domain_url_and_uid(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    manifest = run(config_of(root, tmp_path / "out", file_rows=30))
    rows = released(tmp_path / "out")
    assert sorted(row["uid"] for row in rows) == sorted(uids_of(root))
    assert [key(row) for row in rows] == sorted(map(key, rows))
    assert manifest.counts == {"rows_in": 80, "rows_out": 80}


def test_a_file_has_the_rows_that_were_asked_for_and_the_last_what_is_left(tmp_path):
    run(config_of(make_root(tmp_path / "root", PAIRS), tmp_path / "out", file_rows=30))
    assert [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "out/data").glob("*.parquet"))] == [30, 30, 20]


def test_a_row_carries_its_provenance_from_the_shard_although_scores_lack_it(tmp_path):
    run(config_of(make_root(tmp_path / "root", PAIRS), tmp_path / "out"))
    by_uid = {row["uid"]: row for row in released(tmp_path / "out")}
    provenance = ("crawl", "wat_path", "record_offset", "fetched_at", "html_lang", "robots", "source", "page_url", "domain")
    for each in PAIRS:
        if each["uid"] in by_uid:
            assert {name: by_uid[each["uid"]][name] for name in provenance} == {name: each[name] for name in provenance}


def test_columns_stand_in_the_declared_order_and_those_without_a_value_are_left_out(tmp_path):
    run(config_of(make_root(tmp_path / "root", PAIRS), tmp_path / "out"))
    schema = pq.read_schema(tmp_path / "out/data/00000.parquet")
    assert schema.names == [name for name in RELEASES.names if name in schema.names]
    assert {"clip_l14_similarity_score", "face_bboxes", "license_url", "tdm_reserved"}.isdisjoint(schema.names)
    assert {"dup_of", "exact_dup_of"} <= set(schema.names)  # looked for, and none found
    assert all(schema.field(name).equals(RELEASES.field(name), check_metadata=True) for name in schema.names)


def test_columns_that_other_folders_hold_beside_the_scores_are_released_with_their_docs(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    field = pa.field("norm_sim", pa.float32(), metadata={"doc": "the largest inner product", "unit": ""})
    (root / "4_norm_sim").mkdir()
    for path in sorted((root / "4_scores").glob("*.parquet")):
        uids = pq.read_table(path)["uid"]
        values = pa.array([int(uid[:2], 16) / 256 for uid in uids.to_pylist()], pa.float32())
        table = pa.Table.from_arrays([uids, values], schema=pa.schema([RELEASES.field("uid"), field]))
        pq.write_table(table, root / "4_norm_sim" / path.name)
    run(config_of(root, tmp_path / "out"))
    assert all(row["norm_sim"] == int(row["uid"][:2], 16) / 256 for row in released(tmp_path / "out"))
    told = json.loads((tmp_path / "out/release.json").read_text())["columns"][-1]
    assert told == {"name": "norm_sim", "type": "float", "unit": "", "doc": "the largest inner product", "nullable": True}


def test_of_two_folders_with_one_column_the_first_is_released_and_the_other_is_told(tmp_path, capsys):
    root = make_root(tmp_path / "root", PAIRS)
    for folder, value in (("4_a", 1), ("4_b", 2)):
        (root / folder).mkdir()
        for path in sorted((root / "4_scores").glob("*.parquet")):
            uids = pq.read_table(path)["uid"]
            pq.write_table(pa.table({"uid": uids, "measured": [value] * len(uids)}), root / folder / path.name)
    run(config_of(root, tmp_path / "out"))
    assert {row["measured"] for row in released(tmp_path / "out")} == {1}
    assert "4_b: not released: measured; a folder before it has columns of these names" in capsys.readouterr().out


def test_a_text_that_is_not_utf_8_is_told_with_its_file(tmp_path):
    folder = tmp_path / "root/4_scores"
    folder.mkdir(parents=True)
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    pq.write_table(pa.table({"uid": [f"{1:032x}"], "url": ["https://a.example/"], "text": text}), folder / "00000.parquet")
    with pytest.raises(UserError, match=r"00000\.parquet: damaged"):
        run(config_of(tmp_path / "root", tmp_path / "out"))


def test_the_pool_is_released_before_any_download(tmp_path):
    run(config_of(make_pool(tmp_path / "root", PAIRS), tmp_path / "out", of="pool"))
    rows = released(tmp_path / "out")
    assert len(rows) == 100
    assert {"n_records", "sample_rank", "crawl", "opted_out"} <= rows[0].keys()


def test_metadata_of_others_without_shards_gets_the_domain_of_its_url(tmp_path):
    """DataComp's: uid, url, text, sizes as int64, scores as float64, 32 hex digits as the file's name, no provenance."""
    rows = [
        {
            "uid": f"{number:032x}",
            "url": f"https://a{number % 3}.b.co.uk/{number}",
            "text": "x",
            "original_width": 3,
            "score": 0.1,
        }
        for number in range(9)
    ]
    folder = tmp_path / "root/4_scores"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{'0123456789abcdef' * 2}.parquet")
    run(config_of(tmp_path / "root", tmp_path / "out"))
    found = released(tmp_path / "out")
    assert {row["domain"] for row in found} == {"b.co.uk"}
    assert list(found[0]) == ["uid", "url", "text", "domain", "original_width", "score"]
    assert pq.read_schema(tmp_path / "out/data/00000.parquet").field("original_width").type == pa.int32()


def test_types_that_spark_or_readers_do_not_know_are_published_as_those_they_know(tmp_path):
    folder = tmp_path / "root/4_scores"
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "uid": pa.array([f"{0:032x}", f"{1:032x}"], pa.large_string()),
            "url": pa.array(["https://a.example/1", "https://a.example/2"]).dictionary_encode(),
            "text": pa.array(["a", "b"], pa.string_view()),
            "votes": pa.array([1, 2**32 - 1], pa.uint32()),
            "half": pa.array(np.array([0.5, 1], np.float16)),
            "when": pa.array([0, 1], pa.timestamp("ms")),
            "many": pa.array([[1], []], pa.large_list(pa.uint8())),
            "nothing": pa.nulls(2),
        }
    )
    pq.write_table(table, folder / "00000.parquet")
    run(config_of(tmp_path / "root", tmp_path / "out"))
    schema = pq.read_schema(tmp_path / "out/data/00000.parquet")
    kinds = {name: str(schema.field(name).type) for name in ("votes", "half", "when", "many")}
    assert kinds == {"votes": "int64", "half": "float", "when": "timestamp[us]", "many": "list<element: int16>"}
    assert "nothing" not in schema.names
    assert released(tmp_path / "out")[1]["votes"] == 2**32 - 1


def test_of_a_repeated_uid_the_first_row_stays_and_the_others_are_counted_wherever_they_stand(tmp_path):
    """("a", "bhttp…") and ("ab", "http…") have one md5: a repeat need not have the same URL."""
    twin = pair(0) | {"uid": PAIRS[7]["uid"], "url": "https://zzz.example/", "domain": "zzz.example"}
    pairs = [*PAIRS[:40], *PAIRS[40:79], twin, PAIRS[41]]
    manifest = run(config_of(make_pool(tmp_path / "root", pairs, file_rows=20), tmp_path / "out", of="pool", file_rows=10))
    rows = released(tmp_path / "out")
    assert manifest.counts == {"dropped_repeated_uid": 2, "rows_in": 81, "rows_out": 79}
    assert {row["uid"]: row["url"] for row in rows} == {each["uid"]: each["url"] for each in PAIRS[:79]}


def test_repeats_are_those_that_a_set_would_find():
    draw = np.random.default_rng(3)
    uids = uid_rows([f"{value:032x}" for value in draw.integers(0, 50, 200)])
    seen, expected = set(), []
    for place, uid in enumerate(uids.tolist()):
        if uid in seen:
            expected.append(place)
        seen.add(uid)
    assert repeated(uids).tolist() == expected


def test_rows_without_uid_url_or_text_are_counted_and_left_out(tmp_path):
    folder = tmp_path / "root/4_scores"
    folder.mkdir(parents=True)
    whole = {"uid": f"{1:032x}", "url": "https://a.example/", "text": ""}
    rows = [whole, whole | {"uid": "short"}, whole | {"uid": f"{2:032X}A"[1:]}, whole | {"uid": f"{3:032x}", "url": None}]
    rows += [whole | {"uid": f"{4:032x}", "text": None}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "00000.parquet")
    manifest = run(config_of(tmp_path / "root", tmp_path / "out"))
    assert manifest.counts == {
        "dropped_invalid_uid": 2,
        "dropped_null_text": 1,
        "dropped_null_url": 1,
        "rows_in": 5,
        "rows_out": 1,
    }


def test_a_url_that_is_none_has_no_domain_and_stands_first(tmp_path):
    folder = tmp_path / "root/4_scores"
    folder.mkdir(parents=True)
    rows = [
        {"uid": f"{n:032x}", "url": url, "text": "x"} for n, url in enumerate(["https://a.example/", "not a url", "http://[::1/"])
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "00000.parquet")
    run(config_of(tmp_path / "root", tmp_path / "out"))
    assert [row["domain"] for row in released(tmp_path / "out")] == ["", "", "a.example"]


def test_embeddings_stand_in_the_order_of_the_rows(tmp_path):
    root = make_root(tmp_path / "root", PAIRS, arrays=True)
    run(config_of(root, tmp_path / "out", embeddings=("all",), file_rows=30))
    for path in sorted((tmp_path / "out/data").glob("*.parquet")):
        arrays = np.load(path.with_suffix(".npz"))
        uids = pq.read_table(path)["uid"].to_pylist()
        assert sorted(arrays) == ["b32_img", "b32_txt"]
        assert arrays["b32_img"].dtype == np.float16
        assert np.array_equal(arrays["b32_img"], np.array([vector_of(uid) for uid in uids]))
        assert np.array_equal(arrays["b32_txt"], -arrays["b32_img"])
    assert json.loads((tmp_path / "out/release.json").read_text())["arrays"] == {"b32_img": 4, "b32_txt": 4}


def test_only_the_embeddings_asked_for_are_published(tmp_path):
    run(config_of(make_root(tmp_path / "root", PAIRS, arrays=True), tmp_path / "out", embeddings=("b32_txt",)))
    assert sorted(np.load(tmp_path / "out/data/00000.npz")) == ["b32_txt"]


def test_embeddings_that_are_not_there_are_named_with_those_that_are(tmp_path):
    with pytest.raises(UsageError, match=r"--embeddings l14_img: 00000.npz has b32_img, b32_txt"):
        run(config_of(make_root(tmp_path / "root", PAIRS, arrays=True), tmp_path / "out", embeddings=("l14_img",)))


def test_a_root_without_scores_is_told_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"has no folder 4_scores; .* --of pool"):
        run(config_of(make_pool(tmp_path / "root", PAIRS), tmp_path / "out"))


def test_the_release_does_not_go_into_a_folder_of_the_stages(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    with pytest.raises(UserError, match="is the data root or a folder of its stages"):
        run(config_of(root, root / "4_scores"))


def test_a_damaged_file_is_named_and_nothing_is_released(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    (root / "4_scores/00001.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r"00001\.parquet: damaged parquet file"):
        run(config_of(root, tmp_path / "out"))
    assert not (tmp_path / "out/SHA256SUMS").exists()


def test_shards_that_were_made_anew_after_the_scores_are_refused(tmp_path):
    root = make_root(tmp_path / "root", PAIRS)
    path = root / "3_shards/00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.names.index("key"), "key", pa.array(["x"] * len(table))), path)
    with pytest.raises(UserError, match="has no downloaded pair of key '000010001'"):
        run(config_of(root, tmp_path / "out"))


def test_no_rows_at_all_are_a_release_too(tmp_path):
    folder = tmp_path / "root/4_scores"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([{"uid": "no uid", "url": "u", "text": "t"}]), folder / "00000.parquet")
    run(config_of(tmp_path / "root", tmp_path / "out"))
    assert released(tmp_path / "out") == []


def test_texts_are_sorted_by_their_bytes():
    texts = ["b", "B", "é", "a", "z", "\U0001f600", "～", ""]
    ordered = in_order(pa.table({"domain": texts, "url": texts, "uid": texts}))["domain"].to_pylist()
    assert ordered == sorted(texts, key=lambda text: text.encode())
