"""An exception in a few lines: the learner's own frames only, and what it usually means."""

from __future__ import annotations

import bdb
import re
import traceback
from pathlib import Path
from types import ModuleType

from common.course.catalogue import shown
from common.judging.loading import learners_frames

# (pattern in "Type: message", sentence); the first match counts.
_CAUSES = [
    (r"before Module\.__init__\(\) call", "Call super().__init__() in the first line of __init__."),
    (
        r"view size is not compatible",
        "After transpose or permute the memory is not contiguous: use .reshape(), or .contiguous() before .view().",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)",
        r"A linear layer that takes \3 channels was given \2: look at the last axis of its input.",
    ),
    (
        r"mat1 and mat2 must have the same dtype",
        "Some tensor was made with a fixed dtype, or cast with .float(): make it with dtype=x.dtype.",
    ),
    (
        r"values to unpack",
        "split(size) cuts pieces of that size, chunk(n) cuts n pieces: one of them gave more or fewer than you name.",
    ),
    (
        r"Boolean value of Tensor with more than one value is ambiguous",
        "A tensor stands where Python wants True or False; to ask whether it is there, write `is not None`.",
    ),
    (
        r"a (?:leaf Variable|view of a leaf Variable) that requires grad",
        "A parameter is changed in place: do that under torch.no_grad(), and change other tensors with `x = x + ...`.",
    ),
    (
        r"modified by an inplace operation",
        "A tensor that backward() still needs was changed in place: write `x = x + ...` instead of `x += ...`.",
    ),
    (
        r"IndexError: index out of range in self",
        "An embedding was asked for a row it does not have: an id or position is as large as its number of rows.",
    ),
    (
        r"Expected .* scalar types?:? Long|Expected tensor for argument #1 'indices'|must be .*Long",
        "Indices must be int64: token ids and positions are looked up, not computed with.",
    ),
    (
        r"does not require grad and does not have a grad_fn",
        "The way from the parameters to the result is cut: by detach(), .data, .item() or torch.no_grad().",
    ),
    (
        r"Trying to backward through the graph a second time",
        "backward() was called twice on one graph: compute the loss anew in every step.",
    ),
    (
        r"all elements of input should be between 0 and 1|probability tensor contains",
        "The probabilities are not probabilities: look for NaN, inf or a missing softmax.",
    ),
    (
        r"'NoneType' object",
        "Something is None that should not be: usually a function that ends without a return.",
    ),
    (
        r"cannot assign '.*' as parameter '.*' \(torch\.nn\.Parameter or None expected\)",
        "A parameter was replaced by a plain tensor: change it in place, or wrap it in nn.Parameter.",
    ),
    (
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)",
        r"The two tensors do not line up: \1 against \2 in axis \3. Print both shapes in the line before.",
    ),
    (
        r"shape '\[.*\]' is invalid for input of size",
        "view and reshape keep the number of elements: the sizes you name multiply to another number.",
    ),
    (r"RecursionError", "It calls itself without end."),
    (
        r"FrozenInstanceError",
        "The config is frozen: make a new one instead of changing its fields.",
    ),
]


def explain(error: BaseException, module: ModuleType) -> tuple[list[str], str]:
    """What happened where, a line each, and what it usually means (or nothing)."""
    if isinstance(error, bdb.BdbQuit):
        return ["You left the debugger (q), which ends the check; c lets it go on."], ""
    message = (str(error).strip() or "(no message)").splitlines()
    message = [line for line in message if line.strip()][:3]
    frames = learners_frames(error.__traceback__)
    if frames:
        last = frames[-1]
        path = module.__file__ if last.filename.startswith("<") else last.filename
        where = f"{shown(Path(path or last.filename))}, line {last.lineno}, in {last.name}:"
        code = [f"    {last.line}"] if last.line else []
        return [f"{type(error).__name__} in {where}", *code, *message], usual_cause(error)
    # Refused before a line of theirs ran: a wrong signature, something that is not callable.
    trace = traceback.extract_tb(error.__traceback__)
    call = next((f for f in reversed(trace) if Path(f.filename).name.startswith("test_")), None)
    called = ["raised by this line of the test:", f"    {call.line}"] if call and call.line else []
    return [f"{type(error).__name__}: {message[0]}", *message[1:], *called], usual_cause(error)


def missing(name: str, module: ModuleType) -> tuple[list[str], str]:
    """A name of the contract that the solution does not define."""
    says = "The README's Build section lists every name that the tests use, with its signature."
    return [f"{shown(Path(module.__file__ or '?'))} does not define `{name}`."], says


def no_terminal(error: BaseException) -> list[str]:
    """breakpoint() where nobody can type."""
    frames = learners_frames(error.__traceback__)
    where = f"line {frames[-1].lineno} " if frames else "the file "
    return [
        f"{where}calls breakpoint(), which needs a terminal of its own: gpt2 check gives it one."
    ]


def usual_cause(error: BaseException) -> str:
    """One sentence on what this error usually means; empty when there is nothing to add."""
    text = f"{type(error).__name__}: {error}"
    for pattern, sentence in _CAUSES:
        if found := re.search(pattern, text):
            return found.expand(sentence) if "\\" in sentence else sentence
    return ""


def comparable(error: BaseException) -> str:
    """An exception's type and message without what differs from run to run."""
    text = re.sub(r"0x[0-9a-f]+", "0x", str(error))
    text = re.sub(r"solution_[a-z0-9_]+?_\d+\b", "solution", text)
    return f"{type(error).__name__}: {text}"
