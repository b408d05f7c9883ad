"""Interview 05, second part: what sample and generate promise, from cause to consequence.

Concrete random draws are the learner's own business: they are compared with bounds, or made certain (one token
left), never with the reference's. Shapes: B batch, T tokens, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_equal,
    assert_identical,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
)

AXES = {"B": 3, "T": 5, "V": 13}
B, T, V = AXES.values()
INF = float("inf")
NO_CHOICE = [{"temperature": 0}, {"top_k": 1}, {"top_p": 0.01}]


def on_device(*values):
    return torch.tensor(values, device=draw("d", 1).device)


def seeded(number):
    return torch.Generator(device=draw("d", 1).device).manual_seed(number)


def drawn(solution, logits, seed, **options):
    """What sample draws with a generator of that seed, seen whole by a diagnosis."""
    ids = assert_tensor(solution.sample(logits, generator=seeded(seed), **options), "the result of sample")
    observe(f"sample with {options or 'no options'}", ids)
    return ids


# --- sample --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, B])
def test_sample_gives_one_id_for_each_row(solution, size):
    ids = drawn(solution, draw("logits", size, V), 1)
    assert_shape(
        ids, (size,), f"sample of {size} row{'s' if size > 1 else ''}",
        because="One id comes for each row, (B,), also for a batch of 1, and there is no second axis.",
    )
    assert_equal(str(ids.dtype), "torch.int64", "the dtype of what sample returns", because="Token ids are int64.")


def test_sample_leaves_the_logits_as_they_were(solution):
    logits = draw("logits", B=B, V=V)
    before = logits.clone()
    solution.sample(logits, 0.5, top_k=4, top_p=0.7, generator=seeded(1))
    assert_identical(logits, before, "after sample, the caller's logits", because="They belong to the caller.")


@pytest.mark.parametrize("options", NO_CHOICE, ids=str)
def test_sample_has_no_choice_where_one_token_is_left(solution, options):
    logits = 0.5 * draw("flat", 60, V)
    right = int((drawn(solution, logits, 2, **options) == logits.argmax(-1)).sum())
    if right < 60:
        fail(
            f"sample with {options} draws other tokens than the most likely:", expected="60 of 60 rows",
            got=f"{right} of 60 rows",
            because="It draws from what sampling_probabilities gives for its options, and only the most likely token "
            "has any probability then.",
        )


def test_each_row_draws_from_its_own_probabilities(solution):
    tokens = on_device(7, 0, 12, 3, 9)
    logits = torch.full((5, V), -INF, device=tokens.device).scatter(1, tokens[:, None], 1.0)
    assert_equal(
        drawn(solution, logits, 5).tolist(), tokens.tolist(), "sample of five rows with one possible token each",
        because="Row b of the result is drawn from row b of the probabilities.",
    )


def test_each_row_has_a_draw_of_its_own(solution):
    ids = drawn(solution, torch.zeros(50, V, device=draw("d", 1).device), 4)
    assert_true(
        len(set(ids.tolist())) > 1, "50 equal rows, with 13 tokens that are equally likely, all get the same token",
        because="The rows are independent: each draw has a random number of its own.",
    )


def assert_shares(ids, probs, what, because):
    """Check that in many draws each token comes about as often as its probability says."""
    share = torch.bincount(ids, minlength=len(probs)).float() / len(ids)
    observe("shares", share)
    if float((share - probs).abs().max()) >= 0.05:
        shown = [[round(p, 2) for p in values.tolist()] for values in (probs, share)]
        fail(f"{what}, are wrong:", expected=f"about {shown[0]}", got=shown[1], because=because)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 1000.0])
def test_draws_follow_the_probabilities(solution, temperature):
    logits = on_device([0.45, 0.0, 0.3, 0.15, 0.1]).log()
    ids = drawn(solution, logits.repeat(3000, 1), 6, temperature=temperature)
    never = int((ids == 1).sum())
    assert_equal(never, 0, "the number of times that a token of probability 0 is drawn", because="It must never come.")
    assert_shares(
        ids, (logits / temperature).softmax(-1)[0],
        f"the shares of the tokens among 3000 draws with temperature={temperature}",
        "Each token is drawn as often as what sampling_probabilities gives for these options says.",
    )


def test_sample_draws_with_top_k_and_top_p(solution):
    logits = on_device([0.1, 0.4, 0.2, 0.3]).log().repeat(3000, 1)
    for options, right in (({"top_k": 3}, [0, 4 / 9, 2 / 9, 3 / 9]), ({"top_p": 0.6}, [0, 4 / 7, 0, 3 / 7])):
        assert_shares(
            drawn(solution, logits, 7, **options), on_device(*right),
            f"the shares among 3000 draws with probabilities (0.1, 0.4, 0.2, 0.3) and {options}",
            "It draws from what sampling_probabilities gives for these options.",
        )


def test_sample_repeats_itself_with_the_same_generator_state(solution):
    logits = draw("flat", 40, V)
    torch.manual_seed(1)
    first = drawn(solution, logits, 7)
    torch.manual_seed(2)
    assert_identical(
        drawn(solution, logits, 7), first, "40 tokens of sample, drawn again with a generator of the same seed,",
        because="All randomness comes from the generator where one is given, and none from torch's global state.",
    )


@pytest.mark.parametrize("name", ["sample", "generate"])
def test_without_a_generator_torchs_own_state_counts(solution, name):
    outs = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        if name == "sample":
            outs.append(solution.sample(draw("flat", 40, V)))
        else:
            outs.append(solution.generate(Sum(sharp=0.1).eval(), prompt(), 9, 20))
    says = "torch.manual_seed(5) came before both calls: without a generator all randomness comes from torch's global "
    says += "state, and from no generator of one's own."
    what = f"what {name} draws without a generator, after torch.manual_seed(5),"
    assert_identical(outs[1], outs[0], what, because=says)
    differs = not torch.equal(outs[2], outs[0])
    what = f"without a generator, {name} draws the same after torch.manual_seed(6) as after 5"
    assert_true(differs, what, because=says)


def test_sample_has_a_temperature_of_one_unless_told(solution):
    logits = draw("many", 400, V)
    assert_identical(
        drawn(solution, logits, 8), drawn(solution, logits, 8, temperature=1.0),
        "400 tokens of sample without a temperature, against those with temperature=1.0 and the same seed,",
        because="The default of temperature is 1.0.",
    )


@pytest.mark.parametrize("own", [True, False], ids=["a generator", "no generator"])
def test_sample_gives_new_draws_each_time(solution, own):
    logits, generator = draw("flat", 40, V), seeded(8) if own else None
    first, second = (solution.sample(logits, generator=generator).tolist() for _ in range(2))
    assert_true(
        first != second, f"two calls in a row with {'one' if own else 'no'} generator give the same 40 tokens",
        because="Each call moves on in the stream of random numbers, which only its owner seeds.",
    )


# --- generate: what it returns, and what it leaves alone -----------------------------------------


class Sum(nn.Module):
    """A language model whose likeliest next token is known: 1 + 1 * first + 2 * second + ... modulo V.

    It notes how many tokens it saw, in which mode it and its part were, and whether gradients were on.
    """

    def __init__(self, sharp=50.0):
        super().__init__()
        self.sharp, self.drop = nn.Parameter(torch.tensor(sharp)), nn.Dropout(0.5)
        self.lengths, self.modes, self.graphs = [], [], []
        self.to(draw("d", 1).device)

    def forward(self, ids):
        self.lengths.append(ids.size(1))
        self.modes.append(self.training or self.drop.training)
        places = torch.arange(1, ids.size(1) + 1, device=ids.device)
        logits = self.sharp * F.one_hot((1 + (ids * places).cumsum(1)) % V, V)
        self.graphs.append(logits.requires_grad)
        return logits


def continued(ids, n_tokens, max_context):
    """What the model above says, in plain Python: the new tokens."""
    texts = [list(row) for row in ids.tolist()]
    for text in texts:
        for _ in range(n_tokens):
            text.append((1 + sum(i * token for i, token in enumerate(text[-max_context:], 1))) % V)
    return torch.tensor([text[ids.size(1) :] for text in texts], device=ids.device)


def prompt(size=B):
    return draw_ids("prompt", size, T, vocab_size=V)


def assert_continues(out, ids, n_tokens, what, *, max_context=20, because):
    """Check that the prompt comes back with the most likely tokens behind it."""
    shape = (ids.size(0), ids.size(1) + n_tokens)
    assert_shape(
        out, shape, what,
        because="The whole prompt comes back, with n_tokens more behind it: only what the model sees is cropped.",
    )
    assert_equal(
        out[:, : ids.size(1)].tolist(), ids.tolist(), f"the first {ids.size(1)} tokens of {what}",
        because="The result begins with the prompt, token for token.",
    )
    assert_tokens(out[:, ids.size(1) :], continued(ids, n_tokens, max_context), f"{what}, new tokens", because=because)


@pytest.mark.parametrize(("size", "n"), [(B, 4), (1, 2), (2, 0)])
def test_generate_returns_the_prompt_and_the_new_tokens(solution, size, n):
    ids = prompt(size)
    out = solution.generate(Sum().eval(), ids, n, 20, generator=seeded(1))
    what = f"generate(model, ids, n_tokens={n}, ...) for ids of shape {(size, T)}"
    assert_shape(
        out, (size, T + n), what, because="It is the prompt with n_tokens more behind it: one column for each draw."
    )
    assert_equal(out[:, :T].tolist(), ids.tolist(), f"the beginning of {what}", because="It begins with the prompt.")
    assert_equal(str(out.dtype), "torch.int64", "the dtype of what generate returns", because="Token ids are int64.")


def test_the_prompt_is_left_as_it_was(solution):
    ids = prompt()
    before = ids.clone()
    solution.generate(Sum().eval(), ids, 4, 2, temperature=0)
    assert_identical(
        ids, before, "after generate, the caller's ids",
        because="The prompt belongs to the caller: a longer text is a new tensor, as torch.cat makes one.",
    )


@pytest.mark.parametrize("n", [3, 0])
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_works_in_eval_mode_and_gets_its_mode_back(solution, training, n):
    model = Sum().train(training)
    solution.generate(model, prompt(), n, 20, temperature=0)
    assert_true(
        not any(model.modes), "the model, or a part of it, is in training mode while it generates",
        because="Dropout would disturb each token; model.eval() reaches all parts of a model.",
    )
    assert_equal(
        (model.training, model.drop.training), (training, training),
        f"model.training and that of the model's dropout after generate with n_tokens={n}",
        because="The mode is left as it was found, in the model and in its parts, which model.train(mode) reaches.",
    )


def test_no_gradients_are_kept(solution):
    model = Sum().eval()
    solution.generate(model, prompt(), 3, 20, temperature=0)
    assert_true(
        not any(model.graphs), "the model builds a gradient graph while it generates",
        because="Nothing is trained here, so it works under torch.no_grad().",
    )
    assert_true(
        torch.is_grad_enabled(), "generate leaves gradients switched off",
        because="torch.no_grad() as a decorator or in a with statement ends with the call.",
    )


# --- generate: the loop --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"temperature": 0}], ids=["drawn", "greedy"])
def test_the_first_token_follows_from_the_prompt(solution, options):
    # Without options the likeliest token has all but 1e-20 of the probability, so a draw has no choice either.
    ids = prompt(9)
    assert_continues(
        solution.generate(Sum().eval(), ids, 1, 20, **options, generator=seeded(2)), ids, 1, "one token of generate",
        because="It is drawn from the logits of the last position, which say what follows the whole prompt.",
    )


@pytest.mark.parametrize("options", [{}, {"temperature": 0}], ids=["drawn", "greedy"])
def test_each_token_follows_from_all_before_it(solution, options):
    ids = prompt()
    assert_continues(
        solution.generate(Sum().eval(), ids, 6, 20, **options, generator=seeded(2)), ids, 6, "six tokens of generate",
        because="Each new token joins the text, and the next one follows from all of it.",
    )


@pytest.mark.parametrize("max_context", [3, T, 7, 1])
def test_the_model_sees_the_last_max_context_tokens(solution, max_context):
    ids, model = prompt(), Sum().eval()
    out = assert_tensor(solution.generate(model, ids, 5, max_context, temperature=0), "the result")
    observe("tokens that the model sees in each step", model.lengths)
    assert_true(
        max(model.lengths, default=0) <= max_context,
        f"the model is given {max(model.lengths, default=0)} tokens with max_context={max_context}",
        because="It has no positions for more than max_context, so a longer text is cropped in each step.",
    )
    assert_continues(
        out, ids, 5, f"five tokens of generate with max_context={max_context}", max_context=max_context,
        because="The model sees the last max_context tokens of the text as it has grown, or all while there are fewer.",
    )


@pytest.mark.parametrize("options", NO_CHOICE, ids=str)
def test_generate_hands_its_options_on(solution, options):
    ids = prompt()
    assert_continues(
        solution.generate(Sum(sharp=0.7).eval(), ids, 8, 20, **options, generator=seeded(3)), ids, 8,
        f"eight tokens of generate with {options}",
        because="Its options are sample's, and with these only the most likely token has any probability.",
    )


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"temperature": 1000.0}], ids=str)
def test_generate_draws_from_the_probabilities(solution, options):
    # At temperature 1 the likeliest token has e^2 / (e^2 + 12) = 0.38 of the probability.
    ids = prompt(1).repeat(1500, 1)
    out = assert_tensor(solution.generate(Sum(sharp=2.0).eval(), ids, 1, 20, generator=seeded(7), **options), "the "
        "result")
    likeliest = F.one_hot(continued(ids[:1], 1, 20)[0, 0], V)
    probs = (2.0 * likeliest / options.get("temperature", 1.0)).softmax(-1)
    assert_shares(
        out[:, -1], probs, f"the shares of the tokens in 1500 texts of generate with {options or 'no options'}",
        "Each token is drawn from the softmax of the logits divided by the temperature, which is 1.0 unless given.",
    )


def test_generate_has_a_temperature_of_one_unless_told(solution):
    default, one = (
        solution.generate(Sum(sharp=0.1).eval(), prompt(), 40, 20, generator=seeded(5), **options)
        for options in ({}, {"temperature": 1.0})
    )
    assert_identical(
        default, one, "40 tokens of generate without a temperature, against those with temperature=1.0 and the same "
            "seed,",
        because="The default of temperature is 1.0.",
    )


def test_generate_repeats_itself_with_the_same_generator_state(solution):
    outs = []
    for other in (1, 2):
        torch.manual_seed(other)
        outs.append(solution.generate(Sum(sharp=0.1).eval(), prompt(), 9, 20, generator=seeded(5)))
    assert_identical(
        outs[1], outs[0], "nine tokens of generate, written again with a generator of the same seed,",
        because="All randomness comes from the generator where one is given, in each step.",
    )


def test_equal_prompts_go_different_ways(solution):
    ids = torch.ones(6, 2, dtype=torch.int64, device=draw("d", 1).device)
    out = solution.generate(Sum(sharp=0.0).eval(), ids, 9, 20, generator=seeded(6)).tolist()
    assert_true(
        len({tuple(row) for row in out}) > 1, "six equal prompts are continued in the same way",
        because="The rows are independent: each has a draw of its own in each step.",
    )


def test_each_step_is_a_new_draw(solution):
    ids = torch.ones(6, 2, dtype=torch.int64, device=draw("d", 1).device)
    out = solution.generate(Sum(sharp=0.0).eval(), ids, 9, 20, generator=seeded(6))
    assert_true(
        bool((out[:, 2:] != out[:, 2:3]).any()), "each of six texts repeats one token nine times",
        because="All 13 tokens are equally likely in each step, and only the generator's owner seeds it.",
    )


def test_two_calls_share_nothing(solution):
    model, ids = Sum().eval(), prompt()
    solution.generate(model, draw_ids("other", 2, 7, vocab_size=V), 3, 20, temperature=0)
    assert_continues(
        solution.generate(model, ids, 3, 20, temperature=0), ids, 3, "three tokens of a second call of generate",
        because="What was written before has no part in a text.",
    )
