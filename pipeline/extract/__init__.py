"""extract: WAT files → candidates, one row per image link with alt text. Reports what the pages say; judges nothing."""

from dataclasses import replace
from typing import Any

from pipeline.extract.config import ExtractConfig
from pipeline.extract.inputs import parts_of
from pipeline.extract.naming import public_path
from pipeline.extract.wat import extract_wat
from pipeline.manifest import Manifest
from pipeline.stage import run_stage

__all__ = ["ExtractConfig", "run"]


def run(config: ExtractConfig, spark: Any = None) -> Manifest:
    """Extract every WAT that `config` names into `config.out`, one parquet file (schema CANDIDATES) per WAT.

    Raises UserError where a named WAT or a crawl's listing is not there, UsageError where the options contradict each other.
    """
    parts = parts_of(config)
    # What is written down names the WATs without secrets: a URL that was signed anew takes up what stands.
    recorded = replace(config, wat=tuple(map(public_path, config.wat)), base_url=public_path(config.base_url))
    return run_stage("extract", recorded, parts, extract_wat, out=config.out, spark=spark)
