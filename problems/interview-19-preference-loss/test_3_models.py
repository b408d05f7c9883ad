"""Interview 19, third part: what dpo_loss promises, from cause to consequence.

Shapes: B pairs of answers, T tokens, V vocab_size, C channels of the models.
"""

import math

import pytest
import torch
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_tensor,
    assert_true,
    draw_ids,
    fail,
    fill,
    observe,
)

B, V, C = 5, 11, 6
AXES = {"B": B, "V": V, "C": C}


def dpo(solution, *given, **options):
    """Loss and metrics, after a look at their form."""
    result = solution.dpo_loss(*given, **options)
    pair = isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[1], dict)
    observe("dpo_loss returns loss and metrics", pair)
    if not pair:
        fail(
            "dpo_loss(...) should return two things:", expected="loss, metrics", got=f"a {type(result).__name__}",
            because="It returns what preference_loss returns, the loss as a tensor and the metrics as a dict.",
        )  # fmt: skip
    return assert_tensor(result[0], "the loss of dpo_loss(...)"), result[1]


def model(gain=1.5):
    """Logits that follow from the token itself."""
    return fill(nn.Sequential(nn.Embedding(V, C), nn.Linear(C, V)), gain=gain)


def texts(b=B, t_chosen=7, t_rejected=9):
    """chosen, chosen_mask, rejected, rejected_mask: prompts of 3 tokens, then the answer, then padding."""
    found = []
    for name, t in (("chosen", t_chosen), ("rejected", t_rejected)):
        ids = draw_ids(name, b, t, vocab_size=V)
        at = torch.arange(t, device=ids.device)
        ends = 4 + (torch.arange(b, device=ids.device) * (3 if name == "chosen" else 5)) % (t - 3)
        found += [ids, (at >= 3) & (at < ends[:, None])]
    return found


def log_probs(net, ids, mask):
    per_token = torch.log_softmax(net(ids)[:, :-1], -1).gather(-1, ids[:, 1:, None])[..., 0]
    return (per_token * mask[:, 1:]).sum(1)


def right_dpo(policy, frozen, *given, beta=0.1):
    pairs = given[:2], given[2:]
    with torch.no_grad():
        constants = [log_probs(frozen, *pair) for pair in pairs]
    chosen, rejected = (log_probs(policy, *pair) - c for pair, c in zip(pairs, constants, strict=True))
    return nn.functional.softplus(-beta * (chosen - rejected)).mean()


@pytest.mark.parametrize("lengths", [(7, 9), (8, 8), (10, 6)], ids=str)
def test_dpo_loss_of_two_models(solution, lengths):
    policy, frozen, given = model(), model(gain=0.7), texts(t_chosen=lengths[0], t_rejected=lengths[1])
    right = right_dpo(policy, frozen, *given)
    assert_close(
        dpo(solution, policy, frozen, *given)[0], right,
        f"the loss of dpo_loss with T = {lengths[0]} for chosen and {lengths[1]} for rejected texts",
        because="It is preference_loss of the answers' log-probabilities: of the policy and of the reference, of the "
        "chosen and of the rejected texts, each with its own ids and mask.",
    )  # fmt: skip


def test_dpo_loss_passes_beta_on(solution):
    policy, frozen, given = model(), model(gain=0.7), texts()
    betas = (0.05, 0.2, 0.4, 0.8)
    right = torch.stack([right_dpo(policy, frozen, *given, beta=beta) for beta in betas])
    losses = [dpo(solution, policy, frozen, *given, beta=beta)[0] for beta in betas]
    assert_close(
        torch.stack(losses), right, f"the list of the losses of dpo_loss for beta in {betas}",
        because="beta is preference_loss's, and passed on.",
    )  # fmt: skip


def test_dpo_loss_gives_the_metrics_as_well(solution):
    policy, frozen, given = model(), model(gain=0.7), texts()
    pairs = given[:2], given[2:]
    with torch.no_grad():
        margins = [0.1 * (log_probs(policy, *p) - log_probs(frozen, *p)) for p in pairs]
    metrics = dpo(solution, policy, frozen, *given)[1]
    assert_close(
        torch.as_tensor(metrics.get("margin", math.nan), dtype=torch.float64),
        (margins[0] - margins[1]).double().mean().cpu(), "metrics['margin'] of dpo_loss",
        because="dpo_loss returns what preference_loss returns, loss and metrics.",
    )  # fmt: skip


def gradients(net):
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("same", [False, True], ids=["two models", "one model as both"])
def test_the_policy_learns_and_the_reference_does_not(solution, same):
    policy, given = model(), texts()
    frozen = policy if same else model(gain=0.7)
    right_dpo(policy, frozen, *given).backward()
    right = gradients(policy)
    policy.zero_grad()
    loss = dpo(solution, policy, frozen, *given)[0]
    if loss.requires_grad:
        loss.backward()
    found = gradients(policy)
    for name, gradient in right.items():
        assert_close(
            found.get(name, torch.zeros_like(gradient)), gradient, f"the gradient of the policy's `{name}`",
            because="The gradient goes through the policy's log-probabilities alone. Where the reference is the "
            "policy's own module it is a constant all the same, and does not take its part back.",
        )  # fmt: skip
    reached = [] if same else [name for name, g in gradients(frozen).items() if bool(g.any())]
    assert_equal(
        reached, [], "the list of the reference's parameters with a gradient",
        because="The reference is a constant: compute its log-probabilities under torch.no_grad(), or detach them.",
    )  # fmt: skip


def test_dpo_loss_leaves_gradients_switched_on(solution):
    solution.dpo_loss(model(), model(gain=0.7), *texts())
    assert_true(
        torch.is_grad_enabled(), "dpo_loss leaves gradients switched off",
        because="torch.no_grad() in a with statement ends with it; torch.set_grad_enabled(False) as a plain call does "
        "not.",
    )  # fmt: skip


def test_dpo_loss_leaves_gradients_off_where_they_were(solution):
    with torch.no_grad():
        solution.dpo_loss(model(), model(gain=0.7), *texts())
        on = torch.is_grad_enabled()
    assert_true(
        not on, "called under torch.no_grad(), dpo_loss leaves gradients switched on",
        because="Afterwards gradients are as they were, on or off; with torch.no_grad(): puts back what it found.",
    )  # fmt: skip


def test_a_frozen_reference_stays_frozen(solution):
    reference = model(gain=0.7)
    frozen = list(reference.parameters())
    for p in frozen:
        p.requires_grad_(False)
    solution.dpo_loss(model(), reference, *texts())
    assert_true(
        not any(p.requires_grad for p in frozen), "a frozen reference can be trained again after dpo_loss",
        because="The function changes none of its inputs, so whoever froze the reference finds it frozen.",
    )  # fmt: skip
