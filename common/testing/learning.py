"""The checks that train_gpt2 trains: what its updates do, and what they cannot do on random tokens."""

import math

import pytest
import torch

from common.testing.asserts import assert_close, assert_equal, assert_true, fail
from common.testing.context import observe
from common.testing.modules import draw_ids
from common.testing.recording import replay
from common.testing.training import recorded, run


def test_the_first_loss_is_no_better_than_a_blind_guess(solution):
    # However the weights start: a model that knows nothing cannot beat ln V, and PyTorch's own start costs three times that here.
    _, losses = run(solution, vocab_size=50, embed_dim=8, block_size=12, batch_size=16, num_steps=1)
    times = losses[0] / math.log(50)
    observe("first loss", "low" if times < 0.85 else "high" if times > 7 else "right")
    if not 0.85 <= times <= 7:
        fail(
            "the first loss of a new model is wrong:", expected=f"about ln V = {math.log(50):.2f}, or a few times that", got=f"{losses[0]:.3f}",
            because="It is far below what a blind guess costs: the model sees its targets, or they are no tokens." if times < 1
            else "It is many times what a blind guess costs: a sum over positions or texts instead of their mean?",
        )  # fmt: skip


def test_the_losses_are_taken_before_each_update(solution):
    _, slow = run(solution, lr=1e-9, num_steps=1)
    _, fast = run(solution, lr=0.3, num_steps=1)
    assert_close(
        torch.tensor(fast[0]), torch.tensor(slow[0]), "the first loss with a learning rate of 0.3, compared with one of 1e-9,",
        because="The loss of a step is taken before its update, so the first one does not depend on lr.", record=False, atol=1e-4,
    )  # fmt: skip


def test_training_moves_the_weights(solution):
    short, long = (run(solution, lr=0.05, num_steps=n)[0] for n in (1, 4))
    moved = any(
        bool((a != b).any()) for a, b in zip(short.parameters(), long.parameters(), strict=True)
    )
    assert_true(
        moved, "a run of 4 steps ends with the same weights as one of 1 step",
        because="No weight moves: optimizer.step() is missing, or finds no gradient (no backward(), or zero_grad() between the two), or the optimizer holds another model's parameters.",
    )  # fmt: skip


def movement(solution, lr, num_steps):
    """How far the largest-moving parameter went from where the same run with a tiny lr left it."""
    moved, still = (
        run(solution, lr=lr, num_steps=num_steps)[0],
        run(solution, lr=1e-12, num_steps=num_steps)[0],
    )
    pairs = zip(moved.parameters(), still.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_one_step_moves_the_weights_by_the_learning_rate(solution):
    lr = 1e-2
    far = movement(solution, lr, 1)
    observe("first step in learning rates", round(far / lr, 1) if far < 20 * lr else "many")
    says = f"Adam's first step has the size of lr for every parameter that has a gradient; the largest movement was {far / lr:.3g} times lr. "
    if far == 0:
        says = "A learning rate of 0.01 leaves the weights where one of 1e-12 leaves them: the argument lr does not reach the optimizer."
    elif far < 0.9 * lr:
        says += "With plain SGD it is lr times the gradient, which is much less."
    elif far > 1.2 * lr:
        says += "Is lr changed, or are there several updates in one step?"
    if not 0.9 * lr <= far <= 1.2 * lr:
        fail(
            "the first update is not one step of Adam:",
            expected=f"a largest movement of lr = {lr}",
            got=f"{far:.3g}",
            because=says,
        )


def test_each_step_updates_once(solution):
    lr = 1e-3
    far = movement(solution, lr, 3)
    observe("three steps in learning rates", round(far / lr))
    if not 1.5 * lr <= far <= 3.6 * lr:
        fail(
            "three steps do not move the weights as three updates would:", expected=f"a largest movement between {1.5 * lr:g} and {3.6 * lr:g} for lr = {lr}", got=f"{far:.3g}",
            because="Each step makes one update, of at most about lr for each weight: step once in each pass of the loop.",
        )  # fmt: skip


LEARN = {
    "vocab_size": 11,
    "embed_dim": 32,
    "num_heads": 2,
    "num_layers": 1,
    "block_size": 8,
    "batch_size": 8,
    "lr": 1e-2,
    "seed": 3,
}


def test_the_model_does_not_learn_to_copy(solution):
    model, _ = run(solution, **{**LEARN, "num_steps": 40})
    ids = draw_ids("ids", 16, 8, vocab_size=11)
    with torch.no_grad():
        share = float((model.eval()(ids).argmax(-1) == ids).float().mean())
    observe("copies its input", share > 0.7)
    if share > 0.7:
        fail(
            "after training the most likely next token is the token itself:", expected=f"no rule, about 1 in {LEARN['vocab_size']}, as the tokens are random", got=f"{share:.0%} of all positions",
            because="The loss compares the logits with the inputs: language_model_loss(model(inputs), targets), where targets are one token ahead.",
        )  # fmt: skip


def test_fresh_tokens_at_every_step_cannot_be_learned_by_heart(solution):
    # Uniform random tokens cannot be predicted: the best loss is ln V. A batch seen again and again can.
    _, losses = run(solution, **{**LEARN, "num_steps": 30})
    last = sum(losses[-8:]) / 8
    observe("learned by heart", last < 0.87 * math.log(11))
    if last < 0.87 * math.log(11):
        fail(
            "the loss falls below what random tokens allow:", expected=f"about ln V = {math.log(11):.2f} at the end", got=f"{last:.3f}",
            because="Fresh random tokens at every step cannot be predicted, so the model has seen them before (one batch, drawn outside of the loop), or sees the answer (no shift, no causal mask).",
        )  # fmt: skip


def test_training_lowers_the_loss_towards_ln_v(solution):
    _, losses = run(solution, **{**LEARN, "vocab_size": 40, "num_steps": 30, "lr": 3e-3})
    first, last = sum(losses[:3]) / 3, sum(losses[-5:]) / 5
    better = last < max(first, math.log(40) + 0.08) + 0.05
    observe("the loss does not rise", better)
    if not better:
        fail(
            "the loss rises in training:",
            expected=f"a mean of the last losses around ln V = {math.log(40):.2f}",
            got=f"{first:.3f} at first, {last:.3f} at the end",
            because="Gradients of earlier steps may be piling up (zero_grad missing), or the update goes uphill.",
        )


def test_gradients_of_earlier_steps_are_cleared(solution):
    _, _, made = recorded(solution, num_steps=6)
    steps = [number for number, step in enumerate(made, 1) if step.stale]
    observe("steps that begin with old gradients", steps)
    if steps:
        fail(
            f"in step {steps[0]} backward() adds to the gradients of the step before:", expected="gradients that are None or zero before each backward()", got=f"old ones in steps {', '.join(map(str, steps))} of {len(made)}",
            because="backward() adds to what is there: call optimizer.zero_grad() before each backward().",
        )  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_is_used(solution, batch_size):
    _, _, made = recorded(solution, batch_size=batch_size, num_steps=2)
    first = tuple(made[0].ids.shape) if made else (batch_size, 6)
    assert_equal(
        first,
        (batch_size, 6),
        f"the shape of the model's input in training, for batch_size={batch_size} and block_size=6,",
        because="Each step draws (batch_size, block_size + 1) tokens: block_size inputs and, one further on, block_size targets.",
    )


def test_each_step_goes_downhill_on_the_loss_of_its_own_batch(solution):
    lr = 1e-2
    model, losses, made = recorded(solution, num_steps=3, lr=lr)
    assert_equal(
        len(made), 3, "the number of steps in which the model that train_gpt2 returns was called with ids and learned, for num_steps=3,",
        because="Each step computes model(inputs), its loss and loss.backward(), with the model that is returned in the end.",
    )  # fmt: skip
    after = [step.before for step in made[1:]] + [{name: p.detach().clone() for name, p in model.named_parameters()}]
    past = []
    for number, (step, moved) in enumerate(zip(made, after, strict=True), 1):
        loss, right, had = replay(model, step)
        assert_close(
            had, right, f"the gradient of the logits in step {number}, compared with that of cross-entropy with the next tokens,", record=False,
            because="The loss of a step is the mean of -log softmax(model(inputs)) at each token's successor, over all positions, and nothing else: look at targets and loss.",
        )  # fmt: skip
        assert_close(
            torch.tensor(losses[number - 1]), loss, f"the loss that train_gpt2 returns for step {number}, computed again,", record=False, atol=1e-4,
            because="It is the loss of this step's batch before the update: loss.item(), as it is.",
        )  # fmt: skip
        past.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        noise = 1e-5 * max(float(g.abs().max()) for g in past[-1].values())  # a bias of the keys has no other gradient
        for name in past[-1]:
            wrong = _uphill([g[name] for g in past if name in g], moved[name] - step.before[name], lr, noise)
            assert_true(
                not wrong, f"update {number} moves `{name}` {wrong}",
                because="Adam moves each weight against its gradients, at first by lr: backward() on this step's loss, then one optimizer.step(), for all parameters of this model.",
            )  # fmt: skip


def _uphill(gradients, move, lr, noise):
    """What is wrong with the move of a parameter; only where it has a gradient worth the name in every step."""
    clear = torch.stack([g.abs() > max(1e-3 * float(g.abs().max()), noise) for g in gradients]).all(0)
    same = clear & torch.stack([g.sign() == gradients[0].sign() for g in gradients]).all(0)
    if not bool(same.any()):
        return ""
    if bool((move[same].sign() == gradients[0][same].sign()).any()):
        return "uphill"
    first = (move[clear].abs() - lr).abs().max() if len(gradients) == 1 else move.new_zeros(())
    return "by something else than the learning rate" if bool(first > 0.1 * lr) else ""


def test_the_learning_rate_is_used(solution):
    small, large = movement(solution, 1e-4, 2), movement(solution, 1e-2, 2)
    ratio = large / small if small else math.inf
    observe("learning rate is used", 20 < ratio < 500)
    if not 20 < ratio < 500:
        fail(
            "a learning rate a hundred times larger does not move the weights a hundred times as far:",
            expected="a ratio of about 100",
            got=f"{ratio:.3g}",
            because="The argument lr has to reach the optimizer.",
        )
