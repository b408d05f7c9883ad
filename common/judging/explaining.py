"""An exception in a few lines: the learner's own line, the shapes of what meets there, and what it usually means."""

from __future__ import annotations

import ast
import linecache
import re
import traceback
from pathlib import Path
from types import FrameType, ModuleType, TracebackType

from torch import nn

from common.course.catalogue import shown
from common.judging import usual_errors
from common.judging.loading import LoadFailure, is_learners, learners_frames
from common.judging.scene import Scene, alike
from common.testing.axes import named, spoken

# What torch advises there keeps a graph that should not be there.
_ADVICE = re.compile(r" \(or directly access saved tensors.*|Specify retain_graph.*")
_UNREADABLE = {  # Python's words, where they alone are not enough
    "IndentationError: unexpected indent": "It begins further in than the line above, which does not end with a colon.",
    "IndentationError: expected an indented block": "What belongs to the colon begins four columns further in.",
    "IndentationError: unindent does not match": "It begins where no line above it does: count its spaces.",
    "TabError": "Tabs and spaces begin the lines of one block: use spaces only, four for each step.",
    "SyntaxError: invalid syntax": "Look at the line before, too: a bracket, comma or colon is missing or too much.",
}  # fmt: skip
_MOST = 4  # tensors whose shapes are told


def explain(error: BaseException, module: ModuleType) -> tuple[list[str], str]:
    """What happened where, a line each, and what it usually means (or nothing)."""
    message = (str(error).strip() or "(no message)").splitlines()
    message = [_ADVICE.sub("", line) for line in message if line.strip()][:3]
    kind = type(error).__name__
    place = _innermost(error.__traceback__, module)
    if place is None and (frames := getattr(error, "learners_frames", None)):
        # It ran in another process (common/grading), which told where.
        line, function, code = frames[-1].lineno, frames[-1].name, frames[-1].line or ""
        where = f"{kind} in {shown(Path(module.__file__ or '?'))}, line {line}, in {function}:"
        return [where, *([f"    {code}"] if code else []), *message], usual_errors.sentence(
            Scene(error, code)
        )
    if place is None:
        # Refused before a line of theirs ran: a wrong signature, something that is not callable.
        trace = traceback.extract_tb(error.__traceback__)
        call = next((f for f in reversed(trace) if Path(f.filename).name.startswith("test_")), None)
        called = (
            ["raised by this line of the test:", f"    {call.line}"] if call and call.line else []
        )
        return [f"{kind}: {message[0]}", *message[1:], *called], usual_errors.sentence(Scene(error))
    frame, line = place
    scene = _scene(error, frame, line)
    path = module.__file__ if frame.f_code.co_filename.startswith("<") else frame.f_code.co_filename
    where = f"{shown(Path(path or '?'))}, line {line}, in {frame.f_code.co_name}:"
    code = linecache.getline(frame.f_code.co_filename, line).strip()
    facts = [f"{kind} in {where}", *([f"    {code}"] if code else []), *message]
    deeper = learners_frames(error.__traceback__)[-1]
    if deeper.filename != frame.f_code.co_filename:
        facts.append(
            f"That was inside {deeper.name}, {shown(Path(deeper.filename))}, line {deeper.lineno}."
        )
    return [*facts, *_shapes(scene)], usual_errors.sentence(scene)


def not_loaded(failure: LoadFailure | NotImplementedError) -> str:
    """Why a file could not be executed, and what that usually means."""
    error = failure.__cause__
    places = (
        [p for p in traceback.walk_tb(error.__traceback__) if is_learners(p[0])] if error else []
    )
    if error is None or not places or isinstance(error, AssertionError):
        meant = next((says for words, says in _UNREADABLE.items() if words in str(failure)), "")
        return f"{failure}\n{meant}".strip()
    scene = _scene(error, *places[-1])
    meant = "" if scene.own_guard or scene.other_guard else usual_errors.sentence(scene)
    return f"{failure}\n{meant}".strip()


def raised_instead(error: BaseException, module: ModuleType, *, refused: bool = True) -> str:
    """Where an exception comes from that is not the one that is asked for.

    Args:
        refused: bad input is to be refused with another one; else there should be none at all.
    """
    frames = getattr(error, "learners_frames", None) or learners_frames(error.__traceback__)
    place = _innermost(error.__traceback__, module)
    if place:
        own = place[0].f_code.co_filename
        frames = [f for f in frames if f.filename == own]
    if not frames:
        return ""
    line, code = frames[-1].lineno, frames[-1].line or ""
    if code.startswith("assert") and isinstance(error, AssertionError):
        return (
            f"Your own line {line}, `{code}`, raises it: an assert gives AssertionError, whatever its message; "
            "`if ...: raise ...` gives the error that you name."
        )
    if code.startswith("raise ") and type(error).__name__ in code:
        return f"Your own line {line}, `{code}`, raises it."
    if code.startswith("raise "):
        return f"Your own line {line}, `{code}`, fails before it can raise its error."
    if not refused:
        meant = usual_errors.sentence(Scene(error, code))
        return f"It comes up in line {line}, `{code}`. {meant}".strip()
    return (
        f"It comes up in line {line}, `{code}`: the value came that far without being refused, or stands there in "
        "the place of another."
    )


def missing(name: str, module: ModuleType) -> tuple[list[str], str]:
    """A name of the contract that the solution does not define."""
    close = alike(name, [n for n in vars(module) if not n.startswith("_")])
    says = "The README's Build section lists every name that the tests use, with its signature."
    meant = f"It does define `{close}`. " if close else ""
    return [f"{shown(Path(module.__file__ or '?'))} does not define `{name}`."], meant + says


def no_terminal(error: BaseException) -> list[str]:
    """breakpoint() where nobody can type."""
    frames = learners_frames(error.__traceback__)
    where = f"line {frames[-1].lineno} " if frames else "the file "
    return [
        f"{where}calls breakpoint(), which needs a terminal of its own: gpt2 check gives it one."
    ]


def comparable(error: BaseException) -> str:
    """An exception's type and message without what differs from run to run."""
    return f"{type(error).__name__}: {usual_errors.without_addresses(str(error))}"


def _innermost(trace: TracebackType | None, module: ModuleType) -> tuple[FrameType, int] | None:
    """The innermost line of the file under test; of an earlier part only where it was called directly."""
    found = [(frame, line) for frame, line in traceback.walk_tb(trace) if is_learners(frame)]
    own = [place for place in found if place[0].f_globals is module.__dict__]
    return (own or found)[-1] if found else None


def _scene(error: BaseException, frame: FrameType, line: int) -> Scene:
    statement = linecache.getline(frame.f_code.co_filename, line).strip()
    # Where values are unpacked Python's columns are those of the names alone.
    unpacked = "to unpack" in str(error)
    expression = "" if unpacked else _expression(error.__traceback__, frame)
    expression = expression or statement
    last, at = [*traceback.walk_tb(error.__traceback__)][-1]
    thrown = linecache.getline(last.f_code.co_filename, at).split(maxsplit=1)[:1]
    if is_learners(last) and thrown in (["assert"], ["raise"]):
        own = last is frame
        return Scene(error, expression.strip(), own_guard=own, other_guard=not own)
    try:
        tree = ast.parse(expression.strip().rstrip(":"))
    except SyntaxError:
        return Scene(error, expression)
    values = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            value = _value(node, frame)
            if value is not None or isinstance(node, ast.Name):
                values[ast.unparse(node)] = value
    return Scene(error, expression.strip(), values, _meant(error, frame))


def _meant(error: BaseException, frame: FrameType) -> str:
    """What the code may have meant by a name that is not defined: an attribute of self, a name like it, torch's own."""
    name = error.name if isinstance(error, NameError) else None
    if not name:
        return ""
    if hasattr(frame.f_locals.get("self"), name):
        return f"self.{name}"
    known = {**frame.f_builtins, **frame.f_globals, **frame.f_locals}
    modules = [as_ for as_, value in known.items() if isinstance(value, ModuleType)]
    of_module = [f"{as_}.{name}" for as_ in modules if hasattr(known[as_], name)]
    return alike(name, frame.f_locals) or next(iter(of_module), "") or alike(name, known)


def _expression(trace: TracebackType | None, frame: FrameType) -> str:
    """The source of the very operation that failed, where Python knows its columns."""
    while trace is not None and trace.tb_frame is not frame:
        trace = trace.tb_next
    while trace is not None and trace.tb_next is not None and trace.tb_next.tb_frame is frame:
        trace = trace.tb_next
    if trace is None:
        return ""
    positions = [*frame.f_code.co_positions()][trace.tb_lasti // 2]
    first, last, begin, end = positions
    if None in positions or first is None or last is None:
        return ""
    lines = [
        linecache.getline(frame.f_code.co_filename, n).encode() for n in range(first, last + 1)
    ]
    if len(lines) == 1:
        return lines[0][begin:end].decode(errors="replace")
    text = b"".join([lines[0][begin:], *lines[1:-1], lines[-1][:end]])
    return text.decode(errors="replace")


def _value(node: ast.expr, frame: FrameType) -> object:
    """What a name, or an attribute of one, stands for, without running anything of the learner's."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if not isinstance(node, ast.Attribute):
        return None
    owner = _value(node.value, frame)
    return own_parts(owner).get(node.attr) if isinstance(owner, nn.Module) else None


def own_parts(module: nn.Module) -> dict[str, object]:
    """What is set on a module itself: parameters, buffers, submodules and plain attributes."""
    own = vars(
        module
    )  # asked without the module's help, which it cannot give before super().__init__()
    parts = (own.get(kind) or {} for kind in ("_parameters", "_buffers", "_modules"))
    return {**own, **{name: value for found in parts for name, value in found.items()}}


def _shapes(scene: Scene) -> list[str]:
    """The shapes of the tensors that meet in the expression."""
    told = [f"{name} is {named(t.shape)}" for name, t in [*scene.tensors.items()][:_MOST]]
    return [f"Here {spoken(told)}."] if told else []
