"""Problem 12, the loop: what train_gpt2 promises, from cause to consequence.

How a run is looked at stands in common/testing/training_runs.py. Random draws and dropout are the learner's own.
"""

import pytest

from common.testing.learning import (
    assert_downhill,
    assert_every_parameter_moves,
    assert_every_position_counts,
    assert_first_update_is_the_rate,
    assert_last_target_is_new,
    assert_losses_before_the_update,
    assert_mean_cross_entropy,
    assert_no_old_gradients,
    assert_optimizer_remembers,
    assert_rate_is_constant,
    assert_rate_is_used,
    assert_targets_come_next,
    assert_weights_move,
)
from common.testing.training import (
    SIZES,
    assert_batch_shape,
    assert_defaults,
    assert_fresh_tokens,
    assert_leaves_gradients_on,
    assert_logits_for_any_length,
    assert_one_loss_for_each_step,
    assert_refuses,
    assert_seed_fixes_the_losses,
    assert_seed_fixes_the_tokens,
    assert_seed_fixes_the_weights,
    assert_seed_zero,
    assert_seeds_differ,
    assert_size_is_used,
    assert_texts_differ,
    assert_the_model_is_causal,
    assert_whole_vocabulary,
)
from common.testing.training_runs import trained

# --- what it returns ------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_contract(solution):
    assert_defaults(solution)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_there_is_one_loss_for_each_step(solution, num_steps):
    assert_one_loss_for_each_step(solution, num_steps)


def test_gradients_can_be_taken_afterwards(solution):
    assert_leaves_gradients_on(solution)


def test_the_model_gives_logits_for_texts_up_to_block_size(solution):
    assert_logits_for_any_length(solution)


SIZE = {"vocab_size": 23, "block_size": 9, "embed_dim": 20, "num_layers": 2, "num_heads": 3}


@pytest.mark.parametrize("size", SIZE)
def test_the_model_has_the_size_that_was_asked_for(solution, size):
    assert_size_is_used(solution, size, SIZE[size])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_model_is_causal(solution, mode):
    assert_the_model_is_causal(solution, mode)


# --- its seed -------------------------------------------------------------------------------------


def test_one_seed_gives_the_same_first_weights(solution):
    assert_seed_fixes_the_weights(solution)


def test_one_seed_gives_the_same_tokens(solution):
    assert_seed_fixes_the_tokens(solution)


def test_one_seed_gives_the_same_losses(solution):
    assert_seed_fixes_the_losses(solution)


def test_zero_is_a_seed_too(solution):
    assert_seed_zero(solution)


def test_another_seed_gives_other_losses(solution):
    assert_seeds_differ(solution)


# --- its tokens -----------------------------------------------------------------------------------


def test_every_step_trains_the_model_that_is_returned(solution):
    trained(solution)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_step_gets_batch_size_texts_of_block_size_tokens(solution, batch_size):
    assert_batch_shape(solution, batch_size)


def test_every_step_draws_fresh_tokens(solution):
    assert_fresh_tokens(solution)


def test_the_texts_of_a_batch_differ(solution):
    assert_texts_differ(solution)


def test_every_id_of_the_vocabulary_is_drawn(solution):
    assert_whole_vocabulary(solution)


# --- its loss -------------------------------------------------------------------------------------


def test_every_position_counts_in_the_loss(solution):
    assert_every_position_counts(solution)


def test_the_loss_looks_for_the_next_token(solution):
    assert_targets_come_next(solution)


def test_the_last_target_is_a_token_of_its_own(solution):
    assert_last_target_is_new(solution)


def test_each_step_learns_from_the_mean_cross_entropy(solution):
    assert_mean_cross_entropy(solution)


def test_each_loss_is_that_of_its_step_before_the_update(solution):
    assert_losses_before_the_update(solution)


# --- its updates ----------------------------------------------------------------------------------


def test_each_step_moves_the_weights(solution):
    assert_weights_move(solution)


def test_every_parameter_moves(solution):
    assert_every_parameter_moves(solution)


def test_gradients_of_earlier_steps_are_cleared(solution):
    assert_no_old_gradients(solution)


def test_each_update_goes_downhill(solution):
    assert_downhill(solution)


def test_the_learning_rate_is_used(solution):
    assert_rate_is_used(solution)


def test_the_first_update_moves_every_weight_by_the_learning_rate(solution):
    assert_first_update_is_the_rate(solution)


def test_the_optimizer_remembers_earlier_steps(solution):
    assert_optimizer_remembers(solution)


def test_every_update_has_the_same_learning_rate(solution):
    assert_rate_is_constant(solution)


# --- what it refuses --------------------------------------------------------------------------------


# No steps and no losses: to some that is a run like any other, so num_steps=0 is not among them.
@pytest.mark.parametrize(
    ("size", "value"), [(size, value) for size in SIZES for value in (0, -1) if (size, value) != ("num_steps", 0)]
)
def test_a_size_below_one_is_refused(solution, size, value):
    assert_refuses(solution, **{size: value})


def test_a_width_that_the_heads_do_not_divide_is_refused(solution):
    assert_refuses(solution, embed_dim=12, num_heads=5)
