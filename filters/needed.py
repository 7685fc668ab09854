"""Columns that a filter needs and the metadata may lack: errors that say where they come from."""

from collections.abc import Sequence

from filters.registry import Context
from schemas.errors import UserError

FROM_DEDUP = "run `webpairs dedup` and give its folder with --beside DIR"
FROM_DECONTAMINATE = "run `webpairs decontaminate` and give its folder with --beside DIR"

_PARTS = ("img", "txt")


def require_columns(asker: str, columns: Sequence[str], context: Context, remedy: str) -> None:
    """Raises UserError naming the filter `asker`, the columns that the metadata lacks, and the remedy."""
    if missing := [column for column in columns if column not in context.columns]:
        raise UserError(f"{asker}: the metadata has no column {', '.join(missing)}; {remedy}")


def embedding_column(asker: str, arch: str, part: str, context: Context) -> str:
    """The column of a model's embeddings of images ("img") or texts ("txt").

    Raises UserError where the metadata has none, naming those that it has.
    """
    column = f"{arch}_{part}"
    if column not in context.columns:
        found = [name for name in context.columns if name.rpartition("_")[2] in _PARTS]
        raise UserError(
            f"{asker}: --arch {arch}: no embeddings {column} in an .npz beside the metadata; it has: {', '.join(found) or 'none'}"
        )
    return column
