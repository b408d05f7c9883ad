"""Problem 05: what causal_mask and CausalSelfAttention promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_dropped,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_made_on_device,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_same_module,
    assert_shape,
    assert_true,
    draw,
    fill,
    tiny,
    twins,
)

CONFIG = tiny()
B, T, C, H = 2, 7, CONFIG.n_embd, CONFIG.n_head
D = C // H
NO_DROPOUT = tiny(attn_pdrop=0.0, resid_pdrop=0.0)


# --- causal_mask ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seq_len", [1, 4, 7])
def test_the_mask_is_a_square_of_bools(solution, seq_len):
    mask = solution.causal_mask(seq_len)
    assert_shape(mask, (seq_len, seq_len), f"causal_mask({seq_len})")
    assert_equal(
        str(mask.dtype), "torch.bool", "the dtype of the mask",
        because="True and False say who may attend; ask for dtype=torch.bool, or compare (positions >= ...).",
    )  # fmt: skip


def test_a_token_may_attend_to_itself(solution):
    mask = solution.causal_mask(5)
    assert_true(
        bool(mask.diagonal().all()), "the diagonal of causal_mask(5) holds a False",
        because="mask[i, i] must be True: each token sees itself. Without it token 0 sees nothing at all.",
    )  # fmt: skip


def test_a_token_may_attend_to_everything_before_it(solution):
    mask = solution.causal_mask(5)
    below = mask[torch.ones(5, 5, dtype=torch.bool).tril(-1)]
    assert_true(
        bool(below.all()), "causal_mask(5) hides an earlier token",
        because="mask[i, j] is True where token i may attend to token j, so it is True for every j <= i: "
        "rows are queries, columns keys, True means visible.",
    )  # fmt: skip


def test_a_token_may_not_attend_to_a_later_one(solution):
    mask = solution.causal_mask(5)
    above = mask[torch.ones(5, 5, dtype=torch.bool).triu(1)]
    assert_true(
        not bool(above.any()), "causal_mask(5) shows a later token",
        because="mask[i, j] must be False for every j > i: the lower triangle is True, diagonal included.",
    )  # fmt: skip


def test_the_mask_is_made_on_the_device_that_was_asked_for(solution):
    assert_made_on_device(lambda device: solution.causal_mask(3, device=device), "causal_mask(3, device=device)")


# --- CausalSelfAttention: its parts --------------------------------------------------------------


def attention(solution, config=CONFIG):
    return fill(solution.CausalSelfAttention(config))


def test_the_layers_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.CausalSelfAttention(CONFIG),
        {
            "c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,),
            "c_proj.weight": (C, C), "c_proj.bias": (C,),
        },
        "CausalSelfAttention",
    )  # fmt: skip


def test_the_state_dict_holds_what_was_learned_and_nothing_else(solution):
    keys = sorted(solution.CausalSelfAttention(CONFIG).state_dict())
    assert_equal(
        keys, ["c_attn.bias", "c_attn.weight", "c_proj.bias", "c_proj.weight"],
        "the list of state_dict keys",
        because="A mask is not learned, so it does not belong into a checkpoint: "
        "register_buffer(..., persistent=False), or make it in forward.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, 4, CONFIG.n_positions])
def test_the_output_has_the_shape_of_the_input(solution, length):
    x = draw("x", B, length, C)
    assert_shape(attention(solution)(x), (B, length, C), "the output")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), draw("x", B, T, C), what="the output")


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    # With one token every weight is 1: no score, scale or mask can matter.
    model, x = attention(solution), draw("x", B, 1, C)
    value = model.c_attn(x)[..., 2 * C :]
    assert_close(
        model(x), model.c_proj(value), "the output for a single token",
        because="One token can only attend to itself with weight 1, so its output is c_proj(its value). Check that "
        "c_attn's output is cut into query, key, value in that order, and that c_proj is applied.",
    )  # fmt: skip


# --- who sees whom -------------------------------------------------------------------------------


def assert_causal(model, length):
    x = draw("x", B, length, C)
    before = model(x)
    for j in range(1, length):
        changed = x.clone()
        changed[:, j] = draw("another token", B, C)
        after = model(changed)
        assert_identical(
            after[:, :j], before[:, :j],
            f"the output of the tokens before {j}, after changing only token {j} of {length},",
            because="An earlier token saw a later one. Usual causes: the mask is never applied (masked_fill returns a "
            "new tensor), is inverted or transposed, lets one token too many through, or masks after the softmax.",
        )  # fmt: skip


@pytest.mark.parametrize("length", [2, 5, CONFIG.n_positions])
def test_changing_a_token_leaves_earlier_outputs_alone(solution, length):
    assert_causal(attention(solution), length)


def test_changing_a_token_leaves_earlier_outputs_alone_in_train_mode_too(solution):
    assert_causal(attention(solution, NO_DROPOUT).train(), 5)


def test_no_output_is_nan(solution):
    out = attention(solution)(draw("x", B, T, C))
    assert_true(
        not bool(out.isnan().any()), f"the output is NaN for token {_first_nan(out)}",
        because="A row of scores that is -inf everywhere has a softmax of 0/0: that token sees nothing, not even itself.",
    )  # fmt: skip


def _first_nan(out):
    return int(out.isnan().any(-1).nonzero()[0, -1]) if out.isnan().any() else None


def test_each_token_sees_itself_and_all_before_it(solution):
    model, x = attention(solution), draw("x", B, T, C)
    before = model(x)
    for j in range(T):
        changed = x.clone()
        changed[:, j] = draw("another token", B, C)
        moved = (model(changed) != before).any(-1).all(0)  # (T,)
        blind = [i for i in range(j, T) if not moved[i]]
        assert_equal(
            blind, [], f"the list of tokens whose output ignores token {j}, though they come at or after it",
            because="Every token attends to itself and to all earlier tokens: the mask hides too much, or positions never mix.",
        )  # fmt: skip


# --- weights, scale, heads -----------------------------------------------------------------------


def test_equal_scores_give_the_plain_average_of_what_is_visible(solution):
    # Keys of zero make all scores 0, so only mask and softmax are left: token t averages t + 1 values.
    model, x = attention(solution), draw("x", B, T, C)
    with torch.no_grad():
        model.c_attn.weight[C : 2 * C] = 0
        model.c_attn.bias[C : 2 * C] = 0
    value = model.c_attn(x)[..., 2 * C :]
    average = value.cumsum(1) / torch.arange(1, T + 1, device=x.device).view(T, 1)
    assert_close(
        model(x), model.c_proj(average), "the output when all scores are equal",
        because="Token t must then get the average of values 0 to t, put through c_proj. If only later tokens are off, "
        "the weights do not sum to 1: mask with -inf before the softmax, softmax over the keys (dim=-1). "
        "If all are off, heads are cut or merged along the wrong axes.",
    )  # fmt: skip


def test_a_heads_values_land_in_that_heads_channels(solution):
    # c_proj as identity: channels h * D to (h + 1) * D of the output belong to head h.
    model, x = attention(solution), draw("x", B, T, C)
    with torch.no_grad():
        model.c_proj.weight.copy_(torch.eye(C))
        before = model(x)
        for head in range(H):
            saved = model.c_attn.bias.clone()
            model.c_attn.bias[2 * C + head * D : 2 * C + (head + 1) * D] += 1.0
            shift = model(x) - before
            model.c_attn.bias.copy_(saved)
            expected = torch.zeros(C)
            expected[head * D : (head + 1) * D] = 1.0
            assert_close(
                shift, expected.to(x.device).expand(B, T, C), f"the change of the output when head {head}'s values grow by 1",
                because=f"Weights that sum to 1 add exactly 1 to channels {head * D} to {(head + 1) * D - 1} and nothing "
                "elsewhere. Heads are cut with view(B, T, H, D) and transpose(1, 2), and merged with the reverse.",
            )  # fmt: skip


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    # One query and one key channel per head, two tokens: the weight gives the score away.
    model = attention(solution)
    x = draw("x", B, 2, C)
    with torch.no_grad():
        q, k, v = model.c_attn(x).chunk(3, dim=-1)
        model.c_proj.weight.copy_(torch.eye(C))
        model.c_proj.bias.zero_()
        out = model(x)[:, 1].view(B, H, D)
        v0, v1 = v[:, 0].view(B, H, D), v[:, 1].view(B, H, D)
        share = ((out - v1) / (v0 - v1)).mean(-1)  # weight of token 1 on token 0
        measured = torch.log(share / (1 - share))  # score(1, 0) - score(1, 1)
        heads = (t.view(B, 2, H, D).transpose(1, 2) for t in (q, k))
        query, key = heads
        plain = (query[:, :, 1] * (key[:, :, 0] - key[:, :, 1])).sum(-1)
    factor = float((measured / plain).mean())
    assert_close(
        measured, plain / D**0.5, "the difference of two scores of token 1, read back from its weights",
        because=f"The scores are q·k times {factor:.3g}; they should be q·k / sqrt(D), which is q·k times {D**-0.5:.3g} here "
        f"(D = {D}, C = {C}). Or query and key are swapped." if factor == factor else "Token 1's weights are not a softmax over two scores.",
        atol=2e-3, rtol=1e-3,  # a logarithm of a share near 0 or 1 magnifies rounding
    )  # fmt: skip


def test_the_output_equals_torchs_own_attention(solution):
    model, x = attention(solution), draw("x", B, T, C)
    q, k, v = (t.view(B, T, H, D).transpose(1, 2) for t in model.c_attn(x).chunk(3, dim=-1))
    heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert_close(
        model(x), model.c_proj(heads.transpose(1, 2).reshape(B, T, C)), "the output",
        because="F.scaled_dot_product_attention on the queries, keys and values of your own c_attn gives the expected value.",
    )  # fmt: skip


def test_the_output_equals_the_references_step_by_step(solution, reference):
    mine, theirs = twins(solution.CausalSelfAttention, reference.CausalSelfAttention, CONFIG)
    assert_same_module(mine, theirs, draw("x", B, T, C), what="the output")


def test_large_scores_do_not_overflow(solution):
    model, x = attention(solution), 60 * draw("x", B, T, C)
    assert_true(
        bool(model(x).isfinite().all()), "the output is not finite when the scores are in the thousands",
        because="exp overflows above 88 in float32: use torch.softmax, or subtract each row's maximum first.",
    )  # fmt: skip


# --- dropout -------------------------------------------------------------------------------------


def _ones_as_values(model):
    """Values are 1 and c_proj is the identity, so a single token's output shows its own weights."""
    with torch.no_grad():
        model.c_attn.weight[2 * C :] = 0
        model.c_attn.bias[2 * C :] = 1
        model.c_proj.weight.copy_(torch.eye(C))
        model.c_proj.bias.zero_()
    return model.train()


def test_attn_dropout_drops_attention_weights(solution):
    model = _ones_as_values(attention(solution, tiny(attn_pdrop=0.4, resid_pdrop=0.0)))
    out = model(draw("x", 400, 1, C)).view(400, H, D)
    assert_dropped(
        out[..., 0], 1.0, 0.4, "the attention weights",
        because="attn_dropout has the rate attn_pdrop and is applied to the weights, after the softmax and before they meet the values.",
    )  # fmt: skip
    assert_identical(
        out, out[..., :1].expand_as(out), "channel 0 of a head's output, compared with the head's other channels,",
        because="A dropped weight takes the whole value with it, all D channels at once. Dropout on the values or on the output "
        "drops single channels: apply attn_dropout to the weights.",
    )  # fmt: skip


def test_resid_dropout_drops_the_output_of_c_proj(solution):
    model = _ones_as_values(attention(solution, tiny(attn_pdrop=0.0, resid_pdrop=0.4)))
    with torch.no_grad():
        model.c_proj.bias.fill_(1.0)
    assert_dropped(
        model(draw("x", 100, 2, C)), 2.0, 0.4, "the output",
        because="resid_dropout has the rate resid_pdrop and is the last step, after c_proj.",
    )  # fmt: skip


def test_rates_of_zero_drop_nothing(solution):
    model, x = attention(solution, NO_DROPOUT), draw("x", B, T, C)
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with all dropout rates at 0",
        because="With attn_pdrop = resid_pdrop = 0 train and eval mode agree: a rate is hard-coded, or taken from another field.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), draw("x", B, T, C), what="CausalSelfAttention")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(
        attention(solution), draw("x", B, T, C), what="the output", other=draw("y", B, T, C)
    )


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    model, x = attention(solution), draw("x", B, T, C)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert_close(
        model(strided), model(x), "the output for a non-contiguous input",
        because="The same numbers in another memory layout: use reshape where view asks for contiguous memory.",
    )  # fmt: skip


def test_every_parameter_gets_a_gradient(solution):
    model = attention(solution)
    (model(draw("x", B, T, C)) * draw("direction", B, T, C)).sum().backward()
    assert_gradients(model, "the output")
    rows = model.c_attn.weight.grad.norm(dim=-1)
    assert_true(
        bool((rows > 0).all()), f"row {int((rows == 0).nonzero()[0]) if (rows == 0).any() else 0} of c_attn.weight gets no gradient",
        because=f"Rows 0 to {C - 1} make queries, {C} to {2 * C - 1} keys, {2 * C} to {3 * C - 1} values; all heads use their own.",
    )  # fmt: skip


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(attention(solution), draw("x", B, T, C), what="the output")


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), draw("x", B, T, C), what="CausalSelfAttention")
