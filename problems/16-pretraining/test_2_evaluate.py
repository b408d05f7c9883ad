"""Problem 16, second part: what evaluate promises, from cause to consequence.

The model is a table of logits, so that the loss of each batch can be worked out beside it.
Shapes: B batch, T tokens, V vocab_size.
"""

from contextlib import suppress

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_true,
    fail,
    observe,
)
from common.testing.bigram import Bigram, V, assert_data_moves, batch, mean_loss, on_the_cpu, taught

AXES = {"V": V}


def ragged():
    """Batches of 2, 12 and 10 tokens; rows, lengths and tokens all differ."""
    return [batch("a", 1, 2), batch("b", 3, 4), batch("c", 2, 5)]


def evaluated(solution, model, batches, **options):
    """evaluate's answer as a tensor on the model's device."""
    return model.wte.weight.new_tensor(float(solution.evaluate(model, batches, **options)))


# --- what it returns -----------------------------------------------------------------------------


def test_evaluate_returns_a_float(solution):
    assert_equal(
        type(solution.evaluate(taught(), ragged())).__name__, "float", "the type of what evaluate returns",
        because="It is a plain number; of a tensor loss, loss.item() is one. A tensor would keep its device, or a "
        "graph.",
    )


def test_model_and_batches_are_left_alone(solution):
    model, batches, fresh = taught().train(), ragged(), ragged()
    before = model.now()
    solution.evaluate(model, batches)
    for name, old in before.items():
        assert_identical(
            model.now()[name], old, f"the model's {name}, after evaluate,",
            because="An evaluation only looks: nothing is trained in it.",
        )
    for mine, theirs in zip(sum(batches, ()), sum(fresh, ()), strict=True):
        assert_identical(
            mine, theirs, "a batch of the loader's, after evaluate,",
            because="The loader gives out the same tensors again: change none of them in place, as methods that end in "
            "_ do.",
        )


def test_a_model_in_double_precision_stays_in_it(solution):
    model = taught().double()
    solution.evaluate(model, ragged())
    assert_equal(
        [str(dtype) for dtype in dict.fromkeys(p.dtype for p in model.parameters())], ["torch.float64"],
        "the list of types that the parameters of a float64 model have after evaluate",
        because="model.float(), .half() and .to(...) change the model itself and return it: no copy is made.",
    )  # fmt: skip


def test_a_second_evaluation_gives_the_same(solution):
    model, few = taught(), ragged()[:1]
    first, again = (torch.stack([evaluated(solution, model, each) for each in (few, ragged())]) for _ in range(2))
    assert_identical(
        again, first, "the list of two losses, evaluated a second time,",
        because="Nothing of one evaluation may reach the next: sums and counts begin at 0 in each call.",
    )


def test_a_blind_guess_costs_ln_v(solution):
    model, one = Bigram(), [batch("a", 2, 3)]
    assert_close(
        evaluated(solution, model, one), mean_loss(model.table(), one),
        f"the loss of equal logits, V = {V}, over one batch",
        because="The mean cross-entropy of a blind guess among V tokens is ln V, in nats.",
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_loss_of_one_batch_is_that_of_model_and_targets(solution, number):
    model, one = taught(), ragged()[number]
    assert_close(
        evaluated(solution, model, [one]), mean_loss(model.table(), [one]),
        f"evaluate's loss of one batch of {tuple(one[0].shape)}",
        because="It is problem 12's loss of model(inputs) and targets, over all positions; the loader shifted them. To "
        "exchange axes takes transpose: view and reshape read the same numbers on, and mix positions and tokens.",
    )


def test_a_very_unlikely_target_has_a_finite_loss(solution):
    model, one = taught(), ragged()[1]
    with torch.no_grad():
        model.wte.weight.mul_(1000)
    assert_close(
        evaluated(solution, model, [one]), mean_loss(model.table(), [one]),
        "the loss of one batch where logits lie thousands apart",
        because="The cross-entropy of a token far below the best is the distance of their logits. softmax rounds its "
        "probability to 0, whose logarithm is -inf; log_softmax never computes it.",
    )


def test_each_token_counts_once_whatever_batch_it_is_in(solution):
    model = taught()
    assert_close(
        evaluated(solution, model, ragged()), mean_loss(model.table(), ragged()),
        "the loss of batches of 2, 12 and 10 tokens",
        because="Every token counts the same: the sum of all tokens' losses, divided by the number of all tokens.",
    )


@pytest.mark.parametrize("max_batches", [1, 2, 3, 8])
def test_max_batches_ends_the_evaluation(solution, max_batches):
    model = taught()
    assert_close(
        evaluated(solution, model, ragged(), max_batches=max_batches),
        mean_loss(model.table(), ragged()[:max_batches]), f"the loss with max_batches={max_batches} of 3 batches",
        because="It is the mean over the tokens of the first max_batches batches, or of all where there are fewer.",
    )


@pytest.mark.parametrize("max_batches", [None, 3])
def test_an_empty_loader_cannot_be_evaluated(solution, max_batches):
    with assert_raises(
        ValueError, f"evaluate(model, empty_loader, max_batches={max_batches})",
        because="The mean over no tokens is 0/0 and no number: a ValueError says that there was no batch.",
    ):
        solution.evaluate(taught(), [], max_batches=max_batches)


def test_the_mode_is_left_as_it_was_found_where_there_is_no_batch(solution):
    model = taught().train()
    with suppress(ValueError):
        solution.evaluate(model, [])
    assert_true(
        model.training, "after evaluate(model, empty_loader) a model that was in train mode is in eval mode",
        because="The model is left as it was found, also where the mean is refused: mode back first, then the error.",
    )


def test_no_batches_is_not_the_same_as_all_of_them(solution):
    with assert_raises(
        ValueError, "evaluate(model, loader_of_three, max_batches=0)",
        because="None takes all batches and 0 takes none, which is a ValueError; `if max_batches:` cannot tell them "
        "apart.",
    ):
        solution.evaluate(taught(), ragged(), max_batches=0)


# --- what it leaves as it was --------------------------------------------------------------------


def test_dropout_is_off_in_the_evaluation(solution):
    model = taught(dropout=0.5).train()
    assert_close(
        evaluated(solution, model, ragged()), mean_loss(model.table(), ragged()),
        "the loss of a model that came in train mode", record=False,
        because="The model is evaluated in eval mode, where nothing is dropped.",
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_mode_is_left_as_it_was_found(solution, training):
    model = taught().train(training)
    solution.evaluate(model, ragged())
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
    model, graphs = taught(), []
    model.register_forward_hook(lambda _, given, logits: graphs.append(logits.requires_grad))
    solution.evaluate(model, ragged())
    assert_true(
        not any(graphs), "evaluate computes logits that hang on a graph",
        because="Nobody calls backward() here, so the graph only costs memory: call the model under torch.no_grad().",
    )


def test_gradients_can_be_taken_after_an_evaluation(solution):
    model = taught()
    solution.evaluate(model, ragged())
    assert_true(
        torch.is_grad_enabled() and model.wte.weight.requires_grad, "after evaluate no gradients can be taken any more",
        because="Training goes on after an evaluation: `with torch.no_grad():` ends by itself, and the parameters stay "
        "as they are.",
    )


def test_a_frozen_parameter_is_frozen_after_an_evaluation_too(solution):
    model = taught()
    model.wte.weight.requires_grad_(False)
    solution.evaluate(model, ragged())
    assert_equal(
        model.wte.weight.requires_grad, False, "requires_grad of a parameter that was frozen before evaluate",
        because="The model is left as it was found. torch.no_grad() goes without a graph and touches no parameter; "
        "whoever sets requires_grad has to put each back to what it was.",
    )


def test_evaluate_moves_the_data_to_the_models_device(solution):
    assert_data_moves("evaluate", lambda model: solution.evaluate(model, on_the_cpu(ragged())))
