"""What download's workers have in memory before they are forked, once for all of them: its libraries, and what numba compiled.

Python, NumPy, pyarrow, OpenCV and numba take four fifths of what a worker holds.
"""

import gc

import numpy as np
import pyarrow as pa

from pipeline.download.images.compiled.area import shrink
from pipeline.download.shard import download_shard

__all__ = ["download_shard"]

shrink(np.zeros((4, 4, 3), np.uint8), 3, 3)  # loads the compiled loop, and LLVM
pa.array([""])  # pyarrow then looks for pandas
gc.collect()
gc.freeze()  # else the first collection in each worker writes to every page, and so copies it
