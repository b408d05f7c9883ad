"""Problem 02, the layer: what SelfAttention promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_same_module,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fill,
    tiny,
    twins,
)
from common.testing.calls import assert_nothing_is_kept, assert_weights_are_read
from common.testing.causality import assert_finite
from common.testing.comparisons import assert_layout_is_free, assert_same_gradients
from common.testing.dtypes import assert_half_precision

CONFIG = tiny()
B, T, C, N = 4, 6, CONFIG.n_embd, CONFIG.n_positions
AXES = {"C": C, "n_positions": N}


# --- what others stand on ------------------------------------------------------------------------


def attention(solution):
    return fill(solution.SelfAttention(CONFIG), gain=1.0)


def text(length=T, name="x"):
    return draw(name, B=B, T=length, C=C)


def test_the_projections_have_their_names_and_shapes(solution):
    kinds = {"weight": (C, C), "bias": (C,)}
    assert_parameters(
        solution.SelfAttention(CONFIG),
        {f"{name}.{kind}": shape for name in ("query", "key", "value") for kind, shape in kinds.items()},
        "SelfAttention",
        because="Three layers, self.query, self.key and self.value, each nn.Linear(n_embd, n_embd) with its bias, "
        "and no other.",
    )  # fmt: skip


def test_the_projections_are_three_layers(solution):
    model = attention(solution)
    pairs = (("query", "key"), ("query", "value"), ("key", "value"))
    same = [f"{a} and {b}" for a, b in pairs if torch.equal(getattr(model, a).weight, getattr(model, b).weight)]
    assert_equal(
        same, [], "the list of projections that stand for one and the same layer",
        because="What a token looks for, what it offers and what it passes on are three things to learn.",
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "length"), [(B, T), (B, 1), (1, T), (B, N)])
def test_the_output_has_the_shape_of_the_input(solution, batch, length):
    out = attention(solution)(draw("x", B=batch, T=length, C=C))
    assert_true(
        out is None or isinstance(out, Tensor), f"SelfAttention returns a {type(out).__name__} and not a tensor",
        because="dot_product_attention gives a pair; forward gives its output alone, one tensor.",
    )  # fmt: skip
    assert_shape(
        out, (batch, length, C), "the output of SelfAttention",
        because="Each token of each text comes out as a vector of n_embd numbers, in the place where it stood.",
    )  # fmt: skip


def test_every_output_is_a_number(solution):
    assert_finite(attention(solution), text())


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), text(), what="SelfAttention")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), text(), what="the output of SelfAttention")
    assert_weights_are_read(attention(solution), text(), what="the output of SelfAttention")


def test_train_mode_gives_the_same(solution):
    model, x = attention(solution), text()
    quiet = model(x)
    assert_identical(
        model.train()(x), quiet, "the output of SelfAttention, in train mode instead of eval mode,",
        because="Nothing here depends on the mode: dropout joins attention in problem 04.",
    )  # fmt: skip


@pytest.mark.parametrize("lengths", [(T, 8), (N, 2), (1, 2)], ids=str)
def test_a_text_of_another_length_may_follow(solution, lengths):
    assert_nothing_is_kept(lambda: attention(solution), *map(text, lengths), what="the output")


def test_another_text_of_the_same_length_may_follow(solution):
    alone = attention(solution)(text())
    model = attention(solution)
    model(text(name="y"))
    assert_close(
        model(text()), alone, "the output, after another text of the same length,",
        because="A layer that has read another text before answers like one that has not: nothing is kept.",
    )  # fmt: skip


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    assert_layout_is_free(attention(solution), text(), what="the output for a non-contiguous input")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(attention(solution), text(), what="the output of SelfAttention", other=text(name="y"))


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(attention(solution), text(), what="the output of SelfAttention")


def test_it_works_in_half_precision(solution):
    assert_half_precision(attention(solution), text())


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), text(), what="SelfAttention")


# --- one projection at a time --------------------------------------------------------------------


def silence(layer, *, bias=True):
    """Set a layer's weight, and its bias too unless told otherwise, to zero."""
    with torch.no_grad():
        for name, p in layer.named_parameters():
            if bias or name == "weight":
                p.zero_()


def test_a_single_token_gets_its_own_value(solution):
    model, x = attention(solution), text(1)
    right = model.value(x)
    assert_close(
        model(x), right, "the output for a single token",
        because="One token can only attend to itself, with weight 1, so what comes out is self.value(x) and nothing "
        "else.",
    )  # fmt: skip


def test_weights_that_sum_to_one_keep_a_value_that_all_share(solution):
    model, x = attention(solution), text()
    silence(model.value, bias=False)
    shared = model.value.bias.expand(B, T, C)
    assert_close(
        model(x), shared, "the output when every token has the same value",
        because="A token's weights sum to 1, so the mixture of equal values is that value again.",
    )  # fmt: skip


@pytest.mark.parametrize("silent", ["key", "query"])
def test_without_keys_or_queries_every_token_gets_the_average_value(solution, silent):
    model, x = attention(solution), text()
    silence(getattr(model, silent))
    average = model.value(x).mean(1, keepdim=True).expand(B, T, C)
    assert_close(
        model(x), average, f"the output when self.{silent} gives zeros",
        because="All scores are then 0, every token sees every token, and each gets the average of all values.",
    )  # fmt: skip


def test_tokens_that_ask_the_same_get_the_same(solution):
    model, x = attention(solution), text()
    silence(model.query, bias=False)
    out = assert_tensor(model(x), "the output")
    assert_close(
        out, out[:, :1].expand_as(out), "the output of a token, compared with token 0's, when all have one query,",
        because="self.query gives what a token looks for; tokens that look for the same find the same.",
    )  # fmt: skip


def test_the_output_equals_torchs_own_attention(solution):
    model, x = attention(solution), text()
    right = F.scaled_dot_product_attention(model.query(x), model.key(x), model.value(x), scale=1.0)
    assert_close(
        model(x), right, "the output of SelfAttention",
        because="It is attention over self.query(x), self.key(x) and self.value(x): one head, no scale, no mask.",
    )  # fmt: skip


def test_each_step_gives_what_the_reference_gives(solution, reference):
    mine, theirs = twins(solution.SelfAttention, reference.SelfAttention, CONFIG, gain=1.0)
    assert_same_module(
        mine, theirs, text(), what="the output of SelfAttention", because="The reference has the same parameters."
    )


# --- learning ------------------------------------------------------------------------------------

# One number added to all scores of a row changes no weight, so key.bias cannot matter, and need not learn.
FREE = "key.bias"


def test_every_parameter_gets_a_gradient(solution):
    model = attention(solution)
    out = assert_tensor(model(text()), "the output of SelfAttention")
    if out.requires_grad:
        (out * draw("direction", *out.shape)).sum().backward()
    model.key.bias.grad = torch.ones_like(model.key.bias)
    assert_gradients(model, "the output", again=lambda: model(text()))


def test_the_gradients_are_those_of_the_reference(solution, reference):
    mine, theirs = twins(solution.SelfAttention, reference.SelfAttention, CONFIG, gain=1.0)
    assert_same_gradients(mine, theirs, text(), free=[FREE])
