"""Interview 02: what train_gpt2 promises, from cause to consequence.

The function is that of problem 12, and so are most of its checks; here the model is the candidate's as well.
Random draws, the names of layers, initialisation and dropout are nobody else's business. How a step is looked at
stands in common/testing/learning.py.
"""

import math

import pytest
import torch

from common.testing import (
    assert_identical,
    assert_repeatable,
    assert_rows_independent,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
)
from common.testing.architecture import (
    Anatomy,
    assert_block_reads_what_is_normalised,
    assert_every_row_counts,
    assert_head_reads_what_is_normalised,
    assert_text_goes_past_the_block,
    assert_there_is_a_feed_forward_layer,
)
from common.testing.causality import assert_sees_the_past
from common.testing.graphs import assert_all_that_learns_is_the_models
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
from common.testing.training_runs import run, trained

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


def test_one_channel_is_enough(solution):
    _, losses = run(solution, embed_dim=1, num_heads=1)
    assert_true(
        all(map(math.isfinite, losses)), "with embed_dim=1 a loss is NaN or infinite",
        because="1 is a size that is allowed. The variance of one channel is 0, of equal ones too: the eps under the "
        "root keeps that from 0 / 0. It divides by the number of channels; var(), which by itself divides by one less, "
        "gives 0 / 0 for one.",
    )


@pytest.mark.parametrize("size", SIZE)
def test_the_model_has_the_size_that_was_asked_for(solution, size):
    assert_size_is_used(solution, size, SIZE[size])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_model_is_causal(solution, mode):
    assert_the_model_is_causal(solution, mode)


# --- its model ------------------------------------------------------------------------------------


def model_of(solution, **changes):
    """A model that has learned for a few steps, in eval mode."""
    return run(solution, **{"num_steps": 4, "lr": 0.1, **changes})[0].eval()


def ids(name="ids"):
    return draw_ids(name, 2, 6, vocab_size=17)


def test_eval_mode_is_repeatable(solution):
    model = model_of(solution)
    assert_repeatable(model, ids(), what="the logits")
    before = model(ids()).detach()
    run(solution, block_size=1, num_heads=1)
    assert_identical(
        model(ids()).detach(), before,
        "the logits of a model, after another one with block_size=1 and num_heads=1 was trained,",
        because="Two models share nothing: what is set on a class, or kept in a global name, is one for all.",
    )


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(model_of(solution), ids(), what="the logits", other=ids("others"))


def test_a_token_knows_itself_and_all_before_it(solution):
    assert_sees_the_past(
        model_of(solution), ids(),
        because="Attention carries what every earlier token says to the logits of a token, and so does its own "
        "embedding.",
    )


def test_the_model_sees_where_a_token_stands(solution):
    model = model_of(solution)
    with torch.no_grad():
        # Positions may start at 0, and a model may have learned nothing: that is for later checks to say.
        for name, p in model.named_parameters():
            p.add_(draw(f"step of {name}", *p.shape), alpha=0.3)
        out = model(ids()[:1, :1].expand(1, 6))
    apart = torch.cdist(out[0], out[0]).fill_diagonal_(torch.inf)
    assert_true(
        float(apart.min()) > 1e-4, "in a text of equal tokens two positions get equal logits",
        because="Attention alone does not know the order of a text: it comes from position embeddings, which are added "
        "to those of the tokens.",
    )


@pytest.mark.parametrize("kind", ["probabilities", "log-probabilities"])
def test_the_model_returns_raw_scores(solution, kind):
    model = model_of(solution)
    with torch.no_grad():
        out = model(ids())
    sums = (out if kind == "probabilities" else out.exp()).sum(-1)
    assert_true(
        not torch.allclose(sums, torch.ones_like(sums), atol=1e-3), f"the model returns {kind}",
        because="It returns the raw scores of its head; F.cross_entropy does the softmax itself.",
    )


def anatomy(solution, text, **changes):
    return Anatomy(model_of(solution, block_size=7, num_heads=1, **changes), text, width=12, sizes=(7, 17))


def test_the_text_goes_past_each_block(solution):
    assert_text_goes_past_the_block(anatomy(solution, ids()))


def test_what_a_block_reads_is_normalised(solution):
    assert_block_reads_what_is_normalised(anatomy(solution, ids()))


def test_what_the_head_reads_is_normalised(solution):
    assert_head_reads_what_is_normalised(anatomy(solution, ids()))


def test_a_block_has_a_feed_forward_layer(solution):
    assert_there_is_a_feed_forward_layer(anatomy(solution, ids()))


def test_queries_keys_and_values_are_used(solution):
    assert_every_row_counts(anatomy(solution, ids(), num_steps=1, lr=1e-3))


# --- its seed -------------------------------------------------------------------------------------


def test_one_seed_gives_the_same_first_weights(solution):
    assert_seed_fixes_the_weights(solution)


def test_one_seed_gives_the_same_tokens(solution):
    assert_seed_fixes_the_tokens(solution)


def test_one_seed_gives_the_same_losses(solution):
    assert_seed_fixes_the_losses(solution)


def test_zero_is_a_seed_like_any_other(solution):
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


def why_no_gradient(solution, name):
    """Whether a parameter counts, and whether its module is called: what is not used is told from what is cut off."""
    model, called = model_of(solution, num_layers=2), []
    owner, _, last = name.rpartition(".")
    handle = model.get_submodule(owner).register_forward_hook(lambda *_: called.append(owner))
    with torch.no_grad():
        before = model(ids())
        p = dict(model.named_parameters())[name]
        p.add_(draw(f"step of {last}", *p.shape))
        same = torch.equal(model(ids()), before)
    handle.remove()
    if not same:
        return "This one counts, but the way back to it is cut: by .data, detach(), no_grad() or requires_grad=False."
    if owner and called:
        return f"`{owner}` is called, but other numbers in it change no logit: what comes out of it is not used."
    return "Other numbers in this one change no logit: it is not used."


def test_all_that_learns_is_a_parameter_of_the_model(solution):
    model = model_of(solution, num_heads=3, embed_dim=9)
    assert_all_that_learns_is_the_models(model, model(ids()))


def test_every_layer_takes_part(solution):
    _, step, right = next(trained(solution, num_layers=2, num_steps=1).again)
    idle = [name for name in step.before if name not in right.gradients]
    observe("parameters without a gradient", idle)
    if idle:
        fail(
            f"no gradient of the loss reaches `{idle[0]}`, for num_layers=2:",
            expected="a gradient for every parameter",
            got=f"none for {', '.join(idle[:4])}{', ...' if len(idle) > 4 else ''}",
            because="Each parameter belongs to a layer that the text goes through. "
            + why_no_gradient(solution, idle[0]),
        )


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


def test_gradients_of_earlier_steps_are_cleared(solution):
    assert_no_old_gradients(solution)


def test_each_step_moves_the_weights(solution):
    assert_weights_move(solution)


def test_every_parameter_moves(solution):
    assert_every_parameter_moves(solution)


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
