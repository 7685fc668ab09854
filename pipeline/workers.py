"""Worker processes of this machine. They end with the process that started them, and an interrupt ends them at once."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process


@contextmanager
def worker_processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """`count` worker processes for the block; where it raises, what they are on is given up."""
    others = set(active_children())
    pool = ProcessPoolExecutor(count, mp_context=get_context("forkserver"), initializer=_follow_parent)
    try:
        yield pool
    except BaseException:
        for worker in set(active_children()) - others:
            worker.terminate()  # a part that is cut off leaves temporary files only, which the next run sweeps away
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides, and speaks
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever: it holds both ends of the queue itself."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
