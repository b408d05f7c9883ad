"""Problem 16, second part: what evaluate promises, from cause to consequence.

The model is a table of logits, so that the loss of each batch can be worked out beside it.
Shapes: B batch, T tokens, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere

V = 7
AXES = {"V": V}


def table(dropout=0.0):
    """logits = table[id], whose guesses are sure of themselves, and mostly wrong."""
    model = nn.Sequential(nn.Embedding(V, V), nn.Dropout(dropout))
    with torch.no_grad():
        model[0].weight.copy_(3 * draw("table", V, V))
    return model.to(draw("device", 1).device)


def batch(name, B, T):
    return draw_ids(f"{name} in", B, T, vocab_size=V), draw_ids(f"{name} out", B, T, vocab_size=V)


def ragged():
    """Batches of 2, 12 and 10 tokens; rows, lengths and tokens all differ."""
    return [batch("a", 1, 2), batch("b", 3, 4), batch("c", 2, 5)]


def loader(batches):
    return DataLoader(batches, batch_size=None)  # yields them as they are


def mean_loss(model, batches):
    """The mean over all tokens, without dropout."""
    weight = model[0].weight.detach()
    pairs = [(weight[ids].flatten(0, 1), targets.flatten()) for ids, targets in batches]
    return F.cross_entropy(*(torch.cat(part) for part in zip(*pairs, strict=True)))


def evaluated(solution, model, batches, **options):
    """evaluate's answer as a tensor on the model's device."""
    return model[0].weight.new_tensor(float(solution.evaluate(model, loader(batches), **options)))


# --- what it returns -----------------------------------------------------------------------------


def test_evaluate_returns_a_float(solution):
    found = solution.evaluate(table(), loader(ragged()))
    assert_equal(
        type(found).__name__, "float", "the type of what evaluate returns",
        because="It is a plain number; of a tensor loss, loss.item() is one. A tensor would keep its device, or a "
        "graph.",
    )


def test_a_second_evaluation_gives_the_same(solution):
    model, few = table(), ragged()[:1]
    first, again = (torch.stack([evaluated(solution, model, each) for each in (few, ragged())]) for _ in range(2))
    assert_identical(
        again, first, "the list of two losses, evaluated a second time,",
        because="Nothing of one evaluation may reach the next: sums and counts begin at 0 in each call.",
    )


def test_a_blind_guess_costs_ln_v(solution):
    model = table()
    nn.init.zeros_(model[0].weight)
    assert_close(
        evaluated(solution, model, [batch("a", 2, 3)]), mean_loss(model, [batch("a", 2, 3)]),
        f"the loss of equal logits, V = {V}, over one batch",
        because="The mean cross-entropy of a blind guess among V tokens is ln V, in nats.",
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_loss_of_one_batch_is_that_of_model_and_targets(solution, number):
    model, one = table(), ragged()[number]
    assert_close(
        evaluated(solution, model, [one]), mean_loss(model, [one]), f"the loss of one batch of {tuple(one[0].shape)}",
        because="It is problem 12's loss of model(inputs) and targets, over all positions; the loader shifted them.",
    )


def test_each_token_counts_once_whatever_batch_it_is_in(solution):
    model = table()
    assert_close(
        evaluated(solution, model, ragged()), mean_loss(model, ragged()), "the loss of batches of 2, 12 and 10 tokens",
        because="Every token counts the same: the sum of all tokens' losses, divided by the number of all tokens.",
    )


@pytest.mark.parametrize("max_batches", [1, 2, 3, 7])
def test_max_batches_ends_the_evaluation(solution, max_batches):
    model = table()
    assert_close(
        evaluated(solution, model, ragged(), max_batches=max_batches), mean_loss(model, ragged()[:max_batches]),
        f"the loss with max_batches={max_batches} of 3 batches",
        because="It is the mean over the tokens of the first max_batches batches, or of all where there are fewer.",
    )


@pytest.mark.parametrize("max_batches", [None, 3])
def test_an_empty_loader_cannot_be_evaluated(solution, max_batches):
    with assert_raises(
        ValueError, f"evaluate(model, empty_loader, max_batches={max_batches})",
        because="The mean over no tokens is 0/0 and no number: a ValueError says that there was no batch.",
    ):
        solution.evaluate(table(), loader([]), max_batches=max_batches)


def test_no_batches_is_not_the_same_as_all_of_them(solution):
    with assert_raises(
        ValueError, "evaluate(model, loader_of_three, max_batches=0)",
        because="None takes all batches and 0 takes none, which is a ValueError; `if max_batches:` cannot tell them "
        "apart.",
    ):
        solution.evaluate(table(), loader(ragged()), max_batches=0)


# --- what it leaves as it was --------------------------------------------------------------------


def test_dropout_is_off_in_the_evaluation(solution):
    model = table(dropout=0.5).train()
    assert_close(
        evaluated(solution, model, ragged()), mean_loss(model, ragged()), "the loss of a model that came in train mode",
        because="The model is evaluated in eval mode, where nothing is dropped.", record=False,
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_mode_is_left_as_it_was_found(solution, training):
    model = table().train(training)
    solution.evaluate(model, loader(ragged()))
    modes = {True: "train mode", False: "eval mode"}
    changed = [name or "the model" for name, part in model.named_modules() if part.training != training]
    observe("modules in the other mode", changed)
    if changed:
        fail(
            f"a model that was in {modes[training]} is not in it after evaluate:",
            expected=modes[training], got=modes[not training],
            because="evaluate switches to eval mode for itself: remember model.training before, and put back what it "
            "was.",
        )


def test_the_evaluation_builds_no_graph(solution):
    graphs = []

    class Watched(nn.Embedding):
        def forward(self, input_ids):
            logits = super().forward(input_ids)
            graphs.append(logits.requires_grad)
            return logits

    solution.evaluate(Watched(V, V, device=draw("device", 1).device), loader(ragged()))
    assert_true(
        not any(graphs), "evaluate computes logits that hang on a graph",
        because="Nobody calls backward() here, so the graph only costs memory: call the model under torch.no_grad().",
    )


def test_gradients_can_be_taken_after_an_evaluation(solution):
    model = table()
    solution.evaluate(model, loader(ragged()))
    assert_true(
        torch.is_grad_enabled() and model[0].weight.requires_grad, "after evaluate no gradients can be taken any more",
        because="Training goes on after an evaluation: `with torch.no_grad():` ends by itself, and the parameters stay "
        "as they are.",
    )


def test_model_and_batches_are_left_alone(solution):
    model, batches, fresh = table().train(), ragged(), ragged()
    solution.evaluate(model, loader(batches))
    assert_identical(
        model[0].weight.detach(), table()[0].weight.detach(), "the model's weight, after evaluate,",
        because="An evaluation only looks: nothing is trained in it.",
    )
    for mine, theirs in zip(sum(batches, ()), sum(fresh, ()), strict=True):
        assert_identical(
            mine, theirs, "a batch of the loader's, after evaluate,",
            because="The loader gives out the same tensors again: change none of them in place.",
        )


def test_the_data_moves_to_the_models_device(solution):
    model, batches, trouble = table().to("cpu"), [tuple(t.to("cpu") for t in pair) for pair in ragged()], ""
    with elsewhere(model):
        try:
            solution.evaluate(model, batches)
        except DevicesDiffer as error:
            trouble = str(error)
        except NotImplementedError:
            raise
        except Exception:  # the stand-in for a GPU has limits, which are nobody's mistake
            pass
    observe("evaluate on another device", trouble.partition(":")[0])
    if trouble:
        fail(
            "evaluate fails with a model on a GPU:", expected="data on the model's device", got=trouble,
            because="A loader yields CPU tensors: inputs and targets both move to the device of the parameters.",
        )
