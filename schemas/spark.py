"""pyarrow schema → Spark StructType."""

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


def to_struct_type(schema: pa.Schema) -> "StructType":
    """The Spark schema of a table: same names, order and nullability; doc and unit in each field's metadata."""
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    from schemas.columns import doc_of, unit_of

    return StructType(
        [
            StructField(
                field.name, from_arrow_type(field.type), field.nullable, {"comment": doc_of(field), "unit": unit_of(field)}
            )
            for field in schema
        ]
    )
