"""Interview 04, second part: which parameters Adam and AdamW update, what they keep for them, and what they refuse."""

import pytest
import torch
from torch.optim.optimizer import Optimizer

from common.testing import assert_close, assert_equal, assert_raises, draw, fail, observe
from common.testing.optimizers import (
    assert_as_torch,
    give,
    gradient,
    parameter,
    parameters,
    walk,
    with_gradient,
)

AXES: dict[str, int] = {}  # the parameters' sizes have no letters
BOTH = pytest.mark.parametrize("name", ["Adam", "AdamW"])


# --- lr, and which parameters --------------------------------------------------------------------


@BOTH
def test_lr_is_an_attribute_that_may_be_assigned(solution, name):
    def play(params, optimizer):
        for t, lr in enumerate([0.05, 0.2, 0.0, 0.01]):
            if isinstance(optimizer, Optimizer):
                optimizer.param_groups[0]["lr"] = lr
            else:
                optimizer.lr = lr
            give(params, t)
            optimizer.step()

    because = (
        "A schedule assigns the attribute lr, so step() looks at it each time, for the update and for "
        "AdamW's decay."
    )
    lr = getattr(getattr(solution, name)(parameters(), lr=0.05), "lr", "no such attribute")
    assert_equal(lr, 0.05, f"the attribute lr of {name}(params, lr=0.05)", because=because)
    what = "after steps with lr = 0.05, 0.2, 0.0 and 0.01"
    assert_as_torch(solution, name, play, what, because, lr=0.05, weight_decay=0.1)


@BOTH
def test_a_parameter_without_a_gradient_is_skipped(solution, name):
    used, idle = parameter([1.0, 2.0]), parameter([3.0, -1.0, 0.5, 4.0])
    optimizer = getattr(solution, name)([used, idle], lr=0.1, weight_decay=0.5)
    used.grad = torch.ones_like(used)
    optimizer.step()
    assert_close(
        idle.detach(), idle.detach().new_tensor([3.0, -1.0, 0.5, 4.0]), f"a parameter of {name} whose grad is None",
        because="Nothing is done to it, weight decay included.",
    )


@BOTH
def test_parameters_behind_a_skipped_one_are_updated(solution, name):
    idle, used = parameter([3.0]), parameter([1.0, 2.0])
    optimizer = getattr(solution, name)([idle, used], lr=0.1, weight_decay=0.0)
    used.grad = torch.ones_like(used)
    optimizer.step()
    assert_close(
        used.detach(), used.detach().new_tensor([0.9, 1.9]),
        f"the parameter of {name} that comes after one whose grad is None",
        because="Only the parameter without a gradient is skipped; the loop goes on behind it.",
    )


@BOTH
def test_each_parameter_counts_its_own_steps(solution, name):
    early, late = parameter([0.0]), parameter([0.0] * 4)
    optimizer = getattr(solution, name)([early, late], lr=0.1, weight_decay=0.0)
    for t in range(4):
        early.grad = torch.ones_like(early)
        late.grad = late.detach().new_tensor([1.0, -2.0, 0.5, 30.0]) if t == 3 else None
        optimizer.step()
    assert_close(
        late.detach(), late.detach().new_tensor([-0.1, 0.1, -0.1, -0.1]),
        f"a parameter of {name} whose first gradient comes in the fourth step",
        because="That is this parameter's first step, t = 1, and so lr long: its count does not advance while its "
        "grad is None.",
    )


@BOTH
def test_a_pause_leaves_the_state_as_it_was(solution, name):
    def play(params, optimizer):
        for t in range(6):
            give(params, t)
            if t in (2, 3):
                params[1].grad = None
            optimizer.step()

    assert_as_torch(
        solution, name, play, "after 6 steps, parameter 1 without gradient in two of them,",
        "A skipped step changes nothing for that parameter: neither m and v nor its count.", lr=0.05,
    )


@BOTH
def test_parameters_may_come_from_a_generator(solution, name):
    because = "A generator, such as model.parameters(), can be walked through once: a list made of it stays."
    mine, theirs = parameters(), parameters()
    optimizer = getattr(solution, name)(p for p in mine)
    walk(mine, optimizer, 3)
    walk(theirs, getattr(torch.optim, name)(theirs), 3)
    for i, (my, their) in enumerate(zip(mine, theirs, strict=True)):
        what = f"parameter {i} of {name} after three steps, given as a generator,"
        assert_close(my.detach(), their.detach(), what, because=because)
    optimizer.zero_grad()
    what = f"the list of parameters with a gradient after {name}(generator).zero_grad()"
    assert_equal(with_gradient(mine), [], what, because=because)


@BOTH
def test_two_optimizers_share_nothing(solution, name):
    ways, make = [parameter([0.0]), parameter([0.0])], getattr(solution, name)
    both = [make([p], lr=lr, weight_decay=0.0) for p, lr in zip(ways, (0.1, 0.01), strict=True)]
    for turn in (0, 0, 1, 0):
        ways[turn].grad = torch.ones_like(ways[turn])
        both[turn].step()
    assert_close(
        torch.cat(ways).detach(), ways[0].detach().new_tensor([-0.3, -0.01]),
        f"the parameters of two {name}s with lr 0.1 and 0.01, after three steps and one,",
        because="State that stands in the class body, in a global or in a default argument is one for all; what is "
        "made in __init__, on self, is not.",
    )
    p = parameter([0.0])
    for _ in range(2):  # an optimizer for the first step, and another one for the second
        p.grad = p.detach().new_tensor([1.0 if not p.any() else -1.0])
        make([p], lr=0.1, weight_decay=0.0).step()
    assert_close(
        p.detach(), torch.zeros_like(p), f"a parameter after a step of one {name} and a step back of another",
        because="Each optimizer begins anew: its state hangs on itself, and on nothing that outlives it, such as an "
        "attribute of the class, a default argument or a global dict, where the next one would find it.",
    )


# --- zero_grad, and training ---------------------------------------------------------------------


@BOTH
def test_zero_grad_clears_every_gradient(solution, name):
    params = parameters()
    optimizer = getattr(solution, name)([*params, parameter([1.0])])  # the last has no gradient
    give(params, 0)
    optimizer.zero_grad()
    assert_equal(
        with_gradient(params), [], f"the list of parameters with a gradient after {name}.zero_grad()",
        because="Each p.grad becomes None, or zeros, for all parameters.",
    )


@BOTH
def test_zero_grad_changes_nothing_else(solution, name):
    def play(params, optimizer):
        for t in range(3):
            optimizer.zero_grad()
            give(params, t)
            optimizer.step()
            optimizer.zero_grad()

    assert_as_torch(
        solution, name, play, "after 3 steps with zero_grad before and after each",
        "zero_grad is about p.grad: the parameters, m and v and the counts stay.", lr=0.1,
    )


@BOTH
def test_the_state_does_not_hang_on_the_gradient_tensor(solution, name):
    # backward() without zero_grad, and zero_grad with zeros, both write into the same p.grad again.
    def play(params, optimizer):
        give(params, 0)
        for _ in range(3):
            optimizer.step()
            for p in params:
                p.grad.mul_(-0.5)

    assert_as_torch(
        solution, name, play, "when the same gradient tensor is written to between its steps",
        "m and v are tensors of their own, torch.zeros_like(p) at first: the next backward() writes into p.grad.",
        lr=0.1,
    )


@BOTH
def test_a_model_trains_with_it(solution, name):
    x, y = draw("x", 7, 15), draw("y", 7, 4)

    def play(params, optimizer):
        for _ in range(5):
            optimizer.zero_grad()
            ((torch.tanh(x @ params[0].flatten()).unsqueeze(-1) + params[1] * params[3] - y) ** 2).mean().backward()
            optimizer.step()

    assert_as_torch(
        solution, name, play, "after 5 rounds of zero_grad, backward and step",
        "torch.optim gives the expected value; parameters 2 and 4 have no part in the loss, and "
        "stay: their grad is None, and zero_grad leaves it so.", lr=0.05,
    )


# --- refusals ------------------------------------------------------------------------------------

NEGATIVE = "What is below 0 is refused, and the message names the value."
BETAS = (
    "Both betas are in [0, 1), for with 1 nothing is ever taken in and 1 - beta^t is 0; the message "
    "names the value."
)
BAD = [("lr", -0.5, -0.5, NEGATIVE), ("eps", -0.25, -0.25, NEGATIVE), ("weight_decay", -0.75, -0.75, NEGATIVE)]
BAD += [("betas", (1.5, 0.9), 1.5, BETAS), ("betas", (-0.25, 0.9), -0.25, BETAS), ("betas", (0.9, -0.25), -0.25, BETAS)]
BAD += [("betas", (0.9, 1.0), (1.0, 1), BETAS), ("betas", (1.0, 0.9), (1.0, 1), BETAS)]


@BOTH
@pytest.mark.parametrize(("argument", "value", "naming", "because"), BAD, ids=[f"{a}={v}" for a, v, *_ in BAD])
def test_bad_settings_are_refused(solution, name, argument, value, naming, because):
    with assert_raises(ValueError, f"{name}(params, {argument}={value})", naming=[naming], because=because):
        getattr(solution, name)([parameter([1.0])], **{argument: value})


@BOTH
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_no_parameters_are_refused(solution, name, kind):
    because = (
        "Nothing to optimize is nearly always a bug of the caller. A generator is true, empty or not; a list "
        "of it is not."
    )
    with assert_raises(ValueError, f"{name} with an empty {kind}", because=because):
        getattr(solution, name)([] if kind == "list" else (p for p in ()))


@BOTH
def test_settings_at_the_border_are_taken(solution, name):
    border = {"betas": (0.0, 0.0), "eps": 0.0, "weight_decay": 0.0}
    because = "Only what is below 0 is refused, and a beta from 1 on: 0 is inside."
    try:
        getattr(solution, name)([parameter([2.0])], lr=0.0, **border)
    except ValueError as error:
        observe("the border is refused", str(error))
        what = f"{name} refuses lr, betas, eps and weight_decay of 0:"
        fail(what, expected="no error", got=f"ValueError: {error}", because=because)

    def play(params, optimizer):
        for t in range(3):
            for i, p in enumerate(params):
                p.grad = (t + 1) * gradient(i, t).sign()
            optimizer.step()

    assert_as_torch(
        solution, name, play, "after 3 steps with betas=(0.0, 0.0) and eps=0",
        "With nothing kept of earlier gradients each step is lr * g / |g|.", lr=0.1, **border,
    )
