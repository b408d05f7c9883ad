"""Interview 19, second part: what preference_loss promises, from cause to consequence.

Shapes: B pairs of answers.
"""

import math

import pytest
import torch
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.attending import assert_works_elsewhere
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free

B = 5
AXES = {"B": B}
METRICS = ("reward_chosen", "reward_rejected", "margin", "accuracy")
NAMES = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
CALL = "preference_loss(...)"


def four(size=3.0, b=B, dtype=torch.float32):
    """Log-probabilities in the order of the arguments, each of another size than the others."""
    return [(size * draw(name, b) - 4 - 2 * i).to(dtype) for i, name in enumerate(NAMES)]


def pair_of(result, call=CALL):
    """Loss and metrics, after a look at their form."""
    pair = isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[1], dict)
    observe(f"{call} returns loss and metrics", pair)
    if not pair:
        fail(
            f"{call} should return two things:", expected="loss, metrics", got=f"a {type(result).__name__}",
            because="Both go back, the loss as a tensor and the metrics as a dict: `return loss, metrics`.",
        )  # fmt: skip
    return assert_tensor(result[0], f"the loss of {call}"), result[1]


def loss_of(solution, *given, **options):
    return pair_of(solution.preference_loss(*given, **options))[0]


def metric_of(solution, name, *given, **options):
    metrics = pair_of(solution.preference_loss(*given, **options))[1]
    value = metrics.get(name)
    number = isinstance(value, int | float) or (isinstance(value, torch.Tensor) and value.ndim == 0)
    observe(f"metrics[{name!r}] is a number", number)
    if not number:
        got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
        fail(
            f"metrics[{name!r}] is not a number:", expected="a float, or a tensor without axes", got=got,
            because="Each metric is one number, a mean over the pairs, under its name.",
        )  # fmt: skip
    return torch.as_tensor(value, dtype=torch.float64)


def right_loss(pc, pr, rc, rr, beta=0.1):
    """By softplus, which is -logsigmoid of the negative."""
    margins = beta * ((pc - rc) - (pr - rr))
    return nn.functional.softplus(-margins).mean()


# --- what others stand on ------------------------------------------------------------------------


@pytest.mark.parametrize("b", [B, 1])
def test_the_loss_is_one_number(solution, b):
    assert_shape(
        loss_of(solution, *four(b=b)), (), f"the loss of {b} pairs",
        because="It is the mean over the pairs, a tensor without axes.",
    )  # fmt: skip


def test_preference_loss_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.preference_loss, *four(), what="preference_loss")


@pytest.mark.parametrize(("beta", "named"), [(0.0, "0"), (-0.25, "-0.25")])
def test_a_beta_that_is_not_above_zero_is_refused(solution, beta, named):
    with assert_raises(
        ValueError, f"preference_loss(..., beta={beta})", naming=[named],
        because="With a beta of 0 nothing is learned, and with a negative one the contrary: refuse it in a message "
        "that names the value.",
    ):  # fmt: skip
        solution.preference_loss(*four(), beta=beta)


@pytest.mark.parametrize("which", range(4), ids=NAMES)
@pytest.mark.parametrize("shape", [(B, 1), (1,)], ids=str)
def test_other_shapes_are_refused(solution, which, shape):
    given = four()
    given[which] = draw("other", *shape)
    with assert_raises(
        ValueError, f"preference_loss with {NAMES[which]} of shape {shape} and the others of ({B},)",
        because="Broadcasting makes numbers of different shapes too, and pairs each answer with every other: all four "
        "shapes have to be the same.",
    ):  # fmt: skip
        solution.preference_loss(*given)


def test_a_policy_that_is_the_reference_has_a_loss_of_log_two(solution):
    chosen, rejected, *_ = four()
    assert_close(
        loss_of(solution, chosen, rejected, chosen.clone(), rejected.clone()), chosen.new_tensor(math.log(2)),
        "the loss of a policy that gives what the reference gives",
        because="All rewards are 0 and so is every margin, and -log sigmoid(0) = log 2. Rewards are measured from the "
        "reference: its log-probabilities are subtracted, the chosen's from the chosen's.",
    )  # fmt: skip


# --- the loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "down"), [(0, True), (1, False), (2, False), (3, True)], ids=NAMES)
def test_the_loss_moves_the_right_way(solution, which, down):
    before, given = loss_of(solution, *four()), four()
    given[which] = given[which] + 1
    after = loss_of(solution, *given)
    observe("the losses", torch.stack([before, after]))
    assert_true(
        bool(after < before if down else after > before),
        f"the loss does not {'fall' if down else 'rise'} when {NAMES[which]} rises by 1",
        because="The policy is to make the chosen answer likelier than the reference does, and the rejected one less "
        "likely: margin = beta * ((policy_chosen - reference_chosen) - (policy_rejected - reference_rejected)), and "
        "the loss falls as it grows.",
    )  # fmt: skip


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_loss_of_a_single_pair(solution, beta):
    pairs = [[x[i : i + 1] for x in four(size=8.0)] for i in range(B)]
    assert_close(
        torch.stack([loss_of(solution, *pair, beta=beta) for pair in pairs]),
        torch.stack([right_loss(*pair, beta=beta) for pair in pairs]),
        f"the list of the losses of {B} pairs, each given alone, with beta={beta},",
        because="It is -log sigmoid(beta * ((policy_chosen - reference_chosen) - (policy_rejected - "
        "reference_rejected))).",
    )  # fmt: skip


def test_the_loss_of_several_pairs_is_the_mean(solution):
    given = four()
    assert_close(
        loss_of(solution, *given, beta=0.5), right_loss(*given, beta=0.5), f"the loss of {B} pairs",
        because="It is the mean of the losses of the pairs: a sum would grow with the batch, and the loss of a mean "
        "margin is another number.",
    )  # fmt: skip


def test_beta_is_a_tenth_unless_you_say_otherwise(solution):
    given = four()
    assert_close(
        loss_of(solution, *given), right_loss(*given), "the loss without the argument beta",
        because="The signature ends in beta=0.1.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [-1e4, -200.0, 200.0, 1e4])
def test_large_margins_do_not_overflow(solution, size):
    given = [x.new_tensor([size if i == 0 else 0.0]) for i, x in enumerate(four(b=1))]
    assert_close(
        loss_of(solution, *given, beta=1.0), right_loss(*given, beta=1.0), f"the loss of a pair with margin {size:g}",
        because="Far below 0 sigmoid is 0 in float32, its logarithm -inf, and exp of the margin's negative inf. "
        "logsigmoid and softplus go over into the margin itself there.",
    )  # fmt: skip


def test_the_loss_comes_in_the_type_of_its_inputs(solution):
    given = four(dtype=torch.float64)
    loss = loss_of(solution, *given)
    assert_equal(
        str(loss.dtype), "torch.float64", "the dtype of the loss for log-probabilities in float64",
        because="Nothing on the way is computed in float32.",
    )  # fmt: skip
    assert_close(
        loss, right_loss(*given), "the loss for log-probabilities in float64", atol=1e-9, rtol=1e-9,
        because="Nothing on the way is computed in float32.",
    )  # fmt: skip


def test_preference_loss_works_on_another_device(solution):
    assert_works_elsewhere(lambda *given: loss_of(solution, *given), *four(), what="preference_loss")


def test_log_probs_that_are_not_contiguous_give_the_same(solution):
    def loss(*wide):
        return loss_of(solution, *(x[:, 1] for x in wide))

    assert_layout_is_free(
        loss, *(draw(name, B, 3) for name in NAMES), what="the loss for log-probabilities that are not contiguous",
    )  # fmt: skip


# --- learning ------------------------------------------------------------------------------------


def test_the_policys_gradients_are_those_of_the_loss(solution):
    chosen, rejected, *constants = four()
    assert_gradients_of(
        lambda pc, pr: loss_of(solution, pc, pr, *constants, beta=0.5),
        lambda pc, pr: right_loss(pc, pr, *constants, beta=0.5),
        {"policy_chosen": chosen, "policy_rejected": rejected},
        because="It is -beta * sigmoid(-margin) / B for the chosen answers, and its negative for the rejected ones.",
        atol=1e-5,
    )  # fmt: skip


def test_a_policy_that_is_the_reference_has_a_gradient(solution):
    chosen, rejected, *_ = four()
    assert_gradients_of(
        lambda pc, pr: loss_of(solution, pc, pr, chosen, rejected, beta=0.5),
        lambda pc, pr: right_loss(pc, pr, chosen, rejected, beta=0.5),
        {"policy_chosen, where it is the reference's,": chosen, "policy_rejected, where it is,": rejected},
        because="Training starts here: all margins are 0, and the slope of -log sigmoid at 0 is -1/2. Formulas with "
        "abs, relu or clamp have a corner at 0, and autograd takes a slope of 0 there.", atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_large_margins_do_not_spoil_the_gradients(solution, size):
    chosen, *others = (x.new_tensor([size if i == 0 else 0.0]) for i, x in enumerate(four(b=1)))
    assert_gradients_of(
        lambda pc: loss_of(solution, pc, *others, beta=1.0), lambda pc: right_loss(pc, *others, beta=1.0),
        {f"policy_chosen, with a margin of {size:g},": chosen},
        because="It is -beta * sigmoid(-margin): -beta for a pair that is hopelessly wrong, 0 for one that is "
        "settled. backward() passes through all that was computed, so an inf that was replaced or clamped does not "
        "give it.",
    )  # fmt: skip


def test_the_reference_gets_no_gradient(solution):
    given = [x.requires_grad_() for x in four()]
    loss_of(solution, *given).backward()
    reached = [name for name, x in zip(NAMES, given, strict=True) if x.grad is not None and bool(x.grad.any())]
    assert_equal(
        reached, ["policy_chosen", "policy_rejected"], "the list of inputs with a gradient",
        because="All four require one, and the reference is a constant all the same: detach() its log-probabilities, "
        "and not the policy's.",
    )  # fmt: skip


# --- the metrics ---------------------------------------------------------------------------------


def test_the_metrics_have_their_names(solution):
    metrics = pair_of(solution.preference_loss(*four()))[1]
    assert_equal(
        sorted(metrics), sorted(METRICS), "the list of the names of the metrics",
        because=f"metrics is a dict with the keys {', '.join(METRICS)}.",
    )  # fmt: skip


@pytest.mark.parametrize("name", METRICS[:3])
def test_rewards_are_means_over_the_pairs(solution, name):
    pc, pr, rc, rr = given = four()
    bare = {"reward_chosen": pc - rc, "reward_rejected": pr - rr, "margin": (pc - rc) - (pr - rr)}[name]
    betas = (0.05, 0.2, 0.5, 2.0)
    assert_close(
        torch.stack([metric_of(solution, name, *given, beta=beta) for beta in betas]),
        torch.stack([(beta * bare).double().mean().cpu() for beta in betas]),
        f"the list of metrics[{name!r}] for beta in {betas}",
        because="A reward is beta * (policy - reference), the margin the chosen's minus the rejected's; each metric is "
        "the mean over the pairs.",
    )  # fmt: skip


def test_the_accuracy_is_the_share_of_pairs_with_the_higher_reward(solution):
    pc, pr, rc, rr = given = four()
    pr[:3], rr[:3] = pc[:3] - 1, rc[:3] - 2  # likelier under the policy, and yet with the lower reward
    pr[3], rr[3] = pc[3] + 1, rc[3] + 2  # and the contrary
    right = sum(a - c > b - d for a, b, c, d in zip(*(x.tolist() for x in given), strict=True)) / B
    assert_close(
        metric_of(solution, "accuracy", *given), torch.tensor(right, dtype=torch.float64), "metrics['accuracy']",
        because="It counts the pairs in which the chosen answer's reward, measured from the reference, is higher than "
        "the rejected one's, and divides by their number.",
    )  # fmt: skip


def test_a_tie_is_no_hit(solution):
    given = [x.new_tensor(values) for x, values in zip(four(b=4), [[1.0, 2, 3, 4], [1.0, 2, 3, 3], *[[0.0] * 4] * 2],
                                                       strict=True)]  # fmt: skip
    assert_close(
        metric_of(solution, "accuracy", *given), torch.tensor(0.25, dtype=torch.float64),
        "metrics['accuracy'] with one hit and three ties",
        because="A pair counts where the chosen answer's reward is higher; equal is not higher.",
    )  # fmt: skip


def test_the_metrics_have_no_graph(solution):
    given = [x.requires_grad_() for x in four()]
    metrics = pair_of(solution.preference_loss(*given))[1]
    held = [name for name, x in metrics.items() if isinstance(x, torch.Tensor) and x.requires_grad]
    assert_equal(
        held, [], "the list of metrics that require a gradient",
        because="Metrics are kept for a log, and a graph that hangs on them is kept as well: detach() them, or make "
        "floats of them.",
    )  # fmt: skip
