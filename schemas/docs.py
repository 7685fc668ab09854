"""docs/schemas.md, generated: `python -m schemas.docs > docs/schemas.md`."""

import pyarrow as pa

from schemas.columns import doc_of, unit_of
from schemas.tables import TABLES

_HEADER = """# Schemas

Generated from `schemas/` by `make docs`; a test holds it current. Types are Arrow's.
"""


def render() -> str:
    """Markdown of all tables, in the order of the flow."""
    return "\n".join([_HEADER, *(_render_table(name, schema) for name, schema in TABLES.items())])


def _render_table(name: str, schema: pa.Schema) -> str:
    rows = [f"| `{f.name}` | `{_type_name(f)}` | {unit_of(f)} | {_cell(doc_of(f))} |" for f in schema]
    return "\n".join([f"## {name}", "", doc_of(schema), "", "| column | type | unit | meaning |", "|---|---|---|---|", *rows, ""])


def _type_name(field: pa.Field) -> str:
    kind = str(field.type).replace("element: ", "").replace(" not null", "")
    return kind + ("" if field.nullable else ", never null")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(render(), end="")
