"""Exceptions on their way: a builtin's name, its arguments and the lines of the learner's file."""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Callable
from typing import Any

_KNOWN = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
}
_LONGEST = 4000  # characters of a message
_MOST_FRAMES = 30


def written(error: BaseException, is_learners: Callable[[Any], bool]) -> dict[str, Any]:
    """An exception as JSON.

    Args:
        is_learners: whether a frame runs the learner's code.
    """
    kind = next(
        k.__name__ for k in type(error).__mro__ if k.__name__ in _KNOWN or k is BaseException
    )
    if isinstance(error, SystemExit):
        kind = "SystemExit"
    arguments = [*error.args]
    if type(error).__name__ not in _KNOWN and kind in ("UnicodeDecodeError", "UnicodeEncodeError"):
        kind = "ValueError"
    if not all(a is None or type(a) in (bool, int, float, str) for a in arguments):
        arguments = [_message(error)]
    frames = [
        [f.filename, f.lineno or 0, f.name, (f.line or "")[:200]]
        for f in traceback.StackSummary.extract(
            f for f in traceback.walk_tb(error.__traceback__) if is_learners(f[0])
        )
    ]
    return {
        "kind": kind,
        "name": type(error).__name__,
        "args": [a[:_LONGEST] if isinstance(a, str) else a for a in arguments],
        "unicode": _unicode(error),
        "frames": frames[-_MOST_FRAMES:],
    }


def read(node: dict[str, Any], special: dict[str, type[BaseException]]) -> BaseException:
    """The exception that this JSON stands for, with the learner's frames in `learners_frames`.

    Args:
        special: further classes, by name.
    """
    name, arguments = str(node["name"])[:100], node["args"]
    if (
        not isinstance(arguments, list)
        or len(arguments) > 100
        or any(isinstance(a, list | dict) for a in arguments)
    ):
        raise ValueError("an exception with odd arguments")
    kind = special.get(name) or _KNOWN.get(node["kind"], RuntimeError)
    if node["kind"] == "SystemExit":
        kind = SystemExit
    if issubclass(kind, UnicodeError) and node["unicode"]:
        codec, data, start, end, reason = node["unicode"]
        error: BaseException = UnicodeDecodeError(
            str(codec), str(data).encode("latin-1"), int(start), int(end), str(reason)
        )
    elif issubclass(
        kind, UnicodeDecodeError | UnicodeEncodeError | UnicodeTranslateError | BaseExceptionGroup
    ):
        error = ValueError(*arguments)
    elif kind is RuntimeError and node["kind"] not in _KNOWN:
        error = RuntimeError(f"{name}: {' '.join(map(str, arguments))}")
    else:
        error = kind(*arguments)
    vars(error)["learners_frames"] = [
        traceback.FrameSummary(str(file), int(line), str(function), line=str(code))
        for file, line, function, code in node["frames"][-_MOST_FRAMES:]
    ]
    return error


def _unicode(error: BaseException) -> list[Any] | None:
    if type(error) is not UnicodeDecodeError:
        return None
    return [
        error.encoding,
        error.object[:1000].decode("latin-1"),
        error.start,
        error.end,
        error.reason,
    ]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(an exception whose message cannot be made)"
