"""Where an exception came from, for the rules that say what it usually means."""

from __future__ import annotations

import ast
import difflib
import inspect
import linecache
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType, ModuleType

from torch import Tensor

from common.judging.loading import is_learners

Match = re.Match[str]
_ROOM = 40  # characters of a value that is shown whole
_UNKNOWN = object()  # not None, which is a value like others
_SIZED = (str, bytes, list, tuple, dict, set, frozenset)


@dataclass(frozen=True)
class Scene:
    """Where an exception came from: the text of the innermost expression of the learner's, and what stands in it."""

    error: BaseException
    expression: str = ""
    values: dict[str, object] = field(default_factory=dict)  # by how they are written: "self.mask"
    meant: str = ""  # for a name that is not defined: what has one like it
    own_guard: bool = False  # an `assert` or `raise` in the file under test
    other_guard: bool = False  # one in an earlier part that it calls

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {name: v for name, v in self.values.items() if isinstance(v, Tensor)}

    @property
    def tree(self) -> ast.AST | None:
        """The expression, or the statement where Python knows no columns; None where it is cut off."""
        # An expression may go on over several lines, whose brackets are outside of it.
        for text in (f"({self.expression}\n)", re.sub(r":$", ": pass", self.expression)):
            try:
                statements = ast.parse(text).body
            except SyntaxError:
                continue
            if len(statements) == 1:
                return getattr(statements[0], "value", None) if text[0] == "(" else statements[0]
        return None

    @property
    def bound(self) -> dict[str, object]:
        """What the names in the expression stand for in its frame, in their order; only those that have a value."""
        tree, frame = self.tree, self._frame()
        if tree is None or frame is None:
            return {}
        known = {**frame.f_globals, **frame.f_locals}
        named = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
        if not isinstance(tree, ast.AugAssign):
            # What the expression itself assigns: an outer name of that spelling is another thing.
            own = {n.id for n in named if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
            known = {name: value for name, value in known.items() if name not in own}
        named.sort(key=lambda node: (node.lineno, node.col_offset))
        found = {ast.unparse(node): _stands_for(node, known) for node in named}
        return {name: value for name, value in found.items() if value is not _UNKNOWN}

    @property
    def arguments(self) -> tuple[str, ...]:
        """What its function calls its arguments."""
        if (frame := self._frame()) is None:
            return ()
        code = frame.f_code
        return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @property
    def in_class_body(self) -> bool:
        """Whether the line stands in a class, and in none of its functions."""
        frame = self._frame()
        return frame is not None and "__qualname__" in frame.f_locals

    @property
    def raised_here(self) -> bool:
        """Whether the line itself raised, and nothing that it calls: an `assert` over several lines, say."""
        frames = [frame for frame, _ in traceback.walk_tb(self.error.__traceback__)]
        return bool(frames) and frames[-1] is self._frame()

    def _frame(self) -> FrameType | None:
        """The innermost frame of a learner's that is at this very expression."""
        begin = self.expression.partition("\n")[0]
        for frame, line in reversed([*traceback.walk_tb(self.error.__traceback__)]):
            if is_learners(frame) and begin in linecache.getline(frame.f_code.co_filename, line):
                return frame
        return None


Rule = tuple[str, str | Callable[[Scene, Match], str]]


def alike(name: str, known: Iterable[str]) -> str:
    """The known name that was perhaps meant; empty where none is close."""
    close = difflib.get_close_matches(name, [k for k in known if k != name], n=1, cutoff=0.75)
    return close[0] if close else ""


def plainly(value: object) -> str:
    """A short plain value as Python writes it, a longer one's type and length; empty for other objects."""
    if _is_plain(value) and len(text := repr(value)) <= _ROOM:
        return text
    kind = type(value)
    if kind in _SIZED and isinstance(value, _SIZED):
        return f"a {kind.__name__} of {len(value)}"
    return ""


def _is_plain(value: object, depth: int = 3) -> bool:
    """Whether repr runs nothing of the learner's and ends soon: no classes of theirs, nothing long."""
    kind = type(value)
    if kind is int and isinstance(value, int):
        return value.bit_length() < 100
    if kind in (str, bytes, float, bool):
        return not isinstance(value, str | bytes) or len(value) <= _ROOM
    if kind in (list, tuple, dict) and isinstance(value, list | tuple | dict):
        parts = [*value, *(value.values() if isinstance(value, dict) else ())]
        return depth > 0 and len(value) <= _ROOM and all(_is_plain(v, depth - 1) for v in parts)
    return value is None


def _stands_for(node: ast.expr, known: Mapping[str, object]) -> object:
    """What a name, or an attribute of one, stands for, without running anything of the learner's."""
    if isinstance(node, ast.Name):
        return known.get(node.id, _UNKNOWN)
    if not isinstance(node, ast.Attribute):
        return _UNKNOWN
    owner = _stands_for(node.value, known)
    if owner is _UNKNOWN or isinstance(owner, ModuleType):
        return _UNKNOWN
    return inspect.getattr_static(owner, node.attr, _UNKNOWN)
