"""What one call of a module may leave behind for the next: nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from common.testing.asserts import assert_close, assert_identical, assert_tensor, assert_true, fail
from common.testing.context import observe

OUTLIVES = (
    "What outlives a call: whatever hangs on self, on the class or on a global name, the results of lru_cache, and a "
    "default value such as `found=[]`, which is made once for all calls."
)
SET_BY_A_CALL = " The first call set `{}`."
NOTHING_KEPT = (
    "A module that has read another text before answers like one that has not: positions, masks and results "
    "are made anew in each call, or cut to the text from what was made in __init__."
)


def assert_nothing_is_kept(make: Callable[[], Any], first: Tensor, then: Tensor, what: str) -> None:
    """Check that a module which has seen `first` gives for `then` what a new one gives.

    Args:
        make: builds the module, with the same parameters each time.
        what: what comes out, for the message: "the logits".
    """
    after = f"{what} for {then.size(1)} tokens, after a text of {first.size(1)},"
    with torch.no_grad():
        alone = assert_tensor(make()(then), what).clone()
        assert_close(
            make()(then), alone, f"{what} for {then.size(1)} tokens of another new module with the same parameters",
            because="What __init__ computes from its parameters, as torch.cat of them does, is a copy of the random "
            "numbers that they begin with: it does not change when they are loaded or trained. Compute it in forward.",
        )  # fmt: skip
        module = make()
        kept = set_by_a_call(module, first)
        try:
            again = module(then)
        except (RuntimeError, IndexError, ValueError) as error:
            said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            observe(after, said)
            fail(
                f"{after} cannot be computed, though a new module computes them:",
                expected="what a new module gives",
                got=said,
                because=NOTHING_KEPT + kept,
            )
        assert_close(again, alone, after, because=NOTHING_KEPT + kept)


def set_by_a_call(module: nn.Module, *inputs: Tensor) -> str:
    """Call the module, and say which of its attributes that sets; empty where it sets none."""
    held = dict(_attributes(module))
    module(*inputs)
    new = [name for name, value in _attributes(module) if value is not held.get(name)]
    return SET_BY_A_CALL.format(new[0]) if new else ""


_RANDOM_IN_EVAL = (
    "It is drawn anew in each call: dropout is on. nn.Dropout asks for the mode by itself; F.dropout has to be given "
    "training=self.training, and scaled_dot_product_attention a dropout_p of 0 in eval mode."
)
_RANDOM_IN_A_FUNCTION = (
    "It is drawn anew in each call, as dropout draws. A plain function has no train mode and no eval mode: nothing in "
    "it is dropped or drawn."
)
_STATE_IN_EVAL = f"Nothing in it is random, so something is kept from the last call. {OUTLIVES}"


def assert_repeatable(module: nn.Module, *inputs: Any, what: str) -> None:
    """Check that in eval mode two calls with one input agree to the last bit, and that no state grows."""
    module.eval()
    _assert_nothing_computed_hangs_on(module)
    before = {name: b.clone() for name, b in module.state_dict().items()}
    # Before all other calls: what is kept of one without a graph hides what would be kept of one with it.
    _assert_graphs_are_separate(module, before, *inputs, what=what)
    with torch.no_grad():
        first, second = (assert_tensor(module(*inputs), what) for _ in range(2))
        because = ""
        if not torch.equal(first, second):
            seeded = [_drawn_alike(module, inputs) for _ in range(2)]
            drawn = _RANDOM_IN_EVAL if [*module.parameters()] else _RANDOM_IN_A_FUNCTION
            because = drawn if torch.equal(*seeded) else _STATE_IN_EVAL
    assert_identical(second, first, f"{what}, called a second time in eval mode,", because=because)
    _assert_result_stays(module, second, *inputs, what=what)
    _assert_copies(module, *inputs, what=what)
    _assert_unchanged(module, before, what)


def _assert_nothing_computed_hangs_on(module: nn.Module) -> None:
    held = next(_attributes_with_a_graph(module), "")
    assert_true(
        not held, f"`{held}` is a tensor that was computed, and no parameter",
        because="Where it is made in __init__, as in nn.Parameter(torch.randn(n, n)) * 0.02, that is an ordinary "
        "tensor, which parameters() and state_dict() do not hold and .to() does not move: compute first and wrap last, "
        "nn.Parameter(0.02 * torch.randn(n, n)). Where a call makes it, leave it a local name.",
    )  # fmt: skip


def _assert_unchanged(module: nn.Module, before: Mapping[str, Tensor], what: str) -> None:
    for name, value in module.state_dict().items():
        grown = name not in before or before[name].shape != value.shape
        if grown or not torch.equal(before[name], value):
            fail(
                f"calling {what} changed its own `{name}`",
                because="A forward pass leaves the module as it is. Methods that end in _ write in place, and so does "
                "an nn.Embedding with max_norm.",
            )


HOLDS = "holds such a tensor."


def assert_weights_are_read(module: nn.Module, *inputs: Any, what: str) -> None:
    """Check that nothing computed without a graph outlives a change of the weights."""
    weights = {p: p.detach().clone() for p in module.eval().parameters()}
    with torch.no_grad():
        first = module(*inputs)
        for p in weights:
            p.mul_(0.5)
        after = module(*inputs)
    with torch.enable_grad():
        right = module(*inputs).detach()
    with torch.no_grad():
        for p, value in weights.items():
            p.copy_(value)
    assert_true(
        not torch.equal(first, after), f"{what} is the same after every weight was halved in place",
        because=f"What was computed from the earlier weights is kept and used again. {OUTLIVES}",
    )  # fmt: skip
    assert_close(
        after, right, f"{what} under torch.no_grad(), after every weight was halved in place,",
        because="What was computed from the earlier weights is kept and used again where no gradients are taken. "
        f"{OUTLIVES}",
    )  # fmt: skip


def _assert_result_stays(module: nn.Module, result: Tensor, *inputs: Any, what: str) -> None:
    before = result.clone()
    with torch.no_grad():
        module(inputs[0].flip(0), *inputs[1:])
    assert_identical(
        result, before, f"{what} of a call, after the next call with another input,",
        because="The next call wrote into the tensor that this one had handed out: a result that is kept on self "
        "and filled again. Make a new tensor in each call.",
    )  # fmt: skip


def _assert_graphs_are_separate(
    module: nn.Module, before: Mapping[str, Tensor], *inputs: Any, what: str
) -> None:
    with torch.enable_grad():
        results = [module(inputs[0].clone(), *inputs[1:]), module(inputs[0].flip(0), *inputs[1:])]
        if not all(isinstance(r, Tensor) and r.requires_grad for r in results):
            return
        trouble = ""
        try:
            for result in results:
                result.sum().backward()
        except RuntimeError as error:
            trouble = str(error).splitlines()[0].partition(". ")[0].partition(" (or ")[0]
            if "a second time" not in trouble:  # which a call of its own says of an earlier one's
                module(
                    inputs[0].clone(), *inputs[1:]
                ).sum().backward()  # that of one call may fail, too
    module.zero_grad()
    observe(f"backward of {what} of two calls", bool(trouble))
    if trouble:
        _assert_unchanged(module, before, what)
        held = next(_attributes_with_a_graph(module), "")
        where = f" `{held}` {HOLDS}" if held else ""
        fail(
            f"of two calls, both are made, and then backward() from {what} of each fails:",
            expected="gradients of both", got=trouble,
            because="A tensor of the first call is kept and used, or written into, in the second: make everything that "
            f"is computed from weights or inputs anew in each call.{where or f' {OUTLIVES}'}",
        )  # fmt: skip


def _assert_copies(module: nn.Module, *inputs: Any, what: str) -> None:
    """Check that a call leaves nothing with a graph on the module: copy.deepcopy of such a tensor fails."""
    with torch.enable_grad():
        module(*inputs)
    try:
        copy.deepcopy(module)
    except RuntimeError as error:
        if "deepcopy" not in str(error):
            raise
        held = next(_attributes_with_a_graph(module), "")
        observe(f"copying what gives {what}, after a call", True)
        fail(
            f"copy.deepcopy fails on the module that gives {what}, after a call:",
            expected="a copy, as before the call", got="RuntimeError: a tensor that was computed cannot be copied",
            because="Something that the call has computed still hangs on the module, and with it all that backward() "
            f"would need{f': `{held}`' if held else ''}. Leave it a local name, or keep its detach().",
        )  # fmt: skip


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Plain attributes of a module and its parts, by their path from it."""
    for path, part in module.named_modules():
        for name, value in [*vars(part).items()]:
            if name not in ("_parameters", "_buffers", "_modules"):
                yield f"{path}.{name}" if path else f"self.{name}", value


def _attributes_with_a_graph(module: nn.Module) -> Iterator[str]:
    """The plain attributes that hold something computed."""
    for name, value in _attributes(module):
        several = [*value.values()] if isinstance(value, dict) else value
        several = several if isinstance(several, list | tuple) else [several]
        if any(isinstance(v, Tensor) and v.grad_fn is not None for v in several):
            yield name


def _drawn_alike(module: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    torch.manual_seed(0)
    return module(*inputs)
