"""Problem 01: what Embeddings promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_dropped,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_shape,
    assert_true,
    draw_ids,
    fill,
    tiny,
)

CONFIG = tiny()
B, T, C, V, N = 2, 7, CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_positions


def embeddings(solution, config=CONFIG):
    return fill(solution.Embeddings(config))


def test_the_tables_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.Embeddings(CONFIG), {"wte.weight": (V, C), "wpe.weight": (N, C)}, "Embeddings",
        because=f"wte has a row for each of the {V} tokens, wpe a row for each of the {N} positions; every row has n_embd = {C} numbers.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, T, N])
def test_every_token_becomes_a_vector(solution, length):
    assert_shape(embeddings(solution)(draw_ids("ids", B, length)), (B, length, C), "the output")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(embeddings(solution), draw_ids("ids", B, T), what="the output")


def test_with_positions_of_zero_each_row_is_its_tokens_embedding(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    with torch.no_grad():
        model.wpe.weight.zero_()
    assert_close(
        model(ids), model.wte.weight[ids], "the output when wpe is all zeros",
        because="Row t of the output is then wte[input_ids[t]] and nothing else: no scaling, no norm, no other lookup.",
    )  # fmt: skip


def test_with_tokens_of_zero_row_t_is_the_embedding_of_position_t(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    with torch.no_grad():
        model.wte.weight.zero_()
    out = model(ids)
    assert_true(
        bool(out.any()), "the output is all zeros when wte is all zeros",
        because="What is left is then wpe, so the position embeddings are never added (or are multiplied instead of added).",
    )  # fmt: skip
    assert_close(
        out[:, 0], model.wpe.weight[0].expand(B, C), "the output for the first token when wte is all zeros",
        because="The first token stands at position 0 and gets wpe[0]: positions count from 0, forwards, and do not depend on the token.",
    )  # fmt: skip
    assert_close(
        out, model.wpe.weight[:T].expand(B, T, C), "the output when wte is all zeros",
        because="Row t is then wpe[t], the same in every row of the batch: look wpe up with 0, 1, ..., T-1, not with the token ids.",
    )  # fmt: skip


def test_token_and_position_are_added(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    assert_close(
        model(ids), model.wte.weight[ids] + model.wpe.weight[:T], "the output",
        because="Row t is wte[input_ids[t]] + wpe[t].",
    )  # fmt: skip


def test_the_same_token_differs_from_place_to_place(solution):
    model = embeddings(solution)
    out = model(torch.full((1, T), 3, device=model.wte.weight.device))
    assert_true(
        not bool((out[0, 1:] == out[0, :-1]).all()), "one token, repeated, gives the same vector at every position",
        because="The position embedding is missing: the model could not tell 'dog bites man' from 'man bites dog'.",
    )  # fmt: skip


def test_a_longer_text_leaves_the_earlier_rows_alone(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    assert_identical(
        model(ids)[:, :4], model(ids[:, :4]), "the first 4 rows, with 3 more tokens after them,",
        because="Position t is t steps from the beginning, however much follows; yours are counted from the end or spread over the length.",
    )  # fmt: skip


def test_a_text_may_fill_all_positions(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, N)
    assert_close(
        model(ids)[:, -1], model.wte.weight[ids[:, -1]] + model.wpe.weight[-1], f"the last row of a text of n_positions = {N} tokens",
        because="A text of exactly n_positions tokens fits: its last token gets the last row of wpe.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [N + 1, N + 20])
def test_a_text_longer_than_n_positions_is_refused(solution, length):
    model = embeddings(solution)
    with assert_raises(
        ValueError, f"a text of {length} tokens with n_positions = {N}", naming=[length, N],
        because="Raise ValueError when T > n_positions, with both numbers in the message; cutting the text would hide the mistake.",
    ):  # fmt: skip
        model(draw_ids("ids", B, length))


# --- dropout -------------------------------------------------------------------------------------


def test_dropout_drops_the_sum_in_train_mode(solution):
    model = embeddings(solution, tiny(embd_pdrop=0.4)).train()
    with torch.no_grad():
        model.wte.weight.fill_(1.0)
        model.wpe.weight.fill_(2.0)
    assert_dropped(
        model(draw_ids("ids", 40, T)), 3.0, 0.4, "the output",
        because="Dropout with the rate embd_pdrop comes after the sum: a dropped value is exactly 0, the others are scaled up.",
    )  # fmt: skip


def test_a_rate_of_zero_drops_nothing(solution):
    model, ids = embeddings(solution, tiny(embd_pdrop=0.0)), draw_ids("ids", B, T)
    quiet = model(ids)
    assert_close(
        model.train()(ids), quiet, "the output in train mode with embd_pdrop = 0",
        because="With a rate of 0 train and eval mode agree: the rate is hard-coded or taken from another field.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_the_ids_are_left_as_they_were(solution):
    assert_input_untouched(embeddings(solution), draw_ids("ids", B, T), what="Embeddings")


def test_ids_that_are_not_contiguous_give_the_same(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    assert_close(model(ids.T.contiguous().T), model(ids), "the output for non-contiguous ids")


def test_both_tables_learn(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    model(ids).sum().backward()
    assert_gradients(model, "the output")
    used = model.wpe.weight.grad.count_nonzero(dim=-1) > 0
    assert_equal(
        used.nonzero().flatten().tolist(), [*range(T)], f"the list of wpe rows with a gradient for a text of {T} tokens",
        because="Exactly the positions 0 to T-1 take part.",
    )  # fmt: skip


def test_the_config_sets_the_sizes(solution):
    other = tiny(vocab_size=17, n_positions=5, n_embd=6)
    assert_parameters(
        solution.Embeddings(other), {"wte.weight": (17, 6), "wpe.weight": (5, 6)}, "Embeddings of another config",
        because="Take vocab_size, n_positions and n_embd from the config; no size may be written into the code.",
    )  # fmt: skip


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(embeddings(solution), draw_ids("ids", B, T), what="the output")


def test_it_moves_to_another_device(solution):
    assert_moves(embeddings(solution), draw_ids("ids", B, T), what="Embeddings")
