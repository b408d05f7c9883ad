"""The first wrong line: where a learner's run makes a tensor that a right run never has.

A failing check runs once more on the learner's module and on the reference, and every tensor that a line makes
is noted. From the wrong result the way goes back through tensors that the right run does not have, to the one
whose own inputs it all has. Other orders of the same steps lead through known tensors and drop out on the way.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from common.judging.causes import FirstLine
from common.judging.checks import Check
from common.judging.known_values import KnownValues, Match
from common.judging.recording import Recording, Step, line_of
from common.judging.records import Outcome, Status
from common.testing.context import Seen

# Where entries are sorted or counted, equal values meet by accident; where they are drawn, they never do.
_SILENT = {
    "sort", "topk", "argsort", "cumsum", "multinomial", "bincount", "unique",
    "rand", "rand_like", "randn", "randn_like", "bernoulli", "bernoulli_", "uniform_", "normal_",
}  # fmt: skip
_JOINS = ("cat", "stack")
_HALF = (torch.bfloat16, torch.float16)  # rounded too much to be compared on another way
_COARSE = 1e-3  # a check that allows so much computes where rounding alone makes other numbers
_TRIED = 4  # failing checks that are looked at
PATIENCE = 2.0  # seconds; some hundredths of one on a common machine


def first_wrong_line(
    pairs: Sequence[tuple[Check, Outcome]], module: ModuleType, reference: ModuleType
) -> FirstLine | None:
    """The line, as far as the failing checks among these make it certain.

    Args:
        pairs: all checks of the problem with what came of them.
    """
    deadline = time.process_time() + PATIENCE
    wrong = [(check, outcome) for check, outcome in pairs if outcome.status == Status.FAILED]
    # The last checks of a problem compare the whole; the first ones set parts to values that hide others.
    exact = [pair for pair in reversed(wrong) if not _is_coarse(pair[1])]
    failing = sorted(exact, key=lambda pair: not any(map(_numbers, pair[1].seen[-3:])))
    if any(overwrites_its_input(outcome) for _, outcome in pairs):
        return None  # what is computed later starts from other numbers
    trusted = _trusted([outcome for _, outcome in pairs])
    tried = 0
    for check, outcome in failing:
        if time.process_time() > deadline or tried == _TRIED:
            break
        mine = _recorded(check, module)
        if mine is None:
            continue
        tried += 1
        right = _recorded(check, reference)
        if right is None:
            continue
        known = KnownValues([*(s.value for s in right.steps), *right.outside])
        if (end := _ends_in(mine.steps, outcome.seen)) is None:
            numbers = [s for s in mine.handed_out if _is_table(s.value)]
            ends = [s for s in numbers if not known.match(s.value).may_be_right]
        elif _is_filled_wrong(end, check.run(reference).seen, outcome.seen):
            return None
        else:
            ends = [end]
        found = _origin(ends, known, trusted, deadline)
        if found and not _lacks_a_bias(found[0], right.steps):
            # A report shows the first failing check: a line that does not run there is beside the point. Where none
            # runs, as where layers are counted, what self holds is at fault, and not the line that uses it.
            shown = wrong[0][0]
            ran = {found[2]} if check is shown else _lines_of(shown, module)
            times = known.times(_made_in_line(found[0], found[2], mine.steps, trusted).value)
            near = found[2] in ran if ran else "self." not in line_of(found[2], module)
            return _told(*found, times, module) if near else None
    return None


_TYPES_MEET = re.compile(r"same dtype|expected scalar type|expected dtype .* but got dtype")
_OTHER_TYPES = re.compile(r"BFloat16|Half|[Dd]ouble")
_FLOAT32_CAME = re.compile(
    r"mixed dtype|expected '?torch\.(?:float64|bfloat16|float16)\b.*got +'?torch\.float32", re.S
)
_WIDENS = re.compile(r"\.(float|to|type)\(|dtype|float32")
WAY_BACK = (
    "Where it is meant to be wider, the way back is missing: what is made of it is cast to the type of the input "
    "again, .to(...), before it meets a tensor of that type or is returned."
)
_OTHERS = (*_HALF, torch.float64)


def first_in_float32(check: Check, outcome: Outcome, module: ModuleType) -> str:
    """Where a run in another type has its first float32 tensor; empty where no types meet and none came out."""
    said = " ".join((*outcome.facts, outcome.error))
    meet = _TYPES_MEET.search(said) and _OTHER_TYPES.search(said)
    if not (meet or _FLOAT32_CAME.search(said)):
        return ""
    with Recording(module) as recording:
        check.run(module)
    steps = [step for step in recording.steps if step.value.ndim]
    other = next((i for i, step in enumerate(steps) if step.value.dtype in _OTHERS), None)
    # Before the first tensor of the other type there may be a whole run in float32; without one, the last is it.
    single = [step for step in steps[other or 0 :] if step.value.dtype == torch.float32]
    if not single:
        return ""
    step = single[-1] if other is None else single[0]
    while before := [s for s in step.inputs if s.value.dtype == torch.float32 and s.value.ndim]:
        step = before[0]
    line = step.places[-1][1]
    code = line_of(line, module)
    from_other = any(v.dtype in _OTHERS for v in (*step.given, *(s.value for s in step.inputs)))
    back = f" {WAY_BACK}" if from_other and _WIDENS.search(code) else ""
    return f"The first float32 tensor there is made in line {line}, `{code}`.{back}"


def overwrites_its_input(outcome: Outcome) -> bool:
    """Whether a check found an input that was overwritten."""
    if outcome.status != Status.FAILED or not outcome.seen:
        return False
    what = outcome.seen[-1].what
    shaped = what.removeprefix("shape of ")
    return shaped.startswith("the input") and (shaped != what or what.endswith("changed"))


def _recorded(check: Check, module: ModuleType) -> Recording | None:
    with Recording(module) as recording:
        check.run(module)
    silent = any(s.operation in _SILENT or s.value.dtype in _HALF for s in recording.steps)
    return None if recording.full or silent else recording


def _lines_of(check: Check, module: ModuleType) -> set[int]:
    with Recording(module) as recording:
        check.run(module)
    return {line for step in recording.steps for _, line in step.places}


def _numbers(seen: Seen) -> bool:
    return isinstance(seen.value, Tensor) and _is_table(seen.value)


def _is_table(value: Tensor) -> bool:
    """Whether its entries are so many that they equal others by no accident."""
    return value.is_floating_point() and value.numel() > 4


def _is_coarse(outcome: Outcome) -> bool:
    return any(seen.atol >= _COARSE for seen in outcome.seen)


def _ends_in(steps: Sequence[Step], seen: Sequence[Seen]) -> Step | None:
    """The step that made what the check compared last, so that the way back begins at the wrong result."""
    wrong = next((s.value for s in reversed(seen) if _numbers(s)), None)
    if wrong is None:
        return None
    for step in reversed(steps):
        alike = step.value.shape == wrong.shape and step.value.dtype == wrong.dtype
        if alike and bool(((step.value - wrong).abs() <= 1e-5 * (1 + wrong.abs())).all()):
            return step
    return None


def _trusted(outcomes: Sequence[Outcome]) -> frozenset[str]:
    """Functions of the solution whose own checks all pass: what is wrong stands where they are called."""
    alone = [o for o in outcomes if len(o.parts) == 1]
    names = frozenset(o.parts[0] for o in alone)
    return names - frozenset(o.parts[0] for o in alone if o.status != Status.PASSED)


def _origin(
    ends: Sequence[Step], known: KnownValues, trusted: frozenset[str], deadline: float
) -> tuple[Step, bool, int] | None:
    """The step that is wrong first, whether it is only moved, and its line; None where several could be it, or late."""
    if any(known.match(end.value).may_be_right for end in ends):
        return None  # right, but not the result: a step is missing, before it or after
    found, to_see, visited = [], [*ends], set()
    while to_see:
        step = to_see.pop()
        if id(step) in visited:
            continue
        visited.add(id(step))
        if time.process_time() > deadline:
            return None
        unknown = [
            s
            for s in step.inputs
            if not (_is_given(s) or _is_joined(s, known) or known.match(s.value).may_be_right)
        ]
        if unknown:
            to_see += unknown
        else:
            found.append(step)
    lines = {step.place(trusted)[1] for step in found}
    if len(lines) != 1:
        return None
    step = found[0]
    if step.operation in _JOINS and known.match(step.value) == Match.UNKNOWN:
        return None  # right parts side by side: a right run may do without, or take them apart
    if step.operation.endswith("_like") or step.operation.startswith(("new_", "empty")):
        return None  # it is as it was made: what should be written into it is missing
    if any(_is_made_from_nothing(s) and not known.has_one_like(s.value) for s in found):
        return None  # a help that a right run does without, as a unit matrix may be one
    if any(known.match(s.value) == Match.UNSURE for each in found for s in each.inputs):
        return None  # what it works on may be what is wrong
    if any(known.match(value) != Match.KNOWN for value in step.given):
        return None  # it was given something else than a right run is: an input was overwritten
    return step, known.match(step.value) == Match.MOVED, lines.pop()


def _made_in_line(step: Step, line: int, steps: Sequence[Step], trusted: frozenset[str]) -> Step:
    """What the line makes in the end, beginning with that step."""
    after = steps[steps.index(step) :]
    return [*itertools.takewhile(lambda s: s.place(trusted)[1] == line, after)][-1]


def _is_filled_wrong(end: Step, right: Sequence[Seen], mine: Sequence[Seen]) -> bool:
    """Whether all wrong entries of a result are those that its last line wrote over: none came from an earlier one."""
    if end.operation.strip("_") not in ("masked_fill", "where", "setitem", "index_fill"):
        return False
    what = next((s.what for s in reversed(mine) if _numbers(s)), "")
    expected = next((s.value for s in right if s.what == what and _numbers(s)), None)
    before = [
        s.value
        for s in end.inputs
        if s.value.shape == end.value.shape and s.value.dtype.is_floating_point
    ]
    if expected is None or expected.shape != end.value.shape or len(before) != 1:
        return False
    wrong = ~torch.isclose(end.value, expected, rtol=1e-4, atol=1e-5)
    return bool((end.value != before[0])[wrong].all())


def _lacks_a_bias(step: Step, right: Sequence[Step]) -> bool:
    """Whether it is a layer without a bias where a right run has one with it: built otherwise, not called wrongly."""
    sizes = {len(s.inputs) + len(s.given) for s in right if s.operation == "linear"}
    return step.operation == "linear" and len(step.inputs) + len(step.given) == 2 and 3 in sizes


def _is_given(step: Step) -> bool:
    """Whether it is a constant that was made from nothing, as torch.ones makes one."""
    return not step.inputs and bool((step.value == step.value.flatten()[:1]).all())


def _is_joined(step: Step, known: KnownValues) -> bool:
    """Whether it lays side by side what it was given, such as the biases of three layers."""
    given = [known.match(value) == Match.KNOWN for value in step.given]
    return step.operation in _JOINS and not step.inputs and all(given)


def _is_made_from_nothing(step: Step) -> bool:
    return not (step.inputs or step.given)


def _told(step: Step, moved: bool, line: int, times: float, module: ModuleType) -> FirstLine:
    reads = tuple(sorted({place[1] for s in step.inputs for place in s.places[-1:]}))
    return FirstLine(line, line_of(line, module), moved, reads, _note(step), times)


def _note(step: Step) -> str:
    """A trap of the function that was called, if what it was given lies in it."""
    tables = [s.value for s in step.inputs if s.value.is_floating_point() and s.value.ndim > 1]
    added = any(set(t.unique().tolist()) == {0.0, 1.0} for t in tables)
    if added and step.operation == "scaled_dot_product_attention":
        return "A mask of numbers, here 0 and 1, is added to the scores: a bool one closes what is False."
    return ""
