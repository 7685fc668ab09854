"""Worker processes of this machine. They end with the process that started them, and an interrupt ends them at once."""

import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import active_children, current_process, forkserver, get_context, parent_process
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@contextmanager
def worker_processes(
    count: int, *, ready: str | None = None, set_up: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """`count` worker processes for the block, each of which calls `set_up` first; where it raises, what they are on is given up.

    `ready` names a module that is imported once, before they are forked: what it holds is in memory once. It must start no
    threads. The first call of a process that names one decides, since all workers come from one server.

    Raises BrokenProcessPool, all workers having ended, where one of them died and the block does not catch it.
    """
    others = set(active_children())
    context = get_context("forkserver")
    if ready is not None:
        _preload(ready)
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(set_up,))
    try:
        yield pool
    except BrokenProcessPool:
        pool.shutdown()  # the others are being ended, and are waited for: none is still at work on what is done again
        raise
    except BaseException:
        for worker in set(active_children()) - others:
            worker.terminate()  # a part that is cut off leaves temporary files only, which the next run sweeps away
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def warm_up(*ready: str) -> None:
    """Have the server started from which workers are forked: it imports the modules `ready` while this process goes on."""
    _preload(*ready)
    forkserver.ensure_running()


def _preload(*ready: str) -> None:
    get_context("forkserver").set_forkserver_preload(["__main__", *ready])


def each_in_a_worker(
    do: Callable[[Item], Answer],
    items: Sequence[Item],
    count: int,
    *,
    lost: Callable[[Item], Answer],
    ready: str | None = None,
) -> Iterator[Answer]:
    """`do(item)` of each item as it comes, in `count` worker processes; `lost(item)` for one on which its worker dies.

    `ready`: a module that the workers find imported, as for `worker_processes`.

    When a worker dies (a crash in a decoder, the kernel out of memory) the at most `count` items that were in flight are lost
    with it. Each of them is done again in a process of its own, so that the item that kills is known and only that one given
    up; then new workers go on with the rest. An item is done twice, therefore, at most.
    """
    waiting = deque(items)
    while waiting:
        running: dict[Future[Answer], Item] = {}
        try:
            with worker_processes(min(count, len(waiting)), ready=ready) as pool:
                yield from _as_they_come(pool, do, waiting, running, count)
        except BrokenProcessPool:
            ended = {future for future in running if future.exception() is None}
            yield from (future.result() for future in ended)
            suspects = [item for future, item in running.items() if future not in ended]
            yield from _each_alone(do, suspects or [waiting.popleft()], lost)  # one a round at least, or there were no end


def _as_they_come(
    pool: ProcessPoolExecutor,
    do: Callable[[Item], Answer],
    waiting: "deque[Item]",
    running: "dict[Future[Answer], Item]",
    count: int,
) -> Iterator[Answer]:
    """Answers of the items in `waiting`; `running` holds those of which no answer was given yet, never more than `count`."""
    while waiting or running:
        while waiting and len(running) < count:
            future = pool.submit(do, waiting[0])
            running[future] = waiting.popleft()
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            answer = future.result()
            del running[future]
            yield answer


def _each_alone(do: Callable[[Item], Answer], items: Sequence[Item], lost: Callable[[Item], Answer]) -> Iterator[Answer]:
    with ExitStack() as stack:
        running = {stack.enter_context(worker_processes(1)).submit(do, item): item for item in items}
        for future in as_completed(running):
            yield lost(running[future]) if isinstance(future.exception(), BrokenProcessPool) else future.result()


def _begin(set_up: Callable[[], None] | None) -> None:
    _follow_parent()
    if set_up is not None:
        set_up()


def worker_index() -> int | None:
    """Which child of its parent this process is, from 0, in order of their start; None in a process that is nobody's worker.

    Workers that one `each_in_a_worker` starts have numbers that follow each other, also where some took the place of others.
    """
    if parent_process() is None:
        return None
    return int(re.split("[-:]", current_process().name)[-1]) - 1  # multiprocessing names them Process-1, Process-2, …


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides, and speaks
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever: it holds both ends of the queue itself."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
