"""A training run, first part: the settings, the tokenizer, both parts of the text, and the windows that are drawn.

Shapes: B batch, T tokens.
"""

from dataclasses import fields

import pytest
import torch

from common.testing import assert_equal, assert_identical, assert_shape, assert_true, observe

AXES = {"B": 4, "T": 6}
TEXT = "the tide turns at noon"


def seeded(number):
    return torch.Generator().manual_seed(number)


def test_the_settings_have_their_defaults(solution, reference):
    """Print Settings() and compare it with the file as it was given out."""
    right, mine = reference.Settings(), solution.Settings()
    wrong = {f.name: getattr(mine, f.name) for f in fields(right) if getattr(mine, f.name) != getattr(right, f.name)}
    assert_equal(
        wrong, {}, "the dict of the settings whose default was changed",
        because="The defaults of Settings are right: what is wrong in a run lies elsewhere.",
    )


# --- the tokenizer --------------------------------------------------------------------------------


def test_there_is_a_token_for_each_character(solution):
    """Print tokenizer.vocab_size beside len(set(text))."""
    assert_equal(
        solution.CharTokenizer(TEXT).vocab_size, len(set(TEXT)), "the vocabulary's size",
        because="Each character of the text is a token, once.",
    )


def test_the_tokens_stand_in_sorted_order(solution):
    """Encode the characters of the text in sorted order: the ids are 0, 1, 2 and so on."""
    characters = "".join(sorted(set(TEXT)))
    ids = solution.CharTokenizer(TEXT).encode(characters)
    observe("the ids of the characters in sorted order", ids)
    assert_equal(
        ids.tolist(), [*range(len(characters))], "the list of ids of the characters in sorted order",
        because="The ids follow the characters' order: sorted, a character's id is the same wherever it stands.",
    )


def test_a_text_becomes_ids_and_comes_back(solution):
    """Encode a text, look at the shape and the dtype, and decode it again."""
    tokenizer = solution.CharTokenizer(TEXT)
    ids = tokenizer.encode("noon tide")
    assert_shape(ids, (9,), "the ids of a text of 9 characters", because="There is one id for each character.")
    assert_equal(str(ids.dtype), "torch.int64", "the dtype of the ids", because="Ids are looked up, so they are int64.")
    assert_equal(
        tokenizer.decode(ids), "noon tide", "what decode makes of the ids of 'noon tide'",
        because="decode is the way back: the characters of the ids, in their order.",
    )


# --- both parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "share"), [(37, 0.9), (41, 0.75)])
def test_the_training_part_is_the_first_share(solution, n, share):
    """Print the lengths of both parts beside that of the text."""
    first, _ = solution.split(torch.arange(n), share)
    observe("the training part", first)
    assert_equal(
        first.tolist(), [*range(int(share * n))], f"the list of ids to train on, of {n} with share={share},",
        because="The first int(share * N) ids are there to train on, and the rest to validate.",
    )


@pytest.mark.parametrize("n", [37, 40])
def test_nothing_is_in_both_parts_and_nothing_is_lost(solution, n):
    """Add up the lengths of both parts, and look for a token that is in both."""
    parts = solution.split(torch.arange(n))
    both = torch.cat(parts)
    observe("both parts", both)
    assert_equal(
        sorted(both.tolist()), [*range(n)], f"the list of all ids in both parts, of {n},",
        because="Each id belongs to one part alone: what a model has trained on says nothing when it is validated on, "
        "and what is in neither part is lost.",
    )


# --- windows --------------------------------------------------------------------------------------


def windows(solution, n=60, batch_size=4, context=6, seed=0):
    """Windows of a text whose ids are their own places."""
    return solution.draw_batch(torch.arange(n), batch_size, context, seeded(seed))


def test_inputs_and_targets_have_a_row_for_each_window(solution):
    """Print the shapes of a batch."""
    for what, part in zip(("the inputs", "the targets"), windows(solution), strict=True):
        assert_shape(
            part, (4, 6), f"{what} of draw_batch(ids, 4, 6, generator)",
            because="There are batch_size rows, each as long as context: the model learns at every place it has.",
        )


def test_a_window_is_a_piece_of_the_text(solution):
    """Print a row of the inputs of torch.arange(60): each is one more than the one before."""
    inputs, _ = windows(solution)
    steps = inputs[:, 1:] - inputs[:, :-1]
    observe("the steps from token to token", steps)
    assert_true(
        bool((steps == 1).all()), "the inputs of a row do not stand side by side in the text",
        because="A window is cut out of the text as it is.",
    )


def test_each_target_is_the_token_that_follows(solution):
    """Draw from torch.arange(60): each target is its input plus 1."""
    inputs, targets = windows(solution)
    width = min(inputs.size(1), targets.size(1))
    ahead = targets[:, :width] - inputs[:, :width]
    observe("how far the targets are ahead", ahead)
    assert_true(
        bool((ahead == 1).all()),
        f"targets are ahead of their inputs by {sorted(set(ahead.flatten().tolist()))[:5]} tokens",
        because="Target [b, t] is the token right after input [b, t], for the last of a row as for the first.",
    )


def test_each_row_has_a_start_of_its_own(solution):
    """Print the first token of every row."""
    starts = windows(solution, n=900, batch_size=8)[0][:, 0]
    observe("the first tokens of the rows", starts)
    assert_true(
        len(set(starts.tolist())) > 4, f"8 rows begin at {len(set(starts.tolist()))} places in a text of 900 tokens",
        because="Each row is a draw of its own; rows that are alike teach what one of them does.",
    )


@pytest.mark.parametrize(("n", "context"), [(10, 6), (11, 3)])
def test_windows_begin_anywhere_they_fit(solution, n, context):
    """Draw a thousand windows from a short text and list where they begin."""
    generator, ids = seeded(0), torch.arange(n)
    batches = [solution.draw_batch(ids, 8, context, generator) for _ in range(125)]
    starts = torch.cat([torch.minimum(inputs[:, 0], targets[:, 0]) for inputs, targets in batches])
    counts = starts.bincount(minlength=n)
    observe("where windows begin", counts.bool())
    assert_equal(
        counts.nonzero().flatten().tolist(), [*range(n - context)],
        f"the list of places where windows of {context} begin, in a text of {n} tokens,",
        because="A window needs context + 1 tokens, the last of them a target only, and begins wherever it has them.",
    )


def test_the_draws_come_from_the_generator_alone(solution):
    """Draw twice from generators of one seed, with another torch.manual_seed before each."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(windows(solution, n=900, seed=7)[0])
        observe("torch's own state is as before", torch.equal(before, torch.get_rng_state()))
    assert_identical(
        found[1], found[0], "the inputs that a generator of the same seed gives",
        because="All randomness of a batch is drawn from the generator, so that dropout or sampling cannot change "
        "which windows a run sees.",
    )
