"""Problem 11: what init_weights promises, from cause to consequence.

With n numbers drawn from N(0, s) the measured standard deviation is within s * 5.5 / sqrt(2 n) of s in all but
one of 26 million cases, the mean within s * 5.5 / sqrt(n) of 0.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common import GPT2Config, problem
from common.testing import assert_equal, assert_true, fail, observe
from common.testing.calls import OUTLIVES

AXES = {"V": 211, "n_positions": 97, "C": 48, "n_inner": 160}
# Chosen so that no two of the deviations that `called` knows lie within a tenth of each other.
CONFIG = GPT2Config(vocab_size=211, n_positions=97, n_embd=48, n_layer=5, n_head=4, n_inner=160, initializer_range=0.07)
SIGMAS = 5.5


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
        self.weight, self.bias = nn.Parameter(torch.empty(size)), nn.Parameter(torch.empty(size))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln_1, self.attn = Norm(c.n_embd), Attention(c)
        self.ln_2, self.mlp = nn.LayerNorm(c.n_embd), FeedForward(c)


class Tree(nn.Module):
    """A GPT-2 in names and shapes. Every parameter starts at 7 and above, so that one left out is seen."""

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
                p.copy_(torch.linspace(7, 8, p.numel()).view_as(p))


def config_with(**changes):
    return GPT2Config(**{**vars(CONFIG), **changes})


def initialised(solution, config=CONFIG):
    tree = Tree(config)
    solution.init_weights(tree)
    return tree


def each(tree, ending):
    return [(name, p.detach()) for name, p in tree.named_parameters() if name.endswith(ending)]


# --- in place, and nothing else ------------------------------------------------------------------


def test_every_parameter_stays_the_object_that_it_was(solution):
    tree = Tree(CONFIG)
    before = dict(tree.named_parameters(remove_duplicate=False))
    solution.init_weights(tree)
    after = dict(tree.named_parameters(remove_duplicate=False))
    assert_equal(
        [name for name in before if after.get(name) is not before[name]], [],
        "the list of Parameters that were replaced by new ones",
        because="Numbers are written into the Parameters that are there: an optimizer holds on to them.",
    )


def test_the_head_stays_tied(solution):
    tree = initialised(solution)
    assert_true(
        tree.lm_head.weight is tree.wte.weight, "lm_head.weight is not wte.weight any more",
        because="A new Parameter for one of the two breaks the tie; writing into the one that is there does not.",
    )


def test_every_parameter_can_still_be_trained(solution):
    assert_equal(
        [name for name, p in initialised(solution).named_parameters() if not (p.requires_grad and p.is_leaf)], [],
        "the list of parameters that cannot be trained any more",
        because="Parameters are written to under torch.no_grad(), as the functions of nn.init do. requires_grad "
        "stays: detach_() and requires_grad_(False) switch it off.",
    )


@pytest.mark.parametrize("n_layer", [5, 11])
def test_every_parameter_is_given_a_value(solution, n_layer):
    config = config_with(n_layer=n_layer, n_embd=12, n_inner=20)
    new = initialised(solution, config).named_parameters()
    left = []
    for (name, old), (_, p) in zip(Tree(config).named_parameters(), new, strict=True):
        if bool((p == old).all()):
            left.append(name)
            observe(f"{name}, left as it was", p)
    assert_equal(
        left, [], f"the list of parameters that were left as they were, for n_layer={n_layer}",
        because="Each gets its starting value: matrices, biases and norms of any class, in every layer, h.10 too.",
    )


def test_what_a_parameter_held_before_does_not_matter(solution):
    tree = Tree(CONFIG)
    with torch.no_grad():
        for p in tree.parameters():
            p.fill_(torch.nan)
    solution.init_weights(tree)
    assert_equal(
        [name for name, p in tree.named_parameters() if bool(p.isnan().any())], [],
        "the list of parameters that hold NaN, in a model that was full of NaN before,",
        because="The start is written over whatever was there, as memory that was never set may hold anything: what is "
        "computed from the old number, such as 0 times NaN, is NaN again.",
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_every_parameter_keeps_its_type(solution, dtype):
    tree = Tree(config_with(n_layer=1)).to(dtype)
    solution.init_weights(tree)
    assert_equal(
        sorted({str(p.dtype) for p in tree.parameters()}), [str(dtype)], f"the list of types of a model in {dtype} "
            "afterwards",
        because="The numbers are written into the tensors that are there, in whatever type they have: a `.data` that "
        "is replaced, or a new nn.Parameter, is of the type in which it was made.",
    )


# --- the constants -------------------------------------------------------------------------------


def called(std, config=CONFIG):
    """A measured standard deviation, and the formula that it is near to; diagnosis compares the latter."""
    s, n = config.initializer_range, config.n_layer
    known = {
        "initializer_range": s, "initializer_range / sqrt(2 * n_layer)": s / math.sqrt(2 * n),
        "initializer_range / sqrt(n_layer)": s / math.sqrt(n), "initializer_range / (2 * n_layer)": s / (2 * n),
        "initializer_range / (4 * n_layer), as (2 * n_layer) ** -1 / 2 gives it: ** comes before /": s / (4 * n),
        "initializer_range * sqrt(2 * n_layer)": s * math.sqrt(2 * n), "sqrt(initializer_range)": math.sqrt(s),
        "initializer_range squared": s * s, "initializer_range / 2": s / 2,
        "initializer_range / sqrt(2)": s / math.sqrt(2),
        "initializer_range / sqrt(3)": s / math.sqrt(3), "initializer_range / sqrt(24)": s / math.sqrt(24),
        "initializer_range * sqrt(2)": s * math.sqrt(2), "0.02": 0.02,
        "0.02 / sqrt(2 * n_layer)": 0.02 / math.sqrt(2 * n), "1": 1.0,
    }  # fmt: skip
    return next((text for text, value in known.items() if abs(std - value) <= 0.05 * value), f"about {std:.1g}")


def assert_constant(value, parameters, because):
    held = {}
    for name, p in parameters:
        low, high = float(p.min()), float(p.max())
        held[name] = f"{low:g} everywhere" if low == high else f"numbers of the deviation {called(float(p.std()))}"
        observe(f"the start of {name}", held[name])
    for name in held:
        if held[name] != f"{value} everywhere":
            fail(f"{name} does not start at {value}:", expected=f"{value} everywhere", got=held[name], because=because)


@pytest.mark.parametrize("n_layer", [1, 5])
def test_biases_are_zero(solution, n_layer):
    biases = each(initialised(solution, config_with(n_layer=n_layer)), "bias")
    because, odd = "Every bias starts at 0, those of the norms too.", [name for name, p in biases if p.any()]
    if odd and all("c_proj" in name for name in odd):
        because += " Here it is c_proj's alone that do not, whose names hold c_proj as those of its weights do: what "
        because += "asks for this part of a name alone, or first, takes them for weights."
    assert_constant(0, biases, because=because)


def test_the_weights_of_norms_are_one(solution):
    norms = [(name, p) for name, p in each(initialised(solution), ".weight") if p.ndim == 1]
    left = {name.split(".")[-2] for name, p in norms if bool((p != 1).any())}
    by_class = " Those of class nn.LayerNorm do, and those of a class of one's own do not: go by names or axes."
    assert_constant(
        1, norms, because="A norm starts without an effect of its own: weight 1, bias 0."
        + by_class * (left == {"ln_1", "ln_f"}),
    )


# --- the matrices --------------------------------------------------------------------------------

OTHERS = ["wte.weight", "wpe.weight", "c_attn.weight", "c_fc.weight"]
TO_THE_STREAM = ["attn.c_proj.weight", "mlp.c_proj.weight"]


def std_of(name, config=CONFIG):
    """What a matrix's deviation should be: the number, and its formula."""
    if name.endswith("c_proj.weight"):
        return config.initializer_range / math.sqrt(2 * config.n_layer), "initializer_range / sqrt(2 * n_layer)"
    return config.initializer_range, "initializer_range"


_CUT_OFF = (
    " 0.88 of that is what a normal distribution has that is cut off at two deviations, as trunc_normal_ does it; this "
    "one is whole."
)


def deviates(name, p, config=CONFIG):
    std, _ = std_of(name, config)
    return not abs(float(p.std()) - std) <= SIGMAS * std / math.sqrt(2 * p.numel())


def assert_deviations(matrices, because, config=CONFIG):
    measured = {name: float(p.std()) for name, p in matrices}
    for name in measured:
        observe(f"standard deviation of {name}", called(measured[name], config))
    for name, p in matrices:
        std, formula = std_of(name, config)
        cut_off = 0.86 < measured[name] / std < 0.9 and float(p.abs().max()) < 2.01 * std
        margin, near = SIGMAS * std / math.sqrt(2 * p.numel()), called(measured[name], config)
        if deviates(name, p, config):
            fail(
                f"the standard deviation of {name} is wrong:",
                expected=f"{std:.4g} (give or take {margin:.1g}), {formula}",
                got=f"{measured[name]:.4g}" + ("" if near.startswith("about") else f", near to {near}"),
                because=because + _CUT_OFF * cut_off,
            )


def test_rows_are_drawn_independently(solution):
    for name, p in initialised(solution, config_with(n_layer=1)).named_parameters():
        if p.ndim == 2 and bool((p != p[0, 0]).any()):
            for kind, lines in (("rows", p), ("columns", p.T)):
                assert_true(
                    not bool((lines[0] == lines[1]).all()), f"{kind} 0 and 1 of {name} hold the same numbers",
                    because="Every number of a matrix is drawn by itself. A row or column that is written into others "
                    "too, as broadcasting does, was drawn only once.",
                )


@pytest.mark.parametrize("ending", OTHERS)
def test_matrices_have_the_right_deviation(solution, ending):
    assert_deviations(
        each(initialised(solution), ending),
        because="Every matrix but those of the c_proj layers is drawn from N(0, initializer_range), where "
        "initializer_range is the standard deviation.",
    )


@pytest.mark.parametrize("ending", TO_THE_STREAM)
def test_matrices_that_write_to_the_stream_start_smaller(solution, ending):
    assert_deviations(
        each(initialised(solution), ending),
        because="Both c_proj layers of each block add to the residual stream, 2 * n_layer in all, so their deviation "
        "is initializer_range / sqrt(2 * n_layer): then the sum keeps the size of one addition.",
    )


CHANGES = [{"n_layer": 1}, {"n_layer": 11}, {"initializer_range": 0.02}, {"initializer_range": 0.4}]
SQUARE = {"n_inner": CONFIG.n_embd}


@pytest.mark.parametrize("changes", [*CHANGES, SQUARE], ids=str)
def test_the_deviations_follow_the_config(solution, changes):
    config = config_with(**changes)
    tree = initialised(solution, config)
    ((field, value),) = changes.items()
    blocks = [(name, p) for ending in [*OTHERS[2:], *TO_THE_STREAM] for name, p in each(tree, ending)]
    late = {name.startswith("h.10.") for name, p in blocks if deviates(name, p, config)} == {True}
    assert_deviations(
        [each(tree, ending)[-1] for ending in [*OTHERS, *TO_THE_STREAM]], config=config,
        because=f"Both numbers come from model.config, whose {field} is {value} here."
        + " In h.0 to h.9 all are right: from h.10 on the number of a layer has two digits." * late
        + " c_fc and both c_proj have one shape then: their names tell them apart." * (changes == SQUARE),
    )


@pytest.mark.parametrize("ending", [*OTHERS, *TO_THE_STREAM])
def test_matrices_are_normal_around_zero(solution, ending):
    matrices = each(initialised(solution), ending)
    share = 0.0455  # of a normal distribution lies beyond two deviations
    for name, p in matrices:
        mean, std = float(p.mean()), float(p.std())
        observe(f"mean of {name}, in deviations", f"{mean / std:.0f}" if std else "none")
        beyond = float((p.abs() > 2 * std).float().mean())
        observe(f"share of {name} beyond two deviations", "some" if beyond > 0.04 else "few")
    for name, p in matrices:
        mean, std, n = float(p.mean()), float(p.std()), p.numel()
        beyond = float((p.abs() > 2 * std).float().mean())
        if not abs(mean) <= SIGMAS * std / math.sqrt(n):
            fail(
                f"the mean of {name} is wrong:",
                expected=f"0 (give or take {SIGMAS * std / math.sqrt(n):.1g})", got=f"{mean:.4g}",
                because="The distribution is N(0, s), centred at 0; nn.init.normal_ takes the mean first, and then "
                "std.",
            )
        if not abs(beyond - share) <= SIGMAS * math.sqrt(share * (1 - share) / n):
            fail(
                f"the numbers of {name} are not spread like those of a normal distribution:",
                expected=f"{share:.1%} of them beyond two standard deviations", got=f"{beyond:.1%}",
                because="The distribution is a normal one, whole: nn.init.normal_, or torch.randn times the deviation.",
            )


def test_no_two_layers_start_alike(solution):
    tree = initialised(solution)
    for ending in [*OTHERS[2:], *TO_THE_STREAM]:
        (first, p), *rest = each(tree, ending)
        alike = [name for name, other in rest if bool((p == other).all())]
        assert_equal(
            alike, [], f"the list of layers whose numbers are those of {first}",
            because="Layers that start alike learn alike: each draws numbers of its own, one after the other. A seed "
            "that is set for each of them, or a generator made for each, begins anew, and what is kept is the same. "
            + OUTLIVES,
        )


# --- what it is for ------------------------------------------------------------------------------


def test_the_first_loss_is_that_of_a_blind_guess(solution):
    config = GPT2Config(vocab_size=101, n_positions=16, n_embd=64, n_layer=3, n_head=4)
    model = problem(10).GPT2Model(config).eval()
    solution.init_weights(model)
    ids, targets = torch.randint(101, (2, 8, 16), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        loss = float(F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()))
    near = abs(loss - math.log(101)) < 0.1
    observe("the first loss is near ln V", near)
    if not near:
        fail(
            "the first loss of a new model is wrong:", expected=f"ln V = {math.log(101):.3f}, within 0.1",
            got=f"{loss:.3f}",
            because="A new model knows nothing and spreads its guess evenly over the V tokens; with large weights it "
            "would be sure of wrong things.",
        )


def test_a_frozen_parameter_stays_frozen(solution):
    model = Tree(config_with(n_layer=1)).requires_grad_(False)
    solution.init_weights(model)
    assert_equal(
        [name for name, p in model.named_parameters() if p.requires_grad], [],
        "the parameters that are learned, of a model that was frozen as a whole before init_weights,",
        because="init_weights changes numbers alone: requires_grad stays as it was, off where it was off.",
    )
    left = [name for name, p in model.named_parameters() if bool((p >= 7).all())]
    assert_equal(
        left, [], "the list of frozen parameters that were left as they were",
        because="Every parameter gets its starting value; whether it is learned is another question.",
    )


def test_it_works_where_gradients_are_off(solution):
    with torch.no_grad():
        tree = initialised(solution, config_with(n_layer=1))
    assert_true(
        all(p.requires_grad for p in tree.parameters()), "after init_weights under torch.no_grad() a parameter is "
            "frozen",
        because="init_weights changes numbers alone, and leaves requires_grad as it is.",
    )
