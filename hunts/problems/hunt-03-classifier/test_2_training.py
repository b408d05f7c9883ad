"""A classifier for the file of hunt 01, second part: what fine_tune and accuracy promise.

The oracle is the reference, with the same parameters, in double precision; where losses are compared there is no
dropout. Shapes: B rows, T tokens of the longest, V vocab_size, C n_embd, H n_head, K classes.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_true,
    draw,
    draw_ids,
    fill,
    observe,
)

AXES = {"B": 6, "T": 7, "V": 29, "context": 11, "C": 15, "H": 3, "D": 5, "K": 4}
B, V, K = AXES["B"], AXES["V"], AXES["K"]
LENGTHS, LABELS = (3, 7, 1, 5, 7, 2), (2, 0, 3, 1, 2, 2)


def classifier(module, dropout=0.0, frozen=True):
    """Its parameters follow from their names; in eval mode."""
    settings = module.Settings(context=AXES["context"], n_embd=AXES["C"], n_head=AXES["H"], n_layer=2, dropout=dropout)
    made = fill(module.Classifier(fill(module.GPT(settings, V)), K)).double()
    if frozen:
        module.freeze(made)
    return made


def data():
    rows = [draw_ids(f"row {i}", N) for i, N in enumerate(LENGTHS)]
    return rows, torch.tensor(LABELS, device=rows[0].device)


def tuned(module, made, steps=4, lr=0.01, **options):
    """What fine_tune returns, as a tensor."""
    losses = module.fine_tune(made, *data(), steps=steps, lr=lr, **options)
    kinds = sorted({type(loss).__name__ for loss in losses} if isinstance(losses, list) else {type(losses).__name__})
    assert_equal(
        kinds, ["float"], "the list of types among the losses",
        because="fine_tune returns a list of Python floats; a tensor would keep its graph alive: loss.item().",
    )
    return torch.tensor(losses, dtype=torch.float64)


# --- what it returns ------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
def test_there_is_one_loss_for_each_step(solution, steps):
    """Print len(losses)."""
    assert_equal(
        len(tuned(solution, classifier(solution), steps)), steps, f"the number of losses for steps={steps}",
        because="Each step gives one, from before its update.",
    )


def test_the_first_loss_is_that_of_the_classifier_as_it_comes(solution, reference):
    """Compute the mean cross-entropy of all rows by hand, before any step."""
    assert_close(
        tuned(solution, classifier(solution))[:1], tuned(reference, classifier(reference))[:1], "the first loss",
        because="It is the cross-entropy of the scores with the labels, the mean over all rows, before the first "
        "update.",
    )


# --- what learns, and what does not --------------------------------------------------------------


def test_what_is_frozen_stays(solution):
    """Keep the weights from before, and compare them to the last bit."""
    made = classifier(solution)
    before = {name: p.detach().clone() for name, p in made.named_parameters() if not p.requires_grad}
    for name, p in made.named_parameters():
        p.grad = draw(f"gradient of {name}", *p.shape).to(p.dtype)
    tuned(solution, made)
    for name, p in made.named_parameters():
        if name in before:
            assert_identical(
                p.detach(), before[name], f"`{name}`, which is frozen, after fine_tune,",
                because="The optimizer moves what it was given wherever it finds a gradient, an old one too: give it "
                "only what requires one.",
            )


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "all"])
def test_all_else_learns(solution, frozen):
    """Keep the weights from before, and print the names of those that have not moved."""
    made = classifier(solution, frozen=frozen)
    before = {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}
    tuned(solution, made)
    still = [name for name, p in made.named_parameters() if name in before and torch.equal(p, before[name])]
    assert_equal(
        still, [], f"the list of parameters that require a gradient and do not move, "
            f"{'after freeze' if frozen else 'with nothing frozen'},",
        because="All parameters that require a gradient are given to the optimizer, whatever part they belong to.",
    )


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "all"])
def test_what_may_learn_is_the_same_afterwards(solution, frozen):
    """Print the names with requires_grad before fine_tune and after it."""
    made = classifier(solution, frozen=frozen)
    before = [name for name, p in made.named_parameters() if p.requires_grad]
    tuned(solution, made, steps=1)
    assert_equal(
        [name for name, p in made.named_parameters() if p.requires_grad], before,
        "the list of parameters that require a gradient after fine_tune",
        because="To freeze is the caller's decision, and fine_tune takes it as it finds it.",
    )


# --- its steps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [0.01, 0.002])
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "all"])
def test_each_step_is_one_of_adam(solution, reference, frozen, lr):
    """Write the loop once more with torch.optim.AdamW, and compare the losses."""
    mine, right = (tuned(m, classifier(m, frozen=frozen), lr=lr) for m in (solution, reference))
    where = "after freeze" if frozen else "with nothing frozen"
    assert_close(
        mine, right, f"the list of losses at lr={lr}, {where},", atol=1e-4,
        because="Each step clears the gradients, computes those of the mean over all rows, and makes one update of "
        "AdamW at the rate lr, with its own betas, without weight decay and clipping.",
    )


def test_old_gradients_have_no_part_in_it(solution, reference):
    """Leave gradients in the model, as train does, and compare the losses."""
    made = classifier(solution)
    for name, p in made.named_parameters():
        p.grad = draw(f"gradient of {name}", *p.shape).to(p.dtype)
    assert_close(
        tuned(solution, made), tuned(reference, classifier(reference)), "the list of losses, where the model came with "
            "gradients of another training,", atol=1e-4,
        because="backward() adds to what is there: gradients are cleared before it, in the first step, too.",
    )


# --- dropout, seed and mode ----------------------------------------------------------------------


def test_dropout_is_on_while_it_trains(solution):
    """With dropout=0.5, compare the first loss with that of dropout=0."""
    with_dropout, without = (tuned(solution, classifier(solution, dropout), 1) for dropout in (0.5, 0.0))
    assert_true(
        not torch.equal(with_dropout, without), "dropout=0.5 gives the first loss of dropout=0",
        because="Dropout acts in train mode: classifier.train() comes before the first step.",
    )


def test_one_seed_gives_the_same_losses(solution):
    """With dropout, train two equal classifiers, and draw something in between."""
    runs = []
    for number in range(2):
        torch.manual_seed(100 + number)
        runs.append(tuned(solution, classifier(solution, 0.5), seed=7))
    observe("the losses of one seed agree", same := torch.equal(*runs))
    assert_true(
        same, "two runs with seed=7 give different losses",
        because="torch.manual_seed(seed) comes before anything is drawn, and dropout draws in every step.",
    )


def test_another_seed_gives_other_losses(solution):
    """With dropout, train two equal classifiers with seeds 7 and 8."""
    runs = [tuned(solution, classifier(solution, 0.5), 1, seed=seed) for seed in (7, 8)]
    assert_true(
        not torch.equal(*runs), "seed=7 and seed=8 give the same losses",
        because="Dropout drops other numbers then: it is the argument that torch is seeded with.",
    )


def test_every_step_drops_anew(solution):
    """With dropout and lr=0, print the losses: they differ."""
    losses = tuned(solution, classifier(solution, 0.5), lr=0.0)
    assert_true(
        len(losses.unique()) > 1, "with dropout=0.5 and lr=0 all steps give the same loss",
        because="Seeding comes once, before the first step; in each step it would bring the same draws again.",
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_fine_tune_leaves_the_mode(solution, training):
    """Print classifier.training and classifier.model.training before and after."""
    made = classifier(solution).train(training)
    tuned(solution, made, steps=1)
    assert_modes(made, training, "fine_tune")


def assert_modes(made, training, name):
    mode = "train" if training else "eval"
    assert_equal(
        sorted({m.training for m in made.modules()}), [training],
        f"the list of modes (training) that {name} leaves the parts of a classifier in, which was in {mode} mode,",
        because="Remember classifier.training, and put it back with classifier.train(...), which reaches the model.",
    )


# --- accuracy ------------------------------------------------------------------------------------


def labels_for(reference, right):
    """Labels of which the first `right` are what the classifier holds for likeliest."""
    with torch.no_grad():
        rows, _ = data()
        likely = classifier(reference)(*reference.pad(rows)).argmax(-1)
    wrong = torch.arange(B, device=likely.device) >= right
    return rows, torch.where(wrong, (likely + 1) % K, likely)


@pytest.mark.parametrize("right", [B, 4, 0])
def test_accuracy_is_the_share_of_right_rows(solution, reference, right):
    """Label rows by the largest of their scores, mislabel a few, and count."""
    got = solution.accuracy(classifier(solution), *labels_for(reference, right))
    assert_equal(
        type(got).__name__, "float", "the type of the accuracy", because="It is a Python number: .item() gives it."
    )
    assert_close(
        torch.tensor(got), torch.tensor(right / B), f"the accuracy, where {right} of {B} labels are those of the "
            "largest score,",
        because="It is the number of rows whose largest score is that of their label, divided by the number of rows.",
    )


def test_accuracy_is_measured_without_dropout(solution, reference):
    """In train mode with dropout=0.9, measure, and compare with eval mode."""
    made = classifier(solution, dropout=0.9).train()
    got = [solution.accuracy(made, *labels_for(reference, B)) for _ in range(3)]
    assert_equal(
        got, [1.0] * 3, "the list of three accuracies of a classifier in train mode",
        because="It is measured in eval mode, so that nothing is dropped.",
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_accuracy_leaves_the_mode(solution, training):
    """Print classifier.training and classifier.model.training before and after."""
    made = classifier(solution).train(training)
    solution.accuracy(made, *data())
    assert_modes(made, training, "accuracy")


def test_accuracy_builds_no_graph(solution):
    """In accuracy, print scores.requires_grad; afterwards, torch.is_grad_enabled()."""
    made, graphs = classifier(solution, frozen=False), []
    made.head.register_forward_hook(lambda _, args, out: graphs.append(out.requires_grad))
    solution.accuracy(made, *data())
    assert_true(
        not any(graphs), "accuracy builds a gradient graph",
        because="Nobody goes back through it: torch.no_grad() saves the memory.",
    )
    assert_true(
        torch.is_grad_enabled(), "accuracy leaves gradients switched off",
        because="torch.no_grad() as a decorator or a `with` block ends with the call.",
    )
