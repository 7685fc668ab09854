"""A filter on one metadata file: the uids that it keeps, and the account of it. A bad file is reported, not raised."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from filters.compose import rules_of
from filters.contract import Draw, Filter, columns_of
from pipeline.filter.account import Waterfall
from pipeline.manifest import InputReport, peak_rss_bytes
from pipeline.metadata.files import MetadataFile
from pipeline.metadata.read import read_batches
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE, uid_rows


@dataclass(frozen=True)
class FileResult:
    """What one metadata file gave: its kept uids, (n,) `u8,u8`, and the account of it."""

    kept: np.ndarray
    waterfall: Waterfall
    report: InputReport
    peak_rss_bytes: int


def filter_file(chosen: Filter, drawn: Draw | None, sampled: bool, file: MetadataFile) -> FileResult:
    """Apply the filter to one file; `sampled`: what costs is estimated in its waterfall. A bad file is reported, not raised."""
    rules = rules_of(chosen)
    waterfall, kept = Waterfall(rules, sampled=sampled), [np.empty(0, SUBSET_DTYPE)]
    columns = tuple(dict.fromkeys((*columns_of(chosen), *(drawn.reads if drawn else ()), "uid")))
    try:
        for batch in read_batches(file, columns):
            mask = waterfall.judge(batch)
            uids = uid_rows(batch["uid"].filter(pa.array(mask)))
            kept.append(np.repeat(uids, drawn.repeats(batch.filter(pa.array(mask)))) if drawn else uids)
    except (UserError, ValueError, TypeError, pa.ArrowException) as error:  # TypeError: a column of a type that it cannot have
        failed = InputReport(path=file.path, status="failed", error=str(error))
        return FileResult(kept[0], Waterfall(rules), failed, peak_rss_bytes())
    report = InputReport(path=file.path, rows=waterfall.rows_in)
    return FileResult(np.concatenate(kept), waterfall, report, peak_rss_bytes())
