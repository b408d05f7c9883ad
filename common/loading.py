"""From a path to a module: the only code that executes a solution.py.

A module loaded here knows where its earlier parts come from (`__earlier__`), so that the reference
always builds on references, and a learner's file on references or, on request, on the learner's own.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType

from common.catalogue import Problem, find, shown
from common.errors import CourseError

Tree = Callable[[Problem], Path]  # where a problem's solution.py lies
_serial = count()
_earlier: dict[tuple[str, Tree, bytes], ModuleType] = {}


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


def folder_tree(folder: Path) -> Tree:
    """DIR/NN-slug/solution.py, for a student's folder."""
    return lambda problem: folder / problem.name / "solution.py"


def read_source(path: Path) -> str:
    """The text of a solution.py.

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
    return text


def load(path: Path, earlier: Tree = references) -> ModuleType:
    """Execute a solution.py afresh.

    Args:
        earlier: where `problem(N)` inside that file finds the earlier parts.

    Raises:
        LoadFailure: with file, line and reason.
    """
    return execute(read_source(path), path, earlier)


def execute(source: str, path: Path, earlier: Tree = references) -> ModuleType:
    """Execute source text as the solution.py at `path`; the path is for messages and tracebacks."""
    name = f"solution_{path.parent.name.replace('-', '_')}_{next(_serial)}"
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__dict__["__earlier__"] = earlier
    # A file name of its own for text that is on no disk, so that line numbers stay right.
    filename = str(path) if path.is_file() and source == _on_disk(path) else f"<{name}>"
    if filename != str(path):
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up here
    try:
        exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise LoadFailure(
            f"{type(error).__name__}: {error.msg}",
            path=path,
            line=error.lineno,
            code=error.text or "",
        ) from None
    except LoadFailure:
        raise  # an earlier part: it already names its own file
    except NotImplementedError:
        raise
    except BaseException as error:  # sys.exit() at import time is the learner's bug, not our exit
        frame = next(
            (
                f
                for f in reversed(traceback.extract_tb(error.__traceback__))
                if f.filename == filename
            ),
            None,
        )
        if isinstance(error, KeyboardInterrupt) and frame is None:
            raise
        raise LoadFailure(
            f"{type(error).__name__}: {error}",
            path=path,
            line=frame.lineno if frame else None,
            code=(frame.line or "") if frame else "",
        ) from error
    return module


def problem(number: int | str) -> ModuleType:
    """The solution of an earlier problem, for use inside a solution.py.

    `CausalSelfAttention = problem(5).CausalSelfAttention` is the reference's class, unless the file
    that says so was loaded to build on the learner's own work (`--mine`).

    Raises:
        UnknownProblem: no such problem. LoadFailure: its file cannot be executed.
    """
    tree: Tree = sys._getframe(1).f_globals.get("__earlier__", references)
    wanted = find(number)
    path = tree(wanted)
    source = read_source(path)
    key = (str(path), tree, source.encode())
    if key not in _earlier:
        _earlier[key] = execute(source, path, tree)
    return _earlier[key]


def forget() -> None:
    """Drop the earlier parts loaded so far, as a changed file may stand behind an unchanged one."""
    _earlier.clear()


def _on_disk(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
