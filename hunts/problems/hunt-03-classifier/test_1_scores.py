"""A classifier for the file of hunt 01, first part: what pad, Classifier and freeze promise.

The oracle is the reference, with the same parameters.
Shapes: B rows, T tokens of the longest, V vocab_size, C n_embd, H n_head, D = C // H, K classes.
"""

import pytest
import torch
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_parameters,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    draw_ids,
    fail,
    fill,
    observe,
)

AXES = {"B": 6, "T": 7, "V": 29, "context": 11, "C": 15, "H": 3, "D": 5, "K": 4}
B, T, V, LIMIT, C, K = (AXES[letter] for letter in ("B", "T", "V", "context", "C", "K"))
LENGTHS = (3, 7, 1, 5, 7, 2)


def gpt(module):
    """A model whose parameters follow from their names, in eval mode."""
    return fill(module.GPT(module.Settings(context=LIMIT, n_embd=C, n_head=AXES["H"], n_layer=2), V))


def classifier(module):
    return fill(module.Classifier(gpt(module), K))


def texts(lengths=LENGTHS):
    """Rows of so many ids; the last of the first row is 0, which is an id like any other."""
    rows = [draw_ids(f"row {i}", N) for i, N in enumerate(lengths)]
    rows[0][-1] = 0
    return rows


def padded(lengths=LENGTHS):
    """The ids (B, T) of these rows, with 0 behind them, and their lengths."""
    ids = torch.stack([torch.cat([row, row.new_zeros(max(lengths) - len(row))]) for row in texts(lengths)])
    return ids, torch.tensor(lengths, device=ids.device)


def scores(module, ids, lengths):
    with torch.no_grad():
        return assert_tensor(classifier(module)(ids, lengths), "what the classifier gives")


# --- pad -----------------------------------------------------------------------------------------


def batch_of(solution, lengths):
    result = solution.pad(texts(lengths))
    pair = isinstance(result, tuple | list) and len(result) == 2
    observe("pad returns a pair", pair)
    if not pair:
        fail(
            "pad does not return a pair:", expected="(ids, lengths)", got=type(result).__name__,
            because="The classifier needs both: where the padding begins cannot be seen in the ids.",
        )
    return result


@pytest.mark.parametrize("lengths", [LENGTHS, (5, 5, 5), (4,)], ids=str)
def test_rows_are_filled_with_0_on_the_right(solution, lengths):
    """Pad rows that you can read, and print the batch."""
    assert_tokens(
        batch_of(solution, lengths)[0], padded(lengths)[0], f"the ids for rows of {lengths} tokens",
        because="A row begins at column 0 with its own ids. The batch is as wide as its longest row, and shorter ones "
        "end in 0.",
    )


def test_the_ids_are_int64(solution):
    """Print ids.dtype."""
    ids = assert_tensor(batch_of(solution, LENGTHS)[0], "the ids")
    assert_equal(
        str(ids.dtype), "torch.int64", "the dtype of the ids that pad gives",
        because="An embedding is looked up by whole numbers; a tensor of zeros is made of floats unless it is told.",
    )


def test_the_lengths_are_those_of_the_rows(solution):
    """Print the lengths beside the rows."""
    lengths = assert_tensor(batch_of(solution, LENGTHS)[1], "the lengths that pad gives")
    assert_equal(
        (str(lengths.dtype), lengths.tolist()), ("torch.int64", list(LENGTHS)), "the dtype and list of the lengths",
        because="The length of a row is the number of its own ids, without padding. A real id may be 0, too.",
    )


# --- what the classifier is ----------------------------------------------------------------------


def test_the_classifier_holds_the_model_itself(solution):
    """Ask whether classifier.model is the model."""
    model = gpt(solution)
    assert_true(
        solution.Classifier(model, K).model is model, "classifier.model is not the model that was handed over",
        because="The model itself is fine-tuned; a copy would learn in its place.",
    )


def test_its_parameters_are_those_of_the_model_and_the_head(solution, reference):
    """Print the names and shapes of its parameters."""
    own = {f"model.{name}": tuple(p.shape) for name, p in gpt(reference).named_parameters(remove_duplicate=False)}
    assert_parameters(
        solution.Classifier(gpt(solution), K), {**own, "head.weight": (K, C), "head.bias": (K,)}, "Classifier",
        because="Beside the model there is one linear layer, from C to n_classes, and every parameter can learn.",
    )


def test_the_head_starts_small(solution):
    """Print mean and standard deviation of a new head's weights, and its bias."""
    head = solution.Classifier(gpt(solution), 200).head
    std, mean = head.weight.std().item(), head.weight.mean().item()
    observe("the spread of the head's weights", round(std, 2))
    assert_true(
        abs(std - 0.02) < 0.002 and abs(mean) < 0.002, "the head's weights do not start as N(0, 0.02)",
        because="nn.Linear has its own way to start; here the weights are drawn anew, like the model's.",
    )
    assert_true(not bool(head.bias.any()), "the head's bias does not start at 0", because="Biases start at 0.")


def test_a_classifier_leaves_the_model_as_it_was(solution, reference):
    """Compare the model's weights and logits before and after there is a classifier around it."""
    model, ids = gpt(solution), padded()[0]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    solution.Classifier(model, K)
    for name, p in model.named_parameters():
        assert_identical(
            p.detach(), before[name], f"`{name}` of the model, after Classifier(model, {K}),",
            because="The model comes trained, and what it has learned is what the classifier builds on.",
        )
    with torch.no_grad():
        assert_close(
            model(ids), gpt(reference)(ids), "the logits of a model with a classifier around it",
            because="The head is a second one, beside lm_head, and forward goes on to give the logits of the tokens.",
        )


# --- its scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [LENGTHS, (1,)], ids=str)
def test_there_is_a_score_for_each_class_of_each_row(solution, lengths):
    """Print the shape of the scores."""
    assert_shape(
        scores(solution, *padded(lengths)), (len(lengths), K), f"the result for rows of {lengths} tokens",
        because="One position of each row goes to the head: no axis of tokens is left.",
    )


def test_rows_without_padding(solution, reference):
    """With rows of one length, compare with head(ln_f(...)) of the last position, by hand."""
    full = padded((T,) * B)
    assert_close(
        scores(solution, *full), scores(reference, *full), "the scores of rows that are all of one length",
        because="They are head(x) of the last position, raw, where x went through all blocks and the last norm, and "
        "not through lm_head.",
    )


def test_rows_with_padding(solution, reference):
    """With rows of several lengths, compare each with the scores that it gets alone."""
    assert_close(
        scores(solution, *padded()), scores(reference, *padded()), f"the scores of rows of {LENGTHS} tokens",
        because="A row of N tokens is judged by what stands at position N - 1, its last real token, which may be 0. "
        "Behind it is padding.",
    )


def test_padding_has_no_say(solution):
    """Write other ids behind the rows, and compare the scores."""
    ids, lengths = padded()
    behind = torch.arange(T, device=ids.device) >= lengths[:, None]
    before, after = (scores(solution, ids.masked_fill(behind, fill_in), lengths) for fill_in in (0, 17))
    assert_identical(
        after, before, "the scores, with other ids behind the last real token of each row,",
        because="Whatever stands there is no part of the text, and no token sees a later one.",
    )


def test_the_way_back_leads_through_the_whole_model(solution, reference):
    """After scores.square().sum().backward(), print the norm of every gradient, and compare."""
    found = []
    for module in (reference, solution):
        made = classifier(module)
        made(*padded()).square().mean().backward()
        found.append({name: p.grad for name, p in made.named_parameters()})
    right, mine = found
    for name, gradient in right.items():
        assert_close(
            assert_tensor(mine[name], f"the gradient of `{name}`"), gradient, f"the gradient of `{name}`", atol=1e-4,
            because="Unless it is frozen all of the model learns from the labels. detach(), .data and torch.no_grad() "
            "cut the way back.",
        )


# --- freeze --------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["all learn", "none learns", "the last block is frozen"])
def test_the_head_the_last_block_and_the_last_norm_learn(solution, before):
    """After freeze, print the names of all parameters with requires_grad."""
    made = classifier(solution)
    frozen = {"all learn": nn.Module(), "none learns": made, "the last block is frozen": made.model.blocks[-1]}[before]
    frozen.requires_grad_(False)
    solution.freeze(made)
    names = [name for name, p in made.named_parameters() if p.requires_grad]
    assert_equal(
        names, [n for n, _ in made.named_parameters() if n.startswith(("head.", "model.blocks.1.", "model.ln_f."))],
        f"the list of parameters that learn after freeze, where {before} before",
        because="It is the requires_grad of each parameter that says so. The embeddings, and lm_head with them, and "
        "all blocks but the last are frozen.",
    )
