"""Worker processes of this machine. They end with the process that started them, and an interrupt ends them at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


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


def each_in_a_worker(
    do: Callable[[Item], Answer], items: Sequence[Item], count: int, *, lost: Callable[[Item], Answer]
) -> Iterator[Answer]:
    """`do(item)` of each item as it comes, in `count` worker processes; `lost(item)` for one on which its worker dies.

    When a worker dies (a crash in a decoder, the kernel out of memory) all that were at work are lost with it. They are done
    again one by one, so that the item that kills is known, and only that one given up.
    """
    left = dict(enumerate(items))
    try:
        with worker_processes(min(count, len(left)) or 1) as pool:
            numbers = {pool.submit(do, item): number for number, item in left.items()}
            for future in as_completed(numbers):
                answer = future.result()
                del left[numbers[future]]
                yield answer
    except BrokenProcessPool:
        for item in left.values():
            yield _alone(do, item, lost)


def _alone(do: Callable[[Item], Answer], item: Item, lost: Callable[[Item], Answer]) -> Answer:
    try:
        with worker_processes(1) as pool:
            return pool.submit(do, item).result()
    except BrokenProcessPool:
        return lost(item)


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides, and speaks
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever: it holds both ends of the queue itself."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
