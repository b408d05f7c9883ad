"""Where a NaN or inf comes from: the line that makes the first one on the way to a result, and what it is made of."""

from __future__ import annotations

import re
from types import ModuleType

import torch
from torch import Tensor

from common.judging.checks import Check
from common.judging.recording import Recording, Step, line_of
from common.judging.records import Outcome

_NAN, _INF = re.compile(r"\bnan\b", re.I), re.compile(r"\bgot +-?inf\b")
_SUMS, _PRODUCTS, _RATIOS = {"add", "sub"}, {"mul", "multiply"}, {"div", "truediv", "divide"}
_BELOW_0 = {"sqrt", "rsqrt", "log", "log2", "log10", "log1p", "pow"}


def first_not_a_number(check: Check, outcome: Outcome, module: ModuleType) -> str:
    """Where the NaN or inf of a failing check is made; empty where there is none, or where it cannot be told."""
    facts = " ".join(outcome.facts)
    if not (_NAN.search(facts) or _INF.search(facts)):
        return ""
    is_lost = _has_nan if _NAN.search(facts) else _has_inf
    with Recording(module) as recording:
        check.run(module)
    step = next((s for s in reversed(recording.steps) if is_lost(s.value)), None)
    # Memory that nobody has written to yet may hold anything, and is the reason of last resort.
    while step and (
        before := sorted((s for s in step.inputs if is_lost(s.value)), key=_is_unwritten)
    ):
        step = before[0]
    if step is None or any(map(is_lost, step.given)) or _is_unwritten(step):
        return ""  # it came in from outside
    line = step.places[-1][1]
    name, how = ("NaN", _how(step)) if is_lost is _has_nan else ("inf", "")
    return (
        f"The first {name} on the way there is made in line {line}, `{line_of(line, module)}`{how}."
    )


def _is_unwritten(step: Step) -> bool:
    return step.operation.strip("_").startswith(("empty", "new_empty"))


def _has_nan(value: Tensor) -> bool:
    return value.is_floating_point() and bool(value.isnan().any())


def _has_inf(value: Tensor) -> bool:
    return value.is_floating_point() and bool(value.isposinf().any())


def _how(step: Step) -> str:
    """What it is made of, where the operation leaves one way only."""
    values = [*(s.value for s in step.inputs), *step.given]
    operation = re.sub(r"^[ir](?=add|sub|mul|truediv|div)", "", step.operation.strip("_"))
    first = values[0] if values else torch.empty(0)
    if operation in _PRODUCTS:
        return ", by 0 * inf"
    if operation in _SUMS:
        return ", by inf - inf"
    if operation in _RATIOS and first.shape == step.value.shape and "r" not in step.operation[:3]:
        return ", by 0 / 0" if not first[step.value.isnan()].any() else ", by inf / inf"
    if operation in ("softmax", "log_softmax") and bool((first == -torch.inf).any()):
        return "" if bool((first == torch.inf).any()) else ": all scores of a row are -inf there"
    if operation in ("mean", "var", "std") and not first.numel():
        return ", over no numbers at all"
    return ", of a number below 0" if operation in _BELOW_0 else ""
