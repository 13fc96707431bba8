"""What a fit changes in the process for a while, and puts back: seeds, threads, Ctrl-C, memory."""

from __future__ import annotations

import ctypes
import functools
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["interruptible", "memory_returned", "seeded", "threads_set"]


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seed torch's generators for a while; the caller's come back untouched."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


@contextmanager
def threads_set(threads: int) -> Iterator[None]:
    """Use so many processor threads for a while, in numpy's matrix products too."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with _pools().limit(limits=threads, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def _pools() -> ThreadpoolController:
    """Return the libraries' pools of threads; to look for them takes longer than many a task."""
    return ThreadpoolController()


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that a step is never cut in the middle."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(signal_number: int, frame: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)  # a second Ctrl-C is not held back

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def memory_returned() -> None:
    """Give memory that was freed back to the system, where the C library would keep it (glibc) and can be told."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
