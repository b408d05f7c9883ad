"""A training run, fourth part: the loss, the optimizer, and the rate of every step.

Shapes: B batch, T tokens, V vocab_size.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from common.testing import assert_close, assert_equal, assert_true, draw, draw_ids, observe
from common.testing.generation import Known

B, T, V = 3, 5, 13
AXES = {"B": B, "T": T, "V": V}


def settings(solution, **changes):
    sizes = {"context": 5, "n_embd": 8, "n_head": 2, "n_layer": 2, "dropout": 0.0}
    return solution.Settings(**{**sizes, **changes})


# --- the loss -------------------------------------------------------------------------------------


def loss_and_error(solution):
    """The loss of known logits, what it should be, and its gradient by the logits."""
    logits = torch.nn.Parameter(2 * draw("logits", B, T, V))
    targets = draw_ids("targets", B, T, vocab_size=V)
    targets[1, 2] = 0
    model = Known(lambda _: logits.clone())
    model.logits = logits
    loss = solution.loss_of(model, draw_ids("inputs", B, T, vocab_size=V), targets)
    right = F.cross_entropy(logits.detach().flatten(0, 1), targets.flatten())
    (error,) = torch.autograd.grad(loss, logits)
    return loss, right, error


def test_the_loss_is_the_mean_cross_entropy_in_nats(solution):
    """Compare the loss at step 0 with ln V, and the loss of known logits with -log of the targets' probabilities."""
    loss, right, _ = loss_and_error(solution)
    assert_close(
        loss, right, "the loss of known logits",
        because="It is the mean over all positions of all rows of -log softmax(logits)[target], with the natural "
        "logarithm.",
    )


def test_every_position_counts_in_the_loss(solution):
    """Change the logits of one position and see whether the loss moves."""
    _, _, error = loss_and_error(solution)
    felt = error.abs().sum(-1) > 1e-7
    observe("positions that count", felt)
    assert_true(
        bool(felt.all()), f"the logits of {int((~felt).sum())} of {B * T} positions take no part in the loss",
        because="Each position of each row has a target, whatever token it is, and all of them count.",
    )


# --- the optimizer --------------------------------------------------------------------------------


def made(solution):
    """A small model and its optimizer."""
    model = solution.GPT(settings(solution), V)
    return model, solution.make_optimizer(model, settings(solution, weight_decay=0.3, max_lr=0.02))


def test_the_optimizer_is_adamw(solution):
    """Print the optimizer."""
    _, optimizer = made(solution)
    classes = [kind.__name__ for kind in type(optimizer).__mro__]
    assert_true(
        "AdamW" in classes, f"the optimizer is of the class {classes[0]}",
        because="AdamW takes the decay off the weights themselves; Adam adds it to the gradient, and divides it away.",
    )


def test_the_betas_are_those_of_the_contract(solution):
    """Print the betas of the optimizer's groups."""
    found = sorted({tuple(group["betas"]) for group in made(solution)[1].param_groups})
    assert_equal(found, [(0.9, 0.95)], "the list of the groups' betas", because="AdamW gets the betas (0.9, 0.95).")


def test_the_optimizer_begins_at_max_lr(solution):
    """Print the rates of the optimizer's groups before anything is trained."""
    found = sorted({float(group["lr"]) for group in made(solution)[1].param_groups})
    assert_equal(found, [0.02], "the list of the groups' rates, max_lr=0.02,", because="The rate begins at max_lr.")


def decays(solution):
    """The weight_decay of each parameter, by name, and of each the number of groups that it is in."""
    model, optimizer = made(solution)
    names = {id(p): n for n, p in model.named_parameters()}
    found = [(names.get(id(p), "?"), g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]]
    times = {name: sum(name == n for n, _ in found) for name in names.values()}
    return dict(model.named_parameters()), dict(found), times


def test_every_parameter_is_in_the_optimizer_once(solution):
    """Count the optimizer's parameters, and those of the model that do not move in a step."""
    _, _, times = decays(solution)
    assert_equal(
        {name: n for name, n in times.items() if n != 1}, {},
        "the dict of parameters that are not in the optimizer once, and how often they are,",
        because="What is in no group is never trained.",
    )


@pytest.mark.parametrize(
    ("ndim", "decay", "because"),
    [
        (2, 0.3, "What has two axes decays by weight_decay: matrices and embeddings."),
        (1, 0.0, "Biases and norms have one axis and do not decay: a norm's weight belongs near 1, not near 0."),
    ],
    ids=["matrices and embeddings", "biases and norms"],
)
def test_what_decays_and_what_does_not(solution, ndim, decay, because):
    """Print the weight_decay of each of the optimizer's groups beside the shapes in it."""
    parameters, found, _ = decays(solution)
    wrong = {n: d for n, d in found.items() if n in parameters and parameters[n].ndim == ndim and d != decay}
    assert_equal(wrong, {}, "the dict of parameters with another decay, weight_decay=0.3,", because=because)


# --- the rate -------------------------------------------------------------------------------------

HIGH, LOW, WARM, STEPS = 8.0, 0.8, 4, 20  # 4 steps up, 16 down


def rates(solution, *steps):
    schedule = settings(solution, max_lr=HIGH, min_lr=LOW, warmup_steps=WARM, steps=STEPS)
    return torch.tensor([float(solution.learning_rate(step, schedule)) for step in steps])


def test_the_rate_rises_in_a_straight_line(solution):
    """Print the rate at steps 0, 1, 2, 3."""
    assert_close(
        rates(solution, 0, 1, 2, 3), torch.tensor([0.0, 2.0, 4.0, 6.0]),
        "the rate at steps 0 to 3, max_lr=8 and warmup_steps=4,",
        because="The rate rises from 0 at step 0 to max_lr at warmup_steps, by the same amount at each step.",
    )


def test_the_rate_is_max_lr_at_the_end_of_the_warm_up(solution):
    """Print the rate at warmup_steps."""
    assert_close(
        rates(solution, WARM), torch.tensor([HIGH]), "the rate at step 4, max_lr=8 and warmup_steps=4,",
        because="Where the warm-up ends the rate is max_lr, and the way down begins.",
    )


def test_the_way_down_is_half_a_cosine(solution):
    """Plot the rate over all steps: flat, steep, flat."""
    steps = (5, 8, 12, 16, 19)
    first, last, *between = rates(solution, WARM, STEPS, *steps).tolist()
    shares = torch.tensor([(rate - last) / (first - last or 1.0) for rate in between])
    cosine = torch.tensor([0.5 * (1 + math.cos(math.pi * (step - WARM) / (STEPS - WARM))) for step in steps])
    assert_close(
        shares, cosine, f"how much of the fall from step 4 to step 20 is still to come at steps {steps}",
        because="Between its ends the rate falls along half a cosine, 0.5 * (1 + cos(pi * share)), where share is the "
        "part of the way from warmup_steps to steps that is done.", atol=1e-4,
    )


def test_the_way_down_ends_at_min_lr(solution):
    """Print the rate at the last step."""
    assert_close(
        rates(solution, STEPS), torch.tensor([LOW]), "the rate at step 20, steps=20 and min_lr=0.8,",
        because="At the last step the whole way is done, and min_lr is left.",
    )


def test_after_the_last_step_the_rate_stays(solution):
    """Print the rate some steps after the last."""
    last, *later = rates(solution, STEPS, 21, 28, 36, 100)
    assert_close(
        torch.stack(later), last.expand(4), "the rate at steps 21, 28, 36 and 100, steps=20,",
        because="After the last step the rate stays as it is; a cosine by itself would rise again.",
    )
