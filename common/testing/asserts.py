"""The assertions of the problems' tests. A failure says what, where, expected, got, and why."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor

from common.testing.axes import named
from common.testing.context import observe
from common.testing.words import brief, contrast, number

# float32 carries 24 bits: sums of a few dozen terms of size 1 to 10, in any order, stay within 3e-6
# of a float64 run (measured by tests/test_tolerances.py over all problems); three times that.
ATOL = 1e-5
RTOL = 1e-5


class CheckFailed(AssertionError):
    """A property that does not hold.

    Args:
        what: what is wrong, as a clause that starts in lower case or with `code`.
        expected, got: the two values, as short text.
        because: for the learner: what the output shows, the usual cause, where to look.
        instead: what was raised in the place of the exception that is asked for.
        inside: a tensor on the way that is wrong: what it is, and as it came and should have.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: Any = None,
        got: Any = None,
        because: str = "",
        instead: BaseException | None = None,
        inside: tuple[str, Tensor, Tensor] | None = None,
    ) -> None:
        self.what, self.because, self.instead, self.inside = what, because, instead, inside
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        super().__init__(what)

    def facts(self) -> list[str]:
        """What was seen, a line each."""
        pair = [] if self.got is None else [f"  expected {self.expected}", f"  got      {self.got}"]
        return [self.what, *pair]


def fail(what: str, **said: Any) -> NoReturn:
    """Raise CheckFailed, with what it takes."""
    raise CheckFailed(what, **said)


def assert_true(holds: bool, what: str, *, because: str = "") -> None:
    """Check a condition; `what` says what is wrong when it does not hold."""
    observe(what, bool(holds))
    if not holds:
        fail(what, because=because)


def assert_equal(actual: Any, expected: Any, what: str, *, because: str = "") -> None:
    """Check a plain value: a number, a name, a tuple, a list."""
    observe(what, actual)
    if type(actual) is bool or type(expected) is bool:
        same = actual is expected
    else:
        same = not isinstance(actual, Tensor) and bool(actual == expected)
    if not same:
        wanted, got = contrast(expected, actual)
        fail(f"{what} is not what it should be:", expected=wanted, got=got, because=because)


def assert_tensor(actual: Any, what: str) -> Tensor:
    """Check that the learner's code gave a tensor at all, and return it."""
    if isinstance(actual, Tensor):
        return actual
    observe(what, type(actual).__name__)
    raise CheckFailed(
        f"{what} should be a tensor:",
        expected="a torch.Tensor",
        got=brief(actual),
        because="A function gives None where it ends without a return, or with a bare one."
        if actual is None
        else "",
    )


def assert_shape(actual: Any, shape: Sequence[int], what: str, *, because: str = "") -> None:
    """Check a tensor's shape."""
    tensor = assert_tensor(actual, what)
    observe(f"shape of {what}", tuple(tensor.shape))
    if tuple(tensor.shape) != tuple(shape):
        if [n for n in shape if n != 1] == [*tensor.shape]:
            because += " An axis of size 1 is missing: did squeeze() without an axis drop it?"
        fail(
            f"{what} has the wrong shape:",
            expected=named(shape),
            got=named(tensor.shape),
            because=because.strip(),
        )


def assert_close(
    actual: Any,
    expected: Tensor,
    what: str,
    *,
    because: str = "",
    atol: float = ATOL,
    rtol: float = RTOL,
    record: bool = True,
) -> None:
    """Check a tensor's values up to rounding, shape first, as broadcasting hides a missing axis.

    Args:
        record: False for values that depend on random draws, which diagnosis cannot compare.
    """
    tensor = assert_tensor(actual, what)
    assert_shape(tensor, expected.shape, what, because=because)
    if record:
        observe(what, tensor, atol=atol)
    place = mismatch(tensor, expected, atol=atol, rtol=rtol)
    if place is None:
        return
    at = f" at {list(place)}" if place else ""
    wanted, got = number(expected[place]), number(tensor[place])
    if wanted == got:
        wanted, got = (f"{float(value):.12g}" for value in (expected[place], tensor[place]))
    if tensor.is_floating_point() and tensor[place].isnan():
        lost = int(tensor.isnan().sum())
        share = f", {lost} of {tensor.numel()} values are" if tensor.numel() > 1 else ""
        wanted = wanted if expected[place].isfinite() else "a number"
        how = f"is NaN{at}{share}:"
    else:
        count = int((~_close(tensor, expected, atol, rtol)).sum())
        more = f", {count} of {tensor.numel()} values differ" if tensor.numel() > 1 else ""
        how = f"is wrong{at} (tolerance {atol:g}{more}):"
    fail(f"{what} {how}", expected=wanted, got=got, because=because)


def assert_tokens(actual: Any, expected: Tensor, what: str, *, because: str = "") -> None:
    """Check token ids (B, n): the message names the first step at which a row goes another way."""
    tensor = assert_tensor(actual, what)
    assert_shape(tensor, expected.shape, what, because=because)
    observe(what, tensor)
    wrong = tensor != expected
    if not wrong.any():
        return
    step = int(wrong.any(0).nonzero()[0])
    row = int(wrong[:, step].nonzero()[0])
    so_far = "all tokens before it are right" if step else "it is the first one"
    fail(
        f"{what}: the first wrong token is step {step} of row {row} ({so_far}):",
        expected=number(expected[row, step]),
        got=number(tensor[row, step]),
        because=because,
    )


def assert_identical(actual: Tensor, other: Tensor, what: str, *, because: str = "") -> None:
    """Check that two of the learner's own results are the same to the last bit.

    Use it for what must not depend on something at all: the first difference shows where it does.
    """
    assert_shape(actual, other.shape, what, because=because)
    different = (actual != other) & ~(actual.isnan() & other.isnan())
    observe(what, actual)
    observe(f"{what} changed", different)
    if different.any():
        place = tuple(different.nonzero()[0].tolist())
        before, after = number(other[place]), number(actual[place])
        if before == after:  # down to the last bits, which the usual six digits do not show
            before, after = repr(float(other[place])), repr(float(actual[place]))
        fail(
            f"{what} changed at {list(place)}:",
            expected=f"{before}, as before",
            got=after,
            because=because,
        )


@contextmanager
def assert_raises(
    kind: type[BaseException] | tuple[type[BaseException], ...],
    call: str,
    *,
    naming: Sequence[object] = (),
    because: str = "",
) -> Generator[None]:
    """Check that bad input is refused by the right exception, and that its message helps.

    Args:
        call: the call as the learner would write it, for the message.
        naming: values or words, each of which the exception's message must hold; of a tuple, one.
    """
    names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
    how = "" if kind is Exception else f" with {names}"
    try:
        yield
    except NotImplementedError:
        raise
    except kind as error:
        observe(f"{call} raises", type(error).__name__)
        wanted = [n if isinstance(n, tuple) else (n,) for n in naming]
        missing = [str(n[0]) for n in wanted if not any(str(word) in str(error) for word in n)]
        observe(f"{call} leaves out", missing)
        if missing:
            fail(
                f"the message of the {type(error).__name__} from {call} does not name {missing[0]}:",
                expected=f"a message with {', '.join(str(n[0]) for n in wanted)}",
                got=repr(str(error)),
                because=because,
            )
    except Exception as error:
        observe(f"{call} raises", type(error).__name__)
        fail(
            f"{call} must be refused{how}:",
            expected=names,
            # Behind these words torch lists the calls of its own library.
            got=f"{type(error).__name__}: {str(error).partition('Exception raised from')[0].strip()}",
            because=because,
            instead=error,
        )
    else:
        observe(f"{call} raises", None)
        fail(
            f"{call} must be refused{how}:",
            expected=names if how else "an error",
            got="no error",
            because=because,
        )


def assert_gradients(
    module: torch.nn.Module,
    what: str,
    *,
    again: Callable[[], Tensor] | None = None,
    because: str = "",
) -> None:
    """Check that after backward() every parameter of the module has a gradient that is not zero.

    Args:
        again: computes the result anew, so that a parameter that is not used is told from one that is cut off.
    """
    unreached = {
        name: p
        for name, p in module.named_parameters()
        if p.grad is None or not bool(p.grad.count_nonzero())
    }
    observe(f"parameters of {what} without a gradient", [*unreached])
    if unreached:
        names = ", ".join(f"`{n}`" for n in [*unreached][:4]) + (
            ", ..." if len(unreached) > 4 else ""
        )
        first = next(iter(unreached))
        fail(
            f"after {what}.backward(), `{first}` has no gradient:",
            expected="a gradient for every parameter",
            got=f"none for {names}",
            because=because or _why_no_gradient(first, unreached[first], again),
        )


def _why_no_gradient(name: str, p: Tensor, again: Callable[[], Tensor] | None) -> str:
    cut = "the way back from the result is cut: by .data, detach(), torch.tensor(), no_grad() or requires_grad=False"
    if again is None:
        return f"`{name}` takes no part in the result, or {cut}."
    with torch.no_grad():
        before, old = again().clone(), p.clone()
        p.add_(1 + p.abs())
        after = again()
        p.copy_(old)
    if before.shape == after.shape and torch.equal(before, after):
        return f"`{name}` takes no part in the result: other numbers in it change nothing. It is never used."
    return f"`{name}` does take part in the result, but {cut}."


def mismatch(
    actual: Tensor, expected: Tensor, *, atol: float = ATOL, rtol: float = RTOL
) -> tuple[int, ...] | None:
    """The index of the value that is furthest off (a NaN before all others), or None."""
    if actual.dtype == expected.dtype and torch.equal(actual, expected):
        return None  # the usual case, and a tenth of the time
    wrong = ~_close(actual, expected, atol, rtol)
    if not wrong.any():
        return None
    off = (actual.detach().double() - expected.detach().double()).abs()
    off = torch.where(wrong, off.nan_to_num(torch.inf, torch.inf), -1.0)
    # torch.unravel_index would tell it, too, and loads torch's compiler: a second before the first failure.
    return tuple((off == off.max()).nonzero()[0].tolist())


def _close(actual: Tensor, expected: Tensor, atol: float, rtol: float) -> Tensor:
    return torch.isclose(actual.detach().double(), expected.detach().double(), atol=atol, rtol=rtol)
