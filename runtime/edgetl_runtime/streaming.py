"""Many pictures through one function, in order: decoded ahead by threads, bounded, and clean however it ends.

Knows nothing about pictures and engines: a function that answers a few items, and an iterable.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def default_workers() -> int:
    """Return how many threads keep this machine busy: one for each core of this process, and one more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16) + 1


def in_order(
    items: Iterable[Item],
    answer: Callable[[Sequence[Item]], Sequence[Answer]],
    *,
    batch: int,
    ahead: int,
) -> Iterator[Answer]:
    """Yield the answers to all items in their order.

    The items are taken in the caller's thread, `ahead` at most beyond those whose answers were yielded,
    rounded up to whole batches. Where `answer` raises, or the iterable does, the answers before it are
    yielded first. An answer that is ready is given before the window is full, so that a slow source delays it
    by one batch at most. Whoever stops early, closes the generator or breaks out of a loop, leaves no thread
    behind.

    Args:
        answer: is given 1 to `batch` items and called from several threads.
    """
    rest = iter(items)
    window = max(1, -(-ahead // batch))
    waiting: deque[Future[Sequence[Answer]]] = deque()
    failure: Exception | None = None
    pool = ThreadPoolExecutor(min(window, default_workers()), "edgetl-stream")
    try:
        while True:
            while failure is None and len(waiting) < window:
                part, failure = _take(rest, batch)
                if not part:
                    break
                waiting.append(pool.submit(answer, part))
                if waiting[0].done():  # Whoever waits for it should not wait for the next item as well.
                    break
            if not waiting:
                break
            yield from waiting.popleft().result()
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take(rest: Iterator[Item], batch: int) -> tuple[list[Item], Exception | None]:
    """Take up to a batch of items, and what the iterable raised."""
    part: list[Item] = []
    try:
        for item in islice(rest, batch):
            part.append(item)  # One by one, to keep those before the error.
    except Exception as error:
        return part, error
    return part, None
