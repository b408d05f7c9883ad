"""Interview 01: what the four classes promise, from cause to consequence.

The names of layers are the candidate's own, so no check looks for one: modules are filled with numbers that
follow from whatever names they have, and judged by what they do. B batch, T tokens, C embed_dim, H num_heads.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_true,
    draw,
    draw_ids,
    fail,
    fill,
    observe,
    unnamed,
)
from common.testing.causality import another

B, T, C, H, V, BLOCK = 2, 7, 15, 3, 29, 11


def attention(solution, **more):
    return fill(solution.CausalSelfAttention(C, H, BLOCK, **more))


def mlp(solution, **more):
    return fill(solution.MLP(C, **more))


def block(solution, **more):
    return fill(solution.TransformerBlock(C, H, BLOCK, **more))


def gpt2(solution, layers=2, **more):
    return fill(solution.GPT2(V, C, H, layers, BLOCK, **more))


def matrices(module):
    """How many numbers all weight matrices hold; biases and norms, however they are kept, left out."""
    return sum(p.numel() for p in module.parameters() if p.ndim >= 2 and sorted(p.shape)[-2] > 4)


def assert_random_in_train_mode_only(make, x, what):
    noisy, calm = make(dropout_p=0.5).train(), make(dropout_p=0.0).train()
    with torch.no_grad():
        differs = bool((noisy(x) != noisy(x)).any())
        assert_true(differs, f"{what} with dropout_p=0.5 gives the same output twice in train mode", because="dropout_p has to reach nn.Dropout layers that forward uses.")
        same = bool((calm(x) == calm(x)).all())
        assert_true(same, f"{what} with dropout_p=0 is random in train mode", because="A dropout rate is written into the code: use dropout_p.")
    assert_repeatable(make(dropout_p=0.5), x, what=what)


# --- CausalSelfAttention -------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, T, BLOCK])
def test_attention_keeps_the_shape(solution, length):
    out = attention(solution)(draw("x", B, length, C))
    assert_shape(out, (B, length, C), f"the output of attention for {length} tokens", because="Merge the heads side by side and project: (B, T, C) in, (B, T, C) out.")
    assert_true(bool(out.isfinite().all()), "the output of attention holds NaN or infinity", because="A row of scores is -inf everywhere: a token must be allowed to see itself.")


def test_attention_has_four_matrices_of_c_by_c(solution):
    count = matrices(attention(solution))
    says = {
        3 * C * C: "The projection after the heads is missing.",
        3 * C * C + C * C // H: "The output projection is too small: it takes all heads side by side, C numbers.",
    }.get(count, "Query, key, value and output projection map C numbers to C numbers, all heads together.")
    assert_equal(count, 4 * C * C, f"the number of weights of CausalSelfAttention({C}, {H}, {BLOCK}), biases aside,", because=says)


def test_attention_is_repeatable_in_eval_mode(solution):
    assert_repeatable(attention(solution, dropout_p=0.5), draw("x", B, T, C), what="attention")


def assert_no_token_sees_the_future(model, x, what):
    with torch.no_grad():
        moved = [(model(another(x, j)) != model(x)).flatten(2).any(-1).any(0) for j in range(T)]  # T times (T,)
    seen = [(i, j) for j in range(T) for i in range(j) if moved[j][i]]
    observe("who sees the future", seen)
    if seen:
        one_ahead = all(i + 1 == j for i, j in seen)
        says = "Each token sees one token too many: triu(diagonal=1) marks what is hidden, tril() what is allowed." if one_ahead else "Usual causes: no mask, a mask whose result is thrown away (masked_fill returns a new tensor), an inverted or transposed mask."
        fail(f"in {what} a token sees the future:", expected="each token sees itself and what came before", got=f"the output of token {seen[0][0]} changes with token {seen[0][1]}", because=says)


def assert_tokens_see_the_past(model, x, what):
    with torch.no_grad():
        moved = [(model(another(x, j)) != model(x)).flatten(2).any(-1).all(0) for j in range(T)]
    blind = [(i, j) for j in range(T) for i in range(j, T) if not moved[j][i]]
    observe("who is blind to the past", blind)
    if blind:
        fail(f"in {what} a token does not see what it may see:", expected="each token sees itself and all before it", got=f"the output of token {blind[0][0]} does not change with token {blind[0][1]}", because="The mask hides too much, or tokens never mix.")


def test_attention_is_causal(solution):
    assert_no_token_sees_the_future(attention(solution), draw("x", B, T, C), "attention")


def test_attention_sees_itself_and_all_the_past(solution):
    assert_tokens_see_the_past(attention(solution), draw("x", B, T, C), "attention")


def test_attention_adds_nothing_of_x_itself(solution):
    model = attention(solution)
    for p in model.parameters():
        p.data.zero_()
    with torch.no_grad():
        out = model(draw("x", B, T, C))
    assert_true(not bool(out.any()), "with all weights and biases at zero the output of attention is not zero", because="The residual connection is the block's business: attention returns only what it has to add.")


def test_attention_follows_the_formula(solution):
    model, x = attention(solution), draw("x", B, T, C)
    with torch.no_grad():
        out = model(x)
        right = unnamed.is_one_of(out, unnamed.attention_outputs(unnamed.causal_attention(), model, x, H))
        wrong = {
            "The scores are not divided by sqrt(D): large scores make the softmax nearly one-hot.": (unnamed.causal_attention(lambda q: 1.0), H),
            "The scores are divided by sqrt(C). Each head has D = C // H numbers, so it is sqrt(D).": (unnamed.causal_attention(lambda q: C**-0.5), H),
            "The scores are divided by D instead of its square root.": (unnamed.causal_attention(lambda q: 1 / q.size(-1)), H),
            "The scores are multiplied by sqrt(D) instead of divided.": (unnamed.causal_attention(lambda q: q.size(-1) ** 0.5), H),
            "The scores are divided by sqrt(H), the number of heads, instead of sqrt(D), the size of one.": (unnamed.causal_attention(lambda q: H**-0.5), H),
            "There is one head of size C: num_heads has no effect.": (unnamed.causal_attention(), 1),
            "The softmax runs over the queries (dim=-2). Each query shares out its attention over the keys: dim=-1.": (unnamed.causal_attention(axis=-2), H),
            "The mask comes after the softmax, so the weights of a row do not sum to 1. Put -inf into the scores before it.": (unnamed.renormalised_never, H),
        }
        says = next((text for text, (formula, heads) in wrong.items() if unnamed.is_one_of(out, unnamed.attention_outputs(formula, model, x, heads))), "") if right is False else ""
    observe("attention reads as", says or bool(right is not False))
    if right is False:
        fail(
            "attention does not compute softmax(q k^T / sqrt(D)) v for each head:", expected="that formula, whichever layer is the query's", got="other numbers in every reading of your layers",
            because=says or "Look at how heads are split and merged: (B, T, C) -> view(B, T, H, D) -> transpose(1, 2), and back by transpose(1, 2) before reshape(B, T, C).",
        )  # fmt: skip


def test_one_token_only_attends_to_itself(solution):
    model = attention(solution)
    a, b = draw("a", B, 1, C), draw("b", B, 1, C)
    with torch.no_grad():
        sum_of_parts, together = model(a) + model(b), model(a + b) + model(torch.zeros_like(a))
    assert_close(sum_of_parts, together, "f(a) + f(b) - f(a + b) - f(0), plus the last two, for a text of one token,", because="With one token the weights are 1 and attention is linear in x: something else bends it (an activation, a norm, a missing softmax).", atol=1e-4, record=False)


def test_attention_drops_in_train_mode_only(solution):
    assert_random_in_train_mode_only(lambda **more: attention(solution, **more), draw("x", B, T, C), "attention")


def test_heads_must_divide_the_width(solution):
    with assert_raises(Exception, "CausalSelfAttention(15, 4, 11)", because="Say it in the constructor: 15 numbers cannot be shared among 4 heads."):
        solution.CausalSelfAttention(15, 4, 11)(draw("x", B, T, 15))


# --- MLP -----------------------------------------------------------------------------------------


def test_the_mlp_keeps_the_shape_and_is_four_times_as_wide_inside(solution):
    model = mlp(solution)
    assert_shape(model(draw("x", B, T, C)), (B, T, C), "the output of the MLP")
    assert_equal(matrices(model), 8 * C * C, f"the number of weights of MLP({C}), biases aside,", because="C to 4 C and back to C: two matrices of 4 C * C.")


def test_the_mlp_takes_each_token_by_itself(solution):
    model, x = mlp(solution), draw("x", B, T, C)
    with torch.no_grad():
        assert_close(model(x)[:, :1], model(x[:, :1]), "the output of the MLP for token 0 among others", because="The MLP looks at one token at a time.", record=False)


def test_the_mlp_uses_gelu(solution):
    model, x = mlp(solution), draw("x", B, T, C)
    with torch.no_grad():
        out = model(x)
        kinds = {
            "": F.gelu, "tanh": lambda y: F.gelu(y, approximate="tanh"),
            "ReLU": F.relu, "no activation": lambda y: y, "SiLU": F.silu, "tanh alone": torch.tanh, "GELU twice": lambda y: F.gelu(F.gelu(y)),
            "the sigmoid form x * sigmoid(1.702 x)": lambda y: y * torch.sigmoid(1.702 * y), "sigmoid": torch.sigmoid,
        }  # fmt: skip
        # The exact and the tanh form differ by up to 5e-4, and both are right.
        found = {name: unnamed.is_one_of(out, unnamed.feed_forward_outputs(f, model, x)) for name, f in kinds.items()}
    right = found[""] is not False or found["tanh"]
    name = next((n for n, same in found.items() if same and n not in ("", "tanh")), "")
    observe("activation", name or bool(right))
    if not right:
        fail("the MLP is not linear, GELU, linear:", expected="GELU between the two layers (exact or tanh)", got=name or "another function", because="GPT-2 uses GELU, and nothing after the second layer but dropout.")


def test_the_mlp_adds_nothing_of_x_itself(solution):
    model = mlp(solution)
    for p in model.parameters():
        p.data.zero_()
    with torch.no_grad():
        out = model(draw("x", B, T, C))
    assert_true(not bool(out.any()), "with all weights and biases at zero the output of the MLP is not zero", because="The residual connection is the block's business.")


def test_the_mlp_drops_in_train_mode_only(solution):
    assert_random_in_train_mode_only(lambda **more: mlp(solution, **more), draw("x", B, T, C), "the MLP")


# --- TransformerBlock ----------------------------------------------------------------------------


def test_a_block_keeps_the_shape(solution):
    assert_shape(block(solution)(draw("x", B, T, C)), (B, T, C), "the output of a block")


def test_a_block_has_its_own_attention_and_mlp(solution):
    assert_equal(matrices(block(solution)), 12 * C * C, "the number of weights of a block, biases and norms aside,", because="4 C * C for attention and 8 C * C for the MLP.")


def test_a_block_that_adds_nothing_returns_x(solution):
    model, x = block(solution), draw("x", B, T, C)
    for p in model.parameters():
        p.data.zero_()
    with torch.no_grad():
        out = model(x)
    kind = "x" if bool((out == x).all()) else "zero" if not bool(out.any()) else "other"
    observe("a block of zeros gives", kind)
    if kind != "x":
        fail(
            "a block whose parameters are all zero changes x:", expected="x itself: x + 0 + 0", got="zeros" if kind == "zero" else "other numbers",
            because="A residual connection is missing, or a LayerNorm stands behind it (post-norm). GPT-2 is pre-norm: x = x + attn(ln_1(x)), then x = x + mlp(ln_2(x)).",
        )  # fmt: skip


def test_what_a_block_adds_does_not_grow_with_x(solution):
    # In double precision, as a number of size 1 is looked for in sums of size 1e4.
    model, x = block(solution).double(), draw("x", B, T, C).double()
    with torch.no_grad():
        small, large = (float((model(k * x) - k * x).norm()) for k in (1e3, 1e5))
    grows = large > 1.5 * small
    observe("grows with x", grows)
    if grows:
        fail("what a block adds to x grows with x:", expected="about the same for 1000 x and for 100000 x, as LayerNorm removes the scale", got=f"{small:.3g} and {large:.3g}", because="Attention or MLP reads x as it is. Each reads a normalised copy: attn(ln_1(x)), mlp(ln_2(x)).")


def heard(model, parts, x):
    """What went into and came out of each own module of these classes, in order."""
    log = []
    handles = [m.register_forward_hook(lambda _, args, out, kind=kind: log.append((kind, args, out))) for m in model.modules() for kind, cls in parts.items() if isinstance(m, cls)]
    with torch.no_grad():
        out = model(x)
    for handle in handles:
        handle.remove()
    return [(kind, args[0], y) for kind, args, y in log if args and isinstance(y, torch.Tensor)], out


def test_the_mlp_reads_what_attention_has_added(solution):
    model = solution.TransformerBlock(C, H, BLOCK).to(draw("d", 1).device).eval()
    x = 1 + 2 * draw("x", B, T, C)
    log, out = heard(model, {"attention": solution.CausalSelfAttention, "mlp": solution.MLP}, x)
    if [kind for kind, _, _ in log] not in (["attention", "mlp"], ["mlp", "attention"]):
        return  # written without the two classes, or called in another way: the other checks judge it
    assert_equal(log[0][0], "attention", "the part that comes first in a block", because="Attention first, then the MLP.")
    (_, first_in, first_out), (_, second_in, second_out) = log
    norm = lambda y: F.layer_norm(y, (C,))  # noqa: E731
    assert_close(first_in, norm(x), "what attention reads", because="Attention reads ln_1(x): mean 0 and variance 1 for every token.", atol=2e-3, record=False)
    sees = "x" if torch.allclose(second_in, norm(x), atol=1e-4) else "attention alone" if torch.allclose(second_in, norm(first_out), atol=1e-2) else ""
    says = {"x": "The MLP reads the x from before attention: the two run side by side.", "attention alone": "The MLP reads attention's output without x: the residual comes first."}.get(sees, "The MLP reads ln_2 of x + attn(ln_1(x)).")
    sums = {"x + a + m": x + first_out + second_out, "a + m": first_out + second_out, "x + m": x + second_out, "m": second_out}
    observe("mlp reads", sees)
    observe("the block returns", next((name for name, y in sums.items() if torch.allclose(out, y, atol=1e-4)), "other"))
    assert_close(second_in, norm(x + first_out), "what the MLP reads", because=says, atol=2e-3, record=False)
    assert_close(out, x + first_out + second_out, "the output of the block", because="It is x, plus what attention gave, plus what the MLP gave.", atol=1e-4, record=False)


def test_a_block_passes_dropout_on(solution):
    assert_random_in_train_mode_only(lambda **more: block(solution, **more), draw("x", B, T, C), "a block")


@pytest.mark.parametrize("make", [attention, mlp, block], ids=["attention", "MLP", "block"])
def test_there_is_no_dropout_unless_it_is_asked_for(solution, make):
    part, x = make(solution).train(), draw("x", B, T, C)
    with torch.no_grad():
        same = bool((part(x) == part(x)).all()) and torch.allclose(part(x), part.eval()(x), atol=1e-5)
    assert_true(same, "made without dropout_p, it computes something else in train mode than in eval mode", because="The default of dropout_p is 0.0.")


# --- GPT2 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, T, BLOCK])
def test_gpt2_gives_scores_for_every_token_of_the_vocabulary(solution, length):
    out = gpt2(solution)(draw_ids("ids", B, length))
    assert_shape(out, (B, length, V), f"the output of GPT2 for {length} tokens", because="Logits for every position, not only for the last one.")
    sums = out.exp().sum(-1)
    assert_true(not torch.allclose(sums, torch.ones_like(sums), atol=1e-3), "the output of GPT2 holds log-probabilities", because="Return raw logits: the loss does the softmax.")
    sums = out.sum(-1)
    assert_true(not torch.allclose(sums, torch.ones_like(sums), atol=1e-3), "the output of GPT2 holds probabilities", because="Return raw logits: the loss does the softmax.")


def test_gpt2_refuses_a_text_that_is_too_long(solution):
    with assert_raises(Exception, f"a text of {BLOCK + 1} tokens with block_size={BLOCK}", because="There is no position embedding for it. Cutting it off in silence would hide the mistake."):
        gpt2(solution)(draw_ids("ids", B, BLOCK + 1))


def test_gpt2_hands_its_dropout_to_every_part(solution):
    model, ids = gpt2(solution).train(), draw_ids("ids", B, T)
    with torch.no_grad():
        same = bool((model(ids) == model(ids)).all()) and torch.allclose(model(ids), model.eval()(ids), atol=1e-4)
        assert_true(same, "GPT2 made without dropout_p computes something else in train mode than in eval mode", because="The default of dropout_p is 0.0.")
        model = gpt2(solution, dropout_p=0.5).train()
        x = draw("x", B, T, C)
        parts = [part for part in model.modules() if isinstance(part, (solution.CausalSelfAttention, solution.MLP))]
        silent = sorted({type(part).__name__ for part in parts if bool((part(x) == part(x)).all())})
    observe("parts without dropout", ", ".join(silent))
    assert_true(not silent, f"the {' and the '.join(silent)} of GPT2 with dropout_p=0.5 give the same output twice in train mode", because="Hand dropout_p on: GPT2 to its blocks, a block to its attention and its MLP.")


def test_gpt2_is_repeatable_and_leaves_its_input_alone(solution):
    model, ids = gpt2(solution, dropout_p=0.5), draw_ids("ids", B, T)
    assert_repeatable(model, ids, what="GPT2")
    assert_input_untouched(model, ids, what="GPT2")


def test_changing_a_later_token_never_changes_an_earlier_output(solution):
    assert_no_token_sees_the_future(gpt2(solution), draw_ids("ids", B, T), "GPT2")


def test_every_output_depends_on_all_tokens_so_far(solution):
    assert_tokens_see_the_past(gpt2(solution), draw_ids("ids", B, T), "GPT2")


def test_positions_matter(solution):
    with torch.no_grad():
        out = gpt2(solution)(torch.full((1, T), 3, device=draw("d", 1).device))
    same = bool((out[:, 1:] - out[:, :1]).abs().max() < 1e-4)
    assert_true(not same, "a text of equal tokens gives equal logits at every position", because="Without position embeddings causal attention over equal tokens cannot count: add wpe(arange(T)).")


def test_a_prefix_gives_the_same_logits_alone(solution):
    model, ids = gpt2(solution), draw_ids("ids", B, T)
    with torch.no_grad():
        assert_close(model(ids[:, :4]), model(ids)[:, :4], "the logits of the first 4 tokens alone", because="Positions count from 0 at the start of every text, whatever its length.", atol=1e-4, record=False)


def test_rows_of_a_batch_are_independent(solution):
    assert_rows_independent(gpt2(solution), draw_ids("ids", B, T), what="the logits", other=draw_ids("other", B, T))


def test_each_layer_has_weights_of_its_own(solution):
    one, two, three = (matrices(gpt2(solution, layers)) for layers in (1, 2, 3))
    says = "num_layers has no effect." if one == two else "Blocks share their weights: [block] * n repeats one block. Build one in each pass of a comprehension." if two - one < 12 * C * C else "Each layer adds one block, 12 C * C weights."
    assert_equal([two - one, three - two], [12 * C * C] * 2, "what a second and a third layer add to the number of weights, biases and norms aside,", because=says)


def test_the_head_reads_a_normalised_vector(solution):
    model = solution.GPT2(V, C, H, 2, BLOCK).to(draw("d", 1).device).eval()
    read = []
    handles = [m.register_forward_hook(lambda m, args, out: read.append(args[0]) if out.size(-1) == V else None) for m in unnamed.linears(model) if m.out_features == V]
    with torch.no_grad():
        model(draw_ids("ids", B, T))
    for handle in handles:
        handle.remove()
    if len(read) != 1 or read[0].shape[-1] != C:
        return  # a head without nn.Linear, such as x @ wte.weight.T: nothing to listen at
    flat = read[0].reshape(-1, C)
    # Where embeddings start at 0.02, their variance is 8e-4 and less, and the norm's epsilon takes a few percent.
    normal = bool(flat.mean(-1).abs().max() < 1e-3) and bool((flat.var(-1, unbiased=False) - 1).abs().max() < 0.2)
    assert_true(normal, "what the head reads is not normalised", because="A last LayerNorm stands between the blocks and the head: head(ln_f(x)).")


def test_gradients_reach_every_parameter(solution):
    model = gpt2(solution).train()
    F.cross_entropy(model(draw_ids("ids", B, BLOCK)).flatten(0, 1), draw_ids("targets", B, BLOCK).flatten()).backward()
    # A bias of the keys shifts all scores of a query alike, so its gradient is 0 in theory and rounding in practice.
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert_equal(len(idle), 0, "the number of parameters that no gradient reaches", because=f"`{idle[0]}` takes no part in the result: never used, or cut off by detach() or no_grad()." if idle else "")


def test_gpt2_drops_in_train_mode_only(solution):
    assert_random_in_train_mode_only(lambda **more: gpt2(solution, **more), draw_ids("ids", B, T), "GPT2")


def test_gpt2_works_in_double_precision_and_on_another_device(solution):
    model, ids = gpt2(solution), draw_ids("ids", B, T)
    assert_keeps_dtype(model, ids, what="GPT2")
    assert_moves(model, ids, what="GPT2")


def test_any_size_works(solution):
    for sizes in (dict(vocab_size=5, embed_dim=8, num_heads=1, num_layers=1, block_size=4), dict(vocab_size=100, embed_dim=12, num_heads=12, num_layers=3, block_size=1)):
        out = fill(solution.GPT2(**sizes))(draw_ids("ids", 1, sizes["block_size"], vocab_size=5))
        assert_shape(out, (1, sizes["block_size"], sizes["vocab_size"]), f"the output of GPT2({', '.join(f'{k}={v}' for k, v in sizes.items())})")
