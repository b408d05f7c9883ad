"""A limit on the clock for code that may loop without end."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def limited(seconds: float) -> Generator[None]:
    """Raise KeyboardInterrupt in the main thread when the block takes longer.

    Where Ctrl-C is ignored nothing is raised: such a process has somebody above it who watches the clock.
    """
    alarm = threading.Timer(seconds, _thread.interrupt_main)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()
