"""A data root → what there is to publish: files of rows, what stands beside each, the released columns and arrays.

In: the folders that the stages left, or foreign metadata (DataComp's). Only footers are read here; `rows` reads the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.metadata.arrays import array_names, open_arrays
from pipeline.metadata.files import MetadataFile, metadata_files, schema_of
from pipeline.release import ReleaseConfig
from pipeline.release.provenance import folders_of, spellings
from pipeline.report.text import visible
from pipeline.stage import require_complete
from schemas.errors import UsageError, UserError
from schemas.releases import PROVENANCE, RELEASES, released_field

SCORES, POOL, SHARDS, SUBSETS = "4_scores", "2_pool", "3_shards", "5_subsets"
_CORE = ("uid", "url", "text")
_CARRIED = (*PROVENANCE, "lang", "lang_prob")  # taken from a shard's sidecar where the scores lack them
_READERS = 16  # footers are small: on an object store the time is the waiting


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of rows: the parquet, those beside it, the shard's sidecar ("" for none), and what each has to give."""

    file: MetadataFile
    sidecar: str
    columns: tuple[str, ...]  # of the parquet and those beside it
    carried: tuple[str, ...]  # of the sidecar, in addition
    rows: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """All that is published: its files in order of name, the released schema, and arrays (name → dimensions)."""

    files: tuple[SourceFile, ...]
    schema: pa.Schema
    arrays: Mapping[str, int]
    upstream: Mapping[str, str]  # folder below the root → hash of what stands there
    roots: tuple[str, ...]  # how the root may be spelt in a path that a row has

    @property
    def rows(self) -> int:
        """How many rows the files say they have."""
        return sum(file.rows for file in self.files)


def find_source(config: ReleaseConfig) -> Source:
    """What the root has. Raises UserError where a stage has not finished, a file is damaged, or uid, url or text is missing."""
    main = SCORES if config.of == "scores" else POOL
    if not io.exists(io.join(config.root, main)):
        raise UserError(f"{config.root}: has no folder {main}; --root is the data root, or give --of pool for one without scores")
    beside = _beside(config.root) if config.of == "scores" else []
    shards = SHARDS if config.of == "scores" and io.exists(io.join(config.root, SHARDS)) else ""
    upstream = {name: require_complete(io.join(config.root, name)) for name in (main, *beside, *([shards] if shards else []))}
    files = metadata_files(io.join(config.root, main), [io.join(config.root, name) for name in beside])
    sidecars = {io.stem(path): path for path in io.list_files(io.join(config.root, shards), ".parquet")} if shards else {}
    with ThreadPoolExecutor(_READERS) as pool:
        looked = list(pool.map(lambda file: _look(file, sidecars.get(file.stem, "")), files))
    found = _columns(looked)
    _tell_hidden(looked[0])
    if missing := [name for name in _CORE if name not in found]:
        raise UserError(f"{files[0].path}: no column {', '.join(missing)} with a value; a release needs uid, url and text")
    return Source(
        files=tuple(_with_columns(each, set(found)) for each in looked),
        schema=_released(found),
        arrays=_arrays(config.embeddings, files),
        upstream=upstream,
        roots=spellings(config.root),
    )


@dataclass(frozen=True, kw_only=True)
class _Looked:
    file: MetadataFile
    sidecar: str
    rows: int
    own: dict[str, pa.Field]  # of the parquet those with a value, of those beside it all: what was looked for and not found, too
    has: tuple[str, ...]  # all of them
    carried: dict[str, pa.Field]


def _look(file: MetadataFile, sidecar: str) -> _Looked:
    own: dict[str, pa.Field] = {}
    has: dict[str, None] = {}
    rows = 0
    for place, path in enumerate((file.path, *file.beside)):
        valued, every, count = _footer(path)
        rows = count if place == 0 else rows
        own |= {name: field for name, field in (every if place else valued).items() if name not in has}
        has |= dict.fromkeys(every)
    carried = {}
    if sidecar:
        valued, every, _ = _footer(sidecar)
        if ("key" in every and "key" in has) or ("uid" in every and "uid" in has):
            carried = {name: field for name, field in valued.items() if name in _CARRIED}
    return _Looked(file=file, sidecar=sidecar, rows=rows, own=own, has=tuple(has), carried=carried)


def _footer(path: str) -> tuple[dict[str, pa.Field], dict[str, pa.Field], int]:
    """Of a parquet file the fields that have a value in some row, all fields, and the number of rows."""
    try:
        with io.open_read(path) as source:
            parquet = pq.ParquetFile(source)
            schema, rows = parquet.schema_arrow, int(parquet.metadata.num_rows)
            every = {field.name: field for field in schema}
            return {name: field for name, field in every.items() if _has_value(parquet, field, rows)}, every, rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error}); download or make it again") from error


def _has_value(parquet: pq.ParquetFile, field: pa.Field, rows: int) -> bool:
    """Whether a column has a value in some row, by statistics where these can say it."""
    if rows == 0 or pa.types.is_null(field.type):
        return False
    if any(_may_have_value(chunk) for chunk in _chunks(parquet, field.name)):
        return True
    if not pa.types.is_nested(field.type):
        return False
    column = parquet.read([field.name])[field.name]  # an empty list is a value, but statistics count it as null
    return bool(column.null_count < len(column))


def _chunks(parquet: pq.ParquetFile, name: str) -> Iterator[pq.ColumnChunkMetaData]:
    for group in range(parquet.metadata.num_row_groups):
        columns = parquet.metadata.row_group(group)
        for place in range(columns.num_columns):
            path = parquet.schema.column(place).path
            if path == name or path.startswith(f"{name}."):
                yield columns.column(place)


def _may_have_value(chunk: pq.ColumnChunkMetaData) -> bool:
    told = chunk.statistics
    return told is None or not told.has_null_count or chunk.num_values > told.null_count


def _tell_hidden(first: _Looked) -> None:
    """Say which columns of the folders beside are not released, because a folder before has one of that name."""
    seen = set(schema_of(first.file.path).names)
    for path in first.file.beside:
        names = [name for name in schema_of(path).names if name != "uid"]
        if hidden := [name for name in names if name in seen]:
            folder = path.rsplit("/", 2)[-2]
            print(f"{visible(folder)}: not released: {visible(', '.join(hidden))}; a folder before it has columns of these names")
        seen |= set(names)


def _columns(looked: Sequence[_Looked]) -> dict[str, pa.Field]:
    """The columns to release, in order of appearance: what metadata has goes before what sidecars have."""
    found: dict[str, pa.Field] = {}
    for each in looked:
        found = {**each.own, **found} if not found else {**found, **{n: f for n, f in each.own.items() if n not in found}}
    for each in looked:
        found |= {name: field for name, field in each.carried.items() if name not in found}
    return found


def _with_columns(each: _Looked, wanted: set[str]) -> SourceFile:
    columns = tuple(name for name in each.has if name in wanted)
    empty = [name for name in columns if name not in each.own]  # here all null, but the sidecar may know
    carried = tuple(name for name in each.carried if name in wanted and (name not in columns or name in empty))
    return SourceFile(
        file=each.file,
        sidecar=each.sidecar if carried else "",
        columns=tuple(name for name in columns if name not in carried),
        carried=carried,
        rows=each.rows,
    )


def _released(found: Mapping[str, pa.Field]) -> pa.Schema:
    names = [name for name in RELEASES.names if name in found or name == "domain"]
    names += [name for name in found if name not in RELEASES.names]
    fields = [released_field(found[name]) if name in found else RELEASES.field(name) for name in names]
    return pa.schema(fields, metadata=RELEASES.metadata)


def _beside(root: str) -> list[str]:
    """The folders 4_… of the root that hold further columns: all but the scores' own that have parquet files."""
    others = [each for each in folders_of(root) if each.startswith("4_") and each != SCORES]
    return [each for each in others if io.list_files(io.join(root, each), ".parquet")]


def _arrays(asked: Sequence[str], files: Sequence[MetadataFile]) -> dict[str, int]:
    """Dimensions of the arrays that are asked for, by the first file. Raises UsageError naming one that is not there."""
    if not asked:
        return {}
    known = array_names(files[0].arrays)
    names = sorted(known) if tuple(asked) == ("all",) else list(dict.fromkeys(asked))
    if missing := [name for name in names if name not in known]:
        raise UsageError(
            f"--embeddings {' '.join(missing)}: {files[0].stem}.npz has {', '.join(sorted(known)) or 'no array, or is not there'}"
        )
    with open_arrays(files[0].arrays, tuple(names)) as opened:
        return {array.name: array.dimensions for array in opened}
