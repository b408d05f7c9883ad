"""Problem 12, what a step is made of: next_token_split and language_model_loss, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    draw,
    draw_ids,
    fail,
    name_sizes,
)

B, T, V = 3, 7, 29
AXES = {"B": B, "T": T, "V": V}


# --- next_token_split ----------------------------------------------------------------------------


def split(solution, tokens):
    """next_token_split(tokens), a pair of tensors."""
    result = solution.next_token_split(tokens)
    if not (isinstance(result, tuple | list) and len(result) == 2):
        fail(
            "next_token_split does not return a pair:", expected="(inputs, targets)", got=type(result).__name__,
            because="Its last line is `return inputs, targets`.",
        )
    return assert_tensor(result[0], "inputs"), assert_tensor(result[1], "targets")


@pytest.mark.parametrize("length", [1, T])
def test_inputs_and_targets_are_one_shorter_than_the_text(solution, length):
    name_sizes(T=length)
    for name, part in zip(("inputs", "targets"), split(solution, draw_ids("tokens", B, length + 1)), strict=True):
        assert_shape(
            part, (B, length), name,
            because="(B, T + 1) tokens make T inputs and T targets: the last token has no target, and the first is "
            "none.",
        )


def test_the_split_leaves_the_tokens_as_they_were(solution):
    assert_input_untouched(solution.next_token_split, draw_ids("tokens", B, T + 1), what="next_token_split")


def test_the_inputs_are_all_tokens_but_the_last(solution):
    tokens = draw_ids("tokens", B, T + 1)
    expected = tokens[:, :-1].clone()
    assert_tokens(split(solution, tokens)[0], expected, "inputs", because="inputs[b, t] is tokens[b, t].")


def test_the_targets_are_the_tokens_that_come_next(solution):
    tokens = draw_ids("tokens", B, T + 1)
    expected = tokens[:, 1:].clone()
    assert_tokens(
        split(solution, tokens)[1], expected, "targets",
        because="targets[b, t] is tokens[b, t + 1], for the last t as well.",
    )


def test_the_ids_keep_their_type(solution):
    for name, part in zip(("inputs", "targets"), split(solution, draw_ids("tokens", B, T + 1)), strict=True):
        assert_equal(
            str(part.dtype), "torch.int64", f"the dtype of the {name}",
            because="Ids are looked up in tables, for which embeddings and cross_entropy want int64.",
        )


# --- language_model_loss -------------------------------------------------------------------------


def example():
    """Logits (B, T, V) and targets (B, T)."""
    return draw("logits", B=B, T=T, V=V), draw_ids("targets", B, T)


def right(logits, targets):
    """What the loss is, computed with float64."""
    return F.cross_entropy(logits.double().reshape(-1, logits.size(-1)), targets.reshape(-1)).to(logits.dtype)


@pytest.mark.parametrize("shape", [(B, T), (B, 1), (1, T), (1, 1)], ids=str)
def test_the_loss_is_a_scalar(solution, shape):
    name_sizes(B=shape[0], T=shape[1])
    loss = solution.language_model_loss(draw("logits", *shape, V), draw_ids("targets", *shape))
    assert_shape(
        loss, (), f"the loss of (B, T) = {shape} positions",
        because="It is one number, a tensor without axes, however many texts and tokens there are.",
    )


def test_the_loss_leaves_logits_and_targets_as_they_were(solution):
    assert_input_untouched(solution.language_model_loss, *example(), what="language_model_loss")


def test_the_loss_is_the_same_when_asked_again(solution):
    logits, targets = example()
    first = assert_tensor(solution.language_model_loss(logits, targets), "the loss")
    solution.language_model_loss(draw("others", 1, 4, V), draw_ids("others", 1, 4))
    assert_identical(
        solution.language_model_loss(logits, targets), first, "the loss of the same logits, after that of others,",
        because="It depends on logits and targets and on nothing else.",
    )


def test_the_loss_sends_a_gradient_to_the_logits(solution):
    logits, targets = example()
    loss = assert_tensor(solution.language_model_loss(logits.requires_grad_(), targets), "the loss")
    assert_true(
        loss.requires_grad, "no gradient can go back from the loss to the logits",
        because="backward() goes from the loss to the logits; .item(), detach(), .data, torch.no_grad() and "
        "torch.tensor(...) cut the way.",
    )


def test_equal_logits_cost_ln_v(solution):
    logits, targets = example()
    assert_close(
        solution.language_model_loss(torch.zeros_like(logits), targets), right(torch.zeros_like(logits), targets),
        f"the loss of logits that are all equal, for V = {V},",
        because=f"Each of V tokens then has the probability 1/V, which costs ln V = {math.log(V):.4f} at every "
        "position.",
    )


def sure(targets):
    return 30.0 * F.one_hot(targets, V).float()


def test_sure_and_right_costs_nothing(solution):
    _, targets = example()
    assert_close(
        solution.language_model_loss(sure(targets), targets), sure(targets).new_zeros(()),
        "the loss when every target has a logit of 30 and all other tokens 0",
        because="Each target then has a probability of 1, up to rounding, and the logarithm of 1 is 0.",
    )


def test_sure_and_wrong_costs_the_margin(solution):
    _, targets = example()
    loss = solution.language_model_loss(sure((targets + 1) % V), targets)
    says = "The target has a probability of about exp(-30), and minus the logarithm of that is 30."
    floor = 10.0 ** round(-float(loss) / math.log(10)) if 0 < float(loss) < 29 else 0.0
    if floor and abs(float(loss) + math.log(floor)) < 0.01:
        says += f" Yours is -log({floor:.0e}): a floor under the probability, such as clamp sets, or a number that is "
        says += "added to it, ends the loss there, and its gradient too. log_softmax of the logits needs none."
    assert_close(
        loss, torch.tensor(30.0, device=targets.device),
        "the loss when at every position a wrong token has a logit of 30 and all others 0", because=says, atol=1e-3,
    )


def test_the_loss_is_the_mean_over_all_positions(solution):
    logits, targets = example()
    expected = right(logits, targets)
    assert_close(
        solution.language_model_loss(logits, targets), expected, "the loss",
        because="It is the mean of -log softmax(logits[b, t])[targets[b, t]] over all B * T positions.",
    )


def test_at_each_position_the_gradient_sums_to_zero(solution):
    logits, targets = example()
    assert_tensor(solution.language_model_loss(logits.requires_grad_(), targets), "the loss").sum().backward()
    sums = assert_tensor(logits.grad, "the gradient of the loss by the logits").sum(-1)
    assert_close(
        sums, torch.zeros_like(sums), "the sum of the loss's gradient over the vocabulary, at each position,",
        because="A number that is added to all logits of a position changes no probability, so what pulls the target "
        "up and what pushes the others down sum to 0. A part of the loss that is cut off, by no_grad(), detach() or "
        ".data, lacks its share.",
    )


def test_each_position_is_scored_against_its_own_target(solution):
    logits, targets = example()
    theirs = logits.clone().requires_grad_()
    right(theirs, targets).backward()
    assert_true(
        (loss := assert_tensor(solution.language_model_loss(logits.requires_grad_(), targets),
        "the loss")).requires_grad,
        "no gradient can go back from the loss to the logits",
        because="backward() goes from the loss to the logits; .item(), detach(), .data, torch.no_grad() and "
        "torch.tensor(...) cut the way.",
    )
    loss.sum().backward()
    assert_close(
        logits.grad, theirs.grad, "the gradient of the loss by the logits",
        because="It is (softmax(logits) - one-hot target) / (B * T): at each position one token is pulled up, its own "
        "target, and all others are pushed down.",
    )


@pytest.mark.parametrize("token", [0, V - 1])
def test_every_token_counts_as_a_target(solution, token):
    logits, targets = example()
    targets = torch.full_like(targets, token)
    expected = right(logits, targets)
    assert_close(
        solution.language_model_loss(logits, targets), expected, f"the loss when every target is token {token}",
        because=f"GPT-2 has no padding token: id {token} is a token like any other, and is scored like one.",
    )


def test_the_loss_copes_with_large_logits(solution):
    logits, targets = example()
    expected = right(500 * logits, targets)
    assert_close(
        solution.language_model_loss(500 * logits, targets), expected, "the loss for logits of several hundred",
        because="exp(500) is infinite and softmax rounds small probabilities to 0, whose logarithm is -inf; "
        "log-probabilities that are computed in one go stay finite. A maximum that is subtracted by hand is that of "
        "each position: below that of all, a whole row becomes exp(-500), which is 0.",
    )


def test_targets_that_are_a_slice_give_the_same(solution):
    logits, targets = example()
    tokens = torch.cat([targets[:, :1], targets], dim=1)
    expected = right(logits, targets)
    assert_close(
        solution.language_model_loss(logits, tokens[:, 1:]), expected, "the loss for targets that are tokens[:, 1:]",
        because="A slice is not contiguous in memory, which view minds and reshape and flatten do not.",
    )


def test_logits_in_another_order_of_memory_give_the_same(solution):
    logits, targets = example()
    expected = right(logits, targets)
    assert_close(
        solution.language_model_loss(logits.transpose(0, 1).contiguous().transpose(0, 1), targets), expected,
        "the loss for logits that are not contiguous",
        because="The same numbers lie in memory in another order, which view minds and reshape and flatten do not.",
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_the_loss_works_in_other_precisions(solution, dtype):
    logits, targets = example()
    expected = right(logits.to(dtype), targets)
    loss = assert_tensor(solution.language_model_loss(logits.to(dtype), targets), "the loss")
    assert_close(
        loss, expected, f"the loss for logits in {dtype}", atol=1e-5 if dtype == torch.float64 else 0.1,
        because="Logits come in the type in which a model computes, and the loss is taken as they come.",
    )


@pytest.mark.parametrize("shape", [(525, 2), (2, 525)], ids=str)
def test_the_mean_of_many_positions_holds_in_half_precision(solution, shape):
    logits, targets = draw("logits", *shape, V).bfloat16(), draw_ids("targets", *shape)
    loss = assert_tensor(solution.language_model_loss(logits, targets), "the loss")
    assert_close(
        loss.float(), right(logits, targets).float(), "the loss of 1050 positions, in bfloat16,", atol=0.1,
        because="A sum that is run up in bfloat16, a number at a time, stops at 256 times what is added: mean() and "
        "sum() of a tensor add in float32, and loops have to do that for themselves.",
    )
