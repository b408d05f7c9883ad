"""A class on a Dask cluster: each task is one student, each worker grades as a single machine does.

Every worker needs a checkout of this course, with the same packages; a worker that has another version says so.
A worker that is lost in the middle loses nothing: its students are graded by another one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.course.catalogue import Problem, find
from common.errors import CourseError
from common.grading.engine import Engine, Result
from common.grading.journal import harness
from common.grading.rooms import Limits

_RETRIES = 3  # times that a student is given to another worker after one was lost


@dataclass(frozen=True)
class Order:
    """What a worker has to know beside the student's files."""

    problems: tuple[str, ...]
    secret: str
    limits: Limits
    sandbox: bool
    harness: str


class Cluster:
    """Grades students on the workers of a cluster.

    Args:
        address: of the scheduler, "tcp://10.0.0.1:8786".

    Raises:
        CourseError: there is no scheduler, no worker, or one of another version.
    """

    def __init__(
        self,
        address: str,
        problems: Sequence[Problem],
        secret: str,
        limits: Limits,
        *,
        sandbox: bool,
    ) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise CourseError(
                "--cluster needs the package distributed: run `uv sync --group cluster`"
            ) from None
        self.order = Order(tuple(p.name for p in problems), secret, limits, sandbox, harness())
        try:
            self.client = Client(address, timeout=10, set_as_default=False)
        except OSError as error:
            raise CourseError(f"no scheduler answers at {address} ({error})") from None
        threads = self.client.nthreads()
        if not threads:
            raise CourseError(
                f"the scheduler at {address} has no workers: start one with `dask worker {address}`"
            )
        self.workers = sum(threads.values())
        self.checks, self.free = self._run(describe)

    def grade(self, files: Mapping[str, str]) -> dict[str, Result]:
        """One student's results, by problem."""
        return self._run(grade_there, dict(files))

    def _run(self, function: Any, *args: Any) -> Any:
        from distributed import KilledWorker

        future = self.client.submit(function, self.order, *args, pure=False, retries=_RETRIES)
        try:
            return future.result()
        except KilledWorker as error:
            raise CourseError(
                f"workers of the cluster were lost again and again with this student ({error})"
            ) from None

    def close(self) -> None:
        self.client.close()


_engines: dict[Order, Engine] = {}  # of this worker's process
_lock = threading.Lock()


def describe(order: Order) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The names of each problem's checks, and of those that its skeleton passes."""
    engine = _engine(order)
    return engine.checks, engine.free


def grade_there(order: Order, files: dict[str, str]) -> dict[str, Result]:
    """Grade one student on this worker."""
    return _engine(order).grade(files)


def _engine(order: Order) -> Engine:
    """This worker's engine for these problems, started at the first student."""
    from distributed import get_worker

    if order.harness != harness():
        raise CourseError(
            f"the worker {get_worker().address} has another version of the course, of Python or of torch"
        )
    with _lock:
        if order not in _engines:
            for known in [*_engines]:
                _engines.pop(known).close()
            chosen, workers = [find(name) for name in order.problems], get_worker().state.nthreads
            _engines[order] = Engine(
                chosen, order.secret, order.limits, workers=workers, sandbox=order.sandbox
            )
    return _engines[order]
