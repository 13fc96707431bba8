"""Several files at once, each by a process of its own; on Ctrl-C those begun are finished, and no more begun."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

__all__ = ["each"]


def each(work: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    """Yield what ``work`` returns for each call, in order, ``jobs`` of them at once."""
    if jobs == 1 or len(calls) == 1:
        yield from (work(*call) for call in calls)
        return
    # Processes begun anew: torch's threads do not survive a fork.
    with ProcessPoolExecutor(min(jobs, len(calls)), multiprocessing.get_context("spawn")) as pool:
        with _interrupts_ignored():
            waiting = [pool.submit(work, *call) for call in calls]
        try:
            yield from (one.result() for one in waiting)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Within it Ctrl-C is ignored, and by processes begun in it ever after: a terminal sends it to all of them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # others may not, and hear of no Ctrl-C
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
