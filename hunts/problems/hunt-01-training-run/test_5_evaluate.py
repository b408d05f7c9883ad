"""A training run, fifth part: the evaluation, of a model whose logits are known.

Shapes: T tokens, V vocab_size.
"""

import pytest
import torch

from common.testing import assert_close, assert_equal, assert_true, draw, draw_ids, observe
from common.testing.generation import Known

CONTEXT, V = 5, 13
AXES = {"V": V}


def known(solution):
    """A model whose logits are a table's, by token and place in the window, and the settings."""
    table = torch.nn.Parameter(3 * draw("table", V, V))
    places = draw("places", CONTEXT, V)
    settings = solution.Settings(context=CONTEXT, n_embd=8, n_head=2, n_layer=1)
    return Known(lambda ids: table[ids] + places[: ids.size(1)], settings), settings


def assert_mean(solution, n, because):
    """Check evaluate on a text of n tokens against the losses of its windows, one by one."""
    model, settings = known(solution)
    ids = draw_ids("ids", n, vocab_size=V)
    found = float(solution.evaluate(model, ids, settings))
    total = 0.0
    for start in range(0, n - 1, CONTEXT):
        targets = ids[None, start + 1 : start + 1 + CONTEXT]
        inputs = ids[None, start : start + targets.numel()]
        total += float(solution.loss_of(model, inputs, targets).detach()) * targets.numel()
    what = f"what evaluate gives for {n} tokens, context={CONTEXT},"
    assert_close(torch.tensor(found), torch.tensor(total / (n - 1)), what, because=because)


@pytest.mark.parametrize("n", [6, 16])
def test_windows_lie_side_by_side(solution, n):
    """Evaluate a text of two windows, and each window alone: the mean of both is the whole."""
    assert_mean(
        solution, n,
        "Every token but the first is a target once: a window's last target is the first input of the next one. The "
        "sum of their losses is divided by how many they are, one less than tokens.",
    )


@pytest.mark.parametrize("n", [3, 14])
def test_a_shorter_last_window_counts_by_its_tokens(solution, n):
    """Evaluate a text that does not divide into windows, and compare with the mean over its tokens."""
    assert_mean(
        solution, n,
        "A last window may be shorter. Its tokens are evaluated like all others, and each token counts the same.",
    )


def test_dropout_is_off_in_the_evaluation(solution):
    """Evaluate the same model twice."""
    model, settings = known(solution)
    solution.evaluate(model.train(), draw_ids("ids", 14, vocab_size=V), settings)
    assert_equal(
        sorted(set(model.modes)), [False], "the list of whether a part of the model is in train mode while evaluated",
        because="An evaluation says what the whole model can do: nothing is dropped, and asked twice it says the same.",
    )


def test_the_evaluation_builds_no_graph(solution):
    """Print logits.requires_grad while the model is evaluated."""
    model, settings = known(solution)
    solution.evaluate(model, draw_ids("ids", 14, vocab_size=V), settings)
    assert_true(
        not any(model.graphs), "evaluate computes logits that hang on a graph",
        because="Nobody asks for gradients here, and the graph costs memory and time: torch.no_grad().",
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_evaluation_leaves_the_mode_as_it_was(solution, training):
    """Print model.training before and after an evaluation, for a model in train mode and one in eval mode."""
    model, settings = known(solution)
    solution.evaluate(model.train(training), draw_ids("ids", 14, vocab_size=V), settings)
    after = sorted({part.training for part in model.modules()})
    observe("modes afterwards", [str(mode) for mode in after])
    assert_equal(
        after, [training], "the list of model.training, after an evaluation,",
        because="evaluate switches to eval mode for itself, and puts back what it found: training goes on with "
        "dropout, and a model that was in eval mode stays in it.",
    )
