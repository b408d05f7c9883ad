"""Interview 04, first part: what a step of Adam and of AdamW does, from cause to consequence.

Gradients are set by hand, so that a check knows what the optimizer saw. What many steps give is compared with the
optimizers of torch.optim.
"""

import math
from itertools import pairwise

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere
from common.testing.optimizers import assert_as_torch, give, parameter, parameters, walk

AXES: dict[str, int] = {}  # the parameters' sizes have no letters
BOTH = pytest.mark.parametrize("name", ["Adam", "AdamW"])


def moves(make, gradients, lr=0.1, **settings):
    """How far one number has moved downhill in each step, for these gradients, in units of lr; it starts at 0."""
    p = parameter([0.0])
    optimizer = make([p], lr=lr, **{"weight_decay": 0.0, **settings})
    places = [0.0]
    for g in gradients:
        p.grad = torch.full_like(p, g)
        optimizer.step()
        places.append(p.item())
    return draw("d", 1).new_tensor([(a - b) / lr for a, b in pairwise(places)])


def after_one_step(make, start, gradients, **settings):
    """The parameter after a step with lr=0.1."""
    p = parameter(start)
    optimizer = make([p], lr=0.1, **settings)
    p.grad = p.detach().new_tensor(gradients)
    optimizer.step()
    return p.detach()


# --- what a step leaves alone, and what it does not ----------------------------------------------


@BOTH
def test_a_step_changes_the_parameter_itself(solution, name):
    p = after_one_step(getattr(solution, name), [1.0, -2.0, 3.0], [5.0, -0.2, 1.0], weight_decay=0.0)
    assert_true(
        p.tolist() != [1.0, -2.0, 3.0], f"after a step of {name} the parameter is what it was",
        because="A step writes into the tensors that the optimizer was given; a new tensor, such as `p = p - ...` "
        "makes, is seen by nobody else.",
    )


@BOTH
def test_a_step_leaves_gradients_switched_on(solution, name):
    params = parameters()
    walk(params, getattr(solution, name)(params), 1)
    assert_true(
        torch.is_grad_enabled(), f"step() of {name} leaves gradients switched off",
        because="torch.no_grad() as a decorator or in a with statement ends with the step.",
    )


@BOTH
def test_step_leaves_the_gradients_as_they_are(solution, name):
    params = parameters()
    optimizer = getattr(solution, name)(params, lr=0.1, weight_decay=0.5)
    give(params, 0)
    before = [p.grad.clone() for p in params]
    optimizer.step()
    for i, (p, old) in enumerate(zip(params, before, strict=True)):
        assert_true(
            p.grad is not None, f"step() of {name} takes the gradients away", because="Clearing is zero_grad's "
            "business."
        )
        assert_close(
            p.grad, old, f"the gradient of parameter {i} after a step of {name}",
            because="The gradient belongs to the caller: `grad += ...`, mul_ and add_ write into p.grad itself, "
            "while grad + ... is a new tensor.",
        )


@BOTH
def test_a_new_optimizer_starts_afresh(solution, name):
    make = getattr(solution, name)
    first, second = moves(make, [1.0, 0.3]), moves(make, [1.0, 0.3])
    assert_identical(
        second, first, f"the way of a parameter under a second {name}, with the gradients that the first one saw,",
        because="State that stands in the class body, in a global or in a default argument outlives its optimizer; "
        "what is made in __init__, on self, does not.",
    )


@BOTH
def test_torch_optim_has_no_part_in_it(solution, name):
    used, params = [], parameters()
    handle = register_optimizer_step_post_hook(lambda optimizer, *_: used.append(type(optimizer).__name__))
    try:
        walk(params, getattr(solution, name)(params), 1)
    finally:
        handle.remove()
    assert_equal(
        used, [], f"the list of torch.optim's optimizers that take a step in one of {name}",
        because="The task is to write it with nothing from torch.optim inside.",
    )


# --- the update ----------------------------------------------------------------------------------


@BOTH
def test_a_step_goes_downhill(solution, name):
    p = after_one_step(getattr(solution, name), [1.0, -2.0, 3.0], [5.0, -0.2, 1.0], weight_decay=0.0)
    assert_true(
        bool(p.isfinite().all()), "after the first step a parameter is NaN or infinite",
        because="Something is divided by 0: steps count from 1, as 1 - beta**0 is 0, and eps stands below the line.",
    )
    assert_equal(
        torch.sign(p - p.new_tensor([1.0, -2.0, 3.0])).tolist(), [-1.0, 1.0, -1.0],
        "the list of directions for gradients of 5, -0.2 and 1",
        because="A step goes against the gradient, entry by entry: p minus something with the sign of g.",
    )


@BOTH
def test_the_first_step_has_the_length_lr_whatever_the_gradient(solution, name):
    gradients = [1e-2, 0.3, 7.0, 4e3]
    length = -after_one_step(getattr(solution, name), [0.0] * 4, gradients, weight_decay=0.0) / 0.1
    assert_close(
        length, torch.ones_like(length), f"the first step of {name} for gradients of {gradients}, in units of lr,",
        because="After correction with t = 1 (a t of 0 would divide by 0), m is g and v is g * g: m / sqrt(v) is "
        "g / |g|.", atol=1e-4,
    )


@BOTH
def test_parameters_are_updated_in_place(solution, name):
    params = parameters()
    views = [p.detach() for p in params]  # the same memory
    walk(params, getattr(solution, name)(params, lr=0.1), 1)
    for i, (p, view) in enumerate(zip(params, views, strict=True)):
        assert_close(
            view, p.detach(), f"a view of parameter {i}, after a step of {name},",
            because="Whatever shares a parameter's memory sees its steps: p -= ..., p.add_(...) and p.copy_(...) "
            "write into it, and `p.data = ...` hands out new memory.",
        )
    assert_equal(
        [(p.requires_grad, p.is_leaf) for p in params], [(True, True)] * len(params),
        "requires_grad and is_leaf of the parameters after a step",
        because="The update runs under torch.no_grad(), and leaves the parameters as leaves of the next graph.",
    )


@BOTH
def test_a_constant_gradient_moves_by_lr_in_every_step(solution, name):
    got = moves(getattr(solution, name), [3.0] * 6)
    assert_close(
        got, torch.ones_like(got), f"six steps of {name} with a constant gradient of 3, in units of lr,",
        because="m is 3 and v is 9 after the correction by 1 - beta^t, whatever t is: t is 1 in the first step, "
        "and one more in each.", atol=2e-4,
    )


@BOTH
def test_a_step_without_gradient_goes_on_by_momentum(solution, name):
    # After gradients 1 and 0 with betas 0.9 and 0.99: m = 0.09 / 0.19, v = 0.0099 / 0.0199.
    got = moves(getattr(solution, name), [1.0, 0.0], betas=(0.9, 0.99))
    assert_close(
        got, got.new_tensor([1.0, 0.09 / 0.19 / math.sqrt(0.0099 / 0.0199)]),
        f"two steps of {name} with gradients of 1 and 0 and betas=(0.9, 0.99), in units of lr,",
        because="m = beta1 * m + (1 - beta1) * g and v = beta2 * v + (1 - beta2) * g * g, kept from step to step; "
        "a gradient of 0 is a gradient, and not None.", atol=2e-4,
    )


@BOTH
def test_eps_is_added_to_the_corrected_root(solution, name):
    got = moves(getattr(solution, name), [1.0, -0.5, 0.25, 1.0], betas=(0.5, 0.75), eps=0.5)
    right = got.new_tensor([0.666667, 0.0, 0.130732, 0.473491])  # worked out in double precision
    assert_close(
        got, right, f"four steps of {name} with eps=0.5 and betas=(0.5, 0.75), for gradients of 1, -0.5, 0.25 and 1, "
        "in units of lr,",
        because="A step is lr * m / (sqrt(v) + eps), with m and v corrected: the first is 1 / 1.5.", atol=2e-4,
    )


@BOTH
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.8), (0.0, 0.95), (0.95, 0.5)], ids=str)
def test_it_walks_as_torch_does(solution, name, betas):
    assert_as_torch(
        solution, name, lambda *ours: walk(*ours, steps=10), f"after 10 steps with betas={betas}",
        "torch.optim gives the expected value: one m and one v for each entry of each parameter, kept between steps, "
        "with the betas that were given.", lr=0.02, betas=betas, eps=1e-3, weight_decay=0.0,
    )


@BOTH
@pytest.mark.parametrize(
    ("settings", "steps", "size", "atol"),
    [({}, 10, 1.0, 2e-6), ({"lr": 0.1}, 10, 1.0, 1e-5), ({"lr": 0.1}, 3, 1e-8, 1e-4)],
    ids=["all", "all but lr", "eps"],
)
def test_the_defaults_are_those_of_torch(solution, name, settings, steps, size, atol):
    given = "".join(f", {key}={value}" for key, value in settings.items())
    what = f"after {steps} steps of {name}(params{given}) with gradients around {size:g}"
    decay = 0.01 if name == "AdamW" else 0.0
    assert_as_torch(
        solution, name, lambda *ours: walk(*ours, steps=steps, size=size), what,
        f"The defaults are lr 1e-3, betas (0.9, 0.999), eps 1e-8 and, for {name}, weight_decay {decay}.",
        atol=atol, **settings,
    )


@BOTH
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-9), (torch.bfloat16, 0.05)], ids=str)
def test_parameters_may_be_of_another_float_type(solution, name, dtype, atol):
    assert_as_torch(
        solution, name, lambda *ours: walk(*ours, steps=3), f"in {dtype}, after 3 steps,",
        "A parameter is updated in its own type, and only that type's rounding may differ. State is made in it, too: "
        "torch.zeros_like(p) has it, and torch.zeros(p.shape) is float32.",
        dtype=dtype, atol=3 * atol, lr=0.1, betas=(0.5, 0.75), weight_decay=0.1,
    )
    assert_as_torch(
        solution, name, lambda *ours: walk(*ours, steps=1), f"in {dtype}, after a step with the usual betas,",
        "0.999 is 1 in bfloat16, and 1 - 1 is 0: betas and the count of steps are numbers of Python, not tensors of "
        "the parameter's type.",
        dtype=dtype, atol=atol, lr=0.1,
    )


@BOTH
def test_parameters_may_lie_on_another_device(solution, name):
    trouble = ""
    with elsewhere() as send:
        params = [send(p.detach()).requires_grad_() for p in parameters()]
        for p in params:
            p.grad = p.detach().clone()
        try:
            optimizer = getattr(solution, name)(params, weight_decay=0.1)
            optimizer.step()
            optimizer.step()
        except DevicesDiffer as error:
            trouble = str(error)
    observe("parameters on another device", bool(trouble))
    if trouble:
        fail(
            f"{name} does not work with parameters on another device:", expected="state where the parameter is",
            got=trouble,
            because="What is made for a parameter is made where that is: torch.zeros_like(p) does so.",
        )


# --- weight decay --------------------------------------------------------------------------------


def test_the_decay_of_adam_is_part_of_the_gradient(solution):
    got = after_one_step(solution.Adam, [3.0, -0.5, 2.0, -8.0, 0.1], [0.0, 0.0, -1.0, 1.0, -0.01], weight_decay=0.2)
    assert_close(
        got, got.new_tensor([2.9, -0.4, 2.1, -7.9, 0.0]),
        "the parameter (3, -0.5, 2, -8, 0.1) after a step of Adam with lr=0.1, weight_decay=0.2 and gradients of "
        "0, 0, -1, 1 and -0.01",
        because="g = grad + weight_decay * p is what m and v see, and the first step has the length lr against g.",
    )


def test_the_decay_of_adamw_shrinks_the_parameter(solution):
    got = after_one_step(solution.AdamW, [3.0, -0.5, 2.0, -8.0, 0.1], [0.0] * 5, weight_decay=0.2)
    assert_close(
        got, got.new_tensor([2.94, -0.49, 1.96, -7.84, 0.098]),
        "the parameter (3, -0.5, 2, -8, 0.1) after a step of AdamW with lr=0.1, weight_decay=0.2 and a gradient of 0",
        because="p is multiplied by 1 - lr * weight_decay, and the gradient stays as it is.",
    )


def test_adamw_decays_before_it_steps(solution):
    got = after_one_step(solution.AdamW, [3.0, -0.5, 2.0, -8.0, 0.1], [1.0] * 5, weight_decay=0.5)
    assert_close(
        got, got.new_tensor([2.75, -0.575, 1.8, -7.7, -0.005]),
        "the parameter (3, -0.5, 2, -8, 0.1) after a step of AdamW with lr=0.1, weight_decay=0.5 and a gradient of 1",
        because="First p shrinks by lr * weight_decay of itself, then it moves by lr: 3 * 0.95 - 0.1 is 2.75.",
    )


@BOTH
def test_it_walks_as_torch_does_with_weight_decay(solution, name):
    assert_as_torch(
        solution, name, lambda *ours: walk(*ours, steps=10), "after 10 steps with weight_decay=0.3",
        "torch.optim gives the expected value. In Adam g = grad + weight_decay * p goes into m and v; in AdamW p "
        "shrinks first, and m and v see the gradient alone.",
        lr=0.02, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.3,
    )
