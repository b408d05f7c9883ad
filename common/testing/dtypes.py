"""Checks that a module works in every float type, and that its own numbers tell of no other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.testing.asserts import (
    CheckFailed,
    assert_close,
    assert_equal,
    assert_tensor,
    assert_true,
    fail,
)
from common.testing.calls import set_by_a_call
from common.testing.context import observe


def assert_keeps_dtype(
    module: nn.Module, *inputs: Any, what: str, dtype: torch.dtype = torch.float64
) -> None:
    """Check that the module, moved to another float type, works and answers in that type, float64 with all digits."""
    moved = copy.deepcopy(module).to(dtype)
    args = [x.to(dtype) if _is_float(x) else x for x in inputs]
    with torch.no_grad():
        try:
            out = moved(*args)
        except RuntimeError as error:
            if "dtype" not in str(error) and "scalar type" not in str(error):
                raise
            observe(f"error in {dtype}", str(error))
            raise CheckFailed(
                f"{what} fails after .to({dtype}): {str(error).splitlines()[0]}",
                because="Some tensor is made with a fixed dtype, cast with .float(), or kept from an earlier call: "
                "make it with the dtype of x or of the weights, or as a parameter or buffer of the module.",
            ) from None
    assert_equal(
        str(assert_tensor(out, what).dtype), str(dtype), f"the dtype of {what} for input and parameters in {dtype}",
        because="A tensor made inside forward, or a cast such as .float(), changes the type; what was cast to compute "
        "in is cast back in the end, .to(x.dtype).",
    )  # fmt: skip
    if dtype == torch.float64:
        _assert_all_digits(moved, args, out, what)


def _assert_all_digits(module: nn.Module, args: Sequence[Any], out: Tensor, what: str) -> None:
    """Check that the slope along a step that shows in the eleventh digit is that along one in the fifth."""
    fine, coarse = ((_stepped(module, args, size) - out) / size for size in (2**-36, 2**-16))
    off = float((fine - coarse).abs().max())
    assert_true(
        off <= 0.05 * float(coarse.abs().max()) + 1e-3, f"{what} in float64 sees no more digits than float32 has",
        because="A change in the eleventh digit of the input and the weights is lost on the way, or a part of it is: "
        "there something goes through a narrower type, such as by .float(). Compute in the type of what is given, or "
        "in a wider one.",
    )  # fmt: skip


def _stepped(module: nn.Module, args: Sequence[Any], size: float) -> Tensor:
    """The output after a small step of the inputs and of the parameters."""
    moved = copy.deepcopy(module)
    with torch.no_grad():
        for p in moved.parameters():
            p.add_(p.flip(-1), alpha=size)
        return moved(*(x + size * x.flip(-1) if _is_float(x) else x for x in args))


def _is_float(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def assert_half_precision(model: nn.Module, *inputs: Tensor) -> None:
    """Check that the model, moved to bfloat16 or float16, gives about what it gives in float32.

    Then a new one, twice, with other weights: what was cast from the first ones may not be used again.
    """
    with torch.no_grad():
        new, other = copy.deepcopy(model), _halved(copy.deepcopy(model))
        right, later = (assert_tensor(each(*inputs), "the output") for each in (model, other))
        for dtype, atol in ((torch.bfloat16, 0.3), (torch.float16, 0.05)):
            name = str(dtype).removeprefix("torch.")
            cast = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
            try:
                moved = copy.deepcopy(model).to(dtype)
                out = moved(*cast)
            except RuntimeError as error:
                _say_why_it_fails(error, new, dtype, inputs, cast)
                raise
            assert_close(
                assert_tensor(out, "the output").float(),
                right,
                f"the output in {name}, compared with your own in float32,",
                because=f"With the same numbers in {name} only rounding may differ. NaN comes of inf - inf, inf / "
                "inf, 0 * inf and 0 / 0: in float16 all above 65504 is inf, and a small constant such as 1e-8 is 0.",
                atol=atol,
                rtol=atol,
            )
            unused, again = (copy.deepcopy(new).to(dtype) for _ in range(2))
            unused(*cast)
            assert_close(
                assert_tensor(_halved(unused)(*cast), "the output").float(),
                later,
                f"the output in {name}, after a call with other weights, compared with your own in float32,",
                because="The weights have changed since the first call, and what was cast from them to another type in "
                f"that call says nothing of these: it is computed anew in each call.{set_by_a_call(again, *cast)}",
                atol=atol,
                rtol=atol,
            )


def _say_why_it_fails(
    error: RuntimeError,
    new: nn.Module,
    dtype: torch.dtype,
    inputs: Sequence[Tensor],
    cast: Sequence[Tensor],
) -> None:
    """Fail with the reason why a module cannot compute in a type, if it is one of two.

    Args:
        new: the same module, which has computed nothing yet.
    """
    said, name = str(error).splitlines()[0], str(dtype).removeprefix("torch.")
    if "overflow" in said:
        observe(f"{name} overflows", True)
        fail(
            f"after .to({dtype}) the output cannot be computed: {said}",
            because="The largest number of float16 is 65504, so a large number of your own, such as -1e9 in "
            "place of -torch.inf, does not fit; torch.finfo(scores.dtype).min does in every type.",
        )
    try:
        copy.deepcopy(new).to(dtype)(*cast)
    except RuntimeError:
        return
    observe(f"{name} fails after a call in float32", True)
    fail(
        f"in {name}, after a call in float32, the output cannot be computed, though a new module computes it:",
        expected="what a new module gives",
        got="two types that meet" if "type" in said else f"RuntimeError: {said}",
        because="What is kept from a call has the type of that call, and .to() moves parameters and buffers alone: "
        f"make it anew in each call, in the type of its partner.{set_by_a_call(new, *inputs)}",
    )


def assert_large_mean(block: nn.Module, x: Tensor) -> None:
    """Check that a pre-norm block adds the same to x where all channels hold a thousand more."""
    with torch.no_grad():
        assert_close(
            block(x + 1000) - (x + 1000), block(x) - x, "what the block adds to vectors with mean 1000",
            because="The norms take the mean off, so a thousand more in every channel changes nothing. The variance is "
            "that of x minus its mean; the mean of the squares minus the square of the mean, the same on paper, is "
            "1,000,001 - 1,000,000 here, of which float32 keeps one digit.",
            atol=0.02, rtol=0.02,
        )  # fmt: skip


def _halved(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        parameter.mul_(0.5)
    return model
