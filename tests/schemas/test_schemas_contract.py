"""The tables: documented, free of types that Spark refuses, and described by a current docs/schemas.md."""

from pathlib import Path

import pyarrow as pa
import pytest

from schemas.columns import doc_of
from schemas.docs import render
from schemas.tables import TABLES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_and_column_has_a_doc(name: str):
    schema = TABLES[name]
    assert doc_of(schema)
    assert [field.name for field in schema if not doc_of(field)] == []


@pytest.mark.parametrize("name", TABLES)
def test_no_column_has_a_type_that_spark_refuses(name: str):
    refused = [f.name for f in TABLES[name] if pa.types.is_unsigned_integer(f.type) or pa.types.is_float16(f.type)]
    assert refused == []


@pytest.mark.parametrize("name", TABLES)
def test_column_names_are_unique(name: str):
    names = TABLES[name].names
    assert len(names) == len(set(names))


def test_docs_schemas_md_is_current():
    assert (REPOSITORY / "docs/schemas.md").read_text() == render(), "run `make docs`"
