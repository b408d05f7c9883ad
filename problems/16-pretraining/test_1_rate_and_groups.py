"""Problem 16, first part: what learning_rate and optimizer_groups promise, from cause to consequence."""

import math

import pytest
import torch
from torch import nn

from common import problem
from common.testing import (
    assert_close,
    assert_equal,
    assert_true,
    draw,
    fail,
    observe,
    tiny,
)

# --- learning_rate -------------------------------------------------------------------------------

HIGH, LOW, WARM, TOTAL = 8.0, 0.8, 4, 20  # 4 steps up, 16 down
SCHEDULE = {"max_lr": HIGH, "min_lr": LOW, "warmup_steps": WARM, "total_steps": TOTAL}


def rate(solution, step, schedule):
    """learning_rate at this step, as a float."""
    try:
        return float(solution.learning_rate(step, **schedule))
    except ZeroDivisionError:
        observe(f"learning_rate at step {step}", "ZeroDivisionError")
        of = ", ".join(f"{name}={schedule[name]}" for name in ("warmup_steps", "total_steps"))
        fail(
            f"learning_rate({step}, ...) divides by zero with {of}:", expected="a rate", got="ZeroDivisionError",
            because="warmup_steps may be 0, and as large as total_steps: divide by warmup_steps only where step is "
            "below it, and by total_steps - warmup_steps only where step lies between the two.",
        )


def assert_rates(solution, expected, when, because, **changes):
    """Check the rate at each of these steps, given as {step: rate}."""
    schedule = {**SCHEDULE, **changes}
    found = {step: rate(solution, step, schedule) for step in expected}
    observe("the rates", torch.tensor([*found.values()]))
    for step, right in expected.items():
        what = f"the rate at step {step} {when},"
        assert_close(torch.tensor(found[step]), torch.tensor(right), what, because=because)


def cosine(step, low=LOW, high=HIGH, warm=WARM, total=TOTAL):
    return low + 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm))) * (high - low)


@pytest.mark.parametrize("step", [0, 2, 11, 20, 30])
def test_the_rate_is_a_plain_number(solution, step):
    found = solution.learning_rate(step, **SCHEDULE)
    assert_true(
        isinstance(found, int | float), f"learning_rate({step}, ...) gives no number but a {type(found).__name__}",
        because="In the warm-up, on the way down and after it the rate is returned, as one of Python's numbers.",
    )


def test_the_rate_grows_in_a_straight_line_from_zero(solution):
    assert_rates(
        solution, {step: HIGH * step / WARM for step in range(WARM)}, "of a warm-up to 8 in 4 steps",
        "While step < warmup_steps the rate is max_lr * step / warmup_steps: 0 at step 0, and not yet max_lr.",
    )


def test_the_warm_up_ends_at_max_lr(solution):
    assert_rates(
        solution, {WARM: HIGH}, "= warmup_steps, with max_lr = 8",
        "Where the warm-up ends the rate is max_lr: the line has reached it, and the cosine begins there.",
    )


def test_without_warm_up_the_first_rate_is_max_lr(solution):
    assert_rates(
        solution, {0: HIGH}, "with warmup_steps=0 and max_lr = 8",
        "warmup_steps=0 means no warm-up: step 0 is the cosine's first, and that is max_lr.", warmup_steps=0,
    )


def test_halfway_down_the_rate_is_the_mean_of_both_ends(solution):
    assert_rates(
        solution, {12: (HIGH + LOW) / 2}, "of a way down from 8 at step 4 to 0.8 at step 20",
        "Halfway down the share is 1/2 and cos(pi * share) is 0: min_lr + 0.5 * (max_lr - min_lr) is left.",
    )


def test_the_way_down_is_half_a_cosine(solution):
    assert_rates(
        solution, {step: cosine(step) for step in range(WARM + 1, TOTAL)}, "of a way down from 8 at 4 to 0.8 at 20",
        "It is min_lr + 0.5 * (1 + cos(pi * share)) * (max_lr - min_lr), and share is how much of the way from "
        "warmup_steps to total_steps is done.",
    )


def test_the_way_down_ends_at_min_lr(solution):
    assert_rates(
        solution, {TOTAL: LOW}, "= total_steps, with min_lr = 0.8",
        "At total_steps the whole way is done, and min_lr is left.",
    )


def test_after_the_end_the_rate_stays_at_min_lr(solution):
    assert_rates(
        solution, dict.fromkeys((21, 28, 36, 1000), LOW), "after total_steps = 20, with min_lr = 0.8",
        "From total_steps on the rate is min_lr, however long it goes on; a cosine by itself would rise again.",
    )


def test_a_warm_up_may_be_as_long_as_the_training(solution):
    assert_rates(
        solution, {5: HIGH / 2, 9: 0.9 * HIGH, 12: LOW}, "with warmup_steps = total_steps = 10",
        "A line up to step 10 and min_lr after it: nothing is left for the cosine, whose length would be 0.",
        warmup_steps=10, total_steps=10,
    )
    schedule = SCHEDULE | {"warmup_steps": 10, "total_steps": 10}
    last = rate(solution, 10, schedule)
    assert_true(
        any(abs(last - right) < 1e-9 for right in (HIGH, LOW)),
        "the rate at step 10, with warmup_steps = total_steps = 10, is neither max_lr nor min_lr",
        because="It is the end of the warm-up and of the training; no cosine, whose length is 0, has a say in it.",
    )


def test_any_schedule_follows_the_formula(solution):
    a, b, c = draw("a schedule", 3).abs().tolist()
    high, low, warm = 0.001 + a, 0.0001 * b, 1 + int(10 * c) % 7
    line = {step: high * step / warm for step in range(warm)}
    down = {step: cosine(step, low, high, warm, 31) for step in range(warm, 31)}
    assert_rates(
        solution, line | down | {31: low}, f"from {high:.4f} down to {low:.6f}, warmup_steps={warm}, total_steps=31",
        "Every number in the formula is an argument: max_lr, min_lr, warmup_steps and total_steps.",
        max_lr=high, min_lr=low, warmup_steps=warm, total_steps=31,
    )


# --- optimizer_groups ----------------------------------------------------------------------------


def gpt2():
    """A small GPT-2, tied, with norms of two classes: its own and PyTorch's."""
    model = problem(10).GPT2Model(tiny())
    model.h[1].ln_2 = nn.LayerNorm(15)
    return model


def named_groups(solution, model, weight_decay=0.3):
    """The groups as [(names, weight_decay)]; "?" for what is no parameter of the model.

    AdamW takes a parameter alone or with its name, so both will do; a tied one has the first of its names.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    found = []
    for group in solution.optimizer_groups(model, weight_decay):
        params = [group["params"]] if isinstance(group["params"], torch.Tensor) else group["params"]
        bare = [p[1] if isinstance(p, tuple) else p for p in params]
        found.append(([names.get(id(p), "?") for p in bare], group["weight_decay"]))
    return found


def test_the_groups_are_dicts_with_params_and_weight_decay(solution):
    groups = solution.optimizer_groups(gpt2(), 0.3)
    assert_true(
        isinstance(groups, list | tuple), f"optimizer_groups gives no list but a {type(groups).__name__}",
        because='AdamW takes a list of groups: [{"params": [...], "weight_decay": ...}, ...].',
    )
    kinds = sorted({type(group).__name__ for group in groups if not isinstance(group, dict)})
    assert_equal(
        kinds, [], "the list of what the groups are, other than dicts,",
        because='Each group is a dict: {"params": [...], "weight_decay": ...}.',
    )
    lacking = [key for key in ("params", "weight_decay") if any(key not in group for group in groups)]
    assert_equal(
        lacking, [], "the list of keys that a group lacks",
        because="AdamW finds a group's parameters under params, and a group that does not say its weight_decay gets "
        "0.01.",
    )


def test_the_groups_hold_the_models_own_parameters(solution):
    strangers = sum(names.count("?") for names, _ in named_groups(solution, gpt2()))
    assert_equal(
        strangers, 0, "the number of tensors in the groups that are no parameters of the model",
        because="AdamW moves the very tensors that it is given: the model's Parameters, no copies of them, no .data.",
    )


def test_every_parameter_is_in_a_group(solution):
    model = gpt2()
    found = [name for names, _ in named_groups(solution, model) for name in names]
    missing = [name for name, _ in model.named_parameters() if name not in found]
    assert_equal(
        missing, [], "the list of parameters that are in no group",
        because="What is in no group is never trained: each parameter belongs into one, those without decay too.",
    )


def test_no_parameter_is_in_the_groups_twice(solution):
    found = [name for names, _ in named_groups(solution, gpt2()) for name in names]
    assert_equal(
        sorted({name for name in found if name != "?" and found.count(name) > 1}), [],
        "the list of parameters that are in the groups twice",
        because="AdamW would move them twice. wte.weight and lm_head.weight are one Parameter under two names, which "
        "model.parameters() gives once.",
    )


@pytest.mark.parametrize(
    ("kind", "endings", "decay"),
    [
        ("biases", "bias", 0.0),
        ("norms", ("ln_1.weight", "ln_2.weight", "ln_f.weight"), 0.0),
        ("embeddings", ("wte.weight", "wpe.weight"), 0.3),
        ("matrices", ("c_attn.weight", "c_proj.weight", "c_fc.weight"), 0.3),
    ],
    ids=["biases", "norms", "embeddings", "matrices"],
)
def test_what_decays_and_what_does_not(solution, kind, endings, decay):
    found = {name: d for names, d in named_groups(solution, gpt2()) for name in names if name.endswith(endings)}
    wrong = {name: d for name, d in found.items() if d != decay}
    observe(f"weight_decay of {kind}", sorted(wrong.items()))
    if wrong:
        name, got = next(iter(wrong.items()))
        fail(
            f"`{name}` has the wrong weight_decay in optimizer_groups(model, 0.3):",
            expected=f"{decay:g}", got=f"{got}, and so {len(wrong)} of {len(found)} {kind}",
            because="Every parameter with two axes or more decays by the weight_decay that was given, embeddings too; "
            "biases and norms, which have one axis, have 0.",
        )


def test_the_groups_go_by_axes_and_not_by_names(solution):
    model = nn.Module()
    model.mix, model.out_norm = nn.Linear(3, 5, bias=False), nn.LayerNorm(5)
    model.norm_mix, model.third = nn.Linear(5, 3, bias=False), nn.LayerNorm(3, bias=False)
    found = {name: decay for names, decay in named_groups(solution, model) for name in names}
    assert_equal(
        found,
        {"mix.weight": 0.3, "norm_mix.weight": 0.3, "out_norm.weight": 0.0, "out_norm.bias": 0.0, "third.weight": 0.0},
        "the weight_decay of each parameter, of a model with layers mix and norm_mix and norms out_norm and third,",
        because="A parameter with two axes or more decays and others do not, whatever they are called: p.ndim says it.",
    )


def test_adamw_takes_the_groups(solution):
    try:
        torch.optim.AdamW(solution.optimizer_groups(gpt2(), 0.1), lr=1e-3)
    except (TypeError, ValueError) as error:
        observe("AdamW refuses", str(error))
        fail(
            "torch.optim.AdamW refuses the groups:", expected="groups that AdamW takes", got=str(error).splitlines()[0],
            because="Each group is a dict with a list of Parameters under params, and a number under weight_decay.",
        )
