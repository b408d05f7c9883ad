"""A training run, seventh part: how a model continues a text; the model's answers are known.

Shapes: B batch, T tokens, V vocab_size.
"""

import pytest
import torch

from common.testing import assert_equal, assert_identical, assert_shape, draw, fail, observe
from common.testing.generation import Known, Sum, V, continued, logs, prompt, seeded

CONTEXT = 6
AXES = {"B": 3, "T": 4, "V": V}


def saying(solution, answer):
    """A model that answers by this function of the ids, and notes how it is called."""
    return Known(answer, solution.Settings(context=CONTEXT, n_embd=8, n_head=2, n_layer=1))


def always(row):
    """The same logits (V,) at every position of every text."""
    return lambda ids: row.expand(*ids.shape, V)


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 9])
def test_the_text_grows_by_count_tokens(solution, count):
    """Print the shape of what generate returns."""
    out = solution.generate(saying(solution, Sum()), prompt(3, 4), count, temperature=0)
    assert_shape(
        out, (3, 4 + count), f"what generate returns for a prompt of 4 tokens and count={count}",
        because="The prompt comes back with count new tokens after it.",
    )


def test_the_prompt_is_kept(solution):
    """Compare the first tokens of what generate returns with the prompt."""
    ids = prompt(3, 4)
    out = solution.generate(saying(solution, Sum()), ids.clone(), 3, temperature=0)
    assert_identical(out[:, :4], ids, "the prompt in what generate returns", because="The whole text is returned.")


@pytest.mark.parametrize("length", [2, 6, 9])
def test_the_model_sees_the_last_tokens_up_to_context(solution, length):
    """Continue a text beyond context, and print what the model is given at each step."""
    ids = prompt(3, length)
    new = solution.generate(saying(solution, Sum()), ids, 9, temperature=0)[:, length:]
    right = continued(ids, new.size(1), CONTEXT)
    observe("the new tokens", new)
    if not torch.equal(new, right):
        step = int((new != right).any(0).nonzero()[0])
        fail(
            f"new token {step} after a prompt of {length} is another than the model's, context={CONTEXT}:",
            expected=right[:, step].tolist(), got=new[:, step].tolist(),
            because="At each step the model is given the last tokens, context of them or all if there are fewer, and "
            "temperature 0 takes the likeliest at the last position.",
        )


# --- the model's mode -----------------------------------------------------------------------------


def test_dropout_is_off_in_sampling(solution):
    """Take the likeliest tokens twice, from a model in train mode."""
    model = saying(solution, Sum()).train()
    solution.generate(model, prompt(3, 4), 6, temperature=0)
    assert_equal(
        sorted(set(model.modes)), [False], "the list of whether a part of the model is in train mode while it writes",
        because="It writes with all that it knows: in eval mode, where nothing is dropped.",
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_sampling_leaves_the_mode_as_it_was(solution, training):
    """Print model.training before and after a sample, for a model in train mode and one in eval mode."""
    model = saying(solution, Sum()).train(training)
    solution.generate(model, prompt(3, 4), 2, temperature=0)
    after = sorted({part.training for part in model.modules()})
    observe("modes afterwards", [str(mode) for mode in after])
    assert_equal(
        after, [training], "the list of model.training, after a sample,",
        because="generate switches to eval mode for itself, and puts back what it found.",
    )


# --- what is drawn --------------------------------------------------------------------------------

CHANCES = [0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.02]
ROW = logs(CHANCES + [1e-9] * (V - len(CHANCES)))[0]


def shares(tokens):
    """How often each token of the vocabulary stands in a column."""
    return tokens.flatten().bincount(minlength=V) / tokens.numel()


def drawn(solution, model, rows, temperature=1.0, top_k=None, seed=3):
    ids = torch.zeros(rows, 1, dtype=torch.long)
    return solution.generate(model, ids, 2, temperature, top_k, seeded(seed))[:, 1]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_logits_are_divided_by_the_temperature(solution, temperature):
    """Draw a few thousand tokens at temperature 0.5 and at 2, and count them."""
    found = shares(drawn(solution, saying(solution, always(ROW)), 6000, temperature))
    right = (ROW / temperature).softmax(-1)
    observe("shares of the tokens", found)
    off = ((found - right).abs() / (right * (1 - right) / 6000 + 1e-9).sqrt()).max()
    if float(off) > 5:  # standard deviations
        worst = int((found - right).abs().argmax())
        fail(
            f"at temperature {temperature} token {worst} is drawn too often or too rarely:",
            expected=f"a share of {float(right[worst]):.3f}", got=f"{float(found[worst]):.3f}",
            because="Tokens are drawn from softmax(logits / temperature): below 1 likely ones get likelier, above 1 "
            "rare ones do.",
        )


@pytest.mark.parametrize("top_k", [1, 3, V])
def test_only_the_k_most_likely_are_drawn(solution, top_k):
    """Draw a few hundred tokens with top_k=3 and list which there are; do it with two different rows in a batch."""
    logits = torch.stack([0.3 * draw("a", V) - 50, 4 + 0.3 * draw("b", V)])
    model = saying(solution, lambda ids: logits[torch.arange(ids.size(0)) % 2, None].expand(-1, ids.size(1), -1))
    tokens = drawn(solution, model, 1200, top_k=top_k).view(-1, 2)
    for i in range(2):
        found = tokens[:, i].unique().tolist()
        right = sorted(logits[i].topk(top_k).indices.tolist())
        assert_equal(
            found, right, f"the list of tokens that are drawn with top_k={top_k}",
            because="Of each row the k largest logits stay, the k-th too, and all others are left out, which a logit "
            "of -inf does.",
        )


def test_the_tokens_are_drawn_from_the_generator_alone(solution):
    """Sample twice with generators of one seed, with another torch.manual_seed before each."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(drawn(solution, saying(solution, always(ROW)), 50)[None])
        observe("torch's own state", torch.equal(before, torch.get_rng_state()))
    assert_identical(
        found[1], found[0], "the tokens that a generator of the same seed gives",
        because="All randomness is drawn from the generator that is passed in, so that a sample can be had again.",
    )
