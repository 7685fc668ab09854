"""What workers of `filter` find imported: loaded once, in the server that they are forked from."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.metadata import read

__all__ = ["np", "pa", "pc", "pq", "read"]
