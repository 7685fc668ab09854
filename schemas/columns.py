"""How a column and a table are declared: a pyarrow field that carries its own doc and unit."""

import pyarrow as pa

# Spark's Arrow conversion refuses unsigned integers and float16, so no table uses them.
STRINGS = pa.list_(pa.field("element", pa.string(), nullable=False))


def column(name: str, kind: pa.DataType, doc: str, unit: str = "") -> pa.Field:
    """A nullable column `name` of Arrow type `kind`, its meaning in `doc`, its unit in `unit` ("" if it has none)."""
    return pa.field(name, kind, metadata={"doc": doc, "unit": unit})


def required(name: str, kind: pa.DataType, doc: str, unit: str = "") -> pa.Field:
    """A column that is never null."""
    return column(name, kind, doc, unit).with_nullable(False)


def table(doc: str, columns: list[pa.Field]) -> pa.Schema:
    """A table: its columns in order, and one sentence on what a row is."""
    return pa.schema(columns, metadata={"doc": doc})


def doc_of(described: pa.Field | pa.Schema) -> str:
    """The doc of a column or a table."""
    return str((described.metadata or {}).get(b"doc", b"").decode())


def unit_of(field: pa.Field) -> str:
    """The unit of a column, "" if it has none."""
    return str((field.metadata or {}).get(b"unit", b"").decode())
