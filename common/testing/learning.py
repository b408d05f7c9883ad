"""What each step of train_gpt2 learns from, and how it moves the weights: read off a recorded run.

Shapes: B batch, T tokens, V vocab_size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from common.testing.asserts import assert_close, assert_equal, assert_true, fail
from common.testing.context import observe
from common.testing.training_runs import BLOCK, RATE, STEPS, Again, Taken, Training, listed, trained

# --- the loss ------------------------------------------------------------------------------------


def assert_every_position_counts(solution: Any) -> None:
    """Check that the loss of a step depends on the logits at every position of every text."""
    steps = trained(solution).steps
    idle = [(~step.error.any(-1).any(0)).nonzero().flatten().tolist() for step in steps]
    assert_equal(
        idle[0], [], "the list of positions whose logits take no part in the loss of step 1",
        because="Each of the T positions has a target, and the loss is the mean over them all.",
    )  # fmt: skip
    texts = (~steps[0].error.any(-1).any(1)).nonzero().flatten().tolist()
    assert_equal(
        texts, [], "the list of texts whose logits take no part in the loss of step 1",
        because="The loss is the mean over all positions of all texts of the batch.",
    )  # fmt: skip


_SHIFTS = {
    0: "the very token of that position",
    -1: "the token before it",
    2: "the token two places later",
}


def assert_targets_come_next(solution: Any) -> None:
    """Check that the loss looks, at each position but the last, for the token after it."""
    step = trained(solution).steps[0]
    ids, targets = step.ids, step.targets
    right = torch.equal(targets[:, :-1], ids[:, 1:])
    other = [shift for shift in _SHIFTS if _is_shifted(targets, ids, shift)]
    observe("the targets are the inputs shifted by", 1 if right else other)
    if not right and not other:
        _assert_softmax_of_each_position(step.error)
    if not right:
        fail(
            "the loss looks for other tokens than the next ones:",
            expected="as the target of each position the token after it",
            got=_SHIFTS[other[0]]
            if other
            else "tokens that stand elsewhere, or that are no tokens of the text",
            because="Where the model has read up to token t, the loss asks it for token t + 1 of the same text.",
        )


def _assert_softmax_of_each_position(error: Tensor) -> None:
    """Check that the gradients of the V logits of a position sum to 0, as behind a softmax over them."""
    sums = error.sum(-1)
    far = sums.abs().flatten().argmax()
    if float(sums.abs().max()) > 1e-3 * float(error.abs().max()):
        row, position = divmod(int(far), error.size(1))
        fail(
            "the loss takes no softmax over the V logits of each position:",
            expected="gradients of these V logits that sum to 0, as all of them together may grow and change nothing",
            got=f"a sum of {float(sums[row, position]):.3g} for text {row}, position {position}",
            because="Cross-entropy asks each position for its own token, among its own V logits. As (N, V), by "
            "flatten(0, 1), or (B, V, T), by transpose(1, 2), they stay together; view and reshape to (B, V, T) cut "
            "the same numbers anew, and mix positions.",
        )


def _is_shifted(targets: Tensor, ids: Tensor, shift: int) -> bool:
    if shift < 0:
        return torch.equal(targets[:, -shift:], ids[:, :shift])
    inner = ids.size(1) - shift
    return torch.equal(targets[:, :inner], ids[:, shift:])


def assert_last_target_is_new(solution: Any) -> None:
    """Check that the last target of a text is no copy of one of its inputs."""
    steps = trained(solution).steps
    ids, last = torch.cat([s.ids for s in steps]), torch.cat([s.targets[:, -1] for s in steps])
    copied = [j for j in range(BLOCK) if torch.equal(ids[:, j], last)]
    same = bool((last == last[0]).all())
    observe("the last target is a copy of", copied)
    observe("the last target is the same in all texts", same)
    if copied or same:
        fail(
            "the last target of a text is no token of its own:",
            expected=f"the last of the {BLOCK + 1} tokens that were drawn",
            got=f"a copy of input {copied[0]} in every text"
            if copied
            else f"token {int(last[0])} in every text",
            because="T inputs and T targets need T + 1 tokens: the last one is a target only.",
        )


def assert_mean_cross_entropy(solution: Any) -> None:
    """Check the gradient that the loss of each step sends back, which tells the loss up to a constant."""
    for number, step, right in trained(solution).again:
        assert_close(
            step.error, right.error, f"the gradient that the loss of step {number} sends back to the logits",
            record=False,
            because="That of the mean cross-entropy with the next tokens is (softmax(logits) - one-hot target) / (B * "
            "T), and nothing else is added to the loss." + _SOFTMAX_TWICE * step.has_softmax_twice(right),
        )  # fmt: skip


_SOFTMAX_TWICE = (
    " Yours is exactly that of cross_entropy(softmax(logits), targets): cross_entropy takes the softmax itself, and "
    "wants the logits as they are."
)


def assert_losses_before_the_update(solution: Any) -> None:
    """Check each loss against that of the step's own tokens and weights."""
    run = trained(solution)
    assert_equal(
        len(run.losses), STEPS, f"the number of losses for num_steps={STEPS}",
        because="There is one for each step.",
    )  # fmt: skip
    for number, _, right in run.again:
        assert_close(
            torch.tensor(run.losses[number - 1]), right.loss, f"the loss that train_gpt2 returns for step {number}",
            record=False, atol=1e-4,
            because="It is the mean cross-entropy of this step's tokens with the weights before the update, as it is.",
        )  # fmt: skip


# --- the update ----------------------------------------------------------------------------------


def assert_no_old_gradients(solution: Any) -> None:
    """Check that every backward() begins with no gradient."""
    run = trained(solution)
    steps = [n for n, step in enumerate(run.steps, 1) if step.stale] or run.piled_up
    observe("steps that begin with old gradients", steps)
    if steps:
        still = [f" `{name}` never moves, either: {_NOT_GIVEN}" for name in run.never_moved[:1]]
        fail(
            f"in step {steps[0]} the gradient is added to one that is there already:",
            expected="gradients that are None or zero before each backward()",
            got=f"old ones in {listed(steps)}",
            because="backward() adds to what is there, so the gradients are cleared between a step and the next "
            f"backward().{''.join(still)}",
        )


_NOT_GIVEN = "the optimizer moves and zero_grad() clears what was given to it, and nothing else."
_WITH_GRADIENTS = (
    "In the end the parameters hold gradients, so backward() reached them. It is the optimizer's step() that moves "
    "weights, those that it was given when it was made: it is not called, or it was given others."
)
_WITHOUT_GRADIENTS = (
    "In the end the parameters hold no gradients. The optimizer's step() moves weights by the gradients that it finds: "
    "one that comes before backward(), or after gradients were cleared, finds none. The order is zero_grad(), "
    "backward(), step()."
)


def assert_weights_move(solution: Any) -> None:
    """Check that each step changes the model."""
    run = trained(solution)
    steps = run.steps
    still = [
        i
        for i, step in enumerate(steps, 1)
        if not any(bool(step.move(n).any()) for n in step.before)
    ]
    observe("steps that change no weight", still)
    if still:
        fail(
            "a step leaves every weight of the model where it was:",
            expected=f"other weights after each of the {len(steps)} steps",
            got=f"the same ones after {listed(still)}",
            because=_WITH_GRADIENTS if run.held else _WITHOUT_GRADIENTS,
        )


def assert_every_parameter_moves(solution: Any) -> None:
    """Check that the first step moves each parameter that has a gradient."""
    _, step, right = next(trained(solution).again)
    still = [
        name
        for name, g in right.gradients.items()
        if right.clear[name].any() and not step.move(name).any()
    ]
    observe("parameters that do not move", still)
    if still:
        fail(
            f"the first step leaves `{still[0]}` where it was:",
            expected="a move of every parameter that has a gradient",
            got=f"none of {len(still)} among {len(right.gradients)} parameters",
            because="Every parameter has a gradient here, and the optimizer moves those that it was given: all of the "
            "model's, whatever their shape or name.",
        )


def _far(step: Taken, right: Again) -> Tensor:
    """How far each weight went that has a clear gradient, in one row."""
    return torch.cat([step.move(name)[right.clear[name]].abs() for name in right.gradients])


def _put_back(run: Training) -> str:
    step = run.put_back
    return f" In the end the weights are put back to those before step {step}." if step else ""


def assert_downhill(solution: Any) -> None:
    """Check that the first update goes against the gradient, and later ones where all gradients agree."""
    past: list[Again] = []
    run = trained(solution)
    for number, step, right in run.again:
        past.append(right)
        for name in right.gradients:
            signs = torch.stack([g.gradients[name].sign() for g in past if name in g.gradients])
            agree = (signs == signs[0]).all(0) & torch.stack([g.clear[name] for g in past]).all(0)
            uphill = (step.move(name).sign() == signs[0])[agree]
            assert_true(
                not bool(uphill.any()), f"update {number} moves `{name}` uphill",
                because="Each update moves a weight against its gradient: where all gradients so far had one sign, "
                f"the other way.{_put_back(run) if uphill.any() else ''}",
            )  # fmt: skip


def assert_rate_is_used(solution: Any) -> None:
    """Check that ten times the rate moves the weights ten times as far."""
    far = {}
    for lr, num_steps in ((RATE, STEPS), (10 * RATE, 1)):
        _, step, right = next(trained(solution, lr=lr, num_steps=num_steps).again)
        far[lr] = float(_far(step, right).median())
    ratio = far[10 * RATE] / far[RATE] if far[RATE] else float("nan")
    observe("how much farther ten times the rate goes", round(ratio, 1))
    if not 9 < ratio < 11:
        fail(
            f"lr={10 * RATE:g} does not move the weights ten times as far as lr={RATE:g}:",
            expected="a ratio of 10", got=f"{ratio:.3g}" if far[RATE] else "no move at all",
            because="The size of a step of Adam is its lr, and that is the argument lr.",
        )  # fmt: skip


def assert_first_update_is_the_rate(solution: Any) -> None:
    """Check that the first update moves every weight by lr, as Adam's does."""
    _, step, right = next(trained(solution).again)
    far = _far(step, right) / RATE
    middle = float(far.median())
    observe("the first update in rates", round(middle, 1))
    wrong = int(((far - 1).abs() > 0.1).sum())
    if wrong:
        fail(
            "the first update is not one step of Adam:",
            expected=f"every weight that has a gradient moves by lr = {RATE:g}",
            got=f"another move for {wrong} of {len(far)} weights, the median is {middle * RATE:.3g}",
            because="Adam divides a gradient by its own size, so its first step is lr for every weight, however large "
            "or small the gradient; and a step of training makes one of them.",
        )


def assert_optimizer_remembers(solution: Any) -> None:
    """Check that the second update is not a first one once more, which would be lr for every weight."""
    (_, _, first), (_, step, second), *_ = trained(solution).again
    far = torch.cat(
        [
            step.move(name)[first.clear[name] & second.clear[name]].abs() / RATE
            for name in second.gradients
            if name in first.gradients
        ]
    )
    same = float(((far - 1).abs() < 0.02).float().mean())
    observe("the second update is like a first", same > 0.95)
    if same > 0.95:
        fail(
            "the second update moves every weight by lr again:",
            expected="less than lr where the gradients of steps 1 and 2 differ",
            got=f"lr = {RATE:g} for {same:.0%} of the weights",
            because="Adam averages the gradients of all steps, for which one optimizer is made before the loop. "
            "Only the first step of one is lr for every weight.",
        )


def assert_rate_is_constant(solution: Any) -> None:
    """Check that the largest move of each step is about lr."""
    far = []
    for _, step, right in trained(solution).again:
        far.append(float(_far(step, right).max()) / RATE)
    observe("the largest moves in rates", [round(x, 1) for x in far])
    wrong = [i for i, x in enumerate(far, 1) if not 0.6 < x < 1.3]
    if wrong:
        fail(
            f"update {wrong[0]} has another size than lr:",
            expected=f"about lr = {RATE:g} for the weight that moves farthest, at every step",
            got=", ".join(f"{x * RATE:.3g}" for x in far),
            because="Every step makes one update, and every update has the rate lr.",
        )
