"""Every table as Spark sees it, on a real session."""

import datetime

import pyarrow as pa
import pytest

from schemas.columns import doc_of, unit_of
from schemas.spark import to_struct_type
from schemas.tables import TABLES

pytestmark = pytest.mark.usefixtures("spark")

EXAMPLES = {
    pa.string(): "é\U0001f600 'x'",
    pa.int32(): -(2**31),
    pa.int64(): 2**63 - 1,
    pa.float32(): 0.25,
    pa.float64(): 1e-300,
    pa.bool_(): True,
    pa.timestamp("us", "UTC"): datetime.datetime(2024, 5, 21, 23, 59, 59, 999_999, datetime.UTC),
}


def example_of(kind):
    return [example_of(kind.value_type)] if pa.types.is_list(kind) else EXAMPLES[kind]


def rows_of(schema):
    """One full row, and one in which everything that may be null is."""
    full = {field.name: example_of(field.type) for field in schema}
    return [full, {field.name: None if field.nullable else full[field.name] for field in schema}]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_goes_through_spark_and_comes_back_as_it_was(spark, name):
    schema = TABLES[name]
    table = pa.Table.from_pylist(rows_of(schema), schema=schema)
    frame = spark.createDataFrame(table, schema=to_struct_type(schema))
    back = frame.toArrow()
    assert back.schema.names == schema.names
    assert back.cast(schema).to_pylist() == table.to_pylist()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_goes_through_python_workers(spark, name):
    schema = TABLES[name]
    struct = to_struct_type(schema)
    table = pa.Table.from_pylist(rows_of(schema), schema=schema)
    back = spark.createDataFrame(table, schema=struct).mapInArrow(lambda batches: batches, struct).toArrow()
    assert back.cast(schema).to_pylist() == table.to_pylist()


@pytest.mark.parametrize("name", TABLES)
def test_spark_keeps_nullability_meaning_and_unit_of_every_column(name):
    schema = TABLES[name]
    for field, column in zip(schema, to_struct_type(schema), strict=True):
        assert (column.name, column.nullable) == (field.name, field.nullable)
        assert column.metadata == {"comment": doc_of(field), "unit": unit_of(field)}
