"""Problem 11: what init_weights promises, from cause to consequence.

Shapes: C n_embd, V vocab_size. With n numbers drawn from N(0, s) the measured standard deviation is
within s * 5.5 / sqrt(2 n) of s in all but one of 26 million cases, the mean within s * 5.5 / sqrt(n) of 0.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common import GPT2Config
from common.testing import CheckFailed, assert_equal, assert_true, fail, observe

CONFIG = GPT2Config(vocab_size=211, n_positions=97, n_embd=48, n_layer=3, n_head=4, n_inner=160, initializer_range=0.05)
SIGMAS = 5.5
STD, L = CONFIG.initializer_range, CONFIG.n_layer


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(c.n_embd, 3 * c.n_embd), nn.Linear(c.n_embd, c.n_embd)


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(c.n_embd, c.n_inner), nn.Linear(c.n_inner, c.n_embd)


class Norm(nn.Module):
    """A LayerNorm of one's own, as in problem 07: known by its name and parameters, not by its class."""

    def __init__(self, size):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.full((size,), 7.0)), nn.Parameter(torch.full((size,), 7.0))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln_1, self.attn = Norm(c.n_embd), Attention(c)
        self.ln_2, self.mlp = nn.LayerNorm(c.n_embd), FeedForward(c)


class Tree(nn.Module):
    """A GPT-2 in names and shapes. Every parameter starts at 7, so that one left out is seen."""

    def __init__(self, c):
        super().__init__()
        self.config = c
        self.wte, self.wpe = nn.Embedding(c.vocab_size, c.n_embd), nn.Embedding(c.n_positions, c.n_embd)
        self.h = nn.ModuleList(Block(c) for _ in range(c.n_layer))
        self.ln_f = Norm(c.n_embd)
        self.lm_head = nn.Linear(c.n_embd, c.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight
        with torch.no_grad():
            for p in self.parameters():
                p.fill_(7.0)


def initialised(solution, config=CONFIG):
    tree = Tree(config)
    solution.init_weights(tree)
    return tree


def each(tree, ending):
    return [(name, p.detach()) for name, p in tree.named_parameters() if name.endswith(ending)]


def expected_std(name, config=CONFIG):
    return config.initializer_range / math.sqrt(2 * config.n_layer) if name.endswith("c_proj.weight") else config.initializer_range


MATRICES = ["wte.weight", "wpe.weight", "c_attn.weight", "c_fc.weight", "attn.c_proj.weight", "mlp.c_proj.weight"]


def level(value, config=CONFIG):
    """A standard deviation in words, where it is a known one: the message, and what diagnosis compares."""
    s, n = config.initializer_range, config.n_layer
    known = {
        "7, so it was left as it was": None, "0: it was set to a constant": 0.0,
        "initializer_range": s, "initializer_range / sqrt(2 n_layer)": s / math.sqrt(2 * n), "initializer_range / sqrt(n_layer): the 2 is missing": s / math.sqrt(n),
        "initializer_range / (2 n_layer): the scale is applied twice, or the root is missing": s / (2 * n), "sqrt(initializer_range): it was taken for a variance": math.sqrt(s),
        "initializer_range squared": s * s, "0.02, whatever the config says": 0.02, "0.02 / sqrt(2 n_layer), whatever the config says": 0.02 / math.sqrt(2 * n),
        "initializer_range * sqrt(2 n_layer): multiplied, not divided": s * math.sqrt(2 * n), "initializer_range * sqrt(2)": s * math.sqrt(2), "initializer_range / sqrt(2)": s / math.sqrt(2),
        "1, as nn.Embedding starts": 1.0, "initializer_range / n_layer": s / n, "initializer_range / sqrt(3)": s / math.sqrt(3),
    }  # fmt: skip
    return next((text for text, std in known.items() if std is not None and abs(value - std) <= 0.03 * std), f"about {value:.2g}")


# --- nothing else happens ------------------------------------------------------------------------


def test_it_works_in_place(solution):
    tree = Tree(CONFIG)
    before = dict(tree.named_parameters(remove_duplicate=False))
    solution.init_weights(tree)
    after = dict(tree.named_parameters(remove_duplicate=False))
    replaced = [name for name in before if after.get(name) is not before[name]]
    assert_equal(replaced, [], "the list of Parameters that were replaced by new ones", because="Write into the Parameters that are there (nn.init.normal_, or copy_ under no_grad): an optimizer and the tie hold on to them.")
    assert_true(tree.lm_head.weight is tree.wte.weight, "lm_head and wte are not tied any more", because="A new Parameter for one of them breaks the tie: initialise in place.")
    frozen = [name for name, p in after.items() if not p.requires_grad or p.grad_fn is not None or not p.is_leaf]
    assert_equal(frozen, [], "the list of parameters that cannot be trained any more", because="Work under torch.no_grad(), as the functions of nn.init do, and leave requires_grad alone.")


def test_every_parameter_is_given_a_value(solution):
    left = [name for name, p in initialised(solution).named_parameters() if bool((p == 7).all())]
    assert_equal(left, [], "the list of parameters that were left as they were", because="Every parameter gets its starting value: matrices, biases and norms, in all layers, also in modules that are no nn.LayerNorm.")


@pytest.mark.parametrize("n_layer", [1, 3])
def test_biases_are_zero(solution, n_layer):
    tree = initialised(solution, GPT2Config(**{**CONFIG.__dict__, "n_layer": n_layer}))
    wrong = [name for name, p in each(tree, "bias") if bool((p != 0).any())]
    assert_equal(wrong, [], "the list of biases that do not start at 0", because="All biases start at zero, those of the norms too.")


def test_the_weights_of_norms_are_one(solution):
    norms = [(n, p) for n, p in each(initialised(solution), ".weight") if p.ndim == 1]
    observe("values of norms", [round(float(p.mean()), 3) for _, p in norms])
    wrong = [name for name, p in norms if bool((p != 1).any())]
    assert_equal(wrong, [], "the list of norm weights that do not start at 1", because="A norm starts without an effect of its own: weight 1, bias 0. ln_1 and ln_f here are a class of their own, not nn.LayerNorm: go by name and shape.")


# --- the matrices --------------------------------------------------------------------------------


def assert_normal(name, p, std):
    """Check a matrix against N(0, std): the width first, then the middle, then the shape."""
    n, measured = p.numel(), float(p.std())
    observe(f"standard deviation of {name}", level(measured))
    if not abs(measured - std) <= SIGMAS * std / math.sqrt(2 * n):
        fail(
            f"the standard deviation of {name} is wrong:", expected=f"{std:.5g} (give or take {SIGMAS * std / math.sqrt(2 * n):.2g}, for {n} numbers)",
            got=f"{measured:.5g}, which is {level(measured)}",
            because=(
                "c_proj writes to the residual stream, so it starts smaller: initializer_range / sqrt(2 * n_layer), in attn and in mlp."
                if name.endswith("c_proj.weight") else "All other matrices have the standard deviation config.initializer_range; nn.init.normal_ takes the deviation, not the variance."
            ),
        )  # fmt: skip
    mean = float(p.mean())
    observe(f"mean of {name} in deviations", round(mean / std, 0))
    if not abs(mean) <= SIGMAS * std / math.sqrt(n):
        fail(f"the mean of {name} is wrong:", expected=f"0 (give or take {SIGMAS * std / math.sqrt(n):.2g})", got=f"{mean:.4g}", because="The normal distribution is centred at 0: mean=0.0, std=... in that order.")
    if n < 2000:
        return
    beyond = float((p.abs() > 2 * std).float().mean())
    share = 0.0455  # of a normal distribution lies beyond two standard deviations
    observe(f"share of {name} beyond two deviations", round(beyond, 2))
    if not abs(beyond - share) <= SIGMAS * math.sqrt(share * (1 - share) / n) + 0.002:
        fail(
            f"the numbers of {name} are not spread as a normal distribution's:", expected=f"{share:.1%} beyond two standard deviations", got=f"{beyond:.1%}",
            because="A uniform distribution or a truncated one has none out there: use nn.init.normal_.",
        )  # fmt: skip


@pytest.mark.parametrize("ending", MATRICES)
def test_matrices_are_normal_with_the_right_deviation(solution, ending):
    for name, p in each(initialised(solution), ending):
        assert_normal(name, p, expected_std(name))


@pytest.mark.parametrize(("n_layer", "initializer_range"), [(1, 0.05), (8, 0.05), (3, 0.02), (3, 0.4)])
def test_the_deviations_follow_the_config(solution, n_layer, initializer_range):
    config = GPT2Config(**{**CONFIG.__dict__, "n_layer": n_layer, "initializer_range": initializer_range})
    tree = initialised(solution, config)
    for ending in MATRICES:
        name, p = each(tree, ending)[-1]
        std, measured = expected_std(name, config), float(p.std())
        observe(f"standard deviation of {name}", level(measured, config))
        if not abs(measured - std) <= SIGMAS * std / math.sqrt(2 * p.numel()):
            raise CheckFailed(
                f"the standard deviation of {name} for n_layer={n_layer}, initializer_range={initializer_range} is wrong:", expected=f"{std:.5g}", got=f"{measured:.5g}, which is {level(measured, config)}",
                because="Both numbers come from model.config.",
            )  # fmt: skip


def test_no_two_layers_start_alike(solution):
    tree = initialised(solution)
    for ending in MATRICES[2:]:
        parts = [p for _, p in each(tree, ending)]
        same = any(bool((a == b).all()) for i, a in enumerate(parts) for b in parts[i + 1 :])
        assert_true(not same, f"{ending} starts with the same numbers in several layers", because="Layers that start alike learn alike. Do not set the seed anew for each layer, and do not copy one layer's numbers.")


def test_rows_are_drawn_independently(solution):
    for name, p in initialised(solution).named_parameters():
        if p.ndim == 2:
            rows = bool((p[0] == p[1]).all()) or bool((p[:, 0] == p[:, 1]).all())
            assert_true(not rows, f"rows or columns of {name} repeat", because="Every number is drawn by itself: nn.init.normal_ on the whole matrix.")


# --- what it is for ------------------------------------------------------------------------------


def test_the_first_loss_is_that_of_a_blind_guess(solution):
    from common import problem

    config = GPT2Config(vocab_size=101, n_positions=16, n_embd=64, n_layer=3, n_head=4)
    torch.manual_seed(1)
    model = problem(10).GPT2Model(config).eval()
    solution.init_weights(model)
    ids = torch.randint(101, (8, 16), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        loss = float(F.cross_entropy(model(ids).flatten(0, 1), torch.randint(101, (128,), generator=torch.Generator().manual_seed(3))))
    observe("first loss is near ln V", abs(loss - math.log(101)) < 0.1)
    if abs(loss - math.log(101)) >= 0.1:
        fail("the first loss of a new model is wrong:", expected=f"ln V = {math.log(101):.3f}, within 0.1", got=f"{loss:.3f}", because="A new model knows nothing and should spread its guess evenly over the V tokens; with large weights it is sure of wrong things.")


@pytest.mark.parametrize("wrapper", ["no_grad", "train", "double"])
def test_it_works_on_any_model(solution, wrapper):
    tree = Tree(CONFIG)
    if wrapper == "double":
        tree = tree.double()
    dtype = tree.wte.weight.dtype
    with torch.set_grad_enabled(wrapper != "no_grad"):
        solution.init_weights(tree)
    assert_equal(str(tree.wte.weight.dtype), str(dtype), "the dtype of wte.weight afterwards", because="Initialise in place, and leave the dtype alone.")
