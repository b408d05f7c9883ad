"""Problem 15, part 3: what generate promises beside the greedy loop: draws, and the end of a text.

Concrete draws are the learner's own business: they are compared with bounds, or made certain, as only one token
is left, never with the reference's. Shapes: B batch, T tokens, V vocab_size.
"""

import pytest
import torch

from common.testing import (
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    fail,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere, is_elsewhere
from common.testing.generation import Next, Same, Sum, V, continued, prompt, rows, seeded

B = 3
AXES = {"V": V}


def generated(solution, model, ids, n_tokens, max_context=20, **options):
    out = solution.generate(model, ids, n_tokens, max_context, **options)
    return assert_tensor(out, "the result of generate")


def zeros(size):
    return rows(*[[0]] * size).long()


# --- drawing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_context", [20, 3])
def test_each_drawn_token_follows_from_all_before_it(solution, max_context):
    # The likeliest token has all but 1e-20 of the probability, so a draw has no choice.
    ids = prompt()
    out = generated(solution, Sum().eval(), ids, 6, max_context, generator=seeded(2))
    says = "Row b is drawn from row b of the last position's logits, and joins row b of the text, of which the model "
    says += "sees the last max_context tokens."
    what = f"what generate draws where one token alone is possible, with max_context={max_context},"
    assert_tokens(out, continued(ids, 6, max_context), what, because=says)


SURE = [
    ({"temperature": 0}, "Temperature 0 means greedy, which is argmax: filter_logits refuses to divide by 0."),
    ({"temperature": 0.0, "top_k": 4, "top_p": 0.9}, "Temperature 0 means greedy, whatever top_k and top_p are."),
    ({"top_k": 1}, "With top_k=1 the most likely token is the only one that is left to be drawn."),
    ({"top_p": 0.01}, "With top_p=0.01 the most likely token reaches p by itself and is the only one that is left."),
    ({"temperature": 0.01}, "With temperature=0.01 the most likely token has nearly all of the probability."),
]


@pytest.mark.parametrize(("options", "says"), SURE, ids=[str(options) for options, _ in SURE])
def test_where_one_token_is_left_there_is_no_choice(solution, options, says):
    ids = prompt()
    said = ", ".join(f"{name}={value}" for name, value in options.items())
    for sharp in (0.7, 1e-6) if options.get("temperature") == 0 else (0.7,):
        out = generated(solution, Sum(sharp).eval(), ids, 8, generator=seeded(3), **options)
        near = f", where the largest logit is larger by {sharp:g}," if sharp < 0.1 else ""
        assert_tokens(out, continued(ids, 8, 20), f"what generate writes with {said}{near}", because=says)


FIVE = [0.45, 0.0, 0.3, 0.15, 0.1]
SHARES = [
    ({}, FIVE), ({"temperature": 0.5}, [0.6231, 0.0, 0.2769, 0.0692, 0.0308]),
    ({"temperature": 1000.0}, [0.25, 0.0, 0.25, 0.25, 0.25]), ({"top_k": 2}, [0.6, 0.0, 0.4, 0.0, 0.0]),
    ({"top_p": 0.8}, [0.5, 0.0, 0.3333, 0.1667, 0.0]), ({"top_k": 3, "top_p": 0.7}, [0.6, 0.0, 0.4, 0.0, 0.0]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "probs"), SHARES, ids=[str(options) for options, _ in SHARES])
def test_draws_follow_the_filtered_distribution(solution, options, probs):
    out = generated(solution, Same(FIVE).eval(), zeros(500), 4, generator=seeded(6), **options)
    says = "A row for each prompt and a column for each new token, (B, n_tokens)."
    assert_shape(out, (500, 4), "the result of generate for 500 prompts", because=says)
    shares, right = torch.bincount(out.flatten(), minlength=5).cpu() / 2000, torch.tensor(probs)
    observe(f"the shares with {options}", shares)
    about, got = f"about {[round(p, 2) for p in probs]}", [round(p, 2) for p in shares.tolist()]
    said = ", ".join(f"{name}={value}" for name, value in options.items()) or "no options"
    says = "Each row's token is drawn from the softmax of what filter_logits makes of its logits, with the "
    says += "temperature, top_k and top_p of the call, and a token at -inf is never drawn."
    if float((shares - right).abs().max()) > 0.05 or bool(shares[right == 0].any()):
        what = f"of 2000 draws from the probabilities {tuple(FIVE)} with {said}, the shares of the tokens are wrong:"
        fail(what, expected=about, got=got, because=says)


def test_equal_prompts_go_different_ways(solution):
    out = generated(solution, Sum(sharp=0.0).eval(), zeros(6), 9, generator=seeded(6)).tolist()
    says = "Each row has a draw of its own in each step."
    assert_true(len({tuple(row) for row in out}) > 1, "six equal prompts are continued in the same way", because=says)
    says = "Each step is a new draw, from where the random numbers stand then: nothing is seeded in the loop."
    assert_true(any(len(set(row)) > 1 for row in out), "each text repeats one token to its end", because=says)


@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "top_k": 9, "top_p": 0.95}], ids=str)
def test_the_same_seed_gives_the_same_text(solution, options):
    outs = []
    for other in (1, 2):
        torch.manual_seed(other)
        outs.append(generated(solution, Sum(sharp=0.1).eval(), prompt(), 9, generator=seeded(5), **options))
    says = "Two generators of one seed are given, and torch's global seed differs: all randomness has to come from the "
    says += "generator."
    assert_identical(outs[1], outs[0], "what generate writes, with a generator of the same seed,", because=says)


def test_without_a_generator_torchs_global_seed_decides(solution):
    outs = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        outs.append(generated(solution, Sum(sharp=0.1).eval(), prompt(), 9))
    says = "torch.manual_seed(5) came before both calls: without a generator all randomness comes from torch's global "
    says += "state, and from no generator of one's own."
    what = "what generate writes without a generator, after torch.manual_seed(5),"
    assert_identical(outs[1], outs[0], what, because=says)
    same = torch.equal(outs[2], outs[0])
    assert_true(not same, "without a generator, torch.manual_seed(6) gives the same text as 5", because=says)


def test_the_temperature_is_1_unless_it_is_given(solution):
    model = Same(FIVE).eval()
    default = generated(solution, model, zeros(200), 4, generator=seeded(6))
    one = generated(solution, model, zeros(200), 4, generator=seeded(6), temperature=1.0)
    says = "The default of temperature is 1.0, so with the same seed nothing differs."
    assert_identical(default, one, "200 texts drawn without a temperature, and then with 1.0,", because=says)


@pytest.mark.parametrize("own", [True, False], ids=["a generator", "no generator"])
def test_each_call_gives_a_new_text(solution, own):
    generator, model = seeded(8) if own else None, Sum(sharp=0.1).eval()
    first, second = (generated(solution, model, prompt(), 9, generator=generator).tolist() for _ in range(2))
    says = "Each call moves on in the stream of random numbers: nothing is seeded inside generate, "
    says += "and a torch.Generator that is made there begins with the same numbers each time."
    what = f"two calls in a row with {'one generator' if own else 'no generator'} give the same {B} texts"
    assert_true(first != second, what, because=says)


REFUSED = [({"temperature": -1.0}, "-1"), ({"top_k": 0}, "0"), ({"top_p": 1.5}, "1.5"), ({"top_p": 0.0}, "0")]


@pytest.mark.parametrize(("options", "named"), REFUSED, ids=str)
def test_generate_refuses_what_filter_logits_refuses(solution, options, named):
    ((name, value),) = options.items()
    model = Sum().train()
    says = f"{name}={value} goes to filter_logits as it is, which refuses it; only a temperature of 0 is greedy."
    with assert_raises(ValueError, f"generate(..., {name}={value})", naming=[named], because=says):
        solution.generate(model, prompt(), 2, 20, **options)
    says = "The mode comes back after an error too: what stands under `finally:` is reached in any case."
    assert_true(model.training, f"the model is left in eval mode when {name}={value} is refused", because=says)


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_drawing_leaves_the_mode_and_the_gradients_as_greedy_does(solution, training):
    model = Sum().train(training)
    generated(solution, model, prompt(), 3, generator=seeded(1))
    says = "Eval mode and torch.no_grad() are for both ways, the greedy one and the drawn one."
    assert_true(not any(model.modes), "the model is in training mode while generate draws", because=says)
    assert_true(not any(model.graphs), "the model builds a gradient graph while generate draws", because=says)
    says = "The mode is left as it was found."
    assert_equal(model.training, training, "model.training after generate has drawn", because=says)


# --- the end of a text ---------------------------------------------------------------------------

END = [[4, 5, 6, 7, 8, 9, 10], [9, 10, 10, 10, 10, 10, 10]]  # counted from 3 and from 8, with eos_id=10

each_way = pytest.mark.parametrize("temperature", [0, 1.0], ids=["greedy", "drawn"])


def counted(solution, last, n_tokens, model=None, **options):
    """Count on from prompts that end with these tokens; there is only one possible token at each step."""
    ids = rows(*[[1, token] for token in last]).long()
    out = generated(solution, model or Next().eval(), ids, n_tokens, generator=seeded(1), **options)
    observe("the shape of the result", tuple(out.shape))
    if out.ndim != 2 or out.shape[0] != 2 or out.shape[1] > n_tokens:
        fail(
            f"the result of generate for 2 prompts, with n_tokens={n_tokens} and {options}, has the wrong shape:",
            expected=f"(2, {n_tokens}), or fewer columns where all rows have ended", got=tuple(out.shape),
            because="Each row has one token and one flag in each step; (B,) and (B, 1) broadcast to (B, B).",
        )  # fmt: skip
    return out


def assert_counts(solution, last, expected, because, **options):
    """Check the new tokens after prompts that end with these two; all of them have a right to be there."""
    out = counted(solution, last, len(expected[0]), **options)
    said = ", ".join(f"{name}={value}" for name, value in options.items()) or "no eos_id"
    what = f"from a model that counts, after prompts that end with {last[0]} and {last[1]}, with {said}"
    assert_tokens(out, torch.tensor(expected, device=out.device), what, because=because)


def test_without_eos_id_no_token_ends_a_text(solution):
    says = "eos_id=None means that no token is special, and the model counts on modulo 13."
    assert_counts(solution, [10, 6], [[11, 12, 0, 1, 2], [7, 8, 9, 10, 11]], says)


@each_way
def test_a_row_that_has_ended_is_filled_with_eos(solution, temperature):
    says = "Row 1 draws eos_id, 10, as its second token and has ended for good: it is filled with 10, which belongs to "
    says += "the result, while row 0 counts on to its own end."
    assert_counts(solution, [3, 8], END, says, temperature=temperature, eos_id=10)


@each_way
def test_generation_ends_when_all_rows_have(solution, temperature):
    model = Next().eval()
    got = counted(solution, [3, 8], 12, model, temperature=temperature, eos_id=10)
    says = "Both rows have ended after seven tokens, and the end token of the last one belongs to the result."
    observe("the tokens", got)
    first = torch.tensor(END, device=got.device)
    assert_tokens(got[:, :7], first, "with eos_id=10 and n_tokens=12, the first seven tokens", because=says)
    later = sorted({token for row in got.tolist() for token in row[7:]} - {10})
    says = "Once all rows have ended the result ends, or is filled up with eos_id, 10."
    assert_equal(later, [], "the list of other tokens that come after all rows have ended", because=says)
    passes = model.passes(2)
    observe("forward passes", float(passes))
    if passes > 7:
        fail(
            "the model is called on though all rows have ended:", expected="7 forward passes", got=f"{passes:g}",
            because="When the last row has drawn eos_id nothing is left to ask for.",
        )  # fmt: skip


def test_token_zero_can_be_the_end(solution):
    says = "0 is a token like any other and can be the end, though 0 counts as false: only None is none."
    assert_counts(solution, [10, 6], [[11, 12, 0, 0, 0, 0, 0], [7, 8, 9, 10, 11, 12, 0]], says, eos_id=0)


def test_an_end_token_in_the_prompt_does_not_end_the_text(solution):
    says = "Both prompts begin with eos_id, 1, as GPT-2's texts do. Only a token that was drawn ends a row."
    assert_counts(solution, [3, 8], [[4, 5, 6], [9, 10, 11]], says, eos_id=1)


def test_an_end_token_at_the_end_of_the_prompt_ends_nothing(solution):
    says = "Row 0's prompt ends with eos_id, 3, as the start of GPT-2's texts does. Only a token that was drawn ends a "
    says += "row."
    assert_counts(solution, [3, 8], [[4, 5, 6], [9, 10, 11]], says, eos_id=3)


def test_a_first_token_that_is_the_end_is_returned(solution):
    got = counted(solution, [9, 9], 4, eos_id=10)
    observe("the tokens", got)
    says = "Both rows draw eos_id, 10, at once. It is a new token too, and belongs to the result."
    assert_true(got.shape[1] > 0 and bool((got == 10).all()), "the end token is not all that is returned", because=says)


# --- manners -------------------------------------------------------------------------------------


def test_the_arguments_have_the_order_of_the_contract(solution):
    out = solution.generate(Next().eval(), zeros(2), 6, 20, 1.0, None, None, 3, seeded(1))
    out = assert_tensor(out, "the result of generate").tolist()
    assert_true(
        all(row[:3] == [1, 2, 3] and set(row[3:]) <= {3} for row in out),
        "generate(model, batch, n_tokens, max_context, temperature, top_k, top_p, eos_id, generator), called by "
        "position, gives another text",
        because="The signature stands in the README's Build section, in this order.",
    )  # fmt: skip


ELSEWHERE = {
    "filter_logits": lambda s, model, ids: s.filter_logits(model(ids)[:, -1], temperature=0.5, top_k=3, top_p=0.9),
    "generate_text_simple": lambda s, model, ids: s.generate_text_simple(model, ids, 3, 4),
    "generate": lambda s, model, ids: s.generate(model, ids, 3, 4, top_k=3, eos_id=2),
}


@pytest.mark.parametrize("name", list(ELSEWHERE))
def test_it_works_on_another_device(solution, name):
    model, trouble = Sum().eval(), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            out = ELSEWHERE[name](solution, model, send(prompt()))
            if isinstance(out, torch.Tensor) and not is_elsewhere(out):
                trouble = "the result is on the CPU"
        except DevicesDiffer as error:
            trouble = str(error)
    observe(f"{name} on another device", trouble)
    if trouble:
        fail(
            f"{name} does not work on another device:", expected="everything where model and batch are", got=trouble,
            because="A tensor that is made anew lies on the CPU, unless it gets the device of the batch or the logits.",
        )  # fmt: skip
