"""Interview 04: what Adam, AdamW and learning_rate promise, from cause to consequence.

Gradients are set by hand, so that a check knows what the optimizer saw.
"""

import math
from functools import cache
from itertools import pairwise

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_true,
    draw,
    fail,
    observe,
)

BOTH = pytest.mark.parametrize("name", ["Adam", "AdamW"])
SHAPES = [(3, 5), (4,), (2, 3, 2)]


def parameter(values):
    return torch.as_tensor(values, dtype=torch.float32, device=draw("d", 1).device).clone().requires_grad_()


def parameters():
    return [parameter(draw(f"p{i}", *shape)) for i, shape in enumerate(SHAPES)]


@cache
def gradient(i, step):
    """Of parameter i, another in every step, and from entry to entry different by a factor of up to a hundred."""
    scale = 10 ** torch.tanh(draw(f"scale {i}", *SHAPES[i]))
    return scale * (draw(f"gradient {i} {step}", *SHAPES[i]) + 0.5)


def give(params, step, size=1.0):
    for i, p in enumerate(params):
        p.grad = size * gradient(i, step)


def walk(kind, steps, size=1.0, **settings):
    """The parameters after that many steps with the gradients of `give`."""
    params = parameters()
    optimizer = kind(params, **settings)
    for t in range(steps):
        give(params, t, size)
        optimizer.step()
    return [p.detach() for p in params]


torchs_walk = cache(walk)


def same_walk(solution, name, steps, what, because, atol=1e-5, **settings):
    mine = walk(getattr(solution, name), steps, **settings)
    theirs = torchs_walk(getattr(torch.optim, name), steps, **settings)
    for i, (my, their) in enumerate(zip(mine, theirs, strict=True)):
        assert_close(my, their, f"parameter {i} of {name} {what}", because=because, atol=atol)


def moves(make, gradients, **settings):
    """How far one number has moved downhill in each step, for these gradients; it starts at 0."""
    p = parameter([0.0])
    optimizer = make([p], **settings)
    places = [0.0]
    for g in gradients:
        p.grad = torch.full_like(p, g)
        optimizer.step()
        places.append(p.item())
    return draw("d", 1).new_tensor([a - b for a, b in pairwise(places)])


def assert_moves_are(solution, name, gradients, expected, usual, what, because, **settings):
    """Moves in units of lr. usual: what some mistakes give, with their sentence."""
    lr = 0.1
    settings = {"weight_decay": 0.0, **settings}
    got = moves(getattr(solution, name), gradients, lr=lr, **settings) / lr
    says = next((s for s, m in usual.items() if torch.allclose(got, got.new_tensor(m), atol=2e-3, rtol=2e-3)), because)
    assert_close(got, got.new_tensor(expected), f"{what}, in units of lr,", because=says, atol=2e-4)


# --- Adam: the update ----------------------------------------------------------------------------


@BOTH
def test_a_step_goes_downhill(solution, name):
    p = parameter([1.0, -2.0, 3.0])
    optimizer = getattr(solution, name)([p], lr=0.01, weight_decay=0.0)
    p.grad = torch.tensor([5.0, -0.2, 1.0], device=p.device)
    optimizer.step()
    way = torch.sign(p.detach() - p.detach().new_tensor([1.0, -2.0, 3.0])).tolist()
    says = "Nothing moves: step() has to change the parameter itself; `p = p - ...` only gives the name p to a new tensor." if way == [0.0] * 3 else "Against the gradient: p -= lr * ..."
    assert_equal(way, [-1.0, 1.0, -1.0], "the list of directions for gradients of 5, -0.2 and 1", because=says)


@BOTH
def test_a_new_optimizer_starts_afresh(solution, name):
    make = getattr(solution, name)
    first, second = moves(make, [1.0, 0.3], lr=0.1), moves(make, [1.0, 0.3], lr=0.1)
    assert_identical(
        second, first, f"the way of a parameter under a second {name}, with the gradients that the first one saw,",
        because="State that stands in the class body, in a global or in a default argument outlives its optimizer: make it in __init__, on self.",
    )  # fmt: skip


@BOTH
def test_the_first_step_has_the_length_lr_whatever_the_gradient(solution, name):
    gradients = [1e-2, 0.3, 7.0, 4e3]
    p = parameter([0.0] * 4)
    optimizer = getattr(solution, name)([p], lr=0.01, weight_decay=0.0)
    p.grad = p.detach().new_tensor(gradients)
    optimizer.step()
    length = -p.detach() / 0.01
    even = bool((length - length[0]).abs().max() < 1e-3 * length[0].abs())
    usual = {
        3.1623: "Neither mean is corrected: m / (1 - beta1^t) and v / (1 - beta2^t).", 31.623: "v is not corrected for its start at 0: v / (1 - beta2^t).", 0.1: "m is not corrected for its start at 0: m / (1 - beta1^t).",
        0.01: "lr is multiplied in twice.", 100.0: "lr is left out of the update.", 10.0: "m lacks the factor (1 - beta1) in front of the gradient.", 0.031623: "v lacks the factor (1 - beta2) in front of the squared gradient.",
    }  # fmt: skip
    first = float(length[0])
    says = next((s for value, s in usual.items() if even and abs(first - value) < 0.02 * value), "m / sqrt(v) is g / |g| at first: m and v are corrected by 1 - beta^t with t = 1.")
    if not even:
        says = "The gradient's size must cancel: v is a mean of squares, entry by entry, and its root divides m. t counts from 1, so that 1 - beta^t is not 0."
    assert_close(length, torch.ones_like(length), f"the first step of {name} for gradients of {gradients}, in units of lr,", because=says, atol=1e-4)


@BOTH
def test_a_constant_gradient_moves_by_lr_in_every_step(solution, name):
    assert_moves_are(
        solution, name, [3.0] * 6, [1.0] * 6, {}, f"six steps of {name} with a constant gradient",
        "m = 3 and v = 9 after correction, at any t. The correction is 1 - beta^t, with t one more in each step: not 1 - beta, not 1 - beta * t.",
    )  # fmt: skip


@BOTH
def test_a_step_without_gradient_goes_on_by_momentum(solution, name):
    # After gradients 1 and 0 with betas 0.9 and 0.99: m = 0.09 / 0.19, v = 0.0099 / 0.0199.
    second = 0.09 / 0.19 / math.sqrt(0.0099 / 0.0199)
    usual = {
        "The second step does not move. Either the update uses the gradient itself instead of the running mean m, or a gradient of 0 is skipped as if it were None.": [1.0, 0.0],
        "The two betas are exchanged: betas[0] belongs to the gradient, betas[1] to its square.": [1.0, (0.0099 / 0.0199) / math.sqrt(0.09 / 0.19)],
    }
    assert_moves_are(
        solution, name, [1.0, 0.0], [1.0, second], usual, f"two steps of {name} with gradients of 1 and 0",
        "m = beta1 * m + (1 - beta1) * g and v = beta2 * v + (1 - beta2) * g * g, kept from step to step; a gradient of 0 is a gradient, and not None.", betas=(0.9, 0.99),
    )  # fmt: skip


@BOTH
def test_eps_is_added_to_the_corrected_root(solution, name):
    # With betas (0.9, 0.75), eps 0.5 and a first gradient of 1: m = v = 1 after correction.
    usual = {
        "eps stands under the root: it is sqrt(v) + eps.": [1 / math.sqrt(1.5)],
        "eps is added before v is corrected: correct first, then the root, then + eps.": [1 / (math.sqrt(0.25) + 0.5) * math.sqrt(0.25)],
        "Your eps is not the one that was given, or is left out.": [1.0],
        "eps is added to v before the root and before the correction: sqrt(v / (1 - beta2^t)) + eps.": [1 / math.sqrt((0.25 + 0.5) / 0.25)],
    }
    assert_moves_are(
        solution, name, [1.0], [1 / 1.5], usual, f"the first step of {name} with eps=0.5 and a gradient of 1",
        "lr * m / (sqrt(v) + eps) with m and v corrected.", betas=(0.9, 0.75), eps=0.5,
    )  # fmt: skip


@BOTH
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.8), (0.0, 0.95), (0.95, 0.5)], ids=str)
def test_it_walks_as_torch_does(solution, name, betas):
    same_walk(
        solution, name, 20, f"after 20 steps with betas={betas}", "torch.optim gives the expected value. Is there one m and one v for each parameter, kept between steps, with the betas that were given?",
        lr=0.02, betas=betas, eps=1e-3, weight_decay=0.0,
    )  # fmt: skip


@BOTH
def test_the_defaults_are_those_of_torch(solution, name):
    default = "weight_decay 0.01" if name == "AdamW" else "weight_decay 0.0"
    because = f"The defaults are lr 1e-3, betas (0.9, 0.999), eps 1e-8 and, for {name}, {default}."
    same_walk(solution, name, 20, f"after 20 steps of {name}(params)", because, lr=1e-3, atol=2e-6)
    same_walk(solution, name, 20, f"after 20 steps of {name}(params, lr=0.1)", because, lr=0.1)
    same_walk(solution, name, 3, f"after 3 steps of {name}(params, lr=0.1) with gradients around 1e-8", because, lr=0.1, size=1e-8, atol=1e-4)
    params = parameters()
    assert_equal(getattr(getattr(solution, name)(params), "lr", "no such attribute"), 1e-3, f"the attribute lr of {name}(params)", because=because)


# --- weight decay --------------------------------------------------------------------------------


def test_the_decay_of_adam_is_part_of_the_gradient(solution):
    # A gradient of 0: what is left is weight_decay * p, and Adam makes a step of lr from any gradient.
    p = parameter([3.0, -0.5])
    optimizer = solution.Adam([p], lr=0.1, weight_decay=0.2)
    p.grad = torch.zeros_like(p)
    optimizer.step()
    got = p.detach()
    usual = {
        "Nothing decays: weight_decay * p is added to the gradient.": [3.0, -0.5],
        "That is AdamW's decay, past the means. Adam adds weight_decay * p to the gradient before m and v see it.": [3.0 * 0.98, -0.5 * 0.98],
        "The decay has the wrong sign: weights grow. It is grad + weight_decay * p.": [3.1, -0.6],
    }
    says = next((s for s, value in usual.items() if torch.allclose(got, got.new_tensor(value), atol=1e-4)), "m and v are those of g = grad + weight_decay * p.")
    assert_close(got, got.new_tensor([2.9, -0.4]), "the parameter 3, -0.5 after a step of Adam with lr=0.1, weight_decay=0.2 and a gradient of 0", because=says)


def test_the_decay_of_adamw_shrinks_the_parameter(solution):
    p = parameter([3.0, -0.5])
    optimizer = solution.AdamW([p], lr=0.1, weight_decay=0.2)
    p.grad = torch.zeros_like(p)
    optimizer.step()
    got = p.detach()
    usual = {
        "Nothing decays: AdamW multiplies the parameter by 1 - lr * weight_decay.": [3.0, -0.5],
        "That is Adam's L2 decay, which goes through m and v. AdamW leaves the gradient alone and shrinks p itself.": [2.9, -0.4],
        "The decay lacks lr: p shrinks by lr * weight_decay of itself, not by weight_decay.": [2.4, -0.4],
        "The parameter grows: it is multiplied by 1 - lr * weight_decay.": [3.06, -0.51],
        "The parameter decays twice in a step.": [3 * 0.98**2, -0.5 * 0.98**2],
        "The parameter decays, and the decay goes into the gradient too: AdamW does only the first.": [3 * 0.98 - 0.1, -0.5 * 0.98 + 0.1],
    }
    says = next((s for s, value in usual.items() if torch.allclose(got, got.new_tensor(value), atol=1e-4)), "p is multiplied by 1 - lr * weight_decay, and the gradient stays as it is.")
    assert_close(got, got.new_tensor([2.94, -0.49]), "the parameter 3, -0.5 after a step of AdamW with lr=0.1, weight_decay=0.2 and a gradient of 0", because=says)


def test_adamw_decays_before_it_steps(solution):
    p = parameter([3.0, -0.5])
    optimizer = solution.AdamW([p], lr=0.1, weight_decay=0.5)
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert_close(
        p.detach(), p.detach().new_tensor([3 * 0.95 - 0.1, -0.5 * 0.95 - 0.1]), "the parameter 3, -0.5 after a step of AdamW with lr=0.1, weight_decay=0.5 and a gradient of 1",
        because="The decay is lr * weight_decay of the parameter as it was before the update; shrunk afterwards, the update of this step shrinks too.",
    )  # fmt: skip


@BOTH
def test_it_walks_as_torch_does_with_weight_decay(solution, name):
    same_walk(
        solution, name, 20, "after 20 steps with weight_decay=0.3",
        "torch.optim gives the expected value. Adam: g = grad + weight_decay * p goes into m and v. AdamW: p shrinks first, and m and v see the gradient alone.",
        lr=0.02, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.3,
    )  # fmt: skip


# --- lr, and which parameters --------------------------------------------------------------------


@BOTH
def test_lr_is_an_attribute_that_may_be_assigned(solution, name):
    params, theirs = parameters(), parameters()
    optimizer, oracle = getattr(solution, name)(params, lr=0.05, weight_decay=0.1), getattr(torch.optim, name)(theirs, lr=0.05, weight_decay=0.1)
    assert_equal(getattr(optimizer, "lr", "no such attribute"), 0.05, f"the attribute lr of {name}(params, lr=0.05)", because="self.lr = lr: a schedule reads and assigns it.")
    for t, lr in enumerate([0.05, 0.2, 0.0, 0.01]):
        optimizer.lr = oracle.param_groups[0]["lr"] = lr
        give(params, t)
        give(theirs, t)
        optimizer.step()
        oracle.step()
    for i, (my, their) in enumerate(zip(params, theirs, strict=True)):
        assert_close(my, their.detach(), f"parameter {i} of {name} after steps with lr = 0.05, 0.2, 0.0 and 0.01", because="step() looks at self.lr each time, for the update and for AdamW's decay. A copy made in the constructor stays as it was.")


@BOTH
def test_a_parameter_without_a_gradient_is_skipped(solution, name):
    used, idle = parameter([1.0, 2.0]), parameter([3.0])
    optimizer = getattr(solution, name)([used, idle], lr=0.1, weight_decay=0.5)
    used.grad = torch.ones_like(used)
    optimizer.step()
    assert_close(idle, torch.full_like(idle, 3.0).detach(), f"a parameter of {name} whose grad is None", because="`if p.grad is None: continue`, before anything is done to it, weight decay included.")
    assert_close(used[0], used.detach().new_tensor(0.85 if name == "AdamW" else 0.9), f"the parameter of {name} beside one whose grad is None", because="Go on with the next parameter: continue, not return or break.")


@BOTH
def test_parameters_behind_a_skipped_one_are_updated(solution, name):
    idle, used = parameter([3.0]), parameter([1.0, 2.0])
    optimizer = getattr(solution, name)([idle, used], lr=0.1, weight_decay=0.0)
    used.grad = torch.ones_like(used)
    optimizer.step()
    assert_close(used, used.detach().new_tensor([0.9, 1.9]), f"the parameter of {name} that comes after one whose grad is None", because="Go on with the next parameter: continue, not return or break.")


@BOTH
def test_each_parameter_counts_its_own_steps(solution, name):
    early, late = parameter([0.0]), parameter([0.0])
    optimizer = getattr(solution, name)([early, late], lr=0.1, weight_decay=0.0)
    for t in range(4):
        early.grad = torch.ones_like(early)
        late.grad = torch.ones_like(late) if t == 3 else None
        optimizer.step()
    assert_close(
        late, torch.full_like(late, -0.1).detach(), f"a parameter of {name} whose first gradient comes in the fourth step",
        because="That is this parameter's first step, t = 1, and so lr long: its count does not advance while its grad is None. Keep a count for each parameter.",
    )  # fmt: skip


@BOTH
def test_a_pause_leaves_the_state_as_it_was(solution, name):
    params, theirs = parameters(), parameters()
    optimizer, oracle = getattr(solution, name)(params, lr=0.05), getattr(torch.optim, name)(theirs, lr=0.05)
    for t in range(6):
        for group, o in ((params, optimizer), (theirs, oracle)):
            give(group, t)
            if t in (2, 3):
                group[1].grad = None
            o.step()
    for i, (my, their) in enumerate(zip(params, theirs, strict=True)):
        assert_close(my, their.detach(), f"parameter {i} of {name} after 6 steps, parameter 1 without gradient in two of them,", because="A skipped step changes nothing for that parameter: neither m and v nor its count.")


@BOTH
def test_parameters_may_come_from_a_generator(solution, name):
    params, theirs = parameters(), parameters()
    optimizer, oracle = getattr(solution, name)(p for p in params), getattr(torch.optim, name)(theirs)
    for t in range(3):
        for group, o in ((params, optimizer), (theirs, oracle)):
            give(group, t)
            o.step()
    because = "A generator, such as model.parameters(), can be walked through once: keep list(params), made before anything else looks at params."
    for i, (my, their) in enumerate(zip(params, theirs, strict=True)):
        assert_close(my, their.detach(), f"parameter {i} of {name} after three steps, given as a generator,", because=because)
    optimizer.zero_grad()
    assert_equal([i for i, p in enumerate(params) if p.grad is not None and bool(p.grad.any())], [], f"the list of parameters with a gradient after {name}(generator).zero_grad()", because=because)


@BOTH
def test_two_optimizers_share_nothing(solution, name):
    first, second = parameter([0.0]), parameter([0.0])
    make = getattr(solution, name)
    one, two = make([first], lr=0.1, weight_decay=0.0), make([second], lr=0.01, weight_decay=0.0)
    for p, optimizer in ((first, one), (first, one), (second, two), (first, one)):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert_close(
        torch.cat([first, second]), first.detach().new_tensor([-0.3, -0.01]), f"the parameters of two {name}s with lr 0.1 and 0.01, after three steps and one,",
        because="State that stands in the class body, in a global or in a default argument is one for all: make it in __init__, on self.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


@BOTH
def test_parameters_are_updated_in_place(solution, name):
    params = parameters()
    views = [p.detach() for p in params]  # the same memory
    optimizer = getattr(solution, name)(params, lr=0.1)
    give(params, 0)
    optimizer.step()
    for i, (p, view) in enumerate(zip(params, views, strict=True)):
        assert_close(view, p.detach(), f"a view of parameter {i}, after a step of {name},", because="`p.data = ...` hands the parameter new memory, and whoever shared the old one is left behind. Write into it: p -= ..., p.add_(...) or p.copy_(...).")
    assert_equal([(p.requires_grad, p.is_leaf) for p in params], [(True, True)] * len(params), "requires_grad and is_leaf of the parameters after a step", because="The update runs under torch.no_grad(), and leaves the parameters as leaves of the next graph.")


@BOTH
def test_a_model_trains_with_it(solution, name):
    x, y = draw("x", 7, 4), draw("y", 7, 2)
    results = []
    for make in (getattr(solution, name), getattr(torch.optim, name)):
        w, b = parameter(draw("w", 4, 2)), parameter(draw("b", 2))
        optimizer = make([w, b], 0.05)
        for _ in range(5):
            optimizer.zero_grad()
            ((torch.tanh(x @ w) + b - y) ** 2).mean().backward()
            optimizer.step()
        results.append((w.detach(), b.detach()))
    for what, my, their in zip(("weight", "bias"), *results, strict=True):
        assert_close(my, their, f"the {what} of a model after 5 rounds of zero_grad, backward and step with {name}", because="torch.optim gives the expected value. Is zero_grad clearing every gradient, and nothing else?")


@BOTH
def test_zero_grad_clears_every_gradient_and_nothing_else(solution, name):
    params = parameters()
    optimizer = getattr(solution, name)([*params, parameter([1.0])], lr=0.1)  # the last has no gradient
    give(params, 0)
    optimizer.step()
    before = [p.detach().clone() for p in params]
    optimizer.zero_grad()
    assert_equal([i for i, p in enumerate(params) if p.grad is not None and bool(p.grad.any())], [], f"the list of parameters with a gradient after {name}.zero_grad()", because="Each p.grad becomes None (or zeros), for all parameters.")
    for i, (p, old) in enumerate(zip(params, before, strict=True)):
        assert_close(p.detach(), old, f"parameter {i} after {name}.zero_grad()", because="zero_grad is about the gradients: p.grad, not p.")
    give(params, 1)
    optimizer.step()
    theirs = torchs_walk(getattr(torch.optim, name), 2, lr=0.1)
    for i, (my, their) in enumerate(zip(params, theirs, strict=True)):
        assert_close(my, their, f"parameter {i} after step, zero_grad and step of {name}", because="zero_grad clears gradients only: m, v and the counts go on.")


@BOTH
def test_step_leaves_the_gradients_as_they_are(solution, name):
    params = parameters()
    optimizer = getattr(solution, name)(params, lr=0.1, weight_decay=0.5)
    give(params, 0)
    before = [p.grad.clone() for p in params]
    optimizer.step()
    for i, (p, old) in enumerate(zip(params, before, strict=True)):
        assert_true(p.grad is not None, f"step() of {name} takes the gradients away", because="Clearing them is zero_grad's business.")
        assert_close(p.grad, old, f"the gradient of parameter {i} after a step of {name}", because="`grad += weight_decay * p`, mul_ and add_ write into p.grad itself, and a running mean must not be p.grad: compute with new tensors.")


@BOTH
def test_the_state_does_not_hang_on_the_gradient_tensor(solution, name):
    # backward() without zero_grad, and zero_grad with zeros, both write into the same p.grad again.
    params, theirs = parameters(), parameters()
    optimizer, oracle = getattr(solution, name)(params, lr=0.1), getattr(torch.optim, name)(theirs, lr=0.1)
    for t in range(3):
        for group, o in ((params, optimizer), (theirs, oracle)):
            if t == 0:
                give(group, 0)
            else:
                for p in group:
                    p.grad.mul_(-0.5)
            o.step()
    for i, (my, their) in enumerate(zip(params, theirs, strict=True)):
        assert_close(my, their.detach(), f"parameter {i} of {name}, when the same gradient tensor is written to again,", because="m and v are tensors of their own: torch.zeros_like(p) at first, not p.grad.")


@BOTH
def test_a_step_leaves_gradients_switched_on(solution, name):
    p = parameter([1.0])
    optimizer = getattr(solution, name)([p])
    p.grad = torch.ones_like(p)
    optimizer.step()
    on = torch.is_grad_enabled()
    observe("gradients are on after a step", on)
    if not on:
        fail("step() leaves gradients switched off", because="Use torch.no_grad() as a decorator or in a with statement, so that it ends.")


# --- refusals ------------------------------------------------------------------------------------

BAD = [("lr", -0.5, (-0.5,)), ("eps", -0.25, (-0.25,)), ("weight_decay", -0.75, (-0.75,))]
BAD += [("betas", (1.5, 0.9), (1.5,)), ("betas", (0.9, 1.0), (1.0, 1)), ("betas", (1.0, 0.9), (1.0, 1)), ("betas", (-0.25, 0.9), (-0.25,)), ("betas", (0.9, -0.25), (-0.25,))]


@BOTH
@pytest.mark.parametrize(("argument", "value", "naming"), BAD, ids=str)
def test_bad_settings_are_refused(solution, name, argument, value, naming):
    because = "A beta is in [0, 1): 1 would never forget, and 1 - beta^t would be 0. Check both, and name the value." if argument == "betas" else f"{argument} must not be negative; the message names the value."
    with assert_raises(ValueError, f"{name}(params, {argument}={value})", naming=[naming], because=because):
        getattr(solution, name)([parameter([1.0])], **{argument: value})


@BOTH
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_no_parameters_are_refused(solution, name, kind):
    with assert_raises(ValueError, f"{name} with an empty {kind}", because="Nothing to optimize is nearly always a bug of the caller. A generator is never false: make the list first, then look whether it is empty."):
        getattr(solution, name)([] if kind == "list" else (p for p in ()))


@BOTH
def test_settings_at_the_border_are_taken(solution, name):
    p = parameter([2.0])
    try:
        optimizer = getattr(solution, name)([p], lr=0.0, betas=(0.0, 0.0), eps=0.0, weight_decay=0.0)
    except ValueError as error:
        observe("the border is refused", str(error))
        fail(f"{name} refuses lr, betas, eps and weight_decay of 0:", expected="no error", got=f"ValueError: {error}", because="Only negative values are refused, and betas from 1 on: 0 is inside.")
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert_close(p, torch.full_like(p, 2.0).detach(), f"the parameter after a step of {name} with lr=0", because="With lr = 0 nothing moves.")
    assert_moves_are(solution, name, [2.0, -3.0, 1.0], [1.0, -1.0, 1.0], {}, f"three steps of {name} with betas=(0.0, 0.0) and eps=0", "Without memory each step is lr * g / |g|.", betas=(0.0, 0.0), eps=0.0)


# --- learning_rate -------------------------------------------------------------------------------


def rates(solution, steps, *arguments):
    got = []
    for step in steps:
        rate = solution.learning_rate(step, *arguments)
        if not isinstance(rate, int | float):
            observe("learning_rate returns", type(rate).__name__)
            fail(f"learning_rate({step}, ...) does not return a float:", expected="a float", got=type(rate).__name__, because="Every branch ends in a return of a Python number; use math.cos.")
        got.append(rate)
    return torch.tensor(got, dtype=torch.float64)


def assert_rates(solution, steps, arguments, expected, because):
    what = f"learning_rate at steps {steps}, with max_lr, min_lr, warmup_steps, total_steps = {arguments},"
    assert_close(rates(solution, steps, *arguments), torch.tensor(expected, dtype=torch.float64), what, because=because, atol=1e-6)


def test_the_warmup_is_a_straight_line_from_zero(solution):
    assert_rates(solution, [0, 1, 3, 5], (0.6, 0.1, 6, 20), [0.0, 0.1, 0.3, 0.5], "max_lr * step / warmup_steps while step < warmup_steps: 0 at step 0. min_lr has no part in it.")


def test_the_warmup_ends_at_max_lr(solution):
    assert_rates(solution, [6], (0.6, 0.1, 6, 20), [0.6], "At step warmup_steps the cosine starts, at its top: max_lr.")


def test_half_way_down_it_is_between_the_two(solution):
    assert_rates(
        solution, [13], (0.6, 0.1, 6, 20), [0.35],
        "Half of the way from warmup_steps to total_steps the cosine is 0: (max_lr + min_lr) / 2. Progress is (step - warmup_steps) / (total_steps - warmup_steps).",
    )  # fmt: skip


def test_the_way_down_is_a_cosine(solution):
    steps = list(range(6, 20))
    expected = [0.1 + 0.25 * (1 + math.cos(math.pi * (step - 6) / 14)) for step in steps]
    assert_rates(solution, steps, (0.6, 0.1, 6, 20), expected, "min_lr + (max_lr - min_lr) * (1 + cos(pi * progress)) / 2: slow at first, fast in the middle, slow at the end.")


def test_from_the_last_step_on_it_is_min_lr(solution):
    assert_rates(solution, [20, 21, 27, 34, 500], (0.6, 0.1, 6, 20), [0.1] * 5, "min_lr from total_steps on. A cosine that is left running turns up again.")


def test_there_may_be_no_warmup(solution):
    assert_rates(solution, [0, 5, 10], (0.4, 0.2, 0, 10), [0.4, 0.3, 0.2], "With warmup_steps = 0 the cosine starts at step 0, with max_lr: no step is below 0, so nothing is divided by it.")


def test_there_may_be_nothing_but_warmup(solution):
    assert_rates(solution, [0, 2, 4, 5], (0.4, 0.2, 4, 4), [0.0, 0.2, 0.2, 0.2], "With warmup_steps = total_steps no cosine is left: min_lr from total_steps on. Ask that before you divide by total_steps - warmup_steps.")


def test_there_may_be_no_steps_at_all(solution):
    assert_rates(solution, [0, 3], (0.4, 0.2, 0, 0), [0.2, 0.2], "total_steps = 0 is reached at step 0: min_lr.")


def test_it_may_go_down_to_zero(solution):
    assert_rates(solution, [0, 2, 6, 10, 11], (0.8, 0.0, 2, 10), [0.0, 0.8, 0.4, 0.0, 0.0], "min_lr = 0.0 is an ordinary value: ask for numbers, not for truth.")


@pytest.mark.parametrize(
    ("call", "because"),
    [
        ((3, 0.6, 0.1, 21, 20), "warmup_steps must not be above total_steps, whatever the step."),
        ((25, 0.6, 0.1, 21, 20), "warmup_steps must not be above total_steps, whatever the step: check before the first return."),
        ((-1, 0.6, 0.1, 6, 20), "step is a count and not negative."),
        ((3, 0.6, 0.1, -1, 20), "warmup_steps is a count and not negative."),
        ((3, 0.6, 0.1, -2, -1), "total_steps is a count and not negative."),
        ((0, 0.6, 0.1, 0, -1), "total_steps is a count and not negative."),
    ],
    ids=lambda v: str(v) if isinstance(v, tuple) else "",
)  # fmt: skip
def test_bad_counts_are_refused(solution, call, because):
    with assert_raises(ValueError, f"learning_rate{call}", because=because):
        solution.learning_rate(*call)
