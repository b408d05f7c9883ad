"""Problem 16: what learning_rate, optimizer_groups, evaluate and pretrain promise, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size. Most checks train a model so small that its loss, its gradient and
each of its updates can be worked out by hand.
"""

import math
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, TensorDataset

from common import problem
from common.testing import (
    assert_close,
    assert_equal,
    assert_raises,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
    tiny,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere

V = 5


# --- learning_rate -------------------------------------------------------------------------------

HIGH, LOW = 8.0, 0.8
SCHEDULE = dict(max_lr=HIGH, min_lr=LOW, warmup_steps=4, total_steps=20)  # 4 steps up, 16 down


def rate(solution, step, **changes):
    """learning_rate at this step; what is no number fails."""
    value = solution.learning_rate(step, **{**SCHEDULE, **changes})
    if not isinstance(value, int | float):
        observe("the rate is", type(value).__name__)
        fail(f"learning_rate({step}, ...) is no number:", expected="a float", got=type(value).__name__, because="Compute with Python's numbers and math.cos, and return the result.")
    return float(value)


def assert_rate(found, expected, what, usual, otherwise):
    """Check a rate; of the usual wrong ones, the first that equals it gives the reason."""
    says = next((text for value, text in usual if abs(found - value) < 1e-4 < abs(value - expected)), otherwise)
    assert_close(torch.tensor(found), torch.tensor(expected), what, because=says)


def cosine(share, low=LOW, high=HIGH):
    return low + 0.5 * (1 + math.cos(math.pi * share)) * (high - low)


FORMULA = "min_lr + 0.5 * (1 + cos(pi * share)) * (max_lr - min_lr), with the share of the way from warmup_steps to total_steps that is done."


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_the_rate_grows_in_a_straight_line_from_zero(solution, step):
    usual = [
        (HIGH * (step + 1) / 4, "Your warm-up is a step ahead, (step + 1) / warmup_steps: it is 0 at step 0 and max_lr at warmup_steps."),
        (HIGH * (step + 1) / 5, "This is (step + 1) / (warmup_steps + 1): the warm-up is step / warmup_steps, 0 at step 0."),
        (HIGH * step / 5, "You divide by warmup_steps + 1, so max_lr is reached a step too late."),
        (HIGH, "There is no warm-up: the rate is max_lr from the start."),
        (cosine(step / 20), "There is no warm-up: the cosine begins at step 0."),
        (LOW + (HIGH - LOW) * step / 4, "Your warm-up starts at min_lr. It starts at 0: min_lr is where the cosine ends."),
        (LOW, "The rate is min_lr in the warm-up: is the end asked for before the beginning?"),
        (HIGH * step / 20, "The warm-up is stretched over total_steps: divide by warmup_steps."),
        (LOW * step / 4, "The line grows towards min_lr. It goes to max_lr."),
        (step / 4, "This is the share of the warm-up alone: multiply it with max_lr."),
    ]
    assert_rate(rate(solution, step), HIGH * step / 4, f"the rate at step {step} of a warm-up to 8 in 4 steps", usual, "While step < warmup_steps it is max_lr * step / warmup_steps.")


def test_the_warm_up_ends_at_max_lr(solution):
    usual = [
        (cosine(4 / 20), "The cosine has begun at step 0 already: its share is (step - warmup_steps) / (total_steps - warmup_steps), 0 here."),
        (LOW, "The rate drops to min_lr where the warm-up ends: the cosine starts at max_lr and ends at min_lr, so it is 1 + cos, not 1 - cos."),
        (2 * HIGH - LOW, "The factor 0.5 is missing: (1 + cos) goes from 2 to 0."),
        (HIGH - LOW, "min_lr is not added: the cosine part alone goes from max_lr - min_lr to 0."),
        (HIGH + LOW, "min_lr is added to a cosine that starts at max_lr: its height is max_lr - min_lr."),
    ]
    assert_rate(rate(solution, 4), HIGH, "the rate at warmup_steps, with max_lr = 8,", usual, "Where the warm-up ends the rate is max_lr, never above it.")


def test_without_warm_up_the_first_rate_is_max_lr(solution):
    try:
        found = rate(solution, 0, warmup_steps=0)
    except ZeroDivisionError:
        observe("warmup_steps=0", "ZeroDivisionError")
        fail(
            "learning_rate(0, ...) divides by zero with warmup_steps=0:", expected="max_lr = 8", got="ZeroDivisionError",
            because="warmup_steps=0 means no warm-up: divide only while step < warmup_steps.",
        )  # fmt: skip
    assert_rate(found, HIGH, "the rate at step 0 with warmup_steps=0 and max_lr = 8", [], "Without warm-up the cosine begins at step 0, at max_lr: ask for step < warmup_steps.")


def test_halfway_down_the_rate_is_the_mean_of_both_ends(solution):
    usual = [
        (HIGH, "There is no decay: the rate stays at max_lr after the warm-up."),
        (LOW, "The rate is min_lr halfway already. Half a turn, cos(pi * share): is it 2 * pi?"),
        (HIGH / 2, "Your cosine falls to 0 instead of min_lr."),
        (cosine(12 / 20), "The warm-up is counted into the cosine: its share is (step - warmup_steps) / (total_steps - warmup_steps)."),
        (cosine(8 / 20), "You divide by total_steps: the cosine has total_steps - warmup_steps steps."),
        (cosine(8 / 15), "The cosine ends a step too early: its share is (step - warmup_steps) / (total_steps - warmup_steps)."),
        (cosine(9 / 16), "The cosine is a step ahead: its share is (step - warmup_steps) / (total_steps - warmup_steps)."),
        (LOW + 0.5 * (1 + math.cos(0.5)) * (HIGH - LOW), "pi is missing: the share goes from 0 to 1, and the angle from 0 to pi."),
        (LOW + 0.5 * (1 + math.cos(90.0)) * (HIGH - LOW), "The angle is in degrees: math.cos takes radians, pi for half a turn."),
        (LOW + 0.5 * (1 + math.cos(math.radians(0.5 * math.pi))) * (HIGH - LOW), "The angle is turned into radians twice: pi * share is in radians already."),
        (LOW + math.cos(math.pi / 4) * (HIGH - LOW), "This is a quarter of a turn, cos(pi / 2 * share). The way down is half a turn: 0.5 * (1 + cos(pi * share))."),
        (HIGH * (LOW / HIGH) ** 0.5, "This is an exponential decay. The way down is a cosine."),
    ]
    assert_rate(rate(solution, 12), (HIGH + LOW) / 2, "the rate halfway between warmup_steps and total_steps, from 8 to 0.8,", usual, FORMULA)


@pytest.mark.parametrize("step", [5, 8, 16, 19])
def test_the_way_down_is_half_a_cosine(solution, step):
    share = (step - 4) / 16
    usual = [
        (HIGH - (HIGH - LOW) * share, "This is a straight line. The way down is a cosine, flat at both ends."),
        (cosine(1 - share), "The cosine rises: 1 + cos, not 1 - cos."),
        (cosine(share, 0.0), "Your cosine falls to 0 instead of min_lr."),
        (max(cosine(share, 0.0), LOW), "Your cosine falls to 0 and is cut off at min_lr. It has to end there: min_lr + ... * (max_lr - min_lr)."),
        (cosine(step / 20), "The warm-up is counted into the cosine: its share is (step - warmup_steps) / (total_steps - warmup_steps)."),
        (cosine((step - 4) / 20), "You divide by total_steps: the cosine has total_steps - warmup_steps steps."),
        (cosine((step - 4) / 15), "The cosine ends a step too early: its share is (step - warmup_steps) / (total_steps - warmup_steps)."),
        (cosine((step - 3) / 16), "The cosine is a step ahead: its share is (step - warmup_steps) / (total_steps - warmup_steps)."),
    ]
    assert_rate(rate(solution, step), cosine(share), f"the rate at step {step}, {share:.4g} of the way down from 8 to 0.8,", usual, FORMULA)


def test_the_way_down_ends_at_min_lr(solution):
    usual = [(0.0, "Your cosine falls to 0: it has to end at min_lr."), (HIGH, "The rate is max_lr at the end: the cosine starts there, and ends at min_lr.")]
    assert_rate(rate(solution, 20), LOW, "the rate at total_steps, with min_lr = 0.8,", usual, "At total_steps the whole way is done, and cos(pi) = -1 leaves min_lr.")


@pytest.mark.parametrize("step", [21, 28, 36, 1000])
def test_after_the_end_the_rate_stays_at_min_lr(solution, step):
    usual = [(cosine((step - 4) / 16), "After the end a cosine climbs again: return min_lr from total_steps on."), (0.0, "After the end it is 0: return min_lr, so that training can go on.")]
    assert_rate(rate(solution, step), LOW, f"the rate at step {step}, after total_steps = 20, with min_lr = 0.8,", usual, "From total_steps on the rate is min_lr.")


def test_a_warm_up_as_long_as_the_training_is_no_division_by_zero(solution):
    for step, expected in ((5, HIGH / 2), (12, LOW)):
        try:
            found = rate(solution, step, warmup_steps=10, total_steps=10)
        except ZeroDivisionError:
            observe("warm-up as long as training", "ZeroDivisionError")
            fail(
                f"learning_rate({step}, ...) divides by zero with warmup_steps = total_steps = 10:", expected=expected, got="ZeroDivisionError",
                because="total_steps - warmup_steps is 0 here. Ask first whether step < warmup_steps, then whether step >= total_steps; only what is left needs the quotient.",
            )  # fmt: skip
        assert_rate(found, expected, f"the rate at step {step} with warmup_steps = total_steps = 10", [], "A line up to step 10, and min_lr after it.")


# --- optimizer_groups ----------------------------------------------------------------------------


def gpt2():
    """A small GPT-2, tied, with norms of two classes: its own and PyTorch's."""
    model = problem(10).GPT2Model(tiny())
    model.h[1].ln_2 = nn.LayerNorm(15)
    return model


def groups_of(solution, model, weight_decay=0.3):
    """optimizer_groups as a list of (parameters, weight_decay); what AdamW would not take fails."""
    groups = solution.optimizer_groups(model, weight_decay)
    kinds = [type(group).__name__ for group in groups] if isinstance(groups, list | tuple) else type(groups).__name__
    observe("optimizer_groups returns", kinds)
    if not isinstance(groups, list | tuple) or not all(isinstance(group, dict) for group in groups):
        fail("optimizer_groups does not return a list of dicts:", expected='[{"params": [...], "weight_decay": ...}, ...]', got=kinds, because="AdamW takes its groups as a list, each a dict with the keys params and weight_decay.")
    pairs = []
    for group in groups:
        missing = [key for key in ("params", "weight_decay") if key not in group]
        observe("keys that a group lacks", missing)
        if missing:
            fail(
                f"a group has no `{missing[0]}`:", expected="the keys params and weight_decay in each group", got=", ".join(group),
                because="A group that does not say its weight_decay gets AdamW's default, 0.01." if missing[0] == "weight_decay" else "AdamW looks for the parameters of a group under that key.",
            )  # fmt: skip
        params = group["params"]
        params = [params] if isinstance(params, torch.Tensor) else list(params)
        pairs.append(([p[1] if isinstance(p, tuple) else p for p in params], group["weight_decay"]))
    return pairs


def names_of(model):
    """Each parameter's name by its identity; a tied one has the first of its names."""
    return {id(p): name for name, p in model.named_parameters()}


def decays_of(solution, model, weight_decay=0.3):
    """The weight decay of each parameter, by name."""
    names = names_of(model)
    return {names[id(p)]: decay for params, decay in groups_of(solution, model, weight_decay) for p in params if id(p) in names}


def test_the_groups_are_dicts_with_params_and_weight_decay(solution):
    groups_of(solution, gpt2())


def test_every_trainable_parameter_is_in_a_group(solution):
    model = gpt2()
    names = names_of(model)
    found = [names.get(id(p), "?") for params, _ in groups_of(solution, model) for p in params]
    strangers = found.count("?")
    observe("strangers", strangers)
    if strangers:
        fail("a group holds a tensor that is no parameter of the model:", expected="the model's own Parameters", got=f"{strangers} others", because="AdamW moves the very tensors it is given: no copies, no .data, no state_dict, no buffers.")
    missing = [name for name in names.values() if name not in found]
    observe("parameters left out", missing)
    if missing:
        says = "Norms and biases belong into the group that does not decay." if all(dict(model.named_parameters())[n].ndim < 2 for n in missing) else "Every parameter of the model is trained. Collected in a dict, those with equal keys push each other out."
        if all(n.startswith(("wte", "wpe")) for n in missing):
            says = "Embeddings are matrices and decay with the others. lm_head.weight is wte.weight, so skipping one skips both."
        fail(f"`{missing[0]}` is in no group, so it is never trained:", expected="every parameter in a group", got=f"{len(missing)} left out", because=says)


def test_no_parameter_is_in_the_groups_twice(solution):
    model = gpt2()
    names = names_of(model)
    found = [names.get(id(p), "?") for params, _ in groups_of(solution, model) for p in params]
    twice = sorted({name for name in found if found.count(name) > 1})
    observe("parameters given twice", twice)
    if twice:
        says = "wte.weight and lm_head.weight are one Parameter under two names: model.parameters() gives it once." if twice == ["wte.weight"] else "Each parameter belongs into one group."
        fail(f"`{twice[0]}` is in the groups twice:", expected="each parameter once", got=", ".join(f"`{n}`" for n in twice[:3]), because=says)


@pytest.mark.parametrize(
    ("kind", "endings", "decay", "because"),
    [
        ("biases", ("bias",), 0.0, "A bias is not pulled towards 0: everything with fewer than two axes goes into a group with weight_decay 0."),
        ("norms", ("ln_1.weight", "ln_2.weight", "ln_f.weight"), 0.0, "A norm's weight starts at 1, and decay would pull it to 0. It is called weight as well, and its class may be your own: go by the number of axes, p.ndim < 2."),
        ("embeddings", ("wte.weight", "wpe.weight"), 0.3, "Embeddings are matrices, and decay like the others, by the weight_decay that was given."),
        ("matrices", ("c_attn.weight", "c_proj.weight", "c_fc.weight"), 0.3, "Every parameter with two axes goes into the group with the weight_decay that was given."),
    ],
    ids=["biases", "norms", "embeddings", "matrices"],
)  # fmt: skip
def test_what_decays_and_what_does_not(solution, kind, endings, decay, because):
    found = {name: d for name, d in decays_of(solution, gpt2()).items() if name.endswith(endings)}
    wrong = {name: d for name, d in found.items() if d != decay}
    observe(f"decay of {kind}", sorted(wrong.items()))
    if wrong:
        name, got = next(iter(wrong.items()))
        fail(f"`{name}` has the wrong weight_decay:", expected=f"{decay:g}" + (", what optimizer_groups was given" if decay else ""), got=f"{got}, and so {len(wrong)} of {len(found)} {kind}", because=because)


def test_adamw_takes_the_groups(solution):
    groups = solution.optimizer_groups(gpt2(), 0.1)
    try:
        torch.optim.AdamW(groups, lr=1e-3)
    except (TypeError, ValueError) as error:
        observe("AdamW refuses", str(error))
        fail("torch.optim.AdamW refuses the groups:", expected="groups that AdamW takes", got=str(error).splitlines()[0], because="Each group is a dict with a list of Parameters under params, and a number under weight_decay.")


# --- a model to measure with ---------------------------------------------------------------------


class Bigram(nn.Module):
    """logits = gain * wte[id] + ln_f.bias; ln_f.weight always has a gradient of 0. It notes its calls."""

    def __init__(self, gain=1.0, dropout=0.0):
        super().__init__()
        self.config = tiny(vocab_size=V)
        self.wte, self.drop, self.ln_f = nn.Embedding(V, V), nn.Dropout(dropout), nn.LayerNorm(V)
        self.gain, self.calls, self.stop = gain, [], False
        nn.init.zeros_(self.wte.weight)
        self.to(draw("d", 1).device)

    def plain(self, input_ids):
        """The logits without dropout, and without a note."""
        return self.gain * self.wte(input_ids) + self.ln_f.bias

    def forward(self, input_ids):
        logits = self.drop(self.gain * self.wte(input_ids)) + self.ln_f.bias + 0 * self.ln_f.weight
        call = SimpleNamespace(ids=input_ids, training=self.training, graph=logits.requires_grad, learned=False, before=None)
        if call.graph:
            call.before = self.snapshot()
            logits.register_hook(self._enough if self.stop else lambda _: setattr(call, "learned", True))
        self.calls.append(call)
        return logits

    def snapshot(self):
        return {name: p.detach().clone() for name, p in self.named_parameters()}

    def learned(self):
        """The calls that a backward() came back to."""
        return [call for call in self.calls if call.learned]

    def updates(self, name):
        """How a parameter moved from one learned call to the next, and from the last one to now."""
        states = [call.before[name] for call in self.learned()] + [self.snapshot()[name]]
        return [after - before for before, after in pairwise(states)]

    @staticmethod
    def _enough(_):
        raise _Enough


class _Enough(Exception):
    """Backward has been reached: what was to be seen has been seen."""


def batch(name, B, T, vocab=V):
    return draw_ids(f"{name} in", B, T, vocab_size=vocab), draw_ids(f"{name} out", B, T, vocab_size=vocab)


def taught(gain=1.0, dropout=0.0):
    """A Bigram whose guesses are sure of themselves, and mostly wrong."""
    model = Bigram(gain, dropout)
    with torch.no_grad():
        model.wte.weight.copy_(3 * draw("table", V, V))
    return model


def losses_of(model, batches):
    """The mean loss of each batch, as the model is now, without dropout."""
    with torch.no_grad():
        return [float(F.cross_entropy(model.plain(ids).flatten(0, 1), targets.flatten())) for ids, targets in batches]


def weighed(losses, batches):
    """The mean over all tokens of the batches that have a loss here."""
    sizes = [targets.numel() for _, targets in batches[: len(losses)]]
    return sum(loss * n for loss, n in zip(losses, sizes, strict=True)) / sum(sizes)


def mean_loss(model, batches):
    return weighed(losses_of(model, batches), batches)


# One token more or less is seen: 2, 12 and 10 tokens; 1, 3 and 5 rows.
RAGGED = [("a", 1, 2), ("b", 3, 4), ("c", 5, 2)]


def ragged():
    return [batch(*sizes) for sizes in RAGGED]


# --- evaluate ------------------------------------------------------------------------------------


def loss_of(solution, *args, **kwargs):
    """evaluate's answer as a tensor; one that is no float fails."""
    value = solution.evaluate(*args, **kwargs)
    observe("evaluate returns", type(value).__name__)
    if not isinstance(value, float):
        fail("evaluate does not return a float:", expected="a Python float", got=type(value).__name__, because="loss.item() is the number in a tensor; the mean of numbers is a float." if isinstance(value, torch.Tensor) else "Return the mean loss.")
    return torch.tensor(value)


def test_evaluate_returns_a_float(solution):
    loss_of(solution, Bigram(), ragged())


def test_a_blind_guess_costs_ln_v(solution):
    found = loss_of(solution, Bigram(), [batch("a", 2, 3)])
    usual = {float(V): "This is the perplexity, exp(loss). The loss itself is asked for.", math.log2(V): "The loss is in bits, to base 2. It is in nats, to base e.", math.log(V) / 6: "The mean of the batch is divided by its number of tokens once more: multiply each mean by targets.numel() before you add up.", 6 * math.log(V): "The losses are added up and never divided: divide by the number of tokens."}
    says = next((text for value, text in usual.items() if abs(float(found) - value) < 1e-4), "The mean cross-entropy of a blind guess among V tokens is ln V.")
    assert_close(found, torch.tensor(math.log(V)), f"the loss of a model with equal logits, V = {V},", because=says)


def test_each_token_counts_once_whatever_batch_it_is_in(solution):
    model, batches = taught(), ragged()
    single = losses_of(model, batches)
    tokens, rows, lengths = [2, 12, 10], [1, 3, 5], [2, 4, 2]
    expected = sum(x * n for x, n in zip(single, tokens, strict=True)) / 24
    found = loss_of(solution, model, batches)

    def by(weights):
        return sum(x * n for x, n in zip(single, weights, strict=True)) / sum(weights)

    usual = {
        sum(single) / 3: "This is the mean of the batches' means, in which a token of a small batch counts more. Multiply each mean by its number of tokens, and divide the sum by all tokens.",
        by(rows): "The batches are weighed by their rows, but rows differ in length: weigh by tokens, targets.numel().",
        by(lengths): "The batches are weighed by their length T alone: weigh by tokens, targets.numel().",
        single[0]: "Only the first batch counts: the return stands inside of the loop?",
        single[-1]: "Only the last batch counts: each one overwrites the sum.",
        sum(single): "The batches' means are added up and never divided.",
        sum(x * n for x, n in zip(single, tokens, strict=True)): "The losses are added up and never divided: divide by the number of tokens.",
        sum(x * n for x, n in zip(single, tokens, strict=True)) / 3: "You divide by the number of batches what was summed over tokens.",
        sum(single) / 24: "You divide by the number of tokens what was summed over batches: multiply each mean by its number of tokens first.",
    }  # fmt: skip
    says = next((text for value, text in usual.items() if abs(float(found) - value) < 1e-4), "Every token counts the same: the sum of all tokens' losses, divided by the number of tokens. Targets are what the loader gives: they are shifted already.")
    assert_close(found, torch.tensor(expected), "the loss over batches of 2, 12 and 10 tokens", because=says)


@pytest.mark.parametrize("max_batches", [1, 2, 3, 7])
def test_max_batches_ends_the_evaluation(solution, max_batches):
    model, batches = taught(), ragged()
    found = float(loss_of(solution, model, batches, max_batches=max_batches))
    usual = {mean_loss(model, batches): "max_batches has no effect: all batches are counted.", mean_loss(model, batches[: max_batches + 1]): "One batch too many is counted: stop when max_batches have been seen."}
    if max_batches > 1:
        usual[mean_loss(model, batches[: max_batches - 1])] = "One batch too few is counted: stop when max_batches have been seen."
        usual[mean_loss(model, batches[:max_batches]) * 24 / sum(t.numel() for _, t in batches[:max_batches])] = "The sum covers max_batches, the count of tokens something else."
    says = next((text for value, text in usual.items() if abs(found - value) < 1e-4), "It is the mean over the first max_batches batches, or over all where there are fewer.")
    assert_close(torch.tensor(found), torch.tensor(mean_loss(model, batches[:max_batches])), f"the loss with max_batches={max_batches} of 3 batches", because=says)


def test_dropout_is_off_in_the_evaluation(solution):
    model, batches = taught(dropout=0.5).train(), ragged()
    found, expected = float(loss_of(solution, model, batches)), mean_loss(model, batches)
    observe("dropout acts", abs(found - expected) > 1e-3)
    if abs(found - expected) > 1e-3:
        fail("the loss of a model in train mode is disturbed by its dropout:", expected=f"{expected:.4f}, as in eval mode", got=f"{found:.4f}", because="Call model.eval() before the loop, so that nothing is dropped.")


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_mode_is_left_as_it_was_found(solution, training):
    model = taught().train(training)
    solution.evaluate(model, ragged())
    modes = {True: "train mode", False: "eval mode"}
    inside = sorted({name for name, m in model.named_modules() if m.training != training})
    observe("modules in the other mode", inside)
    if inside:
        fail(
            f"a model that was in {modes[training]} is not in it after evaluate:", expected=modes[training], got=modes[not training],
            because="Training would go on without dropout: remember model.training, and put it back with model.train(was_training)." if training
            else "A model that was in eval mode stays there: remember model.training, and put back what was found, not always train().",
        )  # fmt: skip


def test_the_evaluation_builds_no_graph(solution):
    model = taught()
    solution.evaluate(model, ragged())
    assert_true(
        not any(call.graph for call in model.calls), "evaluate computes logits that hang on a graph",
        because="Nobody calls backward() here, so the graph only costs memory: run the model under `with torch.no_grad():`. detach() or item() comes too late.",
    )  # fmt: skip
    enabled = torch.is_grad_enabled() and all(p.requires_grad for p in model.parameters())
    observe("gradients afterwards", enabled)
    if not enabled:
        fail("after evaluate no gradients can be computed any more:", expected="gradients as before", got="switched off", because="Use `with torch.no_grad():`, which ends with its block; training goes on after an evaluation.")


@pytest.mark.parametrize(("loader", "max_batches"), [([], None), ([], 3), (RAGGED, 0)], ids=["empty loader", "empty loader, max_batches=3", "max_batches=0"])
def test_nothing_to_evaluate_is_a_value_error(solution, loader, max_batches):
    batches = [batch(*sizes) for sizes in loader]
    what = f"evaluate(model, {'loader' if loader else '[]'}, max_batches={max_batches})"
    says = "max_batches=0 is no batch at all, not all of them: compare with None, as `if max_batches:` takes 0 for None." if loader else "The mean over no tokens is 0/0: raise a ValueError that says that there was no batch, not NaN, 0 or a ZeroDivisionError."
    with assert_raises(ValueError, what, because=says):
        solution.evaluate(Bigram(), batches, max_batches=max_batches)


def left_behind(call):
    """What a GPU would refuse when it gets the CPU's data; empty if nothing is left behind."""
    try:
        call()
    except DevicesDiffer as error:
        return str(error)
    except NotImplementedError:
        raise
    except Exception:  # the stand-in for a GPU has limits, which are nobody's mistake
        return ""
    return ""


def test_evaluate_moves_the_data_to_the_models_device(solution):
    model, batches = taught().to("cpu"), [tuple(t.to("cpu") for t in pair) for pair in ragged()]
    with elsewhere(model):
        trouble = left_behind(lambda: solution.evaluate(model, batches))
    observe("evaluate on another device", trouble.partition(":")[0])
    if trouble:
        fail("evaluate fails with a model on a GPU:", expected="data on the model's device", got=trouble, because="A loader yields CPU tensors: move both, inputs.to(device) and targets.to(device), with device = next(model.parameters()).device.")


# --- pretrain: what it returns -------------------------------------------------------------------

KEYS = ("epoch", "step", "tokens_seen", "train_loss", "val_loss")
# A rate that stays as it is. Few evaluations, as they take most of the time.
SETTINGS = dict(epochs=1, max_lr=0.01, min_lr=0.01, warmup_steps=0, weight_decay=0.0, eval_every=2, eval_batches=1)


def training_batches(count=3):
    """Batches of 6 tokens, the last one of 4."""
    return [batch(f"train {i}", 2, 3) for i in range(count - 1)] + [batch("train last", 2, 2)]


def validation_batches():
    return [batch("val 0", 2, 4), batch("val 1", 1, 4)]


def run(solution, model, train, val=None, **changes):
    """pretrain; its history, after a look at the form."""
    history = solution.pretrain(model, train, val or validation_batches(), **{**SETTINGS, **changes})
    kinds = [type(record).__name__ for record in history] if isinstance(history, list) else type(history).__name__
    observe("pretrain returns", kinds)
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        fail("pretrain does not return a list of dicts:", expected="a list, a dict for each evaluation", got=kinds, because="Append each record to a list and return the list.")
    missing = [key for key in KEYS if any(key not in record for record in history)]
    observe("keys that a record lacks", missing)
    if missing:
        fail(f"a record has no `{missing[0]}`:", expected=", ".join(KEYS), got=", ".join(map(str, history[0])), because="Each record is a dict with these five keys.")
    return history


def test_the_history_is_a_list_of_records(solution):
    run(solution, taught(), training_batches())


def test_a_record_holds_plain_numbers(solution):
    for record in run(solution, taught(), training_batches()):
        for key in KEYS:
            wanted = float if key.endswith("loss") else int
            kind = type(record[key]).__name__
            observe(f"type of {key}", kind)
            if not isinstance(record[key], wanted) or isinstance(record[key], bool):
                says = "A tensor keeps its graph, its device and its memory: store loss.item(), which is what evaluate returns." if isinstance(record[key], torch.Tensor) else ""
                fail(f"`{key}` of a record is no {wanted.__name__}:", expected=wanted.__name__, got=kind, because=says or "Losses are floats, counts are ints.")


# --- pretrain: one update for each batch ---------------------------------------------------------


def label(ids, train, val):
    """Which batch these inputs are: its number, or "val"."""
    for name, batches in (("train", train), ("val", val)):
        for number, (inputs, _) in enumerate(batches):
            if inputs.shape == ids.shape and torch.equal(inputs, ids):
                return str(number) if name == "train" else "val"
    return "?"


@pytest.mark.parametrize("epochs", [2, 1])
def test_every_batch_is_learned_from_once_in_each_epoch(solution, epochs):
    model, train, val = taught(), training_batches(), validation_batches()
    run(solution, model, train, val, epochs=epochs, eval_every=3)
    found = [label(call.ids, train, val) for call in model.learned()]
    expected = ["0", "1", "2"] * epochs
    if not found:
        says = "The model learns nothing: loss.backward() is never called on a training batch, or another model than this one is trained."
    elif "val" in found:
        says = "The model is trained on validation batches, which it must never learn from."
    elif found == expected[: len(found)]:
        says = "Training ends too early: go through the whole loader in each of the epochs, whatever eval_batches says."
    elif found[: len(expected)] == expected:
        says = "There is an epoch too many: range(1, epochs + 1)."
    else:
        says = "Each batch of train_loader gives one loss and one backward(), in the loader's order, in every epoch. Is the loader restarted inside of an epoch, or a batch used twice?"
    assert_equal(" ".join(found), " ".join(expected), f"the list of training batches that were learned from, 3 batches and epochs={epochs},", because=says)


def test_training_happens_in_train_mode_also_after_an_evaluation(solution):
    model = taught().eval()
    run(solution, model, training_batches(), eval_every=1)
    modes = [call.training for call in model.learned()]
    says = "It begins in the mode that it was in: call model.train() before the loop." if modes and not modes[0] else "An evaluation has left it in eval mode, so the rest is trained without dropout: evaluate puts the mode back, or call model.train() in every step."
    if not all(modes):
        observe("train mode", modes)
        fail(f"the model is in eval mode in update {modes.index(False) + 1}:", expected="train mode in every update", got=f"eval mode in {modes.count(False)} of {len(modes)}", because=says)
    loud = [call for call in model.calls if not call.learned and call.training]
    observe("evaluations in train mode", len(loud))
    if loud:
        fail("the losses of a record are computed in train mode:", expected="eval mode, so that nothing is dropped", got="train mode", because="Both losses come from evaluate, which switches dropout off and puts the mode back.")


def test_each_batch_moves_the_weights(solution):
    model = taught()
    run(solution, model, training_batches(), eval_every=3)
    moved = [bool(step.any()) for step in model.updates("wte.weight")]
    observe("updates that move", moved)
    if not all(moved):
        says = "Nothing moves at all: optimizer.step() is missing, or finds no gradient (zero_grad() between backward() and step()), or another model's parameters are in the groups." if not any(moved) else "Each batch makes one update: zero_grad(), backward(), step() in every pass of the loop."
        says = "The first step finds no gradient: backward() comes before step()." if moved == [False, True, True] else says
        fail(f"update {moved.index(False) + 1} leaves the weights where they are:", expected=f"{len(moved)} updates that move", got=f"{sum(moved)} do", because=says)


@contextmanager
def noting_gradients(model):
    """What a torch optimizer finds as gradients of wte and ln_f.bias, by number of the update.

    Read right after the step, which leaves them alone: a closure may have made them within it.
    """
    notes = {}

    def note(optimizer, *_):
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        grads = [p.grad if p.grad is not None and id(p) in known else torch.zeros_like(p) for p in (model.wte.weight, model.ln_f.bias)]
        number = len(model.learned())
        notes[number] = (optimizer, torch.cat([g.detach().flatten() for g in grads]))

    handle = register_optimizer_step_post_hook(note)
    try:
        yield notes
    finally:
        handle.remove()


def gradient(model, call, ids, targets, reduction="mean"):
    """The gradient of wte and ln_f.bias for a batch, with the weights as they were at this call."""
    table, bias = (call.before[name].requires_grad_() for name in ("wte.weight", "ln_f.bias"))
    with torch.enable_grad():
        logits = model.gain * table[ids] + bias
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, (table, bias))])


def updates_of(solution, model, train, **changes):
    """What the optimizer found and what it should find unclipped, update by update."""
    with noting_gradients(model) as notes:
        run(solution, model, train, **changes)
    calls = model.learned()
    for number, (_, found) in sorted(notes.items()):
        if 0 < number <= len(calls):
            yield number, found, gradient(model, calls[number - 1], *train[(number - 1) % len(train)])


def near(a, b):
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_the_batch_alone(solution):
    model, train, total = taught(), training_batches(), 0
    for number, found, right in updates_of(solution, model, train, grad_clip=None, eval_every=1):
        total = total + right
        tokens = train[(number - 1) % len(train)][1].numel()
        ids, targets = train[(number - 1) % len(train)]
        shifted = gradient(model, model.learned()[number - 1], ids[:, :-1], targets[:, 1:])
        usual = [
            (total, "Gradients of earlier batches are still in it: call optimizer.zero_grad() in every step, before backward()."),
            (0 * right, "There is no gradient: zero_grad() stands between backward() and step()."),
            (right / right.norm(), "It is clipped to norm 1, although grad_clip=None asks for none."),
            (right * tokens, "It is the gradient of the sum over tokens. The loss is the mean, problem 12's."),
            (gradient(model, model.learned()[number - 1], ids, ids), "The loss compares with the inputs: the model would learn to copy. The targets are what the loader gives."),
            (shifted, "The targets are shifted once more. The loader has done that: targets[t] is the token after inputs[t]."),
            (-right, "The sign is wrong: the update would go uphill."),
            (gradient(model, model.learned()[number - 1], ids[:, -1:], targets[:, -1:]), "Only the last position of each row counts. Every position has a target."),
            (gradient(model, model.learned()[number - 1], ids[:1], targets[:1]), "Only the first row of the batch counts."),
        ]
        says = next((text for value, text in usual if near(found, value)), "")
        if not says and number > 1:
            says = "The first update is right and this one is not: something of an earlier batch, or of an evaluation, is left in the gradients. Call optimizer.zero_grad() right before backward()."
        assert_close(found, right, f"the gradient that the optimizer finds in update {number} with grad_clip=None", because=says or "It is the gradient of problem 12's loss over all positions of this batch, and of nothing else: no smoothed labels, no token left out, no penalty, nothing from another batch.", atol=1e-5, rtol=1e-4)


def test_one_optimizer_makes_all_updates(solution):
    model = taught()
    with noting_gradients(model) as notes:
        run(solution, model, training_batches(2), epochs=2, eval_every=4)
    several = len({id(optimizer) for optimizer, _ in notes.values()}) > 1
    assert_true(not several, "the last update is made by another optimizer than the first", because="AdamW remembers averages of past gradients, which a new one has lost: make it once, before the loop over the epochs.")


@pytest.mark.parametrize(("name", "limit"), [("grad_clip=0.5", 0.5), ("grad_clip=3.0", 3.0), ("the default grad_clip of 1.0", None)], ids=str)
def test_large_gradients_are_clipped_to_the_norm(solution, name, limit):
    model = taught(gain=20.0)
    changes = {} if limit is None else {"grad_clip": limit}
    limit = 1.0 if limit is None else limit
    for number, found, right in updates_of(solution, model, training_batches(2), **changes):
        norm = right.norm()
        table, bias = right.split([V * V, V])
        each = torch.cat([g * (limit / g.norm()).clamp(max=1) for g in (table, bias)])
        usual = [
            (right, "It is not clipped. clip_grad_norm_ belongs between backward() and optimizer.step(): before, the gradient is not there yet; after, the update is made."),
            (right.clamp(-limit, limit), "Each number is clipped by itself (clip_grad_value_), which turns the direction. Clip the norm: clip_grad_norm_."),
            (each, "Each parameter is clipped by itself, which turns the direction. Clip the norm of all gradients together, in one call."),
            (right / norm, "It has norm 1, whatever grad_clip says: pass the argument on."),
            (right * limit / right.abs().max(), "It is the largest number that was brought down to grad_clip (norm_type=inf). The norm is the ordinary one, the root of the sum of squares."),
            (right * limit / right.abs().sum(), "The sum of absolute values was brought down to grad_clip (norm_type=1). The norm is the ordinary one, the root of the sum of squares."),
            (right * limit / norm**2, "It is clipped twice, or divided by the squared norm: take the root."),
        ]
        says = next((text for value, text in usual if near(found, value)), "The norm of all gradients together is brought down to grad_clip, and the direction is kept.")
        assert_close(found, right * limit / norm, f"the gradient that the optimizer finds in update {number} with {name}, its own norm being {norm:.1f},", because=says, atol=1e-5, rtol=1e-4)


def test_small_gradients_are_not_touched_by_clipping(solution):
    for number, found, right in updates_of(solution, taught(), training_batches(2), grad_clip=50.0):
        assert_close(found, right, f"the gradient that the optimizer finds in update {number} with grad_clip=50, its own norm being {right.norm():.2f},", because="Clipping only shortens: a gradient below the limit stays as it is.", atol=1e-5, rtol=1e-4)


def test_clipping_to_almost_nothing_stops_adamw(solution):
    # Whatever optimizer it is: next to AdamW's eps a gradient of 1e-20 counts for nothing.
    model = taught()
    run(solution, model, training_batches(2), grad_clip=1e-20)
    far = max(float(step.abs().max()) for step in model.updates("wte.weight"))
    observe("AdamW stops", far < 1e-3)
    if far >= 1e-3:
        fail("with grad_clip=1e-20 the weights still move by the learning rate, 0.01:", expected="next to nothing", got=f"{far:.2g}", because="Gradients are not clipped before the update: AdamW adds its eps to their size, next to which 1e-20 would count for nothing.")


# --- pretrain: the learning rate and the weight decay --------------------------------------------


def schedule(step, warmup, total, high=2e-4, low=2e-5):
    """The contract's formula."""
    if step < warmup:
        return high * step / warmup
    return cosine(min(1.0, (step - warmup) / (total - warmup)), low, high) if step < total else low


def within(found, expected):
    """Whether an update is as large as its rate."""
    return abs(found - expected) <= 0.02 * expected + 2e-7


def why(found, epochs, n, warmup):
    """What makes updates of these sizes in `epochs` epochs of n batches; "" if it is nothing usual."""
    total = epochs * n

    def counted(at, total=total, high=2e-4, low=2e-5):
        return [[schedule(at(s) - back, warmup, total, high, low) for s in range(1, epochs * n + 1)] for back in (0, 1)]

    right = counted(lambda s: s)
    usual = [
        ([[2e-4] * total], 'The rate is max_lr in every update: the schedule is never set. In each step, group["lr"] = learning_rate(...) for every group of optimizer.param_groups.'),
        ([[1e-3] * total], "This is AdamW's default rate, 0.001: no rate ever reaches the optimizer."),
        ([[2e-5] * total], "The rate is min_lr in every update: is total_steps the number of updates, epochs * len(train_loader)?"),
        ([[0.8 * x for x in rates] for rates in right], "The updates are the rate times the gradient, 0.8 here: this is SGD. AdamW divides by the size of the gradients."),
        ([[2e-4, *rates[1:]] for rates in right], "The first update is made before a rate is set: set it before optimizer.step()."),
        (counted(lambda s: s, total=n), "The schedule has come to its end after the first epoch: total_steps is epochs * len(train_loader)."),
        (counted(lambda s: (s - 1) % n + 1, total=n), "The schedule starts anew in each epoch: step counts all updates, and total_steps is epochs * len(train_loader)."),
        (counted(lambda s: (s - 1) % n + 1), "The step starts anew in each epoch: it counts all updates."),
        (counted(lambda s: (s - 1) // n + 1), "The rate changes from epoch to epoch only: set it before every update, by the number of updates."),
        (counted(lambda s: (s - 1) // n + 1, total=epochs), "The rate changes from epoch to epoch only: set it before every update, by the number of updates."),
        (counted(lambda s: 1), "The rate stays as it was in the first update: set it before each."),
        (counted(lambda s: 2 * s) + counted(lambda s: 2 * s - 1), "The schedule moves on two steps with each update: count one."),
        (counted(lambda s: s + 2) + counted(lambda s: s - 1), "The schedule is ahead of the updates, or behind them: step is the number of the update, counted from 1."),
        ([[x if s < warmup else 2e-5 for s, x in enumerate(rates, back)] for back, rates in ((1, right[0]), (0, right[1]))], "After the warm-up the rate is min_lr at once: total_steps is too small. It counts updates, epochs * len(train_loader)."),
        (counted(lambda s: s, high=2e-5, low=2e-4), "max_lr and min_lr are swapped in the call of learning_rate."),
    ]  # fmt: skip
    return next((text for lists, text in usual if any(all(map(within, found, rates)) for rates in lists)), "")


@pytest.mark.parametrize(("epochs", "warmup"), [(2, 3), (1, 2), (2, 0)])
def test_each_update_has_the_rate_of_its_step(solution, epochs, warmup):
    # One token, always followed by the same: the gradient stays as it is, and Adam moves each weight by the rate.
    ids = torch.zeros(2, 3, dtype=torch.long, device=draw("d", 1).device)
    model, n = Bigram(), 4
    run(solution, model, [(ids, ids)] * n, epochs=epochs, max_lr=2e-4, min_lr=2e-5, warmup_steps=warmup, eval_every=8, grad_clip=None)
    bias, table = ([abs(float(move.view(-1)[0])) for move in model.updates(name)] for name in ("ln_f.bias", "wte.weight"))
    observe("sizes of the updates of ln_f.bias", torch.tensor(bias))
    observe("sizes of the updates of wte", torch.tensor(table))
    total = epochs * n
    if len(bias) != total:
        return  # an earlier check says so
    # Steps counted from 0 or from 1: both will do.
    ways = [[schedule(s - back, warmup, total) for s in range(1, total + 1)] for back in (1, 0)]
    for name, found in (("wte.weight", table), ("ln_f.bias", bias)):
        # In each way, the first update that has another rate; None where all are right.
        first = [next((i for i in range(total) if not within(found[i], rates[i])), None) for rates in ways]
        if None in first:
            continue
        wrong = max(first)
        expected = sorted({f"{rates[wrong]:.2e}" for rates, at in zip(ways, first, strict=True) if at == wrong}, key=float)
        says = why(found, epochs, n, warmup)
        if name == "ln_f.bias":
            says = "The matrices have the right rate, the biases not: set it for every group in optimizer.param_groups, not for the first alone."
        fail(
            f"update {wrong + 1} of {total} does not move `{name}` by its learning rate:", expected=" or ".join(expected), got=f"{found[wrong]:.2e}",
            because=says or "AdamW moves a weight whose gradient never changes by the rate. Before each update, set learning_rate(step, ...) in every group, with step counted over all epochs and total_steps = epochs * len(train_loader).",
        )  # fmt: skip


def test_the_matrices_decay_and_the_norms_do_not(solution):
    # Token 4 never occurs, so the gradient of its row is 0, as is that of ln_f.weight: only decay can move them.
    model = Bigram()
    with torch.no_grad():
        model.wte.weight[4] = 1.0
    train = [batch(f"train {i}", 2, 3, vocab=4) for i in range(4)]
    run(solution, model, train, weight_decay=5.0, eval_every=4)
    row, norm = model.wte.weight[4].detach(), model.ln_f.weight.detach()
    usual = {
        1.0: "It does not decay: pass optimizer_groups(model, weight_decay) to AdamW.",
        (1 - 0.01 * 0.01) ** 4: "It decays by AdamW's default, 0.01: the optimizer was made from model.parameters() instead of the groups.",
        0.96: "It moves by the rate, whatever the weight: this is Adam, which puts the decay into the gradient. AdamW takes it off the weight.",
    }  # fmt: skip
    says = next((text for value, text in usual.items() if abs(float(row[0]) - value) < 2e-4), "AdamW multiplies a matrix by 1 - lr * weight_decay in each update.")
    assert_close(row, torch.full_like(row, 0.95**4), "a row of wte that is never used, after 4 updates with lr = 0.01 and weight_decay = 5,", because=says, atol=2e-4)
    assert_close(norm, torch.ones_like(norm), "the weight of a norm that has no gradient, after 4 updates with weight_decay = 5,", because="Norms and biases do not decay: pass optimizer_groups(model, weight_decay) to AdamW, not model.parameters().")


# --- pretrain: the records -----------------------------------------------------------------------


def regular(history, total, every):
    """The records without a last, partial one, which is nobody's mistake."""
    partial = history and history[-1]["step"] == total and total % every
    return history[:-1] if partial else history


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (1, 2), (2, 2), (3, 4)])
def test_there_is_a_record_every_eval_every_updates(solution, epochs, every):
    # What is learned here is wrong there, so the validation loss rises all the time.
    total, ids = 3 * epochs, draw_ids("ids", 2, 3, vocab_size=V)
    train, val = [(ids, torch.zeros_like(ids))] * 3, [(ids, torch.ones_like(ids))]
    history = run(solution, Bigram(), train, val, epochs=epochs, eval_every=every)
    found = [record["step"] for record in regular(history, total, every)]
    expected = list(range(every, total + 1, every))
    if not found:
        says = "The history is empty: every eval_every updates a record is appended to it."
    elif found[0] == 0:
        says = "There is a record before the first update, or after it with step 0. step says how many updates were made: count it up, then ask step % eval_every == 0."
    elif found == [s - 1 for s in expected] or found == [s + 1 for s in expected]:
        says = "Each step is off by one: it is the number of updates made so far."
    elif len(set(found)) < len(found):
        says = "Steps occur twice: one dict is changed and appended again and again, or step starts anew in each epoch. Make a new dict for each record, and count over all epochs."
    elif found == [n * 3 for n in range(1, epochs + 1)]:
        says = "There is one record for each epoch. eval_every counts updates."
    elif found == expected[: len(found)]:
        says = "The last records are missing. Every one is kept, also where the validation loss gets worse, as it does here, and training goes on."
    else:
        says = "There is a record after update eval_every, 2 * eval_every, and so on, counted over all epochs."
    assert_equal(found, expected, f"the list of the records' steps, 3 batches, epochs={epochs}, eval_every={every},", because=says)


def test_on_eval_gets_each_record(solution):
    given = []
    history = run(solution, taught(), training_batches(), eval_every=1, on_eval=lambda record: given.append(dict(record) if isinstance(record, dict) else record))
    kinds = sorted({type(record).__name__ for record in given})
    assert_true(all(isinstance(record, dict) for record in given), f"on_eval gets no record but {' and '.join(kinds)}", because="It is called with the new record, a dict: on_eval(record), not with the whole history.")
    assert_equal(len(given), len(history), "the number of calls of on_eval", because="on_eval(record) is called once for each record: this is how a caller prints, samples and saves.")
    same = all(a[key] == b[key] for a, b in zip(given, history, strict=True) for key in KEYS)
    assert_true(same, "on_eval gets other records than the history holds", because="Both get the same record; make a new dict for each, and do not change it afterwards.")


def test_a_record_comes_after_as_many_updates_as_it_says(solution):
    model, made = taught(), []
    run(solution, model, training_batches(), eval_every=1, on_eval=lambda record: made.append((record["step"], len(model.learned()), model.snapshot()["wte.weight"])))
    for step, updates, weights in made:
        calls = model.learned()
        after = calls[step].before["wte.weight"] if 0 < step < len(calls) else weights
        assert_equal(updates, step, f"the number of batches learned from when on_eval gets the record of step {step}", because="A record is made right after its update, and handed to on_eval at once, while training goes on from there.")
        assert_close(weights, after, f"the weights when on_eval gets the record of step {step}, compared with those after update {step},", because="Evaluate after optimizer.step(): step counts the updates made.")


def test_epochs_are_counted(solution):
    history = run(solution, taught(), training_batches(2), epochs=3, eval_every=1)
    found = [record["epoch"] for record in history]
    if found[:1] == [0]:  # the README counts from 1; from 0 will do
        found = [epoch + 1 for epoch in found]
    says = "With 2 batches, updates 1 and 2 belong to epoch 1, 3 and 4 to epoch 2: the last update of an epoch still belongs to it."
    assert_equal(found, [1, 1, 2, 2, 3, 3], "the list of the records' epochs, 2 batches, epochs=3, eval_every=1,", because=says)


def test_tokens_seen_counts_the_training_tokens(solution):
    history = run(solution, taught(), training_batches(3), epochs=2, eval_every=1)
    found, batches = [record["tokens_seen"] for record in history], [6, 6, 4, 6, 6, 4]
    expected = [sum(batches[: n + 1]) for n in range(6)]
    usual = [
        (batches, "Only the last batch is counted: add up over all of them."),
        ([0, *expected[:-1]], "The last batch is not in it: count a batch before the record is made."),
        ([6 * n for n in range(1, 7)], "Every batch is counted as if it were as large as the first: the last one of an epoch is smaller. Use targets.numel()."),
        ([2 * n for n in range(1, 7)], "Rows are counted, not tokens: a batch has B * T, targets.numel()."),
        (list(range(1, 7)), "Batches are counted, not tokens: a batch has B * T, targets.numel()."),
        (expected[:3] * 2, "The count starts anew in each epoch: it covers the whole training."),
        ([2 * n for n in expected], "Tokens are counted twice: inputs and targets are the same text, one token apart."),
        ([16, 16, 16, 32, 32, 32], "The tokens of the whole epoch are counted at once: add those of each batch."),
    ]  # fmt: skip
    says = next((text for value, text in usual if found == value), "It is the number of tokens of all training batches so far, over all epochs: targets.numel() for each. Evaluations do not count.")
    assert_equal(found, expected, "the list of tokens_seen, batches of 6, 6 and 4 tokens, epochs=2, eval_every=1,", because=says)


@pytest.mark.parametrize("eval_batches", [1, 2, 9])
def test_the_validation_loss_is_that_of_the_model_at_that_moment(solution, eval_batches):
    model, train, val, then = taught(dropout=0.5), training_batches(), [*validation_batches(), batch("val 2", 3, 1)], []

    def note(record):
        single = {key: losses_of(model, batches) for key, batches in (("train_loss", train), ("val_loss", val))}
        then.append((dict(record), {key: [weighed(losses[:n], batches) for n in (1, 2, 3)] for (key, losses), batches in zip(single.items(), (train, val), strict=True)}))

    run(solution, model, train, val, eval_every=1, eval_batches=eval_batches, on_eval=note, max_lr=0.3, min_lr=0.3)
    wanted = min(eval_batches, 3) - 1
    for record, means in then:
        for key, other in (("val_loss", "train_loss"),):  # for train_loss there are other ways to look
            found = record[key]
            kind = {"train_loss": "training", "val_loss": "validation"}
            usual = [
                (means[other][wanted], f"This is the loss over the {kind[other]} batches: {key} is evaluated on {key[:-5]}_loader."),
                (means[key][2], "All batches of the loader are counted: pass eval_batches on to evaluate."),
                (means[other][2], f"This is the loss over all {kind[other]} batches: {key} is evaluated on {key[:-5]}_loader, on at most eval_batches."),
                (means[key][0], "Only the first batch is counted: at most eval_batches are."),
                (round(means[key][wanted], 2), "It is rounded: rounding is for printing."),
                (round(means[key][wanted], 3), "It is rounded: rounding is for printing."),
            ]
            says = next((text for value, text in usual if abs(found - value) < 1e-4), f"{key} is evaluate(model, {key[:-5]}_loader, eval_batches), right after the update: no dropout, not the loss of one training batch, no running mean.")
            assert_close(torch.tensor(found), torch.tensor(means[key][wanted]), f"`{key}` of step {record['step']} with eval_batches={eval_batches} of 3", because=says, atol=1e-4)


# --- pretrain: a real model, and bad input -------------------------------------------------------


def test_a_gpt2_learns_a_text_from_a_data_loader(solution):
    device = draw("d", 1).device
    model = problem(10).GPT2Model(tiny(n_layer=1)).to(device)
    problem(11).init_weights(model)
    text = torch.arange(120) % 29  # each token is followed by the next number
    windows = text.unfold(0, 9, 4)
    loader = DataLoader(TensorDataset(windows[:, :-1], windows[:, 1:]), batch_size=10, shuffle=True)
    before = float(solution.evaluate(model, loader))
    history = run(solution, model, loader, loader, epochs=3, max_lr=3e-2, min_lr=3e-3, warmup_steps=2, weight_decay=0.1, eval_every=9, eval_batches=3)
    after = history[-1]["val_loss"]
    observe("a GPT-2 learns", after < before - 0.4)
    if not after < before - 0.4:
        fail("9 updates of a small GPT-2 do not lower its loss on a text that counts up:", expected=f"well below {before:.2f}", got=f"{after:.2f}", because="Each piece may be right by itself: look at the order of zero_grad, backward, clip and step, and at the rate.")


def test_pretrain_moves_the_data_to_the_models_device(solution):
    model = taught().to("cpu")
    model.stop = True
    train, val = ([tuple(t.to("cpu") for t in pair) for pair in batches] for batches in (training_batches(), validation_batches()))
    with elsewhere(model):
        trouble = left_behind(lambda: solution.pretrain(model, train, val, **SETTINGS))
    observe("pretrain on another device", trouble.partition(":")[0])
    if trouble:
        fail("pretrain fails with a model on a GPU:", expected="data on the model's device", got=trouble, because="A loader yields CPU tensors: move both, inputs.to(device) and targets.to(device), with device = next(model.parameters()).device.")


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("epochs", -1), ("eval_every", 0), ("eval_every", -2)])
def test_counts_below_one_are_refused(solution, name, value):
    with assert_raises(ValueError, f"pretrain({name}={value})", because=f"{name} is at least 1. Ask before anything else, and say which value was wrong."):
        solution.pretrain(taught(), training_batches(), validation_batches(), **{**SETTINGS, name: value})


def test_an_empty_training_loader_is_refused(solution):
    with assert_raises(ValueError, "pretrain with an empty train_loader", because="There is nothing to learn from: a DataLoader of a text that is too short, or with drop_last=True, has no batch. Say so with a ValueError, instead of returning an untrained model."):
        solution.pretrain(taught(), [], validation_batches(), **SETTINGS)
