"""Interview 17, second part: what mix promises, from cause to consequence.

The experts here are the checks' own and note what they get. The oracle asks every expert about every token, and takes
what was chosen. Shapes: N tokens, C n_embd, E experts, k experts a token.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    observe,
)
from common.testing.attending import assert_works_elsewhere
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free

N, C, E = 13, 6, 5
AXES = {"N": N, "C": C, "E": E}
EVERY_K = pytest.mark.parametrize("k", [1, 2, 3, E])


# --- what it is given ------------------------------------------------------------------------------


def some_tokens(tokens=N):
    return draw("x", N=tokens, C=C)


def some_weights(k, tokens=N):
    """Weights that do not sum to 1."""
    return 0.2 + draw("weights", tokens, k).abs()


def some_choices(k, tokens=N):
    return draw("who", tokens, E).argsort(-1)[:, :k]


def bent(e):
    """An expert that is not linear."""
    matrix = draw(f"expert {e}", C, C)
    return lambda rows: (rows @ matrix.to(rows.dtype)).tanh()


def curved(e):
    """An expert without numbers of its own: it works on any device."""
    return lambda rows: (rows + 0.3 * e).sin()


def right_mix(x, weights, chosen, experts):
    """What the README says: all experts see all tokens, and what was not chosen is not taken."""
    everything = torch.stack([expert(x) for expert in experts], dim=1)  # (N, E, C)
    picked = everything.gather(1, chosen.unsqueeze(-1).expand(-1, -1, x.size(-1)))
    return (weights.unsqueeze(-1) * picked).sum(1)


def mixed(solution, x, weights, chosen, experts):
    out = assert_tensor(solution.mix(x, weights, chosen, experts), "the result of mix")
    observe(f"mix of {tuple(x.shape)} in {x.dtype} with {tuple(chosen.shape)}", out)
    return out


class Noted:
    """Experts that note the rows that they get, each the number of a token; -1 is zeros, -2 any other row."""

    def __init__(self, x):
        self.x, self.calls = x, [[] for _ in range(E)]
        self.experts = [self.noting(e) for e in range(E)]

    def noting(self, e):
        expert = bent(e)

        def noted(rows):
            assert_tensor(rows, f"what expert {e} is called with")
            assert_shape(rows, (len(rows) if rows.ndim else 0, C), f"what expert {e} is called with",
                         because="An expert takes rows of x, (n, C).")
            same = (rows.unsqueeze(1) == self.x).all(-1)
            known = zip(same.tolist(), rows.count_nonzero(1).tolist(), strict=True)
            self.calls[e].append([row.index(True) if True in row else -1 if not full else -2 for row, full in known])
            return expert(rows)

        return noted


# --- who is asked about what ----------------------------------------------------------------------


@EVERY_K
def test_mix_gives_a_row_for_each_token(solution, k):
    for tokens in (N, 1):
        x, weights, chosen = some_tokens(tokens), some_weights(k, tokens), some_choices(k, tokens)
        out = mixed(solution, x, weights, chosen, [*map(bent, range(E))])
        assert_shape(out, (tokens, C), f"mix of {tokens} tokens with k={k}",
                     because="The k results of a token are added up, and stand where the token stood.")


def test_mix_leaves_its_inputs_alone(solution):
    experts = [*map(bent, range(E))]
    assert_input_untouched(lambda x, w, chosen: solution.mix(x, w, chosen, experts), some_tokens(), some_weights(2),
                           some_choices(2), what="mix")


@EVERY_K
def test_an_expert_gets_the_tokens_that_chose_it(solution, k):
    x, chosen = some_tokens(), some_choices(k)
    noted = Noted(x)
    mixed(solution, x, some_weights(k), chosen, noted.experts)
    wanted = [(chosen == e).any(1).nonzero().flatten().tolist() for e in range(E)]
    for e, calls in enumerate(noted.calls):
        got = sorted(token for call in calls for token in call)
        observe(f"tokens of expert {e}", got)
        assert_true(-1 not in got, f"expert {e} gets rows of zeros",
                    because="An expert gets the rows of x that chose it, and no others: it works on a row of zeros, "
                    "from a mask or as padding, just as long as on a token.")
        assert_true(-2 not in got, f"expert {e} gets a row that is no row of x",
                    because="Experts get tokens as they are; a weight multiplies what comes out, as an expert need not "
                    "be linear.")
        assert_equal(got, wanted[e], f"the list of the tokens that expert {e} gets, with k={k},",
                     because="Each token goes through its own k experts, once, and through no other: that is why more "
                     "experts cost nothing.")


@EVERY_K
def test_an_expert_is_called_once_at_most(solution, k):
    x, noted = some_tokens(), Noted(some_tokens())
    mixed(solution, x, some_weights(k), some_choices(k), noted.experts)
    most = max(map(len, noted.calls))
    observe(f"calls of one expert with k={k}", most)
    assert_true(most <= 1, f"with k={k} an expert is called {most} times",
                because="All tokens of an expert go through it in one call, whether they chose it first or last: its "
                "weights are read once.")


def test_an_expert_that_nobody_chose_has_no_work(solution):
    x, chosen = some_tokens(), 2 * draw("pair", N, 2).argsort(-1)  # experts 0 and 2 alone
    noted = Noted(x)
    mixed(solution, x, some_weights(2), chosen, noted.experts)
    work = [sum(map(len, calls)) for calls in noted.calls]
    assert_equal(work, [N, 0, N, 0, 0], "the list of how many rows each expert gets, where all choose 0 and 2,",
                 because="One that nobody chose is not called, or is called with no rows.")


# --- what comes out -------------------------------------------------------------------------------


def test_one_expert_with_weight_one_gives_its_own_result(solution):
    x, chosen, experts = some_tokens(), some_choices(1), [*map(bent, range(E))]
    weights = torch.ones_like(x[:, :1])
    assert_close(mixed(solution, x, weights, chosen, experts), right_mix(x, weights, chosen, experts),
                 "mix with k=1 and weights of 1", because="Row n is what expert chosen[n, 0] gives for row n of x: "
                 "results go back to the places that their tokens came from, and nothing is added.")


def test_results_of_a_tokens_experts_add_up(solution):
    x, chosen = some_tokens(), some_choices(3)
    experts = [lambda rows, e=e: rows * 10.0**e for e in range(E)]
    weights = torch.ones_like(x[:, :3])
    assert_close(
        mixed(solution, x, weights, chosen, experts) / x, (10.0**chosen).sum(1, keepdim=True).expand(-1, C),
        "mix over x, where expert e multiplies by 10^e and all weights are 1,", atol=0.02, rtol=1e-4,
        because="The k results of a token are added: what one expert put into a row is not overwritten by the next.",
    )


def test_each_weight_goes_with_its_own_expert(solution):
    x, chosen, weights = some_tokens(), some_choices(3), some_weights(3)
    experts = [lambda rows: rows] * E
    assert_close(
        mixed(solution, x, weights, chosen, experts) / x, weights.sum(1, keepdim=True).expand(-1, C),
        "mix over x, where each expert gives what it gets,", atol=1e-3, rtol=1e-4,
        because="It is the sum of the token's weights, taken as they are, each once.",
    )
    experts = [lambda rows, e=e: rows * (e + 1) for e in range(E)]
    assert_close(
        mixed(solution, x, weights, chosen, experts) / x, (weights * (chosen + 1)).sum(1, keepdim=True).expand(-1, C),
        "mix over x, where expert e multiplies by e + 1,", atol=1e-3, rtol=1e-4,
        because="weights[n, j] belongs to expert chosen[n, j]: the place j at which a token has an expert says which "
        "weight it is.",
    )


@EVERY_K
def test_mix_is_the_weighted_sum_over_the_chosen(solution, k):
    experts = [*map(bent, range(E))]
    for n in (N, 2, 1):
        x, weights, chosen = some_tokens(n), some_weights(k, n), some_choices(k, n)
        assert_close(
            mixed(solution, x, weights, chosen, experts), right_mix(x, weights, chosen, experts),
            f"mix of {n} tokens with k={k}",
            because="Row n is the sum over j of weights[n, j] * experts[chosen[n, j]](x[n]).",
        )


def test_an_expert_without_tokens_changes_nothing(solution):
    x, weights, experts = some_tokens(), some_weights(2), [*map(bent, range(E))]
    for pair in ((0, 2), (1, 4)):
        chosen = torch.where(draw("pair", N, 2).argsort(-1) > 0, *pair)
        assert_close(
            mixed(solution, x, weights, chosen, experts), right_mix(x, weights, chosen, experts),
            f"mix where all choose experts {pair[0]} and {pair[1]}",
            because="The number in chosen says which expert works, whether or not those before it have tokens.",
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_mix_answers_in_the_dtype_of_x(solution, dtype):
    x, weights, chosen, experts = some_tokens(), some_weights(2), some_choices(2), [*map(bent, range(E))]
    out = mixed(solution, x.to(dtype), weights.to(dtype), chosen, experts)
    assert_equal(str(out.dtype), str(dtype), f"the dtype of mix for x and weights in {dtype}",
                 because="A tensor that results are added to is made in the type of x: zeros_like does that.")
    atol = {torch.bfloat16: 0.3, torch.float16: 0.05}.get(dtype, 1e-5)
    assert_close(out.float(), right_mix(x, weights, chosen, experts), f"mix in {dtype}", atol=atol, rtol=0,
                 because="Only rounding in that type may differ.")


def test_mix_passes_gradients_to_tokens_and_weights(solution):
    chosen, experts = some_choices(2), [*map(bent, range(E))]
    assert_gradients_of(
        lambda x, weights: mixed(solution, x, weights, chosen, experts),
        lambda x, weights: right_mix(x, weights, chosen, experts), {"x": some_tokens(), "weights": some_weights(2)},
        because="A token learns through each of its experts, times their weights; a weight's gradient is what its "
        "expert gave.",
    )


def test_mix_minds_no_layout(solution):
    experts = [*map(bent, range(E))]
    assert_layout_is_free(lambda x, weights, chosen: mixed(solution, x, weights, chosen, experts), some_tokens(),
                          some_weights(2), some_choices(2), what="mix of tensors that are not contiguous")


def test_mix_works_on_any_device(solution):
    experts = [*map(curved, range(E))]
    assert_works_elsewhere(lambda x, weights, chosen: solution.mix(x, weights, chosen, experts), some_tokens(),
                           some_weights(2), some_choices(2), what="mix")
