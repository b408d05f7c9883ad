"""Problem 10: what GPT2Model promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import pytest
import torch

from common.testing import (
    CheckFailed,
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
    assert_same_module,
    assert_shape,
    assert_true,
    draw,
    draw_ids,
    fail,
    fill,
    has_forward,
    observe,
    tiny,
    twins,
)
from common.testing.attention import (
    assert_equal_scores_average,
    assert_heads_stay_in_their_channels,
    assert_score_scale,
    assert_single_token_gets_its_value,
)
from common.testing.causality import assert_causal, assert_sees_the_past
from common.testing.feed_forward import assert_activation

B, T = 2, 7
C, V, N, INNER, L = 15, 29, 11, 41, 2  # tiny()'s n_embd, vocab_size, n_positions, n_inner, n_layer


def config_of(solution, **changes):
    return tiny(solution.GPT2Config, **changes)


def gpt2(solution, **changes):
    return fill(solution.GPT2Model(config_of(solution, **changes)))


def silence(model):
    """Let no block add anything, so that the embeddings arrive at the final norm as they are."""
    with torch.no_grad():
        for block in model.h:
            for sublayer in (block.attn, block.mlp):
                sublayer.c_proj.weight.zero_()
                sublayer.c_proj.bias.zero_()
    return model


def names_and_shapes(n_layer=L):
    block = {
        "ln_1.weight": (C,), "ln_1.bias": (C,),
        "attn.c_attn.weight": (3 * C, C), "attn.c_attn.bias": (3 * C,),
        "attn.c_proj.weight": (C, C), "attn.c_proj.bias": (C,),
        "ln_2.weight": (C,), "ln_2.bias": (C,),
        "mlp.c_fc.weight": (INNER, C), "mlp.c_fc.bias": (INNER,),
        "mlp.c_proj.weight": (C, INNER), "mlp.c_proj.bias": (C,),
    }  # fmt: skip
    return {
        "wte.weight": (V, C), "wpe.weight": (N, C),
        **{f"h.{i}.{name}": shape for i in range(n_layer) for name, shape in block.items()},
        "ln_f.weight": (C,), "ln_f.bias": (C,), "lm_head.weight": (V, C),
    }  # fmt: skip


# --- its parts -----------------------------------------------------------------------------------


def test_the_config_can_be_imported_from_here_and_is_kept(solution):
    config = config_of(solution)
    assert_true(getattr(solution.GPT2Model(config), "config", None) is config, "model.config is not the config it was built from", because="Keep it: self.config = config. Later problems read it.")


@pytest.mark.parametrize("n_layer", [1, 2, 3])
def test_there_are_n_layer_blocks(solution, n_layer):
    model = solution.GPT2Model(config_of(solution, n_layer=n_layer))
    assert_equal(len(model.h), n_layer, f"the number of blocks in model.h for n_layer={n_layer}", because="Make config.n_layer blocks in an nn.ModuleList; a plain list hides them from the model.")
    shared = sorted({n.partition(".")[2] for n, p in model.h.named_parameters(remove_duplicate=False) if not n.startswith("0.") and any(p is q for q in model.h[0].parameters())})
    assert_equal(shared, [], "the list of weights that blocks share with block 0", because="Every layer has weights of its own: build a new TransformerBlock for each, not one block n_layer times.")


def test_the_layers_have_gpt2s_names_and_shapes(solution):
    model = solution.GPT2Model(config_of(solution))
    biases = [n for n, _ in model.named_parameters() if n == "lm_head.bias"]
    assert_equal(biases, [], "the list of biases of lm_head", because="The output layer has no bias: nn.Linear(C, V, bias=False).")
    assert_parameters(
        model, names_and_shapes(), "GPT2Model",
        because="Published weights load by these names: wte, wpe, h.0 ..., ln_f, lm_head, and inside a block ln_1, attn, ln_2, mlp.",
    )  # fmt: skip


def test_the_output_layer_is_the_token_table(solution):
    model = solution.GPT2Model(config_of(solution))
    tied = model.lm_head.weight is model.wte.weight
    shares = model.lm_head.weight.data_ptr() == model.wte.weight.data_ptr()
    assert_true(
        tied, "lm_head.weight is not wte.weight",
        because="They share their memory but are two Parameters, so gradients do not add up: assign the Parameter, self.lm_head.weight = self.wte.weight, not its .data."
        if shares else "One Parameter under two names: self.lm_head.weight = self.wte.weight, at the end of __init__. Untied, GPT-2 small has 38.6 million parameters too many.",
    )  # fmt: skip


def test_the_number_of_parameters_is_gpt2s(solution):
    model = solution.GPT2Model(config_of(solution))
    expected = V * C + N * C + L * (4 * C + 4 * C * C + 4 * C + 2 * C * INNER + INNER + C) + 2 * C
    assert_equal(sum(p.numel() for p in model.parameters()), expected, "the number of parameters", because="Something is missing, or there is a layer that GPT-2 does not have, or the tied matrix counts twice.")


@pytest.mark.parametrize("length", [1, T, N])
def test_there_is_a_score_for_every_token_at_every_position(solution, length):
    model = gpt2(solution)
    try:
        out = model(draw_ids("ids", B, length))
    except ValueError as error:
        if str(N) not in str(error):
            raise  # not the refusal of a long text
        observe("refused", length)
        fail(
            f"a text of {length} token{'s' * (length > 1)} is refused, though n_positions is {N}:", expected="no error", got=f"ValueError: {error}",
            because=f"Only a text with T > n_positions is too long; one of exactly {N} tokens still fits.",
        )  # fmt: skip
    assert_shape(
        out, (B, length, V), "the logits",
        because="forward returns the logits alone, (B, T, V), for all positions.",
    )  # fmt: skip


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(gpt2(solution), draw_ids("ids", B, T), what="the logits")


def test_a_block_whose_sublayers_are_silent_returns_its_input(solution):
    model, x = silence(gpt2(solution)), 2 + draw("x", B, T, C)
    if not has_forward(model.h[0]):
        return
    with torch.no_grad():
        out = model.h[0](x)
    says = "A block is x + attn(ln_1(x)), then x + mlp(ln_2(x)): with both sublayers at zero x comes through untouched."
    if bool((out == 0).all()):
        says = "The output is zero: x is never added back around attn and mlp. " + says
    elif torch.allclose(out, 2 * x, atol=1e-4) or torch.allclose(out, 4 * x, atol=1e-4):
        says = "The input is added more than once. " + says
    elif bool(out.mean(-1).abs().max() < 0.9):
        says = "The output is normalised, or partly zero: a norm stands on the residual path (post-norm), ln_1(x) is what you add to, or one of the two sums is missing. " + says
    assert_close(out, x, "the output of a block when both its sublayers give zeros", because=says)


# --- in and out ----------------------------------------------------------------------------------


def logits_of(model, x):
    """What the final norm and the head make of vectors (B, T, C), worked out with the learner's own weights."""
    config = model.config
    h = torch.nn.functional.layer_norm(x, (C,), model.ln_f.weight, model.ln_f.bias, config.layer_norm_epsilon)
    return h @ model.wte.weight.T


def test_embeddings_go_through_the_final_norm_to_the_head(solution):
    model, ids = silence(gpt2(solution)), draw_ids("ids", B, T)
    with torch.no_grad():
        wte, wpe = model.wte.weight[ids], model.wpe.weight
        x = wte + wpe[:T]
        right, out = logits_of(model, x), model(ids)
        usual = {
            "The position embeddings are never added.": logits_of(model, wte),
            "Positions start at 1: token 0 gets wpe[1]. Count from 0, torch.arange(T).": logits_of(model, wte + wpe[1 : T + 1]),
            "The positions run backwards: token 0 gets wpe[T-1].": logits_of(model, wte + wpe[:T].flip(0)),
            "wpe is looked up with the token ids instead of 0, 1, ..., T-1.": logits_of(model, wte + wpe[ids.clamp(max=N - 1)]),
            "The final norm, ln_f, is never applied.": x @ model.wte.weight.T,
            "The token embeddings are scaled by sqrt(C): GPT-2 adds them as they are.": logits_of(model, wte * C**0.5 + wpe[:T]),
            "ln_f does not use the config's layer_norm_epsilon.": torch.nn.functional.layer_norm(x, (C,), model.ln_f.weight, model.ln_f.bias, 1e-5) @ model.wte.weight.T,
            "A softmax is applied to the logits: return the raw scores, as cross_entropy and sampling do the softmax themselves.": right.softmax(-1),
            "A log_softmax is applied to the logits: return the raw scores.": right.log_softmax(-1),
            "The logits are divided by sqrt(C): GPT-2 returns them as they are.": right / C**0.5,
        }
    says = next((s for s, y in usual.items() if out.shape == y.shape and torch.allclose(out, y, atol=1e-4, rtol=1e-4)), "")
    assert_close(
        out, right, "the logits when no block adds anything",
        because=says or "What is left is lm_head(ln_f(wte[ids] + wpe[positions])): both looked up as they are, added, normalised once, scored.",
    )  # fmt: skip


def test_the_logits_are_raw_scores(solution):
    out = gpt2(solution)(draw_ids("ids", B, T))
    assert_true(
        bool((out > 0).any()) and bool((out.exp().sum(-1) - 1).abs().max() > 1e-3) and bool((out.sum(-1) - 1).abs().max() > 1e-3), "the logits look like probabilities or their logarithms",
        because="Return what lm_head gives: cross_entropy and sampling do the softmax themselves.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [N + 1, N + 20])
def test_a_text_longer_than_n_positions_is_refused(solution, length):
    model = gpt2(solution)
    with assert_raises(
        ValueError, f"a text of {length} tokens with n_positions = {N}", naming=[length, N],
        because="Raise ValueError when T > n_positions, with both numbers in the message; cutting the text would hide the mistake.",
    ):  # fmt: skip
        model(draw_ids("ids", B, length))


# --- the stack -----------------------------------------------------------------------------------


def test_every_block_reads_what_the_one_before_wrote(solution):
    # Block i adds the constant vector e_i and nothing else, so the sum says which blocks took part.
    model, ids = silence(gpt2(solution, n_layer=3)), draw_ids("ids", B, T)
    with torch.no_grad():
        for i, block in enumerate(model.h):
            block.mlp.c_proj.bias[i] = 10.0 * (i + 1)
        x = model.wte.weight[ids] + model.wpe.weight[:T]
        right = x.clone()
        for i in range(3):
            right[..., i] += 10.0 * (i + 1)
        out = model(ids)
        says = ""
        for skipped in ([0], [1], [2], [0, 1], [1, 2], [0, 1, 2]):
            other = right.clone()
            for i in skipped:
                other[..., i] -= 10.0 * (i + 1)
            if torch.allclose(out, logits_of(model, other), atol=1e-3):
                says = f"Nothing of {', '.join(f'h.{i}' for i in skipped)} arrives. "
        assert_close(
            out, logits_of(model, right), "the logits when block i adds 10 * (i + 1) to channel i",
            because=says + "Each block must read the previous block's output, x = block(x), all n_layer of them.",
        )  # fmt: skip


def test_with_rates_of_zero_train_mode_equals_eval_mode(solution):
    model, ids = gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0), draw_ids("ids", B, T)
    quiet = model(ids)
    assert_close(model.train()(ids), quiet, "the logits in train mode with all dropout rates at 0", because="Some dropout has a rate of its own; all follow the config.")


def test_a_heads_values_land_in_that_heads_channels(solution):
    attn = gpt2(solution).h[0].attn
    if has_forward(attn):
        assert_heads_stay_in_their_channels(attn, draw("x", B, T, C), 3)


@pytest.mark.parametrize("length", [2, 5, N])
def test_changing_a_token_leaves_earlier_logits_alone(solution, length):
    assert_causal(gpt2(solution), draw_ids("ids", B, length))


def test_changing_a_token_leaves_earlier_logits_alone_in_train_mode_too(solution):
    assert_causal(gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0).train(), draw_ids("ids", B, 5))


def test_each_token_sees_itself_and_all_before_it(solution):
    assert_sees_the_past(gpt2(solution), draw_ids("ids", B, T))


def pair(solution, reference, **changes):
    return twins(solution.GPT2Model, reference.GPT2Model, config_of(solution, **changes))


def test_the_norms_inside_the_blocks_use_the_configs_epsilon(solution, reference):
    mine, theirs = pair(solution, reference)
    x = 0.05 * draw("x", B, T, C)
    for name in ("h.0.ln_1", "h.0.ln_2", "h.1.ln_1", "h.1.ln_2", "ln_f"):
        norm = mine.get_submodule(name)
        if has_forward(norm):
            assert_close(norm(x), theirs.get_submodule(name)(x), f"{name} of a small input", because="Every LayerNorm gets eps = config.layer_norm_epsilon.")


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    attn = gpt2(solution).h[0].attn
    if has_forward(attn):
        assert_single_token_gets_its_value(attn, draw("x", B, 1, C))


def test_attention_averages_what_is_visible_when_all_scores_are_equal(solution):
    attn = gpt2(solution).h[0].attn
    if has_forward(attn):
        assert_equal_scores_average(attn, draw("x", B, T, C), causal=True)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    attn = gpt2(solution).h[0].attn
    if has_forward(attn):
        assert_score_scale(attn, draw("x", B, 2, C), 3)


def test_the_activation_of_the_feed_forward_layer_is_gelus_tanh_form(solution):
    mlp = gpt2(solution).h[0].mlp
    if has_forward(mlp):
        assert_activation(mlp, draw("x", B, T, C))


def test_the_first_block_computes_what_problem_08_does(solution, reference):
    mine, theirs = pair(solution, reference)
    if not has_forward(mine.h[0]):
        return
    assert_same_module(
        mine.h[0], theirs.h[0], draw("x", B, T, C), what="the output of `h.0`",
        because="A block is x + attn(ln_1(x)), then x + mlp(ln_2(x)); causal attention, GELU in its tanh form, the config's epsilon.", atol=3e-6, rtol=3e-6,
    )  # fmt: skip


def test_the_logits_equal_the_references_step_by_step(solution, reference):
    mine, theirs = pair(solution, reference)
    assert_same_module(mine, theirs, draw_ids("ids", B, T), what="the logits", atol=3e-5)  # logits of size 20: ten times float32's rounding


@pytest.mark.parametrize("changes", [{"n_head": 5}, {"n_layer": 1}, {"n_layer": 3, "n_inner": 7}, {"n_inner": None, "layer_norm_epsilon": 1e-5}], ids=str)
def test_the_logits_follow_the_config(solution, reference, changes):
    mine, theirs = pair(solution, reference, **changes)
    assert_same_module(
        mine, theirs, draw_ids("ids", B, T), what=f"the logits with {', '.join(f'{k}={v}' for k, v in changes.items())}", atol=3e-5,
        because="Take every size from the config.",
    )  # fmt: skip


# --- dropout -------------------------------------------------------------------------------------


def seen_by_the_first_block(model, ids):
    got = []
    handle = model.h[0].register_forward_pre_hook(lambda _, args: got.append(args[0].detach().clone()))
    try:
        model(ids)
    finally:
        handle.remove()
    return got[0] if got else None


def test_the_embeddings_follow_no_other_rate(solution):
    model, ids = gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.4, resid_pdrop=0.4), draw_ids("ids", B, T)
    x = seen_by_the_first_block(model.train(), ids)
    if x is not None:
        assert_close(
            x, model.wte.weight[ids] + model.wpe.weight[:T], "what the first block gets in train mode, with embd_pdrop = 0 and the other rates at 0.4,",
            because="The dropout after the embeddings has the rate embd_pdrop, and no other.", record=False,
        )  # fmt: skip


def test_dropout_acts_on_the_sum_of_the_embeddings(solution):
    model = gpt2(solution, embd_pdrop=0.4, attn_pdrop=0.0, resid_pdrop=0.0).train()
    with torch.no_grad():
        model.wte.weight.fill_(1.0)
        model.wpe.weight.fill_(2.0)
    x = seen_by_the_first_block(model, draw_ids("ids", 40, T))
    if x is None:
        return  # h.0 is not called as a module; its output is compared elsewhere
    assert_dropped(
        x, 3.0, 0.4, "what the first block gets",
        because="Dropout with the rate embd_pdrop comes after wte + wpe, before the first block.",
    )  # fmt: skip


def test_resid_dropout_reaches_the_blocks(solution):
    model = silence(gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.4, n_layer=1)).train()
    if not has_forward(model.h[0]):
        return
    with torch.no_grad():
        model.h[0].mlp.c_proj.bias.fill_(3.0)
    x = draw("x", 40, T, C)
    assert_dropped(
        model.h[0](x).sub(x).round(decimals=4), 3.0, 0.4, "what the feed-forward layer of a block adds",
        because="Inside a block the outputs of attn and mlp are dropped with the rate resid_pdrop.",
    )  # fmt: skip


def test_attn_dropout_reaches_the_blocks(solution):
    model = silence(gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.4, resid_pdrop=0.0, n_layer=1)).train()
    if not has_forward(model.h[0]):
        return
    with torch.no_grad():
        model.h[0].attn.c_attn.weight[2 * C :] = 0
        model.h[0].attn.c_attn.bias[2 * C :] = 1
        model.h[0].attn.c_proj.weight.copy_(torch.eye(C))
    x = draw("x", 300, 1, C)
    assert_dropped(
        model.h[0](x).sub(x).round(decimals=4)[..., 0], 1.0, 0.4, "the attention weights of a block",
        because="Inside a block the attention weights are dropped with the rate attn_pdrop.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_the_ids_are_left_as_they_were(solution):
    assert_input_untouched(gpt2(solution), draw_ids("ids", B, T), what="GPT2Model")


def test_the_texts_of_a_batch_do_not_mix(solution):
    model, ids = gpt2(solution), draw_ids("ids", B, T)
    changed = ids.clone()
    changed[1] = (ids[1] + 3) % V
    assert_close(model(changed)[0], model(ids)[0], "the logits of text 0, after changing only text 1,", because="The texts of a batch are independent: something mixes over the batch axis.")
    assert_close(model(ids[:1]), model(ids)[:1], "the logits of a batch of one text", because="A text's logits do not depend on its company.")


def test_a_text_may_fill_all_positions(solution, reference):
    mine, theirs = pair(solution, reference)
    assert_same_module(mine, theirs, draw_ids("ids", B, N), what=f"the logits of a text of n_positions = {N} tokens", atol=3e-5, because="A text of exactly n_positions tokens fits.")


def test_a_longer_text_leaves_the_earlier_logits_alone(solution):
    model, ids = gpt2(solution), draw_ids("ids", B, N)
    assert_close(
        model(ids)[:, :4], model(ids[:, :4]), "the logits of the first 4 tokens, with 7 more after them,",
        because="What follows does not matter to a causal model: positions count from the beginning, and nothing depends on the length.", atol=3e-5,
    )  # fmt: skip


def test_every_parameter_gets_a_gradient(solution):
    model = gpt2(solution)
    out = model(draw_ids("ids", B, T))
    (out * draw("direction", *out.shape)).sum().backward()
    assert_gradients(model, "the logits")


def test_the_token_table_learns_from_both_its_uses(solution):
    model, ids = gpt2(solution), draw_ids("ids", B, T)
    unused = [i for i in range(V) if i not in ids.unique().tolist()]
    out = model(ids)
    (out * draw("direction", *out.shape)).sum().backward()
    grad = model.wte.weight.grad
    assert_true(
        grad is not None and bool((grad[unused].abs().sum(-1) > 0).all()), "rows of wte whose token is not in the text get no gradient",
        because="As the output layer, wte scores every token, so every row learns at each step: the tie is broken, or the head is detached.",
    )  # fmt: skip


def test_two_models_do_not_share_weights(solution):
    first, second = (solution.GPT2Model(config_of(solution)) for _ in range(2))
    shared = [n for n, p in first.named_parameters() if any(p is q for q in second.parameters())]
    assert_identical(torch.tensor(len(shared)), torch.tensor(0), "the number of parameters that two models share", because="Make all layers in __init__.")


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(gpt2(solution), draw_ids("ids", B, T), what="the logits")


def test_it_moves_to_another_device(solution):
    assert_moves(gpt2(solution), draw_ids("ids", B, T), what="GPT2Model")


@pytest.mark.slow
def test_gpt2_small_has_its_124_million_parameters(solution):
    with torch.device("meta"):
        model = solution.GPT2Model(solution.GPT2Config.gpt2_small())
    count = sum(p.numel() for p in model.parameters())
    if count != 124_439_808:
        raise CheckFailed("the number of parameters of GPT-2 small is not what it should be:", expected="124,439,808", got=f"{count:,}")
