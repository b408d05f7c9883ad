"""Interview 02: what train_gpt2 promises, from cause to consequence.

Random draws, the names of layers, initialisation and dropout are the candidate's own. The checks are those
of problem 12, as the function is the same; here the model is the candidate's as well.
"""

import torch  # noqa: I001

from common.testing import assert_true, draw_ids, fail, observe
from common.testing.training import (  # noqa: F401
    test_there_is_one_loss_for_each_step,
    test_the_model_gives_logits_for_the_whole_vocabulary,
    test_the_sizes_are_those_that_were_asked_for,
    test_the_model_is_causal,
    test_the_same_seed_gives_the_same_losses,
    test_another_seed_gives_other_losses,
)
from common.testing.learning import (  # noqa: F401
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
from common.testing.training import (  # noqa: F401
    test_sizes_below_one_are_refused,
    test_a_width_that_the_heads_do_not_divide_is_refused,
    test_the_defaults_are_those_of_the_contract,
    test_gradients_can_be_taken_afterwards,
)


def test_the_model_returns_raw_scores(solution):
    model, _ = solution.train_gpt2(vocab_size=17, embed_dim=12, num_heads=2, num_layers=1, block_size=6, num_steps=1)
    with torch.no_grad():
        out = model.eval()(draw_ids("ids", 2, 6, vocab_size=17))
    for kind, sums in {"probabilities": out.sum(-1), "log-probabilities": out.exp().sum(-1)}.items():
        assert_true(not torch.allclose(sums, torch.ones_like(sums), atol=1e-3), f"the model returns {kind}", because="Return the head's raw scores: F.cross_entropy does the softmax itself.")


def test_training_brings_the_loss_down(solution):
    _, losses = solution.train_gpt2(num_steps=100, batch_size=8, lr=3e-3, seed=123)
    first, last = sum(losses[:10]) / 10, sum(losses[-10:]) / 10
    observe("the loss goes down", last < first)
    if not last < first:
        fail(
            "100 steps do not bring the loss down:", expected="a mean of the last 10 losses below that of the first 10", got=f"{first:.3f} at first, {last:.3f} at the end",
            because="Even random tokens have something to teach: how to spread the bets evenly, which costs ln V = 4.61. Does the optimizer hold this model's parameters, and does each step clear the old gradients?",
        )  # fmt: skip


def test_the_model_sees_where_a_token_stands(solution):
    model, _ = solution.train_gpt2(vocab_size=17, embed_dim=12, num_heads=2, num_layers=1, block_size=6, num_steps=4, lr=0.1)
    with torch.no_grad():
        out = model.eval()(draw_ids("id", 1, 1, vocab_size=17).expand(1, 6))
    same = bool((out[:, 1:] - out[:, :1]).abs().max() < 1e-4)
    assert_true(not same, "a text of equal tokens gets equal logits at every position", because="The position embeddings are missing: add wpe(arange(T)) to wte(idx).")
