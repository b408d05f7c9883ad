"""Interview 17, third part: what MixtureOfExperts promises, from cause to consequence.

The oracle computes every expert for every token, and gives those that were not chosen the weight 0.

Shapes: B texts, T tokens, C n_embd, F n_inner, E experts, k experts a token.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    fill,
    observe,
)
from common.testing.calls import assert_nothing_is_kept

B, T, C, E, INNER = 3, 7, 6, 5, 10
AXES = {"C": C, "E": E, "F": INNER}
EVERY_K = pytest.mark.parametrize("k", [1, 2, 3, E])

# --- what it is -----------------------------------------------------------------------------------

SHAPES = {"router.weight": (E, C)} | {
    f"experts.{e}.{name}.weight": (C, INNER) if name == "w2" else (INNER, C)
    for e in range(E)
    for name in ("w1", "w2", "w3")
}


def layer_of(solution, k=2):
    return fill(solution.MixtureOfExperts(C, INNER, E, k))


def text(name="x", length=T):
    return draw(name, B=B, T=length, C=C)


def pair_of(layer, x):
    """Output and loss, seen whole by a diagnosis."""
    pair = layer(x)
    assert_true(isinstance(pair, tuple | list) and len(pair) == 2, "the layer does not return two tensors",
                because="The output and the loss both go back, the output first: `return output, loss`.")
    output, loss = assert_tensor(pair[0], "the output"), assert_tensor(pair[1], "the loss")
    observe(f"output of {tuple(x.shape)}", output)
    observe(f"loss of {tuple(x.shape)}", loss)
    return output, loss


def right_pair(numbers, x, k):
    """What these parameters, by name, make of x: every expert sees every token, and the others' weight is 0."""
    rows = x.flatten(0, 1)
    probs = (rows @ numbers["router.weight"].mT).softmax(-1)
    chosen = F.one_hot(probs.topk(k).indices, E).sum(1)  # (N, E), ones and zeros
    weights = probs * chosen
    weights = weights / weights.sum(1, keepdim=True)
    output = torch.zeros_like(rows)
    for e in range(E):
        w1, w2, w3 = (numbers[f"experts.{e}.{name}.weight"] for name in ("w1", "w2", "w3"))
        output = output + weights[:, e : e + 1] * ((F.silu(rows @ w1.mT) * (rows @ w3.mT)) @ w2.mT)
    return output.view(x.shape), E * (chosen.sum(0) / (k * len(rows)) * probs.mean(0)).sum()


def numbers_of(layer):
    return {name: p.detach() for name, p in layer.named_parameters()}


def test_the_layer_has_a_router_and_experts(solution):
    layer = solution.MixtureOfExperts(C, INNER, E, 2)
    because = "router is a Linear(C, E) without bias; each of the E experts is an Expert, three Linear without bias."
    assert_parameters(layer, SHAPES, f"MixtureOfExperts({C}, {INNER}, {E}, 2)", because=because)
    assert_equal(sorted(layer.state_dict()), sorted(SHAPES), "the list of the layer's state_dict keys",
                 because="What is learned are router and experts; nothing else is kept.")


def test_each_expert_has_numbers_of_its_own(solution):
    layer = solution.MixtureOfExperts(C, INNER, E, 2)
    assert_equal(
        sorted(name for name, _ in layer.named_parameters()), sorted(SHAPES),
        "the list of the layer's parameters, each of which is listed once,",
        because="Each expert is an object of its own: `[expert] * n` is one expert in n places.",
    )
    first = {tuple(expert.w1.weight.detach().flatten().tolist()) for expert in layer.experts}
    assert_equal(len(first), E, f"the number of different w1 among {E} experts of a new layer",
                 because="Each begins with random numbers of its own.")


@pytest.mark.parametrize("k", [0, -2, E + 1])
def test_a_layer_with_too_many_or_no_experts_is_refused(solution, k):
    with assert_raises(ValueError, f"MixtureOfExperts({C}, {INNER}, {E}, k={k})", naming=[k],
                       because="k is from 1 to n_expert; the message holds the number that was given. It is refused "
                       "when the layer is made, not when the first text comes."):
        solution.MixtureOfExperts(C, INNER, E, k)


def test_the_layer_gives_an_output_and_a_loss(solution):
    for length in (T, 1):
        output, loss = pair_of(layer_of(solution), text(length=length))
        assert_shape(output, (B, length, C), "the output", because="Every token comes out where it went in.")
        assert_shape(loss, (), "the loss", because="It is one number for all texts and tokens of the call.")


class Part(nn.Module):
    """A layer as a module that returns one of its two results."""

    def __init__(self, layer, which=0):
        super().__init__()
        self.layer, self.which = layer, which

    def forward(self, x):
        return pair_of(self.layer, x)[self.which]


@pytest.mark.parametrize("which", [0, 1], ids=["output", "loss"])
def test_a_call_leaves_nothing_behind(solution, which):
    part, what = Part(layer_of(solution), which), ("the output", "the loss")[which]
    assert_input_untouched(part, text(), what="MixtureOfExperts")
    assert_repeatable(part, text(), what=what)
    assert_nothing_is_kept(lambda: Part(layer_of(solution), which), text(), text("y", 4), what)


# --- what comes out -------------------------------------------------------------------------------


@EVERY_K
def test_the_output_is_the_mix_of_the_chosen_experts(solution, k):
    layer, x = layer_of(solution, k), text()
    assert_close(
        pair_of(layer, x)[0], right_pair(numbers_of(layer), x, k)[0], f"the output with k={k}", atol=1e-4,
        because="Each token's k experts with the largest router logits, weighted by their renormalised probabilities, "
        "and nothing added.",
    )


@EVERY_K
def test_the_loss_is_that_of_all_tokens(solution, k):
    layer, x = layer_of(solution, k), text()
    assert_close(
        pair_of(layer, x)[1], right_pair(numbers_of(layer), x, k)[1], f"the loss with k={k}",
        because="It is load_balance_loss of the router's logits and the choices of all B * T tokens together.",
    )


def test_texts_do_not_mix(solution):
    assert_rows_independent(Part(layer_of(solution)), text(), what="the output", other=text("other"))


def test_no_token_is_dropped(solution):
    layer, x = layer_of(solution, 1), text().abs()
    with torch.no_grad():
        layer.router.weight[3] = 5.0  # positive, like all of x
    assert_close(
        pair_of(layer, x)[0], right_pair(numbers_of(layer), x, 1)[0], "the output where all tokens choose one expert",
        atol=1e-4, because="There is no capacity: each token goes through the expert that it chose, however many do.",
    )


def test_no_expert_works_for_a_token_that_did_not_choose_it(solution):
    layer, x = layer_of(solution), text()
    chosen = (x.flatten(0, 1) @ layer.router.weight.detach().mT).topk(2).indices
    work, most = [0] * E, torch.bincount(chosen.flatten(), minlength=E).tolist()

    def note(expert):
        def noted(_, args):
            work[expert] += args[0].numel() // C

        return noted

    handles = [expert.register_forward_pre_hook(note(e)) for e, expert in enumerate(layer.experts)]
    pair_of(layer, x)
    for handle in handles:
        handle.remove()
    more = [e for e in range(E) if work[e] > most[e]]
    observe("rows that each expert gets", work)
    if more:
        fail(f"expert {more[0]} of the layer gets more rows than tokens chose it:",
             expected=f"at most {most[more[0]]} of {B * T}", got=work[more[0]],
             because="Each token goes through its own k experts alone; what nobody asked for costs as much as what "
             "somebody did.")


def test_training_changes_nothing_in_what_is_computed(solution):
    layer, x = layer_of(solution), text()
    found, right = pair_of(layer.train(), x), right_pair(numbers_of(layer), x, 2)
    for name, mine, wanted in zip(("output", "loss"), found, right, strict=True):
        assert_close(mine, wanted, f"the {name} in training mode", atol=1e-4,
                     because="Nothing is random: no noise on the logits or the input, no dropout, in either mode.")


# --- learning, types, devices ---------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1], ids=["output", "loss"])
def test_gradients_are_those_of_the_formula(solution, which):
    layer, x, what = layer_of(solution), text().requires_grad_(), ("output", "loss")[which]
    result = pair_of(layer, x)[which]
    direction = draw("direction", *result.shape)
    leaves = {name: p.clone().requires_grad_() for name, p in numbers_of(layer).items()}
    same_x = text().requires_grad_()
    (right_pair(leaves, same_x, 2)[which] * direction).sum().backward()
    if result.requires_grad:
        (result * direction).sum().backward()
    found = {f"`{n}`": (p, leaves[n]) for n, p in layer.named_parameters()} | {"the input": (x, same_x)}
    for name, (mine, right) in found.items():
        wanted = torch.zeros_like(right) if right.grad is None else right.grad
        assert_close(
            torch.zeros_like(wanted) if mine.grad is None else mine.grad, wanted,
            f"the gradient of the {what} by {name}",
            because="The output teaches the router through the weights and each expert through its own tokens; the "
            "loss teaches the router through P alone. Both reach x.", atol=1e-4 if which == 0 else 1e-6, rtol=1e-4,
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_the_layer_moves_to_another_type(solution, dtype):
    assert_keeps_dtype(Part(layer_of(solution)), text(), what="the output", dtype=dtype)


def test_the_layer_moves_to_another_device(solution):
    assert_moves(layer_of(solution), text(), what="MixtureOfExperts")
