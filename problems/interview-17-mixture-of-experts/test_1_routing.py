"""Interview 17, first part: what route and load_balance_loss promise, from cause to consequence.

Shapes: N tokens, E experts, k experts a token.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    draw_ids,
    observe,
)
from common.testing.attending import assert_works_elsewhere
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free

AXES = {"N": 11, "E": 5}
N, E = AXES.values()
HALVES = [torch.bfloat16, torch.float16]
EVERY_K = pytest.mark.parametrize("k", [1, 2, 3, E])


def some_logits(name="logits", tokens=N):
    return 1.5 * draw(name, N=tokens, E=E)


def routed(solution, logits, k):
    """What route gives, seen whole by a diagnosis, whatever the check asks of it."""
    call = f"route(logits, k={k})"
    pair = solution.route(logits, k)
    assert_true(isinstance(pair, tuple | list) and len(pair) == 2, f"{call} does not return two tensors",
                because="Weights and experts both go back, the weights first: `return weights, chosen`.")
    for name, tensor in zip(("weights", "chosen"), pair, strict=True):
        observe(f"{name} of {tuple(logits.shape)} in {logits.dtype}", assert_tensor(tensor, f"what stands for {name}"))
    weights, chosen = pair
    for name, tensor in (("the tensor of weights", weights), ("chosen", chosen)):
        assert_shape(tensor, (len(logits), k), f"{name} from {call}", because="A row for each token, with k entries.")
    assert_equal(str(chosen.dtype), "torch.int64", f"the dtype of chosen from {call}",
                 because="The second result holds the experts' numbers, which index other tensors.")
    return weights, chosen


def assert_no_one_comes_twice(chosen, what):
    several = [row for row in chosen.tolist() if len({*row}) < len(row)]
    assert_equal(several, [], f"the list of rows of chosen that name an expert twice, {what},",
                 because="A token goes through k different experts, also where logits are equal.")


def right_weights(logits, chosen):
    """What the README says, in double precision."""
    picked = logits.detach().double().softmax(-1).gather(-1, chosen)
    return picked / picked.sum(-1, keepdim=True)


# --- route: what it returns, and what it leaves alone --------------------------------------------


@EVERY_K
def test_route_gives_weights_and_experts_for_each_token(solution, k):
    routed(solution, some_logits(), k)
    routed(solution, some_logits("one", 1), k)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
def test_weights_have_the_dtype_of_the_logits(solution, dtype):
    weights, _ = routed(solution, some_logits().to(dtype), 2)
    assert_equal(str(weights.dtype), str(dtype), f"the dtype of the weights for logits in {dtype}",
                 because="They multiply what the experts give, in the type that the model works in.")


@pytest.mark.parametrize("name", ["route", "load_balance_loss"])
def test_routing_leaves_its_inputs_alone(solution, name):
    chosen = draw_ids("chosen", N, 2, vocab_size=E)
    inputs, call = {"route": ((some_logits(),), lambda logits: solution.route(logits, 2)),
                    "load_balance_loss": ((some_logits(), chosen), solution.load_balance_loss)}[name]
    assert_input_untouched(call, *inputs, what=name)


@pytest.mark.parametrize("k", [0, -1, E + 1, E + 7])
def test_more_experts_than_there_are_is_refused_and_so_is_none(solution, k):
    with assert_raises(ValueError, f"route(logits, k={k}) for {E} experts", naming=[k],
                       because="A token goes through at least one expert, and through no more than there are; the "
                       "message holds the number that was given."):
        solution.route(some_logits(), k)


# --- route: which experts, and with which weights ------------------------------------------------


@EVERY_K
def test_the_experts_with_the_largest_logits_are_chosen(solution, k):
    logits = some_logits()
    _, chosen = routed(solution, logits, k)
    assert_equal(
        chosen.sort(-1).values.tolist(), logits.topk(k).indices.sort(-1).values.tolist(),
        f"the list of the experts that each token chose with k={k}, sorted,",
        because="Each token, a row, chooses the k experts to which the router gave it the largest logits.",
    )


def test_the_largest_logit_comes_first(solution):
    logits = some_logits()
    _, chosen = routed(solution, logits, 3)
    assert_equal(chosen.tolist(), logits.topk(3).indices.tolist(), "the list of experts in each row of chosen",
                 because="The expert with the largest logit comes first, then the second, as topk has them.")


@EVERY_K
def test_the_weights_of_a_token_sum_to_one(solution, k):
    weights, _ = routed(solution, some_logits(), k)
    assert_close(weights.sum(-1), torch.ones_like(weights[:, 0]), f"the sum of each row of weights with k={k}",
                 because="The probabilities of the chosen experts are divided by their sum, token by token.")


@EVERY_K
def test_weights_are_probabilities_renormalised_over_the_chosen(solution, k):
    logits = some_logits()
    weights, chosen = routed(solution, logits, k)
    assert_close(
        weights.double(), right_weights(logits, chosen), f"the tensor of weights with k={k}",
        because="Weight j is the softmax over all E logits at chosen[:, j], divided by its sum over the k chosen; the "
        "ratio of two weights of a token is exp of the difference of their logits.",
    )


def test_equal_logits_share_the_token_evenly(solution):
    weights, chosen = routed(solution, torch.zeros_like(some_logits()), 3)
    assert_no_one_comes_twice(chosen, "with all logits equal")
    assert_close(weights, torch.full_like(weights, 1 / 3), "the tensor of weights of equal logits",
                 because="Which experts are chosen is left open, but each has the same probability.")


def far_apart(size, within):
    """Logits near +size and -size, within each token or from token to token."""
    return torch.where(draw("sign", N, E if within else 1) > 0, size, -size) + draw("logits", N=N, E=E)


@pytest.mark.parametrize(("size", "within"), [(500.0, True), (10000.0, True), (10000.0, False)],
                         ids=["500", "10000", "10000, each token at one end"])
def test_large_logits_are_no_trouble(solution, size, within):
    logits = far_apart(size, within)
    weights, chosen = routed(solution, logits, 2)
    assert_close(
        weights.double(), right_weights(logits, chosen), f"the tensor of weights of logits near +-{size:g}", atol=1e-4,
        because="exp(10000) is inf and exp(-10000) is 0; softmax takes the largest logit of each token off first, so "
        "that every weight is a number.",
    )


@pytest.mark.parametrize("dtype", [torch.float64, *HALVES], ids=str)
def test_logits_may_be_of_another_float_type(solution, dtype):
    logits = some_logits().to(dtype)
    weights, chosen = routed(solution, logits, 2)
    assert_no_one_comes_twice(chosen, f"in {dtype}")
    assert_close(logits.gather(-1, chosen), logits.topk(2).values, f"the chosen logits in {dtype}", atol=0, rtol=0,
                 because="They are the two largest of each row, the largest first.")
    atol = {torch.bfloat16: 0.02, torch.float16: 3e-3}.get(dtype, 1e-9)
    assert_close(weights.double(), right_weights(logits, chosen), f"the tensor of weights in {dtype}",
                 because="Only rounding in that type may differ.", atol=atol, rtol=0)


def test_the_weights_pass_gradients_to_the_logits(solution):
    def right(logits):
        picked = logits.softmax(-1).topk(2).values
        return picked / picked.sum(-1, keepdim=True)

    assert_gradients_of(
        lambda logits: routed(solution, logits, 2)[0], right, {"logits": some_logits()},
        because="The router learns through the weights: the choice itself has no slope.",
    )


# --- load_balance_loss ---------------------------------------------------------------------------


def loss_of(solution, logits, chosen):
    loss = solution.load_balance_loss(logits, chosen)
    what = f"the loss of {tuple(logits.shape)} in {logits.dtype} and {tuple(chosen.shape)}"
    assert_true(isinstance(loss, torch.Tensor), f"load_balance_loss returns a {type(loss).__name__}",
                because="It returns a tensor, a scalar, from which backward() finds its way to the logits.")
    observe(what, loss)
    assert_shape(loss, (), "load_balance_loss(logits, chosen)",
                 because="It is one number for all tokens and all experts: a scalar, which can be added to a loss.")
    return loss.double()


def right_loss(logits, chosen):
    """What the README says, expert by expert in double precision."""
    probs = logits.double().softmax(-1)
    shares = [(chosen == e).sum().item() / chosen.numel() for e in range(logits.size(-1))]
    return logits.size(-1) * sum(f * probs[:, e].mean() for e, f in enumerate(shares))


def some_choices(k, tokens=N):
    """k different experts for each token, which are not those with the largest logits."""
    return draw("who", N=tokens, E=E).argsort(-1)[:, :k]


def experts_in_turn(k):
    """Choices that are even: each expert is chosen by as many tokens as any other."""
    steps = torch.arange(2 * E, device=draw("d", 1).device).unsqueeze(1)
    return (steps + torch.arange(k, device=steps.device)) % E


@EVERY_K
def test_an_even_load_costs_one(solution, k):
    logits = 1.5 * draw("even", 2 * E, E)
    loss = loss_of(solution, logits, experts_in_turn(k))
    assert_close(
        loss, torch.ones_like(loss), f"the loss where each expert has the same share of the choices, with k={k},",
        because="Every f is 1 / E, as f is a share of all N * k choices. Then it is E * sum(P) / E = 1, whatever the "
        "probabilities are.",
    )


def test_one_expert_for_all_costs_e(solution):
    logits = torch.zeros_like(some_logits())
    logits[:, 3] = 100.0
    loss = loss_of(solution, logits, torch.full((N, 1), 3, device=logits.device))
    assert_close(loss, torch.full_like(loss, E), "the loss where one expert has all tokens, with probability 1,",
                 because="f and P of that expert are 1, and those of all others 0: E * 1 * 1.")


@pytest.mark.parametrize("expert", range(E))
def test_the_loss_of_one_expert_is_its_mean_probability_times_e(solution, expert):
    logits = some_logits()
    chosen = torch.full((N, 1), expert, device=logits.device)
    assert_close(
        loss_of(solution, logits, chosen), right_loss(logits, chosen),
        f"the loss where all tokens chose expert {expert}",
        because="f is 1 for that expert and 0 for those that nobody chose, so it is E times that expert's mean "
        "probability: the softmax over all E logits of a token, averaged over the tokens.",
    )


@EVERY_K
def test_the_loss_is_e_times_the_sum_of_f_times_p(solution, k):
    logits, chosen = some_logits(), some_choices(k)
    assert_close(
        loss_of(solution, logits, chosen), right_loss(logits, chosen), f"the loss of choices with k={k}",
        because="E * sum(f * P): f counts all k columns of chosen, over N * k, and takes chosen as it is given; P is "
        "the mean softmax over all E experts.",
    )


@pytest.mark.parametrize("expert", [E - 1, 0], ids=["the last", "the first"])
def test_an_expert_that_nobody_chose_counts_nothing(solution, expert):
    logits = some_logits()
    chosen = (expert + 1 + draw("who", N, E - 1).argsort(-1)[:, :2]) % E
    assert_close(
        loss_of(solution, logits, chosen), right_loss(logits, chosen), f"the loss where nobody chose expert {expert}",
        because="Its f is 0 and it keeps its place among the E shares, so that each f meets the P of its own expert.",
    )


def test_twice_the_tokens_cost_the_same(solution):
    logits, chosen = some_logits(), some_choices(2)
    assert_close(
        loss_of(solution, torch.cat([logits, logits]), torch.cat([chosen, chosen])), right_loss(logits, chosen),
        "the loss of all tokens twice",
        because="f is a share and P is a mean, so the number of tokens drops out.",
    )


def test_large_logits_are_no_trouble_to_the_loss(solution):
    for within in (True, False):
        logits, chosen = far_apart(10000.0, within), some_choices(2)
        where = "within each token" if within else "from token to token"
        assert_close(
            loss_of(solution, logits, chosen), right_loss(logits, chosen), f"the loss of logits of +-10000 {where}",
            because="P is a softmax for each token, which takes the token's own largest logit off before exp.",
            atol=1e-4,
        )


def test_the_gradient_of_the_loss_goes_through_p(solution):
    chosen = some_choices(2)
    assert_gradients_of(
        lambda logits: loss_of(solution, logits, chosen), lambda logits: right_loss(logits, chosen),
        {"logits": some_logits()},
        because="f is a count, a constant; P = softmax(logits) averaged over the tokens is what can be moved.",
        atol=1e-6,  # it is a mean over the tokens, and small
    )


@pytest.mark.parametrize("dtype", [torch.float64, *HALVES], ids=str)
def test_the_loss_takes_every_float_type(solution, dtype):
    logits, chosen = some_logits("many", 40).to(dtype), some_choices(3, 40)
    atol = {torch.bfloat16: 0.05, torch.float16: 0.01}.get(dtype, 1e-5)
    assert_close(loss_of(solution, logits, chosen), right_loss(logits, chosen), f"the loss of logits in {dtype}",
                 because="Only rounding in that type may differ.", atol=atol, rtol=0)


@pytest.mark.parametrize("name", ["route", "load_balance_loss"])
def test_routing_minds_no_layout(solution, name):
    chosen = some_choices(2)
    call = {"route": lambda logits: routed(solution, logits, 2)[0],
            "load_balance_loss": lambda logits: loss_of(solution, logits, chosen)}[name]
    assert_layout_is_free(call, some_logits(), what=f"{name} of logits that are not contiguous")


@pytest.mark.parametrize("name", ["weights", "chosen", "loss"])
def test_routing_works_on_any_device(solution, name):
    call = {"weights": lambda logits: solution.route(logits, 2)[0],
            "chosen": lambda logits: solution.route(logits, 2)[1], "loss": solution.load_balance_loss}[name]
    inputs = (some_logits(), some_choices(2))[: 2 if name == "loss" else 1]
    assert_works_elsewhere(call, *inputs, what="load_balance_loss" if name == "loss" else f"route, for {name},")
