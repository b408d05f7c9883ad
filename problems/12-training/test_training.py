"""Problem 12: what next_token_split, language_model_loss and train_gpt2 promise, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size. The checks of train_gpt2 stand in common/testing/training.py.
"""

import math

import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    draw_ids,
)

B, T, V = 3, 7, 29


# --- next_token_split ----------------------------------------------------------------------------


def test_inputs_and_targets_are_one_shorter_than_the_text(solution):
    result = solution.next_token_split(draw_ids("tokens", B, T + 1))
    assert_true(isinstance(result, tuple | list) and len(result) == 2, "next_token_split does not return a pair", because="`return inputs, targets`.")
    for name, part in zip(("inputs", "targets"), result, strict=True):
        assert_shape(part, (B, T), name, because="(B, T + 1) tokens make T inputs and T targets: the last token has no target, the first is none.")


def test_targets_are_the_tokens_that_come_next(solution):
    tokens = torch.arange(B * (T + 1), device=draw("d", 1).device).view(B, T + 1)
    inputs, targets = solution.next_token_split(tokens)
    step = int(targets[0, 0] - inputs[0, 0])
    says = {
        0: "Your targets are the inputs themselves: the model would learn to copy. targets[t] is tokens[t + 1].",
        -1: "Inputs and targets are swapped, or shifted the wrong way: the model would predict the past. inputs = tokens[:, :-1], targets = tokens[:, 1:].",
        2: "Your targets are two tokens ahead. targets[t] is tokens[t + 1].",
    }.get(step, "inputs = tokens[:, :-1], targets = tokens[:, 1:].")
    assert_equal(inputs.tolist(), tokens[:, :-1].tolist(), "inputs", because=says)
    assert_equal(targets.tolist(), tokens[:, 1:].tolist(), "targets", because=says if step != 1 else "The last target is the last token; torch.roll would wrap the first one around.")
    assert_equal(str(targets.dtype), "torch.int64", "the dtype of the targets", because="cross_entropy wants int64 targets: leave the dtype alone.")


# --- language_model_loss -------------------------------------------------------------------------


def test_the_loss_is_a_scalar(solution):
    loss = assert_tensor(solution.language_model_loss(draw("logits", B, T, V), draw_ids("targets", B, T)), "the loss")
    assert_shape(loss, (), "the loss", because="One number, the mean over all positions: a tensor without axes, so that backward() works.")


def test_equal_logits_cost_ln_v(solution):
    loss = float(solution.language_model_loss(torch.zeros(B, T, V, device=draw("d", 1).device), draw_ids("targets", B, T)))
    says = {
        math.log(V) * B * T: "The losses are added up instead of averaged.", math.log(V) * T: "The losses are added up along the text instead of averaged.",
        math.log2(V): "The logarithm is to base 2: the loss is in nats, to base e.", -math.log(V): "The sign is lost: the loss is minus the log-probability.",
        math.log(T): "The softmax runs over the positions instead of the vocabulary.", math.log(B): "The softmax runs over the batch instead of the vocabulary.",
    }  # fmt: skip
    because = next((text for value, text in says.items() if abs(loss - value) < 1e-4), "A blind guess among V tokens costs ln V.")
    assert_close(torch.tensor(loss), torch.tensor(math.log(V)), f"the loss of logits that are all equal, with V = {V},", because=because)


def test_sure_and_right_costs_nothing_and_sure_and_wrong_costs_the_margin(solution):
    targets = draw_ids("targets", B, T)
    sure = 30.0 * F.one_hot(targets, V).float()
    loss = solution.language_model_loss(sure, targets)
    squashed = math.log(math.e + V - 1) - 1  # what is left of a certain answer after a second softmax
    if abs(float(loss) - squashed) < 0.05:
        says = "cross_entropy takes raw logits. A softmax before it flattens them, and the loss stays near ln V whatever the model does."
    elif float(loss) > math.log(V):
        says = "Positions meet other positions' targets: logits and targets are flattened in different orders, or the vocabulary axis is cut."
    else:
        says = "A certain and right answer costs nothing: no label smoothing, no second softmax, nothing added to the loss."
    assert_close(loss, torch.tensor(0.0, device=loss.device), "the loss when every target has a logit of 30 and all others 0", because=says)
    loss = solution.language_model_loss(sure, (targets + 1) % V)
    assert_close(loss, torch.tensor(30.0, device=loss.device), "the loss when every logit of 30 is on a wrong token", because="It is minus the log-probability of the target, about 30 here.", atol=1e-3)


def test_each_position_is_paired_with_its_own_target(solution):
    logits, targets = draw("logits", B, T, V), draw_ids("targets", B, T)
    loss = solution.language_model_loss(logits, targets)
    expected = F.cross_entropy(logits.reshape(B * T, V), targets.reshape(-1))
    usual = {
        "Only the last position counts in your loss: every position has a target.": F.cross_entropy(logits[:, -1], targets[:, -1]),
        "Only the first position counts in your loss: every position has a target.": F.cross_entropy(logits[:, 0], targets[:, 0]),
        "The last position is left out of your loss: next_token_split has made as many targets as inputs, and all count.": F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, :-1].flatten()),
        "The targets are shifted once more inside the loss: next_token_split has done that already.": F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()),
        "A softmax comes before cross_entropy, which takes raw logits.": F.cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten()),
        "Logits and targets are flattened in different orders, so positions meet the wrong targets.": F.cross_entropy(logits.transpose(0, 1).flatten(0, 1), targets.flatten()),
    }
    says = next((text for text, value in usual.items() if abs(float(loss) - float(value)) < 1e-5), "F.cross_entropy on (B*T, V) logits and (B*T,) targets gives the expected value.")
    assert_close(loss, expected, "the loss", because=says)


def test_the_last_position_counts_as_much_as_the_first(solution):
    logits = draw("logits", B, T, V).requires_grad_()
    solution.language_model_loss(logits, draw_ids("targets", B, T)).backward()
    assert_true(logits.grad is not None, "no gradient reaches the logits", because="The loss is a tensor that hangs on the graph: no .item(), no detach().")
    idle = [t for t in range(T) if not bool(logits.grad[:, t].any())]
    assert_equal(idle, [], "the list of positions that take no part in the loss", because="Every position has a target: the loss covers all of them.")


def test_every_token_counts_as_a_target(solution):
    logits = draw("logits", B, T, V)
    for token in (0, V - 1):
        targets = torch.full((B, T), token, device=logits.device)
        assert_close(
            solution.language_model_loss(logits, targets), F.cross_entropy(logits.flatten(0, 1), targets.flatten()), f"the loss when every target is token {token}",
            because=f"Token {token} is a token like any other: no ignore_index, no padding.",
        )  # fmt: skip


def test_the_loss_copes_with_large_logits_and_strides(solution):
    logits, targets = 500 * draw("logits", B, T, V), draw_ids("targets", B, T)
    loss = solution.language_model_loss(logits, targets)
    assert_true(bool(loss.isfinite()), "the loss is infinite or NaN for logits of 500", because="log(softmax(x)) underflows: use F.cross_entropy, or log_softmax.")
    tokens = draw_ids("tokens", B, T + 1)
    strided = tokens[:, 1:]  # a slice is not contiguous, so view refuses it
    assert_close(
        solution.language_model_loss(draw("logits", B, T, V), strided), F.cross_entropy(draw("logits", B, T, V).flatten(0, 1), strided.flatten()),
        "the loss for targets that are a slice of a larger tensor", because="Use reshape or flatten: view asks for contiguous memory.",
    )  # fmt: skip


# --- train_gpt2 ----------------------------------------------------------------------------------
# Here, as checks run in the order in which they come into this file.

from common.testing.training import (  # noqa: E402, F401, I001
    test_there_is_one_loss_for_each_step,
    test_the_model_gives_logits_for_the_whole_vocabulary,
    test_the_sizes_are_those_that_were_asked_for,
    test_the_model_is_causal,
    test_the_same_seed_gives_the_same_losses,
    test_another_seed_gives_other_losses,
)
from common.testing.learning import (  # noqa: E402, F401
    test_the_first_loss_is_no_better_than_a_blind_guess,
    test_the_losses_are_taken_before_each_update,
    test_training_moves_the_weights,
    test_one_step_moves_the_weights_by_the_learning_rate,
    test_each_step_updates_once,
    test_the_model_does_not_learn_to_copy,
    test_fresh_tokens_at_every_step_cannot_be_learned_by_heart,
    test_training_lowers_the_loss_towards_ln_v,
    test_gradients_of_earlier_steps_are_cleared,
    test_the_batch_size_is_used,
    test_each_step_goes_downhill_on_the_loss_of_its_own_batch,
    test_the_learning_rate_is_used,
)
from common.testing.training import (  # noqa: E402, F401
    test_sizes_below_one_are_refused,
    test_a_width_that_the_heads_do_not_divide_is_refused,
    test_the_defaults_are_those_of_the_contract,
    test_gradients_can_be_taken_afterwards,
)
