"""A limit on the clock for code that may loop without end."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

_AGAIN = 0.2  # seconds; an interrupt is lost where it meets a callback of the interpreter's own


@contextmanager
def limited(seconds: float) -> Generator[None]:
    """Raise TimeoutError when the block takes longer; Ctrl-C stays Ctrl-C. For the main thread."""
    over, done = threading.Event(), threading.Event()
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as in a worker, or behind `&`
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            over.set()
            _thread.interrupt_main()
            wait = _AGAIN

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not over.is_set():
            raise
        raise TimeoutError(f"took longer than {seconds:g} seconds") from None
    finally:
        # An interrupt may be on its way in this very moment, too.
        with contextlib.suppress(KeyboardInterrupt):
            done.set()
            watcher.join()
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
