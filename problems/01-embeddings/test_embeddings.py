"""Problem 01: what Embeddings promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, V vocab_size, N n_positions.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.testing import (
    assert_close,
    assert_dropped,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    assert_true,
    draw_ids,
    fail,
    fill,
    observe,
    tiny,
)

CONFIG = tiny()
B, T, C, V, N = 2, 7, CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_positions


def embeddings(solution, config=CONFIG):
    """The learner's module, whose tables say so when they are asked for a row they do not have."""
    model = fill(solution.Embeddings(config))
    observe("the parameters", [(name, tuple(p.shape)) for name, p in model.named_parameters()])
    for name, needed in (
        ("wte", "wte is looked up with the token ids as they are, and has a row for each of vocab_size tokens."),
        ("wpe", "wpe is looked up with the positions 0, 1, ..., T-1, whatever the tokens are, and anew in each text of the batch."),
    ):  # fmt: skip
        table = getattr(model, name, None)
        if isinstance(table, nn.Embedding):
            table.register_forward_pre_hook(_rows_exist(name, needed))
    return model


def _rows_exist(name, because):
    def before(table, args):
        rows = args[0] if args and isinstance(args[0], Tensor) else torch.zeros(1)
        last = len(table.weight) - 1
        if rows.is_floating_point() or bool(((rows >= 0) & (rows <= last)).all()):
            return
        observe(f"the rows asked of {name}", rows)
        fail(f"{name} is asked for a row that it does not have:", expected=f"0 to {last}", got=rows.flatten().tolist()[:T], because=because)

    return before


def instead(out, name, table, rows):
    """In a sentence, what the output is if it is not these rows of the table."""
    expected = table[rows].expand_as(out)
    factor = float((out * expected).sum() / expected.square().sum())
    if not out.any():
        return f" All of yours is 0: {name} has no part in it."
    if torch.allclose(out, factor * expected, atol=1e-4):
        root = f", which is sqrt(n_embd) = {C**0.5:.3g}" if abs(factor - C**0.5) < 1e-3 else ""
        return f" Yours is {factor:.3g} times that{root}."
    if out.mean(-1).abs().max() < 1e-3 and (out.std(-1, correction=0) - 1).abs().max() < 1e-2:
        return " Yours has mean 0 and standard deviation 1 in each row: it was normalised, which comes later."
    if torch.allclose(F.normalize(out, dim=-1), F.normalize(expected, dim=-1), atol=1e-4):
        return " Your rows point the right way, but their lengths differ: they were normalised."
    apart = (out.unsqueeze(-2) - table).abs().amax(-1)  # (B, T, rows of the table)
    if bool((apart.amin(-1) < 1e-4).all()):
        b, t = ((apart.argmin(-1) != rows).nonzero())[0].tolist()
        return f" In yours, token {t} of text {b} gets {name}[{apart[b, t].argmin()}]; it should get {name}[{rows.expand(out.shape[:2])[b, t]}]."
    return ""


def remember(model):
    """Note the plain output, so that a yes-or-no check is never mistaken for another mistake's."""
    with torch.no_grad():
        observe("the output for three tokens", model(draw_ids("three", B, 3)))
    return model


# --- the two tables ------------------------------------------------------------------------------


def test_the_tables_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.Embeddings(CONFIG), {"wte.weight": (V, C), "wpe.weight": (N, C)}, "Embeddings",
        because=f"nn.Embedding(rows, width): wte has a row for each of the vocab_size = {V} tokens, wpe one for each of the "
        f"n_positions = {N} positions, all n_embd = {C} wide. Published weights come under these two names.",
    )  # fmt: skip


def test_the_config_sets_the_sizes(solution):
    other = tiny(vocab_size=17, n_positions=5, n_embd=6)
    assert_parameters(
        solution.Embeddings(other), {"wte.weight": (17, 6), "wpe.weight": (5, 6)}, "Embeddings of another config",
        because="Take vocab_size, n_positions and n_embd from the config; no size may be written into the code.",
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "length"), [(B, T), (B, 1), (1, T), (B, N)])
def test_every_token_becomes_a_vector(solution, batch, length):
    model = embeddings(solution)
    try:
        out = model(draw_ids("ids", batch, length))
    except ValueError as error:
        if str(N) not in str(error):
            raise  # not the refusal of a long text
        observe("refused", str(error))
        fail(
            f"a text of {length} token{'s' * (length > 1)} is refused, though n_positions is {N}:", expected="no error", got=f"ValueError: {error}",
            because=f"Only a text with T > n_positions is too long, where T is input_ids.size(1), whatever the ids are; one of exactly {N} tokens still fits.",
        )  # fmt: skip
    shapes = {
        (batch, length, 2 * C): "The two vectors are laid end to end; add them instead, which keeps the width at n_embd.",
        (batch, C, length): "The axes are in another order: channels come last.",
        (batch, N, C): "Every text got all n_positions rows of wpe: take the first T only.",
        (batch, batch, C): "wpe was looked up for each row of the batch; T is input_ids.size(1), not size(0).",
        (length, C): "The batch axis is lost.",
    }  # fmt: skip
    if isinstance(out, Tensor):
        assert_shape(
            out, (batch, length, C), f"the output for input_ids of shape {(batch, length)}",
            because=shapes.get(tuple(out.shape), "Each of the B × T ids becomes a vector of n_embd numbers: wte[id] + wpe[position]."),
        )  # fmt: skip
    assert_tensor(out, "the output")


def test_the_ids_are_left_as_they_were(solution):
    assert_input_untouched(embeddings(solution), draw_ids("ids", B, T), what="Embeddings")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(embeddings(solution), draw_ids("ids", B, T), what="the output")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(embeddings(solution), draw_ids("ids", B, T), what="the output", other=draw_ids("other", B, T))


# --- the token ------------------------------------------------------------------------------------


def test_with_positions_of_zero_each_row_is_its_tokens_embedding(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    with torch.no_grad():
        model.wpe.weight.zero_()
        out = assert_tensor(model(ids), "the output")
        assert_close(
            out, model.wte.weight[ids], "the output when wpe is all zeros",
            because="What is left is row input_ids[t] of wte, as it is." + instead(out, "wte", model.wte.weight, ids),
        )  # fmt: skip


# --- the position --------------------------------------------------------------------------------


def positions(model):
    """(B, T, C): what remains of the output when wte is all zeros."""
    with torch.no_grad():
        model.wte.weight.zero_()
        out = assert_tensor(model(draw_ids("ids", B, T)), "the output")
    observe("the output when wte is all zeros", out)
    return out


def test_positions_have_a_part_in_the_output(solution):
    out = positions(embeddings(solution))
    assert_true(
        bool(out.any()), "the output is all zeros when wte is all zeros",
        because="What is left should be the position embeddings: they are never added, or are multiplied with the tokens' instead.",
    )  # fmt: skip


def test_the_first_token_stands_at_position_0(solution):
    model = embeddings(solution)
    out = positions(model)
    first = torch.zeros(1, 1, dtype=torch.long, device=out.device)
    assert_close(
        out[:, :1], model.wpe.weight[:1].expand(B, 1, C), "the output for the first token when wte is all zeros",
        because="The first token gets wpe[0]: positions count from 0, forwards." + instead(out[:, :1], "wpe", model.wpe.weight, first),
    )  # fmt: skip


def test_the_position_follows_the_place_and_nothing_else(solution):
    model = embeddings(solution)
    out = positions(model)
    assert_close(
        out, model.wpe.weight[:T].expand(B, T, C), "the output when wte is all zeros",
        because="Row t is then wpe[t], in every text of the batch: the positions are 0, 1, ..., T-1."
        + instead(out, "wpe", model.wpe.weight, torch.arange(T, device=out.device)),
    )  # fmt: skip


def test_a_longer_text_leaves_the_earlier_rows_alone(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    assert_identical(
        model(ids)[:, :4], model(ids[:, :4]), "the first 4 rows, with 3 more tokens after them,",
        because="Position t is t steps from the beginning, however much follows; yours are counted from the end or spread over the length.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [T, N])
def test_token_and_position_are_added(solution, length):
    model, ids = embeddings(solution), draw_ids("ids", B, length)
    assert_close(
        model(ids), model.wte.weight[ids] + model.wpe.weight[:length], f"the output for {length} tokens",
        because="Row t is wte[input_ids[t]] + wpe[t], for every t up to n_positions - 1.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [N + 1, N + 3])
def test_a_text_longer_than_n_positions_is_refused(solution, length):
    model, ids = fill(solution.Embeddings(CONFIG)), draw_ids("ids", B, length)
    with assert_raises(
        ValueError, f"a text of {length} tokens with n_positions = {N}", naming=[length, N],
        because="There is no row of wpe for the last token. Before the lookup, compare T = input_ids.size(1) with n_positions and "
        "raise a ValueError whose message holds both numbers.",
    ):  # fmt: skip
        try:
            out = model(ids)
            observe("what came back", str(getattr(out, "shape", out)))
        except Exception as error:
            observe("the error", str(error) if isinstance(error, IndexError) else "")
            raise


# --- dropout -------------------------------------------------------------------------------------


def dropped(solution):
    """(40, T, C): the output in train mode where each sum is 1 + 2 and the rate is 0.4."""
    model = embeddings(solution, tiny(embd_pdrop=0.4)).train()
    with torch.no_grad():
        model.wte.weight.fill_(1.0)
        model.wpe.weight.fill_(2.0)
        return model(draw_ids("ids", 40, T))


def test_dropout_drops_single_numbers(solution):
    gone = dropped(solution) == 0
    some = bool(gone.any()) and not bool(gone.all())
    for what, one in (
        ("a token's vector is dropped as a whole or not at all", gone[..., :1]),
        ("a channel is dropped in all tokens or in none", gone[:1, :1]),
        ("the same numbers are dropped in every text of the batch", gone[:1]),
        ("the same numbers are dropped at every position", gone[:, :1]),
    ):
        assert_true(
            not (some and torch.equal(one.expand_as(gone), gone)), what,
            because="Dropout decides for each number of the sum by itself: put the whole (B, T, C) sum through self.drop.",
        )  # fmt: skip


def test_dropout_drops_the_sum_in_train_mode(solution):
    assert_dropped(
        dropped(solution), 3.0, 0.4, "the output",
        because="nn.Dropout(config.embd_pdrop) is the last step, once, after the sum: it sets a number to 0 with that "
        "probability, and divides the others by 1 - embd_pdrop.",
    )  # fmt: skip


def test_a_rate_of_zero_drops_nothing(solution):
    model, ids = embeddings(solution, tiny(embd_pdrop=0.0)), draw_ids("ids", B, T)
    quiet = model(ids)
    assert_close(
        model.train()(ids), quiet, "the output in train mode with embd_pdrop = 0",
        because="With a rate of 0 train and eval mode agree: the rate is hard-coded or taken from another field.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_ids_that_are_not_contiguous_give_the_same(solution):
    model, ids = embeddings(solution), draw_ids("ids", B, T)
    assert_close(
        model(ids.T.contiguous().T), model(ids), "the output for non-contiguous ids",
        because="The same ids in another memory layout: use reshape where view asks for contiguous memory.",
    )  # fmt: skip


@pytest.mark.parametrize("table", ["wte", "wpe"])
def test_every_row_that_was_used_learns(solution, table):
    model = remember(embeddings(solution))
    ids = torch.tensor([[0, 3, 3, 1, 5], [0, 28, 7, 0, 2]], device=model.wte.weight.device)
    out = assert_tensor(model(ids), "the output")
    assert_true(
        out.requires_grad, "the output has no gradient: nothing can be learned from it",
        because="The way from the tables to the output is cut, by torch.no_grad(), detach() or .data.",
    )  # fmt: skip
    out.sum().backward()
    weight = getattr(model, table).weight
    assert_true(
        weight.grad is not None, f"`{table}.weight` gets no gradient",
        because=f"{table} is never looked up, or its rows are cut off by detach(), .data or torch.no_grad().",
    )  # fmt: skip
    uses = torch.bincount(ids.flatten(), minlength=V) if table == "wte" else torch.tensor([2] * 5 + [0] * (N - 5))
    learned = weight.grad.to_dense().sum(-1) / C  # the loss is a plain sum, so a row's gradient counts its uses
    observe(f"how often the rows of {table} learn", learned)
    off = [row for row, used in enumerate(uses.tolist()) if abs(float(learned[row]) - used) > 1e-3]
    row = off[0] if off else 0
    assert_equal(
        round(float(learned[row]), 3), float(uses[row]), f"the gradient of {table}[{row}], counted in uses of that row,",
        because="A row learns from every place where it was used, and every id counts, token 0 too: no padding_idx, "
        "no scale_grad_by_freq, no mask.",
    )  # fmt: skip


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(remember(embeddings(solution)), draw_ids("ids", B, T), what="the output")


def test_it_moves_to_another_device(solution):
    assert_moves(remember(embeddings(solution)), draw_ids("ids", B, T), what="Embeddings")
