"""Problem 10, part 1: what GPT2Model is made of, and what goes in and comes out, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_dropped,
    assert_drops_anew,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_true,
    draw_ids,
    fill,
    observe,
    tiny,
)
from common.testing.calls import OUTLIVES, assert_nothing_is_kept, assert_weights_are_read
from common.testing.causality import assert_finite
from common.testing.dtypes import assert_half_precision

CONFIG = tiny()
B, T = 2, 4
C, V, N = CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_positions
ATOL = 3e-5  # logits are of size 20: ten times float32's rounding


def config_of(solution, **changes):
    return tiny(solution.GPT2Config, **changes)


def gpt2(solution, n_layer=1, **changes):
    """The model with its numbers set; of one layer, which is quick, unless several are the point."""
    return fill(solution.GPT2Model(config_of(solution, n_layer=n_layer, **changes)))


def text(length=T):
    return draw_ids("ids", B=B, T=length)


# --- what it is made of --------------------------------------------------------------------------


def test_the_config_can_be_imported_from_here_and_is_kept(solution):
    config = config_of(solution)
    assert_true(
        getattr(solution.GPT2Model(config), "config", None) == config,
        "model.config is not the config that the model was built from",
        because="The model keeps its config as an attribute, self.config: later problems read it.",
    )


@pytest.mark.parametrize("n_layer", [1, 2, 3])
def test_there_are_n_layer_blocks(solution, n_layer):
    assert_equal(
        len(solution.GPT2Model(config_of(solution, n_layer=n_layer)).h), n_layer,
        f"the number of blocks in model.h for n_layer={n_layer}",
        because="h holds config.n_layer blocks, one for each layer.",
    )


def test_every_block_has_weights_of_its_own(solution):
    first, second = solution.GPT2Model(config_of(solution)).h
    mine = [*first.parameters()]
    shared = [name for name, p in second.named_parameters() if any(p is q for q in mine)]
    assert_equal(
        shared, [], "the list of weights that h.0 and h.1 share",
        because="Each layer learns weights of its own, so each is a new block; [block] * n is one block n times.",
    )


def test_the_layers_have_gpt2s_names_and_shapes(solution, reference):
    right = reference.GPT2Model(config_of(reference)).named_parameters(remove_duplicate=False)
    assert_parameters(
        solution.GPT2Model(config_of(solution)), {name: tuple(p.shape) for name, p in right}, "GPT2Model",
        because="Published weights load by these names and have these shapes: wte, wpe, h.0 and so on in an "
        "nn.ModuleList, ln_f, and lm_head, which has no bias.",
    )


def test_the_output_layer_holds_the_numbers_of_the_token_table(solution):
    model = gpt2(solution)  # which writes wte.weight last
    assert_close(
        model.lm_head.weight, model.wte.weight.detach().clone(), "lm_head.weight, after numbers were written into "
            "wte.weight,",
        because="The output layer compares x with the vectors of wte: it is the same matrix, under a second name.",
    )


def test_the_output_layer_is_the_token_table(solution):
    model = solution.GPT2Model(config_of(solution))
    assert_true(
        model.lm_head.weight is model.wte.weight, "lm_head.weight is not wte.weight",
        because="The tie is one Parameter under two names, assigned once all layers are made. Two Parameters would "
        "collect two gradients and be moved twice, even if they shared their memory.",
    )


def test_the_number_of_parameters_is_gpt2s(solution):
    config = config_of(solution)
    assert_equal(
        sum(p.numel() for p in solution.GPT2Model(config).parameters()), config.num_parameters(),
        "the number of parameters",
        because="It is config.num_parameters(): all layers of GPT-2 and no others, the tied matrix counted once.",
    )


def test_two_models_do_not_share_weights(solution):
    first, second = (solution.GPT2Model(config_of(solution)) for _ in range(2))
    theirs = [*second.parameters()]
    assert_equal(
        [name for name, p in first.named_parameters() if any(p is q for q in theirs)], [],
        "the list of parameters that two models share",
        because=f"Each model makes its layers anew, in __init__. {OUTLIVES}",
    )


# --- what holds for every call -------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, T])
def test_there_is_a_score_for_every_token_at_every_position(solution, length):
    assert_shape(
        gpt2(solution)(text(length)), (B, length, V), "what forward returns",
        because="forward returns the logits alone, (B, T, V): at each position a score for every token.",
    )


def test_a_text_of_n_positions_tokens_is_not_refused(solution):
    refusal = ""
    try:
        gpt2(solution)(text(N))
    except ValueError as error:
        if str(N) not in str(error):
            raise  # not what a limit says
        refusal = str(error)
    assert_true(
        not refusal, f"a text of n_positions = {N} tokens is refused: {refusal}",
        because="wpe has a row for each of n_positions tokens, so only T > n_positions is too long.",
    )


def test_every_logit_is_a_number(solution):
    assert_finite(gpt2(solution), text())


def test_the_ids_are_left_as_they_were(solution):
    assert_input_untouched(gpt2(solution), text(), what="GPT2Model")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(gpt2(solution), text(), what="the logits")
    assert_weights_are_read(gpt2(solution), text(), what="the logits")


@pytest.mark.parametrize("lengths", [(3, T), (N, 2)], ids=str)
def test_a_text_of_another_length_may_follow(solution, lengths):
    assert_nothing_is_kept(lambda: gpt2(solution), *map(text, lengths), what="the logits")


def test_ids_that_are_not_contiguous_give_the_same(solution):
    model, ids = gpt2(solution), text()
    assert_close(
        model(ids.T.contiguous().T), model(ids), "the logits for ids that are not contiguous",
        because="The same ids lie in memory in another order, which view minds and reshape does not.", atol=ATOL,
    )


def test_the_texts_of_a_batch_do_not_mix(solution):
    assert_rows_independent(gpt2(solution), text(), what="the logits", other=draw_ids("other", B=B, T=T))


def test_a_text_alone_gets_the_logits_that_it_gets_in_company(solution):
    model, ids = gpt2(solution), text()
    assert_close(
        model(ids[:1]), model(ids)[:1], "the logits of a batch of one text",
        because="A text's logits do not depend on its company, nor on how large that is.", atol=ATOL,
    )


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(gpt2(solution), text(), what="the logits")


def test_it_works_in_half_precision(solution):
    assert_half_precision(fill(solution.GPT2Model(config_of(solution, n_layer=1)), gain=0.5), text())


def test_in_half_precision_a_long_text_has_all_its_positions(solution):
    model = silence(gpt2(solution, n_positions=400))
    model.wpe.weight.data[1::2] *= -1  # even and odd positions differ, and all else is alike
    model.wpe.weight.data[2:] = model.wpe.weight.data[:2].repeat(199, 1)
    out = model.to(torch.bfloat16).eval()(torch.ones(1, 300, dtype=torch.long))
    assert_close(
        out[0, 2:].float(), out[0, :2].repeat(149, 1).float(), "the logits of 298 more equal tokens in bfloat16, where "
        "position t has the vector of position t - 2,",
        because="Count positions in int64: bfloat16 has no odd numbers above 256, nor float16 above 2048.",
    )  # fmt: skip


def test_it_moves_to_another_device(solution):
    assert_moves(gpt2(solution), text(), what="GPT2Model")


@pytest.mark.parametrize("length", [N + 1, N + 20])
def test_a_text_longer_than_n_positions_is_refused(solution, length):
    model, ids = gpt2(solution), draw_ids("ids", B, length)
    with assert_raises(
        ValueError, f"a text of {length} tokens with n_positions = {N}", naming=[length, N],
        because="There is no position for it, and cutting is the caller's decision: a ValueError names both numbers. T "
        "is input_ids.size(1); len(input_ids) is B, the number of texts.",
    ):
        model(ids)


# --- in and out ----------------------------------------------------------------------------------


def silence(model):
    """Let no block add anything, so that the embeddings arrive at the final norm as they are."""
    with torch.no_grad():
        for block in model.h:
            for sublayer in (block.attn, block.mlp):
                sublayer.c_proj.weight.zero_()
                sublayer.c_proj.bias.zero_()
    return model


def embedded(model, ids):
    """The sum of token and position vectors (B, T, C), from the model's own tables."""
    return (model.wte.weight[ids] + model.wpe.weight[: ids.size(1)]).detach()


def scored(model, x):
    """What the final norm and the head make of vectors (B, T, C), by the model's own weights."""
    norm = model.ln_f
    return (F.layer_norm(x, (C,), norm.weight, norm.bias,
    model.config.layer_norm_epsilon) @ model.wte.weight.T).detach()


def seen_by_the_first_block(model, ids):
    """What h.0 is called with; empty where it is not called as a module, or by a keyword."""
    seen = []
    handle = model.h[0].register_forward_pre_hook(lambda _, args: seen.extend(x.detach().clone() for x in args[:1]))
    with torch.no_grad():
        model(ids)
    handle.remove()
    return seen[:1]


def test_the_first_block_gets_token_plus_position(solution):
    model, ids = gpt2(solution), text()
    ids[:, 1] = 0
    right = embedded(model, ids)
    for x in seen_by_the_first_block(model, ids):
        assert_close(
            x, right, "what the first block gets in eval mode",
            because="The token at place t comes in as wte[id] + wpe[t], with t from 0, and nothing else is done to it. "
            "0, at t = 1 here, is an id like any: GPT-2 has no padding.",
        )


def test_the_embeddings_follow_no_other_rate(solution):
    model, ids = gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.4, resid_pdrop=0.4).train(), text()
    right = embedded(model, ids)
    for x in seen_by_the_first_block(model, ids):
        assert_close(
            x, right, "what the first block gets in train mode, with embd_pdrop = 0 and the other rates at 0.4,",
            because="The dropout on the embeddings has the rate embd_pdrop, and no other.", record=False,
        )


def test_dropout_acts_on_the_sum_of_the_embeddings(solution):
    model = gpt2(solution, embd_pdrop=0.4, attn_pdrop=0.0, resid_pdrop=0.0).train()
    with torch.no_grad():
        model.wte.weight.fill_(1.0)
        model.wpe.weight.fill_(2.0)
    for x in seen_by_the_first_block(model, draw_ids("ids", 40, T)):
        observe("the numbers that the first block gets", x.detach().unique())
        assert_dropped(
            x, 3.0, 0.4, "what the first block gets when each token vector is 1 and each position vector 2",
            because="drop, with the rate embd_pdrop, acts once, on the sum wte + wpe, before the first block.",
        )
    assert_drops_anew(model, draw_ids("ids", 40, T), what="the logits")


def test_the_logits_are_raw_scores(solution):
    out = gpt2(solution)(text())
    with torch.no_grad():
        sums = torch.stack([out.sum(-1), out.exp().sum(-1)])
    assert_true(
        not bool(((sums - 1).abs() < 1e-3).all(-1).all(-1).any()), "the logits are probabilities or their logarithms",
        because="They, or their exponentials, add up to 1, as after a softmax or log_softmax. The logits are what "
        "lm_head gives, as it is: cross_entropy and sampling do the rest.",
    )


def test_embeddings_go_through_the_final_norm_to_the_head(solution):
    model, ids = silence(gpt2(solution)), text()
    right = scored(model, embedded(model, ids))
    assert_close(
        model(ids), right, "the logits when no block adds anything",
        because="What is left is lm_head(ln_f(wte[ids] + wpe[positions])): looked up, added, normalised once, scored. "
        "A norm divides by sqrt(variance + eps), with the config's epsilon under the root.",
        atol=ATOL,
    )


def test_every_block_reads_what_the_one_before_wrote(solution):
    # Block i adds 10 * (i + 1) to channel i and nothing else, so the sum says which blocks took part.
    model, ids = silence(gpt2(solution, n_layer=3)), text()
    x = embedded(model, ids)
    with torch.no_grad():
        for i, block in enumerate(model.h):
            block.mlp.c_proj.bias[i] = 10.0 * (i + 1)
            x[..., i] += 10.0 * (i + 1)
    assert_close(
        model(ids), scored(model, x), "the logits when block i adds 10 * (i + 1) to channel i and nothing else",
        because="Each block gets what the one before it gave, from h.0 to the last, and so what all of them add "
        "arrives.",
        atol=ATOL,
    )
