"""Problem 01: what Embeddings promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, V vocab_size, N n_positions.
"""

import pytest
import torch
from torch import Tensor, nn

from common.testing import (
    CheckFailed,
    assert_close,
    assert_dropped,
    assert_drops_anew,
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
    draw,
    draw_ids,
    fail,
    fill,
    observe,
    tiny,
)
from common.testing.calls import assert_nothing_is_kept, assert_weights_are_read
from common.testing.causality import assert_finite

CONFIG = tiny()
B, T, C, V, N = 4, 7, CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_positions


def embeddings(solution, **changes):
    """The learner's module, whose tables say so when they are asked for a row that they do not have."""
    model = fill(solution.Embeddings(tiny(**changes)))
    observe("the parameters", [(name, tuple(p.shape)) for name, p in model.named_parameters()])
    for name, because in (
        ("wte", "It is looked up with the token ids as they are, and has a row for each of vocab_size tokens."),
        ("wpe", "It is looked up with 0, 1, ..., T-1, whatever the tokens are, and anew in each text of the batch."),
    ):
        table = getattr(model, name, None)
        if isinstance(table, nn.Embedding):
            table.register_forward_pre_hook(rows_exist(name, because))
    return model


def rows_exist(name, because):
    def before(table, args):
        rows = args[0] if args and isinstance(args[0], Tensor) else torch.zeros(1)
        if rows.is_floating_point() or rows.numel() == 0:
            return
        last = len(table.weight) - 1
        missing = rows[(rows < 0) | (rows > last)].unique().tolist()
        if missing:
            observe(f"the rows asked of {name}", rows.unique())  # of ids in any shape
            fail(
                f"{name} is asked for a row that it does not have:", expected=f"rows 0 to {last} and no others",
                got=f"row {missing[0]}{' and others' if missing[1:] else ''}", because=because,
            )  # fmt: skip

    return before


def some_ids(length=T, name="ids"):
    return draw_ids(name, B=B, T=length)


def look_up(model, ids):
    """The output for a text that is not too long."""
    try:
        return assert_tensor(model(ids), "the output")
    except (ValueError, AssertionError) as error:
        if isinstance(error, CheckFailed) or "unpack" in str(error):
            raise  # a check's, or Python's own; any other is a refusal
        observe("refused", str(error))
        fail(
            f"a text of {ids.size(1)} token{'s' * (ids.size(1) > 1)} is refused, though n_positions is {N}:",
            expected="a tensor", got=f"{type(error).__name__}: {error}",
            because="A text is too long if T > n_positions, where T is input_ids.size(1), and only then: "
            f"one of exactly {N} tokens still fits.",
        )  # fmt: skip


# --- what it is ----------------------------------------------------------------------------------


def test_the_tables_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.Embeddings(CONFIG), {"wte.weight": (V, C), "wpe.weight": (N, C)}, "Embeddings",
        because=f"Two tables, each an nn.Embedding(rows, width): wte has a row for each of the vocab_size = {V} tokens "
        f"and wpe one for each of the n_positions = {N} positions, both are n_embd = {C} wide, and both are learned.",
    )  # fmt: skip


def test_the_config_sets_the_sizes(solution):
    assert_parameters(
        solution.Embeddings(tiny(vocab_size=17, n_positions=5, n_embd=6)),
        {"wte.weight": (17, 6), "wpe.weight": (5, 6)}, "Embeddings of another config",
        because="The sizes are vocab_size, n_positions and n_embd of the config that it is given.",
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "length"), [(B, T), (B, 1), (1, T), (B, N)])
def test_every_token_becomes_a_vector(solution, batch, length):
    model, ids = embeddings(solution), draw_ids("ids", B=batch, T=length)
    assert_shape(
        look_up(model, ids), (batch, length, C), "the output",
        because="Each of the B × T ids becomes a vector of n_embd numbers, and the vectors lie where the ids lay.",
    )  # fmt: skip


def test_every_output_is_a_number(solution):
    model = embeddings(solution)
    assert_finite(
        lambda ids: look_up(model, ids), some_ids(),
        because="The tables hold finite numbers, and the output is sums of them.",
    )  # fmt: skip


def test_the_ids_are_left_as_they_were(solution):
    assert_input_untouched(embeddings(solution), some_ids(), what="Embeddings")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(embeddings(solution), some_ids(), what="the output")
    assert_weights_are_read(embeddings(solution), some_ids(), what="the output")


@pytest.mark.parametrize("lengths", [(5, T), (N, 2), (1, 2)], ids=str)
def test_a_text_of_another_length_may_follow(solution, lengths):
    assert_nothing_is_kept(lambda: embeddings(solution), *map(some_ids, lengths), what="the output")


def test_ids_that_are_not_contiguous_give_the_same(solution):
    model, ids = embeddings(solution), some_ids()
    expected = look_up(model, ids)
    assert_close(
        model(ids.T.contiguous().T), expected, "the output for non-contiguous ids",
        because="The same ids lie in memory in another order, which view minds and reshape does not.",
    )  # fmt: skip


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(embeddings(solution), some_ids(), what="the output", other=some_ids(name="other"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_it_works_in_other_precisions(solution, dtype):
    assert_keeps_dtype(embeddings(solution), some_ids(), what="the output", dtype=dtype)


def test_in_half_precision_a_long_text_has_all_its_positions(solution):
    config = tiny(n_positions=400)
    model = solution.Embeddings(config).to(torch.bfloat16).eval()
    tables = {name: table.detach() for name, table in model.named_parameters()}
    out = model(torch.ones(1, 300, dtype=torch.long))
    right = tables["wte.weight"][1] + tables["wpe.weight"][:300]
    small = out.shape == (1, 300, C) and torch.allclose(out[0, :256].float(), right[:256].float(), atol=1e-5)
    assert_close(
        out[0], right, "the output of 300 equal tokens in bfloat16",
        because="Row t is the token's embedding plus row t of wpe."
        + " Positions are counted in int64: bfloat16 has no numbers between 256 and 258." * small,
    )  # fmt: skip


def test_it_moves_to_another_device(solution):
    assert_moves(embeddings(solution), some_ids(), what="Embeddings")


# --- the token -----------------------------------------------------------------------------------


def test_with_positions_of_zero_each_row_is_its_tokens_embedding(solution):
    model, ids = embeddings(solution), some_ids()
    with torch.no_grad():
        model.wpe.weight.zero_()
        expected = model.wte.weight[ids]
        assert_close(
            look_up(model, ids), expected, "the output when wpe is all zeros",
            because="Row t is wte[input_ids[t]] + wpe[t], so what is left is row input_ids[t] of wte, as it is.",
        )  # fmt: skip


# --- the position --------------------------------------------------------------------------------


def positions(solution):
    """wpe.weight, and what remains of the output (B, T, C) when wte is all zeros."""
    model = embeddings(solution)
    with torch.no_grad():
        model.wte.weight.zero_()
        table = model.wpe.weight.clone()
        out = look_up(model, some_ids())
    observe("the output when wte is all zeros", out)
    return table, out


def test_positions_have_a_part_in_the_output(solution):
    _, out = positions(solution)
    assert_true(
        bool(out.any()), "the output is all zeros when wte is all zeros",
        because="Row t is wte[input_ids[t]] + wpe[t], so with wte at 0 the position's vector is left.",
    )  # fmt: skip


def test_the_first_token_stands_at_position_0(solution):
    table, out = positions(solution)
    assert_close(
        out[:, :1], table[:1].expand(B, 1, C), "the output for the first token when wte is all zeros",
        because="Positions count from 0, from the beginning of the text: what is left of its first token is wpe[0].",
    )  # fmt: skip


def test_the_position_follows_the_place_and_nothing_else(solution):
    table, out = positions(solution)
    assert_close(
        out, table[:T].expand(B, T, C), "the output when wte is all zeros",
        because="What is left of row t is wpe[t], in every text of the batch: the positions are 0, 1, ..., T-1.",
    )  # fmt: skip


def test_token_0_takes_a_place_like_any_other(solution):
    model, ids = embeddings(solution), some_ids()
    ids[:, [1, 4]] = 0
    with torch.no_grad():
        model.wte.weight.zero_()
    assert_close(
        look_up(model, ids), model.wpe.weight[:T].expand(B, T, C),
        "the output for texts that hold token 0, when wte is all zeros,",
        because="The positions are 0, 1, ..., T-1, whatever the tokens are. GPT-2 has no padding: 0 is an id like any.",
    )  # fmt: skip


def test_a_longer_text_leaves_the_earlier_rows_alone(solution):
    model, ids = embeddings(solution), some_ids()
    start = look_up(model, ids[:, :4])
    assert_identical(
        look_up(model, ids)[:, :4], start, "the output of the first 4 tokens, with 3 more after them,",
        because="Row t depends on token t and on the number t, however much follows.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [T, N])
def test_token_and_position_are_added(solution, length):
    model, ids = embeddings(solution), some_ids(length)
    expected = model.wte.weight[ids] + model.wpe.weight[:length]
    assert_close(
        look_up(model, ids), expected, f"the output for {length} tokens",
        because="Row t is wte[input_ids[t]] + wpe[t], for every t up to n_positions - 1.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [N + 1, N + 3])
def test_a_text_longer_than_n_positions_is_refused(solution, length):
    model, ids = fill(solution.Embeddings(CONFIG)), some_ids(length)
    with assert_raises(
        ValueError, f"a text of {length} tokens with n_positions = {N}", naming=[length, N],
        because="wpe has no row for the last token. A text with T > n_positions is refused before anything is looked "
        "up, with a ValueError whose message holds both numbers.",
    ):  # fmt: skip
        try:
            out = model(ids)
        except Exception as error:
            observe("the error", type(error).__name__)
            raise
        observe("what came back", out if isinstance(out, Tensor) else type(out).__name__)


# --- dropout -------------------------------------------------------------------------------------


def dropped(solution):
    """The output in train mode (40, T, C) with a rate of 0.4, and what each number is without dropout (C,)."""
    model = embeddings(solution, embd_pdrop=0.4).train()
    numbered = torch.arange(1.0, C + 1, device=model.wte.weight.device)
    with torch.no_grad():
        model.wte.weight.copy_(numbered.expand(V, C))
        model.wpe.weight.fill_(100.0)
        return look_up(model, draw_ids("ids", 40, T)), 100 + numbered


@pytest.mark.parametrize("together", ["channels", "texts", "tokens"])
def test_each_number_is_dropped_by_itself(solution, together):
    out, _ = dropped(solution)
    gone = out == 0
    axis = {"channels": 2, "texts": 0, "tokens": 1}[together]
    at_once = gone.all(axis) | ~gone.any(axis)
    assert_true(
        not (gone.any() and not gone.all() and at_once.all()),
        {
            "channels": "a token's vector is dropped as a whole or not at all",
            "texts": "the same numbers are dropped in every text of the batch",
            "tokens": "the same numbers are dropped at every position",
        }[together],
        because="Dropout decides for each of the B × T × C numbers of the sum by itself.",
    )  # fmt: skip


def test_dropout_drops_the_sum_in_train_mode(solution):
    out, kept = dropped(solution)
    assert_dropped(
        out, kept, 0.4, "the output",
        because="nn.Dropout(config.embd_pdrop) is the last step, once, after the sum: in train mode it sets a number "
        "to 0 with that probability, and divides the others by 1 - embd_pdrop.",
    )  # fmt: skip
    assert_drops_anew(embeddings(solution, embd_pdrop=0.4).train(), draw_ids("ids", 40, T), what="the output")


def test_a_rate_of_zero_drops_nothing(solution):
    model, ids = embeddings(solution, embd_pdrop=0.0), some_ids()
    quiet = look_up(model, ids)
    assert_close(
        look_up(model.train(), ids), quiet, "the output in train mode with embd_pdrop = 0",
        because="Train mode switches on dropout and nothing else, at the rate embd_pdrop: at 0 nothing differs.",
    )  # fmt: skip


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["wte", "wpe"])
def test_a_row_learns_from_every_place_where_it_was_used(solution, table):
    model = embeddings(solution)
    weight = getattr(model, table).weight
    ids = torch.tensor([[0, 3, 3, 1, 5], [0, 28, 7, 0, 2]], device=weight.device)
    direction = draw("direction", 2, 5, C)
    out = look_up(model, ids)
    observe("the output", out)
    if out.requires_grad:
        (out * direction).sum().backward()
    assert_true(
        weight.grad is not None, f"no gradient reaches {table}.weight from the output",
        because="Learning goes the way back from the output to both tables; detach(), .data and torch.no_grad() cut "
        "it.",
    )  # fmt: skip
    rows = ids if table == "wte" else torch.arange(5, device=ids.device).expand(2, 5)
    expected = torch.zeros_like(weight).index_add_(0, rows.flatten(), direction.flatten(0, 1))
    assert_close(
        weight.grad.to_dense(), expected, f"the gradient of {table}.weight",
        because="A row's gradient is the sum over all places where it was used, those of token 0 too; a plain "
        "nn.Embedding(rows, width), without further options, sees to that.",
    )  # fmt: skip


@pytest.mark.parametrize("table", ["wte", "wpe"])
def test_no_row_of_a_new_table_is_set_apart(solution, table):
    weight = getattr(solution.Embeddings(tiny()), table).weight
    empty = (weight == 0).all(-1).nonzero().flatten().tolist()
    assert_equal(
        empty, [], f"the list of rows of a new {table} that hold zeros only",
        because="A plain nn.Embedding(rows, width) draws every row; padding_idx sets one apart, at zero. Token 0 is a "
        "token like any other.",
    )  # fmt: skip
