"""The first wrong tensor: where a learner's module and the reference part ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from common.testing.asserts import ATOL, RTOL, CheckFailed, assert_close, mismatch, number
from common.testing.context import observe


@dataclass(frozen=True)
class Event:
    """A tensor going into or coming out of a submodule."""

    name: str  # "h.0.attn"
    side: str  # "input" or "output"
    call: int  # 0 for the first time the submodule is called
    value: Tensor

    @property
    def key(self) -> tuple[str, str, int]:
        return self.name, self.side, self.call


def assert_same_module(
    learner: nn.Module,
    oracle: nn.Module,
    *inputs: Any,
    what: str,
    because: str = "",
    atol: float = ATOL,
    rtol: float = RTOL,
) -> None:
    """Check that two modules with the same parameters compute the same.

    When they do not, the failure names the first submodule (by its contract name) whose input or
    output differs, rather than the end result, so a bug in a block never reads "logits differ".
    """
    expected = oracle(*inputs)
    try:
        assert_close(learner(*inputs), expected, what, because=because, atol=atol, rtol=rtol)
    except CheckFailed as failure:
        (ours, _), (theirs, _) = record(learner, *inputs), record(oracle, *inputs)
        found = first_difference(ours, theirs, atol=atol, rtol=rtol)
        if found is None:
            raise
        observe("first wrong tensor", found.where)
        got, want, place, skipped = found.got, found.expected, found.place, found.skipped
        at = f" at {list(place)}" if place else ""
        never = f" Before that, `{skipped[0]}` was never called." if skipped else ""
        raise CheckFailed(
            f"{failure.what.rstrip(':')}. The first wrong tensor on the way is {found.where}{at}:",
            expected=number(want[place]) if place else f"shape {tuple(want.shape)}",
            got=number(got[place]) if place else f"shape {tuple(got.shape)}",
            because=(because + never).strip(),
            inside=(found.where, got, want),
        ) from None


@dataclass(frozen=True)
class Difference:
    """The first tensor that is not the reference's.

    Args:
        where: "the output of `h.0.attn`". place: the index of the wrong entry; empty where the shapes differ.
        skipped: submodules that the learner did not call before it.
    """

    where: str
    got: Tensor
    expected: Tensor
    place: tuple[int, ...]
    skipped: list[str]


def record(module: nn.Module, *inputs: Any) -> tuple[list[Event], Any]:
    """Run a module and list what went through its submodules, in order."""
    events: list[Event] = []
    calls: dict[str, int] = {}
    handles = []

    def tensor_in(values: Any) -> Tensor | None:
        values = values if isinstance(values, tuple) else (values,)
        return next((v.detach().clone() for v in values if isinstance(v, Tensor)), None)

    for name, part in module.named_modules():
        if not name or isinstance(part, nn.Dropout):
            continue

        def before(_: nn.Module, args: tuple[Any, ...], name: str = name) -> None:
            calls[name] = calls.get(name, -1) + 1
            if (value := tensor_in(args)) is not None:
                events.append(Event(name, "input", calls[name], value))

        def after(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            if (value := tensor_in(output)) is not None:
                events.append(Event(name, "output", calls[name], value))

        handles += [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
    try:
        return events, module(*inputs)
    finally:
        for handle in handles:
            handle.remove()


def first_difference(
    ours: list[Event], theirs: list[Event], *, atol: float = ATOL, rtol: float = RTOL
) -> Difference | None:
    """Find the first tensor, in the reference's order, that differs."""
    mine = {event.key: event.value for event in ours}
    called = {event.name for event in ours}
    skipped: list[str] = []
    for event in theirs:
        got, want = mine.get(event.key), event.value
        if got is None:
            if event.name not in called and event.name not in skipped:
                skipped.append(event.name)
            continue
        if got.shape != want.shape and got.numel() == want.numel():
            got = got.reshape(want.shape)  # (B*T, C) into a Linear is as good as (B, T, C)
        again = f" (call {event.call + 1})" if event.call else ""
        where = f"the {event.side} of `{event.name}`{again}"
        if got.shape != want.shape:
            return Difference(where, got, want, (), skipped)
        place = mismatch(got, want, atol=atol, rtol=rtol)
        if place is not None:
            return Difference(where, got, want, place, skipped)
    return None
