"""Interview 14, second part: what add_lora and remove_lora promise, from cause to consequence.

Shapes: B texts, T tokens, C channels, V vocab_size, r the rank.
"""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_true,
    draw,
    draw_ids,
    fill,
)

C, V, R, ALPHA = 6, 13, 2, 7.0
AXES = {"C": C, "V": V, "r": R}


def block():
    return nn.Sequential(
        OrderedDict(ln=nn.LayerNorm(C), c_fc=nn.Linear(C, 3 * C), act=nn.GELU(), c_proj=nn.Linear(3 * C, C))
    )


def model_of():
    """Embedding, two blocks, and two linear layers at the root, one without a bias."""
    parts = OrderedDict(
        wte=nn.Embedding(V, C), h=nn.Sequential(block(), block()), fc=nn.Linear(C, C), head=nn.Linear(C, V, bias=False)
    )
    return fill(nn.Sequential(parts))


# What of this model each choice of names means.
CHOICES = {
    ("c_fc",): ["h.0.c_fc", "h.1.c_fc"],
    ("fc",): ["fc"],
    ("head",): ["head"],
    ("c_proj",): ["h.0.c_proj", "h.1.c_proj"],
    ("c_fc", "head"): ["h.0.c_fc", "h.1.c_fc", "head"],
    ("fc", "head", "c_fc", "c_proj"): ["fc", "h.0.c_fc", "h.0.c_proj", "h.1.c_fc", "h.1.c_proj", "head"],
}
EACH = pytest.mark.parametrize("names", CHOICES, ids=" and ".join)
SOME = ["c_fc", "head"]
CHOSEN = ["h.0.c_fc", "h.1.c_fc", "head"]


def text(t=5):
    return draw_ids("ids", B=2, T=t, vocab_size=V)


def tuned_of(solution, model, names=SOME, *, trained=True, salt=""):
    """The model with LoRA; with numbers in each A and B as if it had learned."""
    tuned = solution.add_lora(model, names, R, ALPHA)
    if trained:
        with torch.no_grad():
            for name, p in tuned.named_parameters():
                if name.endswith(("lora_A", "lora_B")):
                    p.copy_(0.4 * draw(name + salt, *p.shape))
    return tuned


def state_of(model):
    """Names, numbers, and what trains."""
    return {name: (p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()}


def assert_as_before(model, before, what, because):
    after = state_of(model)
    assert_equal([*after], [*before], f"the list of the parameters of {what}", because=because)
    training = [name for name, (_, trains) in after.items() if trains]
    was = [name for name, (_, trains) in before.items() if trains]
    assert_equal(training, was, f"the list of the parameters of {what} that train", because=because)
    for name, (numbers, _) in after.items():
        assert_identical(numbers, before[name][0], f"`{name}` of {what}", because=because)


def merged_by_hand(model, tuned, names=CHOSEN):
    """The plain model with W + (alpha / r) B A in these layers."""
    right = model_of()
    values = dict(tuned.named_parameters())
    with torch.no_grad():
        for name, p in right.named_parameters():
            p.copy_(dict(model.named_parameters())[name])
            path = name.removesuffix(".weight")
            if path in names and name != path:
                p.add_(ALPHA / R * values[f"{path}.lora_B"] @ values[f"{path}.lora_A"])
    return right


# --- add_lora ------------------------------------------------------------------------------------


@EACH
def test_these_layers_get_an_update(solution, names):
    tuned = solution.add_lora(model_of(), list(names), R, ALPHA)
    found = sorted(n.removesuffix(".lora_A") for n, _ in tuned.named_parameters() if n.endswith(".lora_A"))
    assert_equal(
        found, CHOICES[names], f"the list of layers with a lora_A, for names={list(names)}",
        because="Each nn.Linear whose own name, the last part of its path, is one of names as a whole: at any depth, "
        "and at the root as well. Other layers stay what they are.",
    )  # fmt: skip


@pytest.mark.parametrize("kind", [tuple, set], ids=["tuple", "set"])
def test_names_may_be_any_collection(solution, kind):
    tuned = solution.add_lora(model_of(), kind(SOME), R, ALPHA)
    found = sorted(n.removesuffix(".lora_A") for n, _ in tuned.named_parameters() if n.endswith(".lora_A"))
    assert_equal(
        found, CHOSEN, f"the list of layers with a lora_A, for names in a {kind.__name__}",
        because="names is a list, tuple or set.",
    )  # fmt: skip


BAD = {
    "a slip": (["c_porj"], "c_porj"),
    "a slip among others": (["c_fc", "c_porj", "head"], "c_porj"),
    "a norm": (["ln"], "ln"),
    "a part of a name": (["c_f"], "c_f"),
    "a path": (["h.0.c_fc"], "h.0.c_fc"),
}


@pytest.mark.parametrize("which", BAD)
def test_names_that_no_linear_layer_has_are_refused(solution, which):
    names, wrong = BAD[which]
    with assert_raises(
        ValueError, f"add_lora(model, {names}, ...)", naming=[wrong],
        because=f"No nn.Linear of the model has the own name {wrong!r}. A slip that is passed over trains fewer layers "
        "than was meant, and nobody sees it.",
    ):  # fmt: skip
        solution.add_lora(model_of(), names, R, ALPHA)


def test_the_parameters_keep_their_names(solution):
    model = model_of()
    tuned = solution.add_lora(model, SOME, R, ALPHA)
    wanted = {name: tuple(p.shape) for name, p in model.named_parameters()}
    for path in CHOSEN:
        n_out, n_in = wanted[f"{path}.weight"]
        wanted |= {f"{path}.lora_A": (R, n_in), f"{path}.lora_B": (n_out, R)}
    assert_equal(
        sorted((name, tuple(p.shape)) for name, p in tuned.named_parameters()), sorted(wanted.items()),
        "the list of names and shapes of the parameters after add_lora",
        because="A checkpoint of the plain model still fits: its names stay, and those of A and B are new.",
    )  # fmt: skip


def test_only_the_updates_train(solution):
    tuned = solution.add_lora(model_of(), SOME, R, ALPHA)
    training = sorted(name for name, p in tuned.named_parameters() if p.requires_grad)
    wanted = sorted(f"{path}.{name}" for path in CHOSEN for name in ("lora_A", "lora_B"))
    assert_equal(
        training, wanted, "the list of parameters that train after add_lora",
        because="Everything else is frozen: embeddings, norms, biases and the layers that were not chosen.",
    )  # fmt: skip


def test_add_lora_leaves_the_model_as_it_is(solution):
    model, ids = model_of(), text()
    before, out = state_of(model), model(ids).detach()
    tuned = tuned_of(solution, model)
    because = "add_lora works on a copy: the model keeps its parts and its numbers, and trains what it trained."
    assert_true(tuned is not model, "add_lora returns the model itself", because=because)
    assert_as_before(model, before, "the model that add_lora was given", because)
    assert_close(model(ids).detach(), out, "the output of the model that add_lora was given", because=because)


def test_the_model_gives_what_it_gave_at_first(solution):
    model, ids = model_of(), text()
    assert_close(
        solution.add_lora(model, SOME, R, ALPHA)(ids).detach(), model(ids).detach(), "the logits right after add_lora",
        because="Each B is zero, so each update is, and the frozen parameters have the model's numbers.",
    )  # fmt: skip


@pytest.mark.parametrize("names", [("c_fc", "head"), ("c_proj",), ("fc",)], ids=" and ".join)
def test_each_layer_has_its_own_update(solution, names):
    model, ids = model_of(), text()
    tuned = tuned_of(solution, model, list(names))
    right = merged_by_hand(model, tuned, CHOICES[names])(ids).detach()
    assert_close(
        tuned(ids).detach(), right, "the logits with numbers in each A and B", atol=1e-4,
        because=f"Each layer adds (alpha / r) B A of its own, with r={R} and alpha={ALPHA:g} as given to add_lora.",
    )  # fmt: skip


def test_two_copies_have_no_update_in_common(solution):
    model, ids = model_of(), text()
    first = tuned_of(solution, model)
    out = first(ids).detach().clone()
    second = tuned_of(solution, model, salt=" of the second")
    assert_close(
        first(ids).detach(), out, "the logits of a first copy, after a second one has learned something else,",
        because="Each copy has matrices A and B of its own, made when it is made.",
    )  # fmt: skip
    right = merged_by_hand(model, second)(ids).detach()
    assert_close(
        second(ids).detach(), right, "the logits of the second copy", atol=1e-4,
        because="Its layers start from the model's own weights and have one update, whatever copies were made before.",
    )  # fmt: skip


def test_a_step_of_training_moves_the_updates_alone(solution):
    tuned, ids = solution.add_lora(model_of(), SOME, R, ALPHA), text()
    before = state_of(tuned)
    out = tuned(ids)
    (out * draw("direction", *out.shape)).sum().backward()
    with torch.no_grad():
        for p in tuned.parameters():
            if p.grad is not None:
                p.sub_(0.1 * p.grad)
    moved = [name for name, p in tuned.named_parameters() if not torch.equal(p.detach(), before[name][0])]
    assert_equal(
        sorted(moved), sorted(f"{path}.lora_B" for path in CHOSEN), "the list of parameters that the first step moves",
        because="Gradients reach each B, at any depth. Each A has a gradient of zero while its B is zero, and what is "
        "frozen has none.",
    )  # fmt: skip


# --- remove_lora ---------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", [True, False], ids=["merge", "no merge"])
def test_remove_lora_gives_a_plain_model(solution, merge):
    model = model_of()
    found = solution.remove_lora(tuned_of(solution, model), merge)
    assert_equal(
        [(name, type(part).__name__) for name, part in found.named_modules()],
        [(name, type(part).__name__) for name, part in model.named_modules()],
        "the list of parts, with their types, after remove_lora",
        because="Each LoRALinear becomes a plain nn.Linear in its place, at any depth; all other parts stay.",
    )  # fmt: skip
    assert_equal(
        sorted((name, tuple(p.shape)) for name, p in found.named_parameters()),
        sorted((name, tuple(p.shape)) for name, p in model.named_parameters()),
        "the list of names and shapes of the parameters after remove_lora",
        because="They are those of the model from before add_lora.",
    )  # fmt: skip


def test_merging_keeps_what_the_model_has_learned(solution):
    model, ids = model_of(), text()
    tuned = tuned_of(solution, model)
    right = merged_by_hand(model, tuned)(ids).detach()
    assert_close(
        solution.remove_lora(tuned)(ids).detach(), right, "the logits after remove_lora(model)", atol=1e-4,
        because="Each chosen layer's weight is W + (alpha / r) B A, so the plain model gives what the one with LoRA "
        "gives. merge=True is the default.",
    )  # fmt: skip


def test_without_merging_it_is_the_model_from_before(solution):
    model = model_of()
    found = dict(solution.remove_lora(tuned_of(solution, model), merge=False).named_parameters())
    for name, p in model.named_parameters():
        assert_identical(
            found[name].detach(), p.detach(), f"`{name}` after remove_lora(model, merge=False), beside the first,",
            because="Without merging the updates are left out, and the weights are those from before add_lora.",
        )  # fmt: skip


@pytest.mark.parametrize("merge", [True, False], ids=["merge", "no merge"])
def test_remove_lora_leaves_the_model_with_its_updates(solution, merge):
    tuned, ids = tuned_of(solution, model_of()), text()
    before, out = state_of(tuned), tuned(ids).detach().clone()
    solution.remove_lora(tuned, merge)
    because = "remove_lora works on a copy: the model keeps its updates and may go on learning."
    assert_as_before(tuned, before, "the model that remove_lora was given", because)
    assert_close(tuned(ids).detach(), out, "the output of the model that remove_lora was given", because=because)
