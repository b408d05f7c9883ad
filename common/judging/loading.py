"""From a path to a module: the only code that executes a solution.py.

A module loaded here knows where its earlier parts come from (`__earlier__`), so that the reference
always builds on references, and a learner's file on references or, on request, on the learner's own.
"""

from __future__ import annotations

import contextlib
import linecache
import sys
import traceback
from collections.abc import Callable, Generator
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from types import FrameType, ModuleType, TracebackType

from common.course.catalogue import Problem, find, shown
from common.errors import CourseError

Tree = Callable[[Problem], Path]  # where a problem's solution.py lies
_MARK = "__earlier__"  # a global of every module that was loaded here: its tree
_serial = count()
_earlier: dict[tuple[str, Tree, str], ModuleType] = {}


class LoadFailure(CourseError):
    """A solution.py that cannot be executed."""

    def __init__(
        self, message: str, *, path: Path, line: int | None = None, code: str = ""
    ) -> None:
        where = shown(path) + (f", line {line}" if line else "")
        super().__init__(f"{where}: {message}" + (f"\n    {code.strip()}" if code.strip() else ""))
        self.path = path


def references(problem: Problem) -> Path:
    return problem.reference


def learners(problem: Problem) -> Path:
    return problem.solution


def tree(name: str) -> Tree:
    """The tree that a request names: "references", "learners", or a folder with NN-slug/solution.py."""
    known = {"references": references, "learners": learners}
    return known.get(name) or (lambda problem: Path(name) / problem.name / "solution.py")


_building_on: ContextVar[Tree] = ContextVar("building_on", default=references)


@contextlib.contextmanager
def building_on(tree: Tree) -> Generator[None]:
    """Within the block `problem(N)` is looked up in that tree."""
    token = _building_on.set(tree)
    try:
        yield
    finally:
        _building_on.reset(token)


def read_source(path: Path) -> str:
    """The text of a solution.py, with line feeds alone.

    Raises:
        LoadFailure: missing, a folder, not UTF-8, or not text.
    """
    if path.is_dir():
        raise LoadFailure("this is a folder, not a Python file", path=path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LoadFailure("there is no such file", path=path) from None
    except OSError as error:
        raise LoadFailure(f"cannot be read ({error.strerror})", path=path) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        bad = f"not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        raise LoadFailure(bad, path=path, line=line) from None
    if "\0" in text:
        raise LoadFailure("holds a null byte, so it is not Python source", path=path)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def load(path: Path, earlier: Tree = references) -> ModuleType:
    """Execute a solution.py afresh.

    Args:
        earlier: where `problem(N)` inside that file finds the earlier parts.

    Raises:
        LoadFailure: with file, line and reason. NotImplementedError: an unwritten part stopped it.
    """
    return execute(read_source(path), path, earlier, on_disk=True)


def execute(
    source: str, path: Path, earlier: Tree = references, *, on_disk: bool = False
) -> ModuleType:
    """Execute source text as the solution.py at `path`.

    Args:
        on_disk: the text is that of the file, so that tracebacks may name it.
    """
    name = f"solution_{path.parent.name.replace('-', '_')}_{next(_serial)}"
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__dict__[_MARK] = earlier
    filename = str(path) if on_disk else f"<{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up here
    try:
        with building_on(earlier):
            exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise LoadFailure(
            f"{type(error).__name__}: {error.msg}",
            path=path,
            line=error.lineno,
            code=error.text or "",
        ) from None
    except (LoadFailure, NotImplementedError):
        raise  # an earlier part, which already names its own file; or something not written yet
    except BaseException as error:  # sys.exit() at import time is the learner's bug, not our exit
        frames = learners_frames(error.__traceback__)
        if isinstance(error, KeyboardInterrupt) and not frames:
            raise
        last = frames[-1] if frames else None
        raise LoadFailure(
            f"{type(error).__name__}: {error}",
            path=path,
            line=last.lineno if last else None,
            code=(last.line or "") if last else "",
        ) from error
    return module


def forget(module: ModuleType) -> None:
    """Let go of a module that was executed from source text."""
    sys.modules.pop(module.__name__, None)
    linecache.cache.pop(f"<{module.__name__}>", None)


def learners_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames of a traceback that run code loaded here, the innermost last."""
    return [
        *traceback.StackSummary.extract(f for f in traceback.walk_tb(trace) if is_learners(f[0]))
    ]


def is_learners(frame: FrameType) -> bool:
    """Whether a frame runs code that was loaded here."""
    return _MARK in frame.f_globals


def problem(number: int | str) -> ModuleType:
    """The solution of an earlier problem, for use inside a solution.py.

    `CausalSelfAttention = problem(5).CausalSelfAttention` is the reference's class, unless the file
    that says so was loaded to build on the learner's own work (`--mine`).

    Raises:
        UnknownProblem: no such problem. LoadFailure: its file cannot be executed.
    """
    tree = _building_on.get()
    path = tree(find(number))
    source = read_source(path)
    key = (str(path), tree, source)
    if key not in _earlier:
        _earlier[key] = execute(source, path, tree, on_disk=True)
    return _earlier[key]
