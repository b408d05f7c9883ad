"""Interview 10, third part: what cross_entropy_backward promises, from cause to consequence.

Shapes: B batch, T tokens, V classes.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_raises,
    assert_shape,
    assert_true,
    draw,
    draw_ids,
    observe,
)
from common.testing.attending import assert_works_elsewhere

B, T, V = 2, 7, 13
AXES = {"B": B, "T": T, "V": V}
INF, NAN = float("inf"), float("nan")
SHAPES = pytest.mark.parametrize("lead", [(B, T), (T,), (), (B, 3, T)], ids=lambda lead: f"{len(lead)} leading axes")
IGNORE = pytest.mark.parametrize("ignore_index", [-100, -1, 0, 4, V - 1, 50])
WHAT = "cross_entropy_backward(grad, logits, targets)"


def given(*lead, v=V):
    """Logits and targets."""
    shape = {"B": B, "T": T, "V": v} if lead == (B, T) else {}
    logits = 2 * draw("logits", *(() if shape else (*lead, v)), **shape)
    return logits + 0.5, draw_ids("targets", *lead, vocab_size=v)


def padded(ignore_index=-100):
    """As given(B, T), with five rows to be ignored and no other of that class."""
    logits, targets = given(B, T)
    logits = logits + draw(f"logits for {ignore_index}", B, T, V)
    targets = torch.where(targets == ignore_index, (targets + 1) % V, targets)
    targets[0, 5:] = targets[1, 2:5] = ignore_index
    return logits, targets


def right(logits, targets, ignore_index=-100, grad=1.0):
    """What autograd gives."""
    leaf = logits.detach().clone().requires_grad_()
    loss = F.cross_entropy(leaf.reshape(-1, leaf.size(-1)), targets.reshape(-1), ignore_index=ignore_index)
    return grad * torch.autograd.grad(loss, leaf)[0]


def back(solution, logits, targets, *ignore_index, grad=1.0):
    found = solution.cross_entropy_backward(grad, logits, targets, *ignore_index)
    assert_shape(found, tuple(logits.shape), WHAT, because="Each logit has a gradient: the shape of the logits.")
    observe(WHAT, found)
    return found


# --- what others stand on ------------------------------------------------------------------------


@SHAPES
def test_the_gradient_has_the_shape_of_the_logits(solution, lead):
    back(solution, *given(*lead))


def test_cross_entropy_backward_leaves_its_inputs_alone(solution):
    logits, targets = padded()
    assert_input_untouched(
        solution.cross_entropy_backward, torch.ones((), device=logits.device), logits, targets,
        what="cross_entropy_backward",
    )


# --- the gradient --------------------------------------------------------------------------------


def test_the_target_is_raised_and_all_others_are_lowered(solution):
    logits, targets = given(B, T)
    rises = back(solution, logits, targets) < 0
    assert_equal(
        rises.nonzero()[:, -1].tolist(), targets.reshape(-1).tolist(),
        "the list of classes with a negative gradient, row by row,",
        because="A step goes against the gradient: it is below 0 at the target alone, softmax - 1, and the softmax "
        "itself at all other classes.",
    )


def test_each_row_sums_to_zero(solution):
    found = back(solution, *given(B, T))
    assert_close(
        found.sum(-1), torch.zeros_like(found[..., 0]), "the sum of each row of the gradient",
        because="A number that is added to a whole row leaves the loss as it is; the softmax sums to 1, and 1 is "
        "subtracted at the target.",
    )


@SHAPES
def test_the_gradient_is_autograds(solution, lead):
    logits, targets = given(*lead)
    assert_close(
        back(solution, logits, targets), right(logits, targets), f"the gradient by logits {(*lead, V)}",
        because="Autograd gives the expected value: softmax minus one-hot, divided by the number of rows, since the "
        "loss is a mean.",
    )


@pytest.mark.parametrize("kind", ["number", "tensor"])
def test_the_gradient_is_multiplied_by_grad(solution, kind):
    logits, targets = padded()
    grad = 3.5 if kind == "number" else torch.full((), 3.5, device=logits.device)
    assert_close(
        back(solution, logits, targets, grad=grad), right(logits, targets, grad=3.5),
        f"the gradient by the logits for a grad of 3.5, a {kind},",
        because="By the chain rule it is grad times the gradient of the loss.",
    )


def test_a_single_class_has_no_gradient(solution):
    logits, targets = given(T, v=1)
    targets[2:4] = -100
    assert_close(
        back(solution, logits, targets), torch.zeros_like(logits), "the gradient of rows with a single class, some of "
        "them ignored,",
        because="The only class has the probability 1, whatever its logit is.",
    )


@IGNORE
def test_a_row_that_is_ignored_has_no_gradient(solution, ignore_index):
    logits, targets = padded(ignore_index)
    found = back(solution, logits, targets, ignore_index)
    ignored = targets == ignore_index
    assert_close(
        found[ignored], torch.zeros_like(logits[ignored]),
        f"the list of gradients of rows whose target is ignore_index={ignore_index}", atol=0.0,
        because="What is not in the loss has a gradient of 0, exactly.",
    )
    assert_close(
        found, right(logits, targets, ignore_index), f"the gradient with ignore_index={ignore_index} for 5 of {B * T} "
        "rows",
        because="The loss is the sum over the rows that count, divided by their number, and so is its gradient.",
    )


def test_the_gradient_ignores_minus_100_by_default(solution):
    logits, targets = padded()
    assert_close(
        back(solution, logits, targets), right(logits, targets), "the gradient with targets of -100, without "
        "ignore_index,",
        because="The signature is cross_entropy_backward(grad, logits, targets, ignore_index=-100).",
    )


def test_the_gradient_is_zero_when_nothing_counts(solution):
    logits, targets = given(B, T)
    assert_close(
        back(solution, logits, torch.full_like(targets, -100)), torch.zeros_like(logits),
        "the gradient with all targets ignored", atol=0.0,
        because="The loss is 0 whatever the logits are, and nothing is divided by 0.",
    )


@pytest.mark.parametrize("value", [NAN, INF, -INF], ids=str)
def test_what_is_ignored_does_not_spoil_the_gradient(solution, value):
    logits, targets = padded()
    wanted = right(logits, targets)
    assert_close(
        back(solution, logits.masked_fill((targets == -100).unsqueeze(-1), value), targets), wanted,
        f"the gradient with {value} in the rows that are ignored",
        because="A row that is ignored has a gradient of 0, whatever it holds; 0 times NaN is NaN.",
    )


# --- where it breaks -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e3, 1e4, -1e4])
def test_the_gradient_of_large_logits_is_right(solution, size):
    logits, targets = given(B, T)
    logits = logits + size
    assert_close(
        back(solution, logits, targets).double(), right(logits.double(), targets),
        f"the gradient of logits around {size:g}",
        because="exp is inf above 88 and 0 below -104, so the highest logit of a row is taken out of its exponents.",
        atol=1e-3, rtol=2e-3,  # float32's numbers lie 1e-3 apart at 1e4
    )


def test_the_gradient_of_logits_far_apart_is_right(solution):
    logits, targets = given(B, T)
    logits = 1e4 * logits
    assert_close(
        back(solution, logits, targets), right(logits, targets), "the gradient of logits that lie some 20000 apart",
        because="A softmax of 0 and 1 is no special case: nothing is divided by it, and no logarithm is taken of it.",
        atol=5e-3,  # float32's numbers lie 4e-3 apart at 6e4
    )


def test_impossible_classes_have_no_gradient(solution):
    logits, targets = given(B, T)
    hidden = (draw("hidden", B, T, V) > 0.5) & ~F.one_hot(targets, V).bool()
    logits = logits.masked_fill(hidden, -INF)
    assert_close(
        back(solution, logits, targets), right(logits, targets), "the gradient with -inf at classes other than the "
        "target",
        because="The softmax of -inf is 0, and so is its gradient.",
    )


@pytest.mark.parametrize("target", [V, -1])
def test_the_gradient_of_a_target_that_is_no_class_is_refused(solution, target):
    logits, targets = padded()
    targets[1, 6] = target
    with assert_raises(
        ValueError, f"cross_entropy_backward with {V} classes and a target of {target}", naming=[target],
        because="A target is a class from 0 to V - 1, or ignore_index, backward as forward.",
    ):
        solution.cross_entropy_backward(1.0, logits, targets)


# --- types, layouts, calls -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_the_gradient_has_the_type_of_the_logits(solution, dtype):
    logits, targets = padded()
    assert_equal(
        str(back(solution, logits.to(dtype), targets).dtype), str(dtype),
        f"the dtype of the gradient for logits in {dtype}", because="The gradient comes in the dtype of the logits.",
    )


def test_the_gradient_of_float64_is_computed_in_float64(solution):
    logits, targets = padded()
    assert_close(
        back(solution, logits.double(), targets), right(logits.double(), targets), "the gradient in float64",
        because="float64 has 16 digits, and a step through float32 leaves 7 of them.", atol=1e-10, rtol=1e-10,
    )


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)], ids=str)
def test_the_gradient_of_half_precision_is_computed_in_float32(solution, dtype, rtol):
    logits, targets = padded()
    logits = (4 * logits).to(dtype)
    assert_close(
        back(solution, logits, targets, grad=1024.0).float(), right(logits.float(), targets, grad=1024.0),
        f"the gradient in {dtype} for a grad of 1024, compared with float32 for the same numbers,",
        because="All is computed in float32, and only the result is rounded, once.", atol=1e-3, rtol=rtol,
    )


def test_small_gradients_survive_in_float16(solution):
    logits, targets = padded()
    others = F.one_hot(targets.clamp(min=0), V) == 0
    logits = (logits - 20 * others).half()
    wanted = right(logits.float(), targets, grad=2.0**15)
    assert_close(
        back(solution, logits, targets, grad=2.0**15)[others].float(), wanted[others],
        "the list of gradients by all but the target, in float16, of rows that are nearly certain, for a grad of "
        "32768,",
        because="float16 knows nothing between 0 and 6e-8. A loss scale lifts small gradients above that, if grad is "
        "multiplied in before the result is rounded.", atol=1e-6, rtol=2e-3,
    )


def test_cross_entropy_backward_works_on_another_device(solution):
    assert_works_elsewhere(
        lambda *inputs: solution.cross_entropy_backward(1.0, *inputs), *padded(), what="cross_entropy_backward"
    )


def test_cross_entropy_backward_does_not_mind_the_layout(solution):
    logits, targets = padded()
    strided = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (logits, targets)]
    assert_close(
        back(solution, *strided), right(logits, targets), "the gradient of inputs that are not contiguous",
        because="The same numbers lie in memory in another order, which view minds and reshape does not.",
    )


def test_cross_entropy_backward_needs_no_forward_before_it(solution):
    solution.cross_entropy(*padded())
    solution.cross_entropy_backward(1.0, *padded())
    logits, targets = given(4, 5, v=9)
    assert_close(
        back(solution, logits, targets), right(logits, targets), "the gradient, after calls with other sizes,",
        because="It computes from its arguments alone: nothing that an earlier call saw has a part in it.",
    )


class Attached(TorchFunctionMode):
    """Notes whether any operation had a result that requires a gradient."""

    seen = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= isinstance(result, torch.Tensor) and result.requires_grad
        return result


def test_the_gradient_uses_no_autograd(solution):
    logits, targets = padded()
    with Attached() as attached:
        solution.cross_entropy_backward(1.0, logits, targets)
    assert_true(
        not attached.seen, "in cross_entropy_backward a tensor requires a gradient, though none of its inputs does",
        because="It is to be worked out by hand, without autograd.",
    )
