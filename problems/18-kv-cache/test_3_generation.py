"""Problem 18, third part: what generate_cached promises.

Its greedy text is compared with a plain loop over the model, and where it draws with problem 15's generate: same
seed, same draws. Models are in float64, where no two logits are so close that rounding decides between them.
Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

from contextlib import suppress
from functools import cache
from itertools import product

import pytest
import torch

from common import problem
from common.testing import (
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    draw_ids,
    fail,
    fill,
    observe,
    tiny,
)
from common.testing.context import current
from common.testing.elsewhere import DevicesDiffer, elsewhere, is_elsewhere
from common.testing.generation import Owned, Passes, changed, inside, seeded
from common.testing.modules import OVERWRITTEN

CONFIG = tiny()
C, V, LIMIT = CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_positions
B, T = 4, 6


def gpt2(n_layer=1, positions=True, **changes):
    """A GPT-2 of problem 10 whose texts depend on every token and its position, in eval mode."""
    model = fill(problem(10).GPT2Model(tiny(n_layer=n_layer, **changes))).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                p.mul_(0.2)
            elif name.endswith("attn.c_proj.weight"):
                p.mul_(6.0)
        model.wpe.weight.mul_(0.5 if positions else 0.0)
        model.wte.weight.copy_(3 * torch.nn.functional.normalize(model.wte.weight, dim=-1))
    return model


def prompt(size=B, length=T):
    return draw_ids("prompt", B=size, T=length)


def once(function):
    """The function, which computes each result once for a seed and a device."""
    known = cache(lambda seed, device, *args, **options: function(*args, **options))
    return lambda *args, **options: known(current().seed, current().device, *args, **options)


@once
def right_text(n_tokens, *, size=B, length=T, max_context=LIMIT, **model):
    """What the greedy loop of problem 15 writes after that prompt, without any cache: (B, n_tokens)."""
    model, text = gpt2(**model), prompt(size, length)
    with torch.no_grad():
        for _ in range(n_tokens):
            text = torch.cat([text, model(text[:, -max_context:])[:, -1].argmax(-1, keepdim=True)], 1)
    return text[:, length:]


@once
def right_draws(n_tokens, **options):
    """What problem 15's generate draws after prompt(7), with a generator of seed 5: (7, n_tokens)."""
    return problem(15).generate(gpt2(), prompt(7), n_tokens, LIMIT, generator=seeded(5), **options)


def written(solution, model, ids, n_tokens, max_context=LIMIT, **options):
    """What generate_cached returns; greedy, if no options say how to draw."""
    options = options or {"temperature": 0}
    out = solution.generate_cached(model, ids, n_tokens, max_context, **options)
    return assert_tensor(out, "the result of generate_cached")


# --- what it returns, and what it leaves alone ---------------------------------------------------


@pytest.mark.parametrize(("size", "n"), [(7, 4), (1, 1), (2, 0)])
def test_the_result_holds_the_new_tokens_only(solution, size, n):
    out = written(solution, gpt2(), prompt(size), n)
    assert_shape(
        out, (size, n), f"generate_cached(model, batch, {n}, ...) for a prompt of shape {(size, T)}",
        because="As in generate there is a column for each new token, and none for the prompt.",
    )
    assert_equal(str(out.dtype), "torch.int64", "the dtype of the result", because="Token ids are int64.")


def test_the_model_is_left_as_it_was(solution):
    model = gpt2()
    before, values = inside(model), [p.clone() for p in model.parameters()]
    written(solution, model, prompt(), 2)
    assert_equal(
        changed(model, before), [], "the list of what generate_cached has changed in the model",
        because="The model belongs to the caller: its parts stay what they are, and no cache is kept in them.",
    )
    says = "Generation reads the parameters and changes none."
    for old, p in zip(values, model.parameters(), strict=True):
        assert_identical(p.detach(), old.detach(), "a parameter of the model, after generate_cached,", because=says)
    assert_true(
        all(p.requires_grad for p in model.parameters()), "a parameter of the model no longer requires a gradient",
        because="The model may go on learning afterwards; torch.no_grad() does without gradients for a while.",
    )


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_gets_its_mode_back(solution, training):
    model = gpt2().train(training)
    written(solution, model, prompt(), 2)
    because = "The mode is left as it was found, in the model and in each of its parts, as model.train(mode) sets it."
    assert_equal(model.training, training, "model.training after generate_cached", because=because)
    other = [name for name, part in model.named_modules() if part.training != training]
    assert_equal(other, [], "the list of parts that are in another mode after generate_cached", because=because)


def assert_left(model, before, when):
    """Check that a model in train mode is as it was before an error."""
    says = "What has to happen in any case stands under `finally:`, such as model.train(was_training)."
    assert_true(model.training, f"the model is left in eval mode {when}", because=says)
    says = "What was put into the model for a while is taken out again in any case, under `finally:`."
    assert_equal(changed(model, before), [], f"the list of what is changed in the model {when}", because=says)


def test_the_model_is_left_as_it_was_after_an_error_too(solution):
    model = gpt2().train()
    before = inside(model)
    for name, value in (("temperature", -1.0), ("top_k", 0), ("top_p", 1.5)):
        with assert_raises(
            ValueError, f"generate_cached(..., {name}={value})", naming=[f"{value:g}"],
            because="What filter_logits refuses is refused here, too, with the ValueError that it raises.",
        ):
            written(solution, model, prompt(), 2, **{name: value})
        assert_left(model, before, f"when {name}={value} is refused")
    with suppress(Exception):  # whichever it is
        solution.generate_cached(model, prompt() + V, 2, LIMIT)
    assert_left(model, before, f"after an error on the way, from a prompt with ids above {V - 1}")


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_greedy_text_is_repeatable(solution, training):
    model, ids = gpt2().train(training), prompt(12)
    first = written(solution, model, ids, 1)
    assert_tokens(
        written(solution, model, ids, 1), first,
        f"what is written for a prompt for the second time, from a model in {'training' if training else 'eval'} mode",
        because="Nothing is random: everything works in eval mode while it writes, and layers that are made anew "
        "start in training mode.",
    )


def test_two_calls_share_nothing(solution):
    model = gpt2(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    first = written(solution, model, prompt(), 3)
    written(solution, model, draw_ids("other", B=2, T=7), 2)
    assert_tokens(
        written(solution, model, prompt(), 3), first, "the text after a prompt, with another call in between",
        because="Each call begins with empty caches of its own: no default argument, module or model keeps any.",
    )
    twin = gpt2(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    for each in (model, twin):
        each.load_state_dict({name: value.flip(0) for name, value in each.state_dict().items()})
    assert_tokens(
        written(solution, model, prompt(), 3), written(solution, twin, prompt(), 3),
        "the text after a prompt, by a model whose weights were others in an earlier call,",
        because="What was computed from the earlier weights is kept and used again, and it says nothing of these.",
    )


def test_no_graph_is_built(solution):
    model = gpt2()
    with Passes(model, C, CONFIG.n_inner) as passes:
        written(solution, model, prompt(), 2)
    assert_true(
        not passes.graph, "generate_cached builds a gradient graph",
        because="Cached keys and values would hold on to the graph of every step, so it works under torch.no_grad().",
    )
    says = "torch.no_grad() as a decorator or a `with` block ends with the call."
    assert_true(torch.is_grad_enabled(), "generate_cached leaves gradients switched off", because=says)


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "n"), [(6, 4), (1, 3), (LIMIT - 3, 4)])
def test_while_the_text_fits_no_token_is_read_twice(solution, length, n):
    model, ids = gpt2(), prompt(B, length)
    with Passes(model, C, CONFIG.n_inner) as passes:
        written(solution, model, ids, n)
    read, limit = passes.per_layer() / B, min(length + n, LIMIT)
    if length + n > LIMIT and read == 2 * LIMIT:  # the window that slides after the last token is read as well
        read = LIMIT
    observe("tokens read by each layer", min(read, limit) if read >= limit - 1 else read)
    if read > limit:
        fail(
            f"tokens are read again, though the text before the last token fits max_context={LIMIT}:",
            expected=f"at most {limit} tokens through each layer, each once", got=f"{read:g} tokens",
            because=f"The caches know what has been read before. Without them it would be "
            f"{sum(range(length, length + n))} tokens: the whole text in every step.",
        )


# --- what it writes while the text fits ----------------------------------------------------------


@pytest.mark.parametrize("n_layer", [1, 3])
def test_the_first_token_is_what_the_model_says_after_the_prompt(solution, n_layer):
    assert_tokens(
        written(solution, gpt2(n_layer), prompt(12), 1), right_text(1, size=12, n_layer=n_layer),
        f"the first new token, from a model with n_layer={n_layer}",
        because="The prompt goes the way of problem 10's forward: wte and wpe, each block of h with both norms and "
        "both residuals, ln_f, lm_head; and the logits of its last position count.",
    )


@pytest.mark.parametrize("length", [1, T])
def test_one_layer_without_positions_goes_on_from_its_cache(solution, length):
    assert_tokens(
        written(solution, gpt2(positions=False), prompt(B, length), 4), right_text(4, length=length, positions=False),
        f"what a model of one layer, without positions, writes after {length} tokens",
        because="Each step feeds the tokens that are not in the cache yet, each once, and they see all that are.",
    )


def test_a_new_token_has_the_position_after_the_past(solution):
    assert_tokens(
        written(solution, gpt2(), prompt(7), 4), right_text(4, size=7), "what a model of one layer writes",
        because="Positions count from the first token of the text: with n tokens in the cache, the next has number n.",
    )


def test_each_layer_has_a_cache_of_its_own(solution):
    assert_tokens(
        written(solution, gpt2(n_layer=2), prompt(7), 4), right_text(4, size=7, n_layer=2),
        "what a model of two layers writes",
        because="Each layer makes keys and values from what the layer before it gives, and looks at no others.",
    )


def test_one_row_of_the_batch_does_not_touch_another(solution):
    model, ids = gpt2(), prompt()
    other = ids.clone()
    other[1] = (other[1] + 1) % V
    before = written(solution, model, ids, 3)
    assert_tokens(
        written(solution, model, other, 3)[:1], before[:1], "the text of row 0, after a change of row 1 of the prompt",
        because="The rows are texts that have nothing to do with each other.",
    )


# --- what it writes when the window slides -------------------------------------------------------


@pytest.mark.parametrize(("length", "max_context"), [(2, 4), (7, 5), (3, 1), (LIMIT - 1, LIMIT)])
def test_the_text_goes_on_when_the_window_slides(solution, length, max_context):
    n = max(max_context - length, 0) + 3
    assert_tokens(
        written(solution, gpt2(n_layer=2), prompt(7, length), n, max_context),
        right_text(n, size=7, length=length, max_context=max_context, n_layer=2),
        f"what is written after {length} tokens with n_tokens={n} and max_context={max_context}",
        because=f"The model sees the last {max_context} tokens, positions counted from the first of them: once the "
        "oldest leaves, each of the others is at another position, and its keys and values are others, too.",
    )


def test_the_prompt_is_left_as_it_was(solution):
    ids = prompt()
    before = ids.clone()
    written(solution, gpt2(), ids, 4, 5)
    assert_identical(ids, before, "after generate_cached, the caller's batch", because=OVERWRITTEN)


# --- how it draws, and where it ends -------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"temperature": 0.6, "top_k": 4}, {"top_p": 0.8}], ids=str)
def test_the_same_seed_draws_the_same_text_as_generate(solution, options):
    assert_tokens(
        written(solution, gpt2(), prompt(7), 4, generator=seeded(5), **options), right_draws(4, **options),
        f"what is drawn with a generator of seed 5 and {options or 'no options'}",
        because="As in generate each step draws once for the whole batch, with torch.multinomial and the generator, "
        "from the softmax of what filter_logits makes of the logits and the options.",
    )


def test_without_a_generator_torchs_global_state_is_drawn_from(solution):
    texts, model = [], gpt2()
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        texts.append(written(solution, model, prompt(7), 2, temperature=1.0))
    says = "Where generator is None, torch's global state is drawn from: torch.multinomial does so if given None."
    assert_tokens(texts[1], texts[0], "the text after a second torch.manual_seed(5)", because=says)
    same = torch.equal(texts[2], texts[0])
    assert_true(not same, "torch.manual_seed(6) gives the same text as torch.manual_seed(5)", because=says)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.01}], ids=str)
def test_where_one_token_is_left_there_is_no_choice(solution, options):
    assert_tokens(
        written(solution, gpt2(), prompt(), 3, **options), right_text(3), f"what is written with {options}",
        because="Only the most likely token has any probability then.",
    )


def an_end():
    """A prompt, a token that ends one row of its greedy text early and another never, that row, the right text."""
    for length in range(2, T):
        ids, text = prompt(8, length), right_text(4, size=8, length=length)
        for row, step in product(range(8), range(3)):
            has = text == text[row, step]
            if not (has[row, step + 1] or has.any(dim=1).all() or (ids == text[row, step]).any()):
                return ids, int(text[row, step]), row, text.masked_fill(has.cumsum(dim=1) > 0, text[row, step])
    raise AssertionError("no prompt has such a token with this seed")


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.0, "top_k": 1}], ids=["greedy", "drawn"])
@pytest.mark.parametrize("zero", [False, True], ids=["any token", "token 0"])
def test_a_row_that_has_ended_is_filled_with_eos(solution, options, zero):
    ids, eos, _, right = an_end()
    model, names = gpt2(), torch.arange(V, device=right.device)
    if zero:  # the two tokens change names
        names[[0, eos]] = names[[eos, 0]]
        model.wte.weight.data = model.wte.weight.data[names]
    got = written(solution, model, names[ids], 4, **options, eos_id=int(names[eos]))
    says = "As in generate, a row that has drawn eos_id is filled with it, and the others go on."
    says += " 0 is a token like any other, though it counts as False: only None is none." if zero else ""
    assert_tokens(got, names[right], f"what is written with {options} and eos_id={int(names[eos])}", because=says)


def test_a_row_that_has_ended_takes_no_draw_from_the_others(solution):
    drawn = right_draws(5)
    eos = next(int(e) for e in drawn[:, 0] if not (drawn == e).any(dim=1).all())  # ends a row at once, and not all
    got = written(solution, gpt2(), prompt(7), 5, temperature=1.0, eos_id=eos, generator=seeded(5))
    what = f"what is drawn with a generator of seed 5 where eos_id={eos} ends a row at its first token"
    says = "As in generate each step draws for all rows, those that have ended too; what they draw is replaced by "
    says += "eos_id. Draw for the others alone, and they get other random numbers."
    assert_tokens(got, right_draws(5, eos_id=eos), what, because=says)


def test_an_eos_in_the_prompt_ends_nothing(solution):
    ids, right = prompt(1), right_text(4, size=1)
    eos = next(int(token) for token in ids[0].flip(0) if not (right == token).any())
    got, what = written(solution, gpt2(), ids, 4, temperature=0, eos_id=eos), f"the text after a prompt with {eos=}"
    because = "A row ends when it draws eos_id; one that stands in its prompt, as between two texts, ends nothing."
    assert_tokens(got, right, what, because=because)


def test_writing_ends_when_all_rows_have(solution):
    ids, eos, row, right = an_end()
    right = right[row].tolist()
    end = right.index(eos) + 1
    got = written(solution, gpt2(), ids[row : row + 1], 4, temperature=0, eos_id=eos)[0].tolist()
    because = "The end is the first eos_id, which is part of the result; what follows it, if anything, is the same."
    assert_equal(got[:end], right[:end], f"one row alone with eos_id={eos}, up to its end,", because=because)
    others = [token for token in got[end:] if token != eos]
    assert_equal(others, [], f"the list of tokens other than eos_id={eos} behind that end", because=because)


# --- where it works ------------------------------------------------------------------------------


def test_generation_works_in_single_precision(solution):
    model = gpt2().float()
    right = problem(15).generate(model, prompt(), 2, LIMIT, temperature=0)
    because = "Everything is computed in the type of the model's parameters, whichever that is."
    assert_tokens(written(solution, model, prompt(), 2), right, "what a model in float32 writes", because=because)


def test_generation_works_on_another_device(solution):
    model, trouble = gpt2(), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            with Owned(model) as owned:
                out = solution.generate_cached(model, send(prompt()), 2, 5, top_k=3, eos_id=2)
            trouble = "" if is_elsewhere(out) else "the result is on the CPU"
        except DevicesDiffer:
            trouble = owned.trouble
    observe("generate_cached on another device", bool(trouble))
    if trouble:
        fail(
            "generate_cached does not work on another device:", expected="all where model and batch are", got=trouble,
            because="A tensor that is made on the way is made where the batch is: device=batch.device.",
        )
