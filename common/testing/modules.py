"""Inputs, sizes and parameters for checks: small, seeded, and chosen so that no mistake hides."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from common.config import GPT2Config
from common.testing.asserts import (
    assert_close,
    assert_identical,
    fail,
)
from common.testing.axes import name_sizes, named
from common.testing.context import current, observe
from common.testing.elsewhere import ELSEWHERE, DevicesDiffer, elsewhere, is_elsewhere

M = TypeVar("M", bound=nn.Module)

# All sizes differ and are odd where they can be, so that no two axes can be taken for each other.
TINY = {
    "vocab_size": 29,
    "n_positions": 11,
    "n_embd": 15,
    "n_layer": 2,
    "n_head": 3,
    "n_inner": 41,
    "embd_pdrop": 0.1,
    "attn_pdrop": 0.2,
    "resid_pdrop": 0.3,
    "layer_norm_epsilon": 0.03,
    "initializer_range": 0.05,
}


def tiny(config_class: Any = GPT2Config, **changes: Any) -> Any:
    """A small config (B and T are the inputs' business: 2 and 7 by habit); keywords change fields.

    Its sizes get their letters for messages: V, C, H, D, and n_positions and n_inner.
    """
    fields: dict[str, Any] = {**TINY, **changes}
    name_sizes(V=fields["vocab_size"], C=fields["n_embd"], H=fields["n_head"])
    name_sizes(D=fields["n_embd"] // fields["n_head"], n_positions=fields["n_positions"])
    name_sizes(n_inner=fields["n_inner"] or 4 * fields["n_embd"])
    return config_class(**fields)


def draw(name: str, *shape: int, **axes: int) -> Tensor:
    """N(0, 1) numbers that depend on the name and the shape alone.

    Args:
        axes: the shape with its letters, as in draw("x", B=2, T=7, C=15), so that messages can use them.
    """
    shape += tuple(axes.values())
    name_sizes(**axes)
    here = current()
    return torch.randn(shape, generator=here.generator(name, shape)).to(here.device)


def draw_ids(name: str, *shape: int, vocab_size: int = 29, **axes: int) -> Tensor:
    """Token ids, int64, that follow from name and shape alone; the last one is vocab_size - 1.

    The default is tiny()'s vocabulary. axes: as in `draw`.
    """
    shape += tuple(axes.values())
    name_sizes(**axes)
    here = current()
    ids = torch.randint(vocab_size, shape, generator=here.generator(name, shape))
    ids.view(-1)[-1] = vocab_size - 1
    return ids.to(here.device)


def fill(module: M, *, gain: float = 1.5) -> M:
    """Give each parameter values that follow from its name and shape, in place; eval mode.

    Whatever order the layers were made in, two modules with the same names then hold the same numbers.
    Biases are not zero and norm weights not one, so that leaving one out shows. With the default gain
    attention is far from uniform.
    """
    if not isinstance(module, nn.Module):
        fail(
            "the class does not build an nn.Module:",
            expected="an instance of torch.nn.Module",
            got=type(module).__name__,
            because="Subclass nn.Module and call super().__init__() first.",
        )
    with torch.no_grad():
        # Sorted, so that of two names for one tied tensor the same one has the last word.
        for name, p in sorted(module.named_parameters(remove_duplicate=False)):
            p.copy_(_start(current().seed, name, tuple(p.shape), gain))
    if current().device.type != "cpu":
        module.to(current().device)
    return module.eval()


@lru_cache(maxsize=512)
def _start(seed: int, name: str, shape: tuple[int, ...], gain: float) -> Tensor:
    """What `fill` gives to a parameter; hundreds of modules in a run get the same."""
    noise = torch.randn(shape, generator=current().generator(name, shape))
    if name.endswith("bias"):
        return 0.5 * noise
    return 1 + 0.4 * noise if len(shape) < 2 else gain * noise / shape[-1] ** 0.5


def twins(
    learner: Callable[..., M], reference: Callable[..., M], *args: Any, gain: float = 1.5
) -> tuple[M, M]:
    """Build the learner's module and the reference's with the same arguments and parameters."""
    return fill(learner(*args), gain=gain), fill(reference(*args), gain=gain)


def has_forward(*modules: nn.Module) -> bool:
    """Whether the modules can be called with one tensor: not a mere container, nor one that wants a mask too."""
    return all(
        (type(m).forward is not nn.Module.forward or "forward" in vars(m)) and _takes_one(m.forward)
        for m in modules
    )


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True


def assert_parameters(
    module: nn.Module, expected: Mapping[str, tuple[int, ...]], what: str, *, because: str = ""
) -> None:
    """Check the names and shapes of all parameters: real weights load by these names."""
    actual = {name: tuple(p.shape) for name, p in module.named_parameters(remove_duplicate=False)}
    observe(f"parameters of {what}", actual)
    missing = [name for name in expected if name not in actual]
    extra = [name for name in actual if name not in expected]
    if missing:
        fail(
            f"{what} has no parameter `{missing[0]}`:",
            expected=_listed({name: expected[name] for name in missing}),
            got=_listed({name: actual[name] for name in extra}) or "nothing in its place",
            because=because
            or (
                "A Linear made with bias=False has no bias; the contract has one."
                if missing[0].endswith("bias")
                else "Layers are found by these names when real weights are loaded."
            ),
        )
    if extra:
        fail(
            f"{what} has a parameter that GPT-2 does not have, `{extra[0]}`:",
            expected="only those that the contract names",
            got=f"{_listed({name: actual[name] for name in extra})} besides",
            because=because,
        )
    for name, shape in expected.items():
        if actual[name] != tuple(shape):
            fail(
                f"`{name}` of {what} has the wrong shape:",
                expected=named(shape),
                got=named(actual[name]),
                because=because,
            )
        p = dict(module.named_parameters(remove_duplicate=False))[name]
        if not p.requires_grad:
            fail(
                f"`{name}` of {what} is frozen:",
                expected="requires_grad=True",
                got="requires_grad=False",
                because="Every parameter of GPT-2 is learned.",
            )


OVERWRITTEN = (
    "The caller's tensor was overwritten: by `x += ...`, a method that ends in _, or `y[...] = ...`, where y may be x "
    "under another name: after y = x, as a slice, view or reshape of it, or after x.detach(), x.contiguous(), "
    "x.float() and x.to(...), which copy nothing where x is that already. Write `x = x + ...`, or begin with x.clone()."
)


def assert_norms_begin_plain(module: nn.Module, *names: str) -> None:
    """Check that the norms of a new module have weight 1 and bias 0."""
    for name in names:
        for part, start in (("weight", 1.0), ("bias", 0.0)):
            numbers = module.get_parameter(f"{name}.{part}").detach()
            assert_close(
                numbers, torch.full_like(numbers, start), f"`{name}.{part}` of a new {type(module).__name__}",
                because="A norm begins with weight 1 and bias 0: at first it only normalises.",
            )  # fmt: skip


def assert_input_untouched(module: Callable[..., Any], *inputs: Tensor, what: str) -> None:
    """Check that the call leaves its input tensors as they were."""
    before = [x.clone() for x in inputs]
    with torch.no_grad():
        module(*inputs)
    for i, (x, old) in enumerate(zip(inputs, before, strict=True)):
        assert_identical(
            x, old, f"the input{f' {i}' if len(inputs) > 1 else ''} of {what}",
            because=OVERWRITTEN,
        )  # fmt: skip


def assert_rows_independent(
    module: Callable[..., Any], x: Tensor, *, what: str, other: Tensor
) -> None:
    """Check that changing batch row 1 of x (to row 1 of `other`) leaves the result for row 0 alone."""
    changed = x.clone()
    changed[1] = other[1]
    with torch.no_grad():
        before, after = module(x), module(changed)
    assert_close(
        after[0], before[0], f"{what} of batch row 0, after changing only row 1,",
        because="The rows of a batch are independent texts: something mixes or sums over the batch axis, a reshape "
        "cuts across it, or a function of PyTorch's that wants (T, B, C) takes the batch for the tokens.",
    )  # fmt: skip


def assert_moves(module: nn.Module, *inputs: Any, what: str) -> None:
    """Check that module.to(device) takes everything along."""
    trouble = ""
    moved = copy.deepcopy(module)
    with elsewhere(moved) as send:
        args = [send(x) if isinstance(x, Tensor) else x for x in inputs]
        try:
            with torch.no_grad():
                out = moved(*args)
            if isinstance(out, Tensor) and not is_elsewhere(out):
                trouble = "the result is on the CPU"
        except DevicesDiffer as error:
            trouble = str(error)
    observe(f"{what} on another device", bool(trouble))
    if trouble:
        fail(
            f"{what} does not work after module.to(device):",
            expected="everything on the module's device",
            got=trouble,
            because="A tensor stays behind on the CPU: make it in forward with device=x.device, or keep it with "
            "register_buffer, so that it moves with the module.",
        )


def assert_made_on_device(make: Callable[[torch.device], Any], call: str) -> None:
    """Check that a function puts its result on the device that it is given."""
    with elsewhere():
        try:
            made = make(ELSEWHERE)
            trouble = "" if is_elsewhere(made) else "a result on the CPU"
        except DevicesDiffer as error:
            trouble = str(error)
    observe(f"{call} on another device", bool(trouble))
    if trouble:
        fail(
            f"{call} ignores the device:",
            expected="a result on that device",
            got=trouble,
            because="Pass device on to every function in it that makes a tensor.",
        )


def _listed(shapes: Mapping[str, tuple[int, ...]], most: int = 4) -> str:
    told = [f"{name} {tuple(shape)}" for name, shape in shapes.items()]
    return ", ".join(told[:most]) + (f" and {len(told) - most} more" if len(told) > most else "")
