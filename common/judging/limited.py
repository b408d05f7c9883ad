"""A limit on the clock for code that may loop without end."""

from __future__ import annotations

import _thread
import contextlib
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def limited(seconds: float) -> Generator[None]:
    """Raise TimeoutError when the block takes longer; Ctrl-C stays Ctrl-C.

    Where Ctrl-C is ignored nothing is raised: such a process has somebody above it who watches the clock.
    """
    over = threading.Event()

    def end() -> None:
        over.set()
        _thread.interrupt_main()

    alarm = threading.Timer(seconds, end)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    except KeyboardInterrupt:
        if not over.is_set():
            raise
        raise TimeoutError(f"took longer than {seconds:g} seconds") from None
    else:
        alarm.cancel()
        if over.is_set():  # it ended in this very moment: the interrupt is on its way
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(0.5)
    finally:
        alarm.cancel()
