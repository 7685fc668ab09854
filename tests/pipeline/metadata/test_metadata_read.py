"""Metadata files: columns of the parquet, of parquets beside it and of the .npz come together row by row, or not at all."""

import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.embeddings import embedding, unit
from pipeline.metadata.files import MetadataFile, columns_at_hand, metadata_files
from pipeline.metadata.read import ReadablePool, read_batches
from schemas.errors import UserError

ROWS = 50
UIDS = [f"{i:032x}" for i in range(ROWS)]
VECTORS = np.random.default_rng(0).normal(size=(ROWS, 6)).astype(np.float16)


def metadata(folder: Path) -> Path:
    """Two files of 30 and 20 rows, row groups of 7, with one array each."""
    for stem, rows in (("a", slice(0, 30)), ("b", slice(30, ROWS))):
        write(folder / "m", stem, uid=UIDS[rows], n=list(range(ROWS))[rows])
        np.savez(folder / "m" / f"{stem}.npz", x_img=VECTORS[rows])
        write(folder / "beside", stem, uid=UIDS[rows], copies=[i * 2 for i in range(ROWS)][rows])
    return folder


def write(folder: Path, stem: str, **columns: list) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{stem}.parquet", row_group_size=7)


def read(folder: Path, columns: list[str], *, rows: int | None = None) -> list[pa.RecordBatch]:
    files = metadata_files(str(folder / "m"), [str(folder / "beside")])
    return [batch for file in files for batch in read_batches(file, columns, rows=rows)]


@pytest.mark.parametrize("rows", [None, 1, 4, 30])
def test_columns_of_all_places_come_together_in_the_order_asked_for(tmp_path: Path, rows: int | None):
    batches = read(metadata(tmp_path), ["x_img", "copies", "n"], rows=rows)
    assert batches[0].schema.names == ["x_img", "copies", "n"]
    assert [value for batch in batches for value in batch["copies"].to_pylist()] == [2 * i for i in range(ROWS)]
    assert [value for batch in batches for value in batch["n"].to_pylist()] == list(range(ROWS))
    assert np.array_equal(np.concatenate([embedding(batch, "x_img") for batch in batches]), VECTORS)


def test_an_embedding_survives_filters_and_slices_of_its_batch(tmp_path: Path):
    batch = read(metadata(tmp_path), ["x_img"])[0]
    assert np.array_equal(embedding(batch.slice(3, 4), "x_img"), VECTORS[3:7])
    every_third = pa.array([i % 3 == 0 for i in range(batch.num_rows)])
    assert np.array_equal(embedding(batch.filter(every_third), "x_img"), VECTORS[: batch.num_rows : 3])


def test_the_names_at_hand_are_those_of_all_places(tmp_path: Path):
    files = metadata_files(str(metadata(tmp_path) / "m"), [str(tmp_path / "beside")])
    assert columns_at_hand(files) == ("uid", "n", "copies", "x_img")


def test_no_columns_still_count_the_rows(tmp_path: Path):
    assert sum(batch.num_rows for batch in read(metadata(tmp_path), [])) == ROWS


def test_a_compressed_npz_of_larger_floats_is_read_as_well(tmp_path: Path):
    metadata(tmp_path)
    np.savez_compressed(tmp_path / "m" / "a.npz", x_img=VECTORS[:30].astype(np.float32))
    assert embedding(read(tmp_path, ["x_img"], rows=9)[0], "x_img").dtype == np.float32


def test_a_row_without_direction_is_nan_without_a_warning():
    rows = unit(np.array([[0, 0], [3, 4], [np.inf, 1]], np.float16))
    assert np.isnan(rows[[0, 2]]).any(axis=1).all()
    assert np.allclose(rows[1], [0.6, 0.8])


def shuffled(folder: Path) -> None:
    write(folder / "beside", "a", uid=UIDS[:30][::-1], copies=list(range(30)))


def shorter(folder: Path) -> None:
    write(folder / "beside", "a", uid=UIDS[:29], copies=list(range(29)))


def longer(folder: Path) -> None:
    write(folder / "beside", "a", uid=[*UIDS[:30], "f" * 32], copies=list(range(31)))


def fewer_vectors(folder: Path) -> None:
    np.savez(folder / "m" / "a.npz", x_img=VECTORS[:29])


def more_vectors(folder: Path) -> None:
    np.savez(folder / "m" / "a.npz", x_img=VECTORS[:31])


def cut_short(folder: Path) -> None:
    path = folder / "m" / "a.npz"
    path.write_bytes(path.read_bytes()[:-200])


def flipped(folder: Path) -> None:
    path = folder / "m" / "a.npz"
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(bytes(data))


def objects(folder: Path) -> None:
    np.savez(folder / "m" / "a.npz", x_img=np.array([{}] * 30, dtype=object))


def one_dimension(folder: Path) -> None:
    np.savez(folder / "m" / "a.npz", x_img=np.zeros(30, np.float16))


def numbers(folder: Path) -> None:
    np.savez(folder / "m" / "a.npz", x_img=np.zeros((30, 2), np.int64))


def no_array(folder: Path) -> None:
    (folder / "m" / "a.npz").unlink()


def damaged_parquet(folder: Path) -> None:
    (folder / "m" / "a.parquet").write_bytes(b"PAR1 no PAR1")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shuffled, r"a\.parquet: its rows from 0 on are not those of a file beside it"),
        (shorter, r"a\.parquet: its rows from 0 on are not those"),
        (longer, r"a\.parquet: has 30 rows, a file beside it 31"),
        (fewer_vectors, r"a\.npz: array x_img has fewer rows"),
        (more_vectors, r"a\.npz: array x_img has 31 rows, the parquet of that name 30"),
        (cut_short, r"a\.npz: damaged"),
        (flipped, r"a\.npz: damaged .*CRC"),
        (objects, r"a\.npz: damaged .*Python objects"),
        (one_dimension, r"a\.npz: array x_img has shape \(30,\)"),
        (numbers, r"a\.npz: array x_img has shape .* int64"),
        (no_array, r"a\.parquet: no column x_img, and there is no a\.npz beside it"),
        (damaged_parquet, r"a\.parquet: damaged parquet file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_does_not_fit_together_is_an_error_that_names_the_file(tmp_path: Path, damage, message: str):
    damage(metadata(tmp_path))
    with pytest.raises(UserError, match=message):
        read(tmp_path, ["x_img", "copies"])


def test_a_folder_beside_that_lacks_a_file_is_told(tmp_path: Path):
    metadata(tmp_path)
    (tmp_path / "beside" / "b.parquet").unlink()
    with pytest.raises(UserError, match=r"beside: has no b\.parquet, which .*m has \(1 of 2"):
        metadata_files(str(tmp_path / "m"), [str(tmp_path / "beside")])


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()])
def test_uids_and_texts_may_be_of_any_type_for_texts(tmp_path: Path, kind: pa.DataType):
    write(tmp_path / "m", "a", uid=pa.array(UIDS).cast(kind), text=pa.array(["x", None] * 25).cast(kind))
    write(tmp_path / "beside", "a", uid=UIDS, of=pa.array(["y"] * ROWS).cast(kind))
    texts = [value for batch in read(tmp_path, ["text", "of", "uid"]) for value in batch.to_pylist()]
    assert texts == [{"text": None if i % 2 else "x", "of": "y", "uid": UIDS[i]} for i in range(ROWS)]


def test_what_is_wrong_with_a_file_beside_names_that_file(tmp_path: Path):
    metadata(tmp_path)
    write(tmp_path / "beside", "a", copies=list(range(30)))
    with pytest.raises(UserError, match=r"beside/a\.parquet: no column uid"):
        read(tmp_path, ["copies"])
    write(tmp_path / "m", "a", n=list(range(30)))
    write(tmp_path / "beside", "a", uid=UIDS[:30], copies=list(range(30)))
    with pytest.raises(UserError, match=r"m/a\.parquet: no column uid, by which"):
        read(tmp_path, ["n", "copies"])


def test_an_array_in_the_other_byte_order_is_read_as_well(tmp_path: Path):
    metadata(tmp_path)
    np.savez(tmp_path / "m" / "a.npz", x_img=VECTORS[:30].astype(">f4"))
    found = embedding(read(tmp_path, ["x_img"], rows=9)[0], "x_img")
    assert np.array_equal(found, VECTORS[: len(found)].astype(np.float32))


def test_a_column_of_embeddings_may_have_nulls(tmp_path: Path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.reshape(-1)), 6, mask=pa.array([i == 3 for i in range(ROWS)]))
    found = embedding(pa.record_batch({"x_img": vectors}), "x_img")
    assert np.isnan(found[3]).all()
    assert np.array_equal(np.delete(found, 3, axis=0), np.delete(VECTORS, 3, axis=0))


def test_a_header_that_would_fill_memory_and_a_damaged_stream_are_refused(tmp_path: Path):
    metadata(tmp_path)
    with zipfile.ZipFile(tmp_path / "m" / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_img.npy", b"\x93NUMPY\x02\x00" + (20 << 20).to_bytes(4, "little") + b" " * (20 << 20))
    with pytest.raises(UserError, match=r"a \.npy header of 20971520 bytes"):
        read(tmp_path, ["x_img"])
    np.savez_compressed(tmp_path / "m" / "a.npz", x_img=VECTORS[:30])
    content = bytearray((tmp_path / "m" / "a.npz").read_bytes())
    content[200:220] = b"\xff" * 20
    (tmp_path / "m" / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz: .*damaged"):
        read(tmp_path, ["x_img"])


def test_rows_of_wide_arrays_are_read_fewer_at_a_time(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("pipeline.metadata.read._MOST_BYTES", 5 * 6 * 2)
    assert max(batch.num_rows for batch in read(metadata(tmp_path), ["x_img"])) == 5


def test_a_pool_of_which_no_file_can_be_read_tells_why(tmp_path: Path):
    write(tmp_path, "a", uid=UIDS)
    pool = ReadablePool([MetadataFile(str(tmp_path / "a.parquet"))])
    assert list(pool(["x"])) == []
    with pytest.raises(UserError, match=r"no column x.*; no file of the metadata can be used"), pool.blamed():
        raise UserError("no rows")
