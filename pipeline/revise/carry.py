"""Files of one revision that the next one has unchanged: linked where that can be, else copied. The bytes are the same."""

import os
import shutil
from contextlib import suppress

from pipeline import io

_CHUNK_BYTES = 1 << 24


def carry(source: str, target: str) -> None:
    """Put the content of `source` at `target`, which is not there yet and whose folder is.

    A hard link takes no room and no time. No stage writes into a file that stands: what is made anew takes its place.
    """
    if io.is_local(source) and io.is_local(target):
        with suppress(OSError):  # another file system, or one without links
            os.link(os.path.realpath(io.url_to_fs(source)[1]), io.url_to_fs(target)[1])
            return
    with io.open_read(source) as file, io.open_write(target) as copy:
        shutil.copyfileobj(file, copy, _CHUNK_BYTES)


def carried(source: str, target: str) -> None:
    """`carry`, in the place of what may stand at `target`."""
    fs, name = io.url_to_fs(target)
    with io.writing(target):
        fs.makedirs(fs._parent(name), exist_ok=True)
    temporary = io.temporary_name(target)
    try:
        carry(source, temporary)
        io.move(temporary, target)
    finally:
        io.remove(temporary)  # a rename of one link of a file to another leaves both
