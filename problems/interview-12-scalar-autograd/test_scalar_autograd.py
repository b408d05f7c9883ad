"""Interview 12: what Value and its backward() promise, from cause to consequence.

Every question is a small program that `run` executes. PyTorch executes the same program, on tensors of one number.
"""

from functools import cache

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_raises,
    assert_true,
    draw,
    fail,
    observe,
)

EXACT = {"atol": 1e-9, "rtol": 1e-9}  # floats carry 53 bits


def some(names, *, least=0.4):
    """A number for each letter, of either sign and not near 0."""
    drawn = draw(f"numbers {names}", len(names)).tolist()
    return {name: round(x + (least if x > 0 else -least), 3) for name, x in zip(names, drawn, strict=True)}


def spoken(program, numbers):
    """The program as a clause: in one line, and with its numbers."""
    given = ", ".join(f"{name} = {x}" for name, x in numbers.items())
    return f"`{'; '.join(program.splitlines())}`{' with ' * bool(given)}{given}"


def played(solution, program, **numbers):
    """The names that the learner's Values give."""
    what = spoken(program, numbers)
    try:
        return solution.run(program, **numbers)
    except NotImplementedError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        observe(what, type(error).__name__)
        fail(
            f"{what} cannot be computed:", expected="no error", got=said, instead=error,
            because="All of its operations are among those that a Value has, with Values and with plain numbers.",
        )


@cache
def torchs(program, **numbers):
    """The names that PyTorch gives for the same program."""
    names = {name: torch.tensor(x, dtype=torch.float64, requires_grad=True) for name, x in numbers.items()}
    exec(program, names)
    return names


def number(value, attribute, what):
    """The data or grad of a Value, as a tensor for a comparison."""
    found = getattr(value, attribute, None)
    if type(found) not in (int, float):
        observe(f"{what}.{attribute}", type(found).__name__)
        got = f"{type(value).__name__} without it" if found is None else f"a {type(found).__name__}"
        fail(
            f"{what} has no number as its `{attribute}`:", expected="a Value with data and grad, both floats", got=got,
            because="An operation gives a Value, and the numbers in it are plain floats.",
        )
    return torch.tensor(found, dtype=torch.float64)


def assert_number(value, attribute, right, what, because):
    found = number(value, attribute, what)
    right = torch.as_tensor(right, dtype=torch.float64).detach()
    assert_close(found, right, f"{what}.{attribute}", because=because, **EXACT)


def assert_computes(solution, program, because, **numbers):
    """Check y.data against PyTorch's."""
    y, right = played(solution, program, **numbers)["y"], torchs(program, **numbers)["y"]
    assert_number(y, "data", right, f"after {spoken(program, numbers)}, y", because)


def assert_derives(solution, program, because, **numbers):
    """Check the gradients of all numbers that go in, after y.backward()."""
    program += "\ny.backward()"
    mine, right = played(solution, program, **numbers), torchs(program, **numbers)
    for name in numbers:
        grad = 0.0 if right[name].grad is None else right[name].grad
        assert_number(mine[name], "grad", grad, f"after {spoken(program, numbers)}: {name}", because)


# --- a Value -------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [3, -2.5])
def test_a_value_holds_its_number_and_a_gradient_of_zero(solution, x):
    value = solution.Value(x)
    assert_number(value, "data", x, f"Value({x})", "data is the number that it was made of.")
    assert_number(value, "grad", 0.0, f"a new Value({x})", "Before the first backward() nothing has been added up.")
    assert_equal(type(value.data).__name__, "float", f"the type of Value({x}).data", because="data is a float.")


PAIRS = ["a + b", "a - b", "a * b", "a / b"]
MIXED = [
    "a + 2", "2 + a", "a - 2", "2 - a", "a * 2", "2 * a", "a / 2", "2 / a", "a - 0.5", "0.3 - a", "-6 - a", "1.5 / a",
    "-7 / a", "-a", "0 + a", "a * 0",
]  # fmt: skip


@pytest.mark.parametrize("formula", PAIRS)
def test_two_values_are_computed_with(solution, formula):
    says = "It is what the plain numbers in a and b give, in this order."
    assert_computes(solution, f"y = {formula}", says, **some("ab"))


@pytest.mark.parametrize("formula", MIXED)
def test_a_number_may_stand_on_either_side(solution, formula):
    says = "Where one side is a plain number Python asks the Value, which has to know on which side it stands."
    assert_computes(solution, f"y = {formula}", says, **some("a"))


POWERS = [(-2.0, 3), (-1.5, 2), (1.7, -1), (-2.5, -2), (2.25, 0.5), (1.3, 2.7), (-0.7, 1), (1.9, 0), (-3.0, 2.0)]
EDGES = [(0.0, 0), (0.0, 1), (0.0, 2), (0.0, 0.0), (0.0, 3)]


@pytest.mark.parametrize(("x", "n"), [*POWERS, *EDGES])
def test_a_power_is_that_of_the_number(solution, x, n):
    assert_computes(solution, f"y = a ** {n}", "A number to a whole power may be negative or 0; x ** 0 is 1.", a=x)


@pytest.mark.parametrize("x", [0.3, -1.2, 2.5, 0.0])
@pytest.mark.parametrize("name", ["exp", "tanh", "relu"])
def test_the_functions_give_what_torch_gives(solution, name, x):
    assert_computes(solution, f"y = a.{name}()", f"It is {name} of the number in a.", a=x)


def test_a_value_as_exponent_is_refused(solution):
    says = "The power rule holds for a fixed exponent: with a Value there, its own gradient would be lost."
    with assert_raises(TypeError, "a ** b with two Values", because=says):
        solution.run("a ** b", a=2.0, b=3.0)


KEPT = {f"y = {formula}": "ab" for formula in PAIRS} | {"y = a ** 2": "a", "y = a.exp() + a.tanh() + a.relu()": "a"}
KEPT |= {"y = a\ny += b": "ab", "y = a\ny *= b": "ab", "y = a\ny -= 1": "a", "y = a\ny /= b": "ab"}


@pytest.mark.parametrize("program", KEPT, ids=lambda program: program.replace("\n", "; "))
def test_an_operation_leaves_its_operands_alone(solution, program):
    numbers = some(KEPT[program])
    names = played(solution, program, **numbers)
    for name, x in numbers.items():
        what, says = f"after {spoken(program, numbers)}: {name}", "An operation makes a new Value."
        assert_number(names[name], "data", x, what, says)
        assert_number(names[name], "grad", 0.0, what, "Gradients come with backward().")


# --- the derivative of one operation -------------------------------------------------------------


def test_the_result_has_a_gradient_of_one(solution):
    says = "The derivative of y by itself is 1, and y.backward() adds it to y.grad."
    for program in ("y = a\ny.backward()", "y = a * 3\ny.backward()"):
        names = played(solution, program, a=1.5)
        assert_number(names["y"], "grad", 1.0, f"after {spoken(program, {'a': 1.5})}: y", says)


@pytest.mark.parametrize("formula", PAIRS)
def test_both_operands_get_their_derivative(solution, formula):
    says = "Of a + b the derivatives are 1 and 1, of a * b b and a; a - b is a + (-1) * b, and a / b is a * b**-1."
    assert_derives(solution, f"y = {formula}", says, **some("ab"))


@pytest.mark.parametrize("formula", MIXED)
def test_beside_a_number_the_derivative_is_right(solution, formula):
    says = "A plain number is a constant, and a's derivative is the same as beside a Value of that number."
    assert_derives(solution, f"y = {formula}", says, **some("a"))


@pytest.mark.parametrize(("x", "n"), [*POWERS, *EDGES])
def test_a_power_has_the_derivative_of_the_power_rule(solution, x, n):
    says = "The derivative of a ** n is n * a ** (n - 1). For n = 0 that is 0, also at a = 0, where 0 ** -1 fails."
    assert_derives(solution, f"y = a ** {n}", says, a=x)


SLOPES = {
    "exp": "exp is its own derivative: the result, exp(a).",
    "tanh": "The derivative of tanh is 1 - tanh(a)**2, which is 1 at 0.",
    "relu": "The derivative of relu is 1 above 0, and 0 below it and at 0.",
}


@pytest.mark.parametrize("x", [0.3, -1.2, 2.5, 0.0])
@pytest.mark.parametrize("name", SLOPES)
def test_the_functions_have_their_derivatives(solution, name, x):
    assert_derives(solution, f"y = a.{name}()", SLOPES[name], a=x)


@pytest.mark.parametrize("name", SLOPES)
def test_a_function_passes_on_what_comes_to_it(solution, name):
    says = f"Its operand gets the gradient that came to it, here b, times its own derivative. {SLOPES[name]}"
    for x in (-2.1, -1.2, -0.4, 0.0, 0.7, 1.9):
        b = some(f"b {x}")["b"]
        assert_derives(solution, f"y = a.{name}() * b", says, a=x, b=b)


@pytest.mark.parametrize("x", [1000.0, -1000.0, 20.0])
def test_tanh_of_large_numbers_is_flat(solution, x):
    says = "tanh ends at 1 and -1, where it is flat. exp(1000) overflows; math.tanh does without it."
    assert_computes(solution, "y = a.tanh()", says, a=x)
    assert_derives(solution, "y = a.tanh()", says, a=x)


# --- from one operation to the next --------------------------------------------------------------


@pytest.mark.parametrize("formula", ["(a * b) * c", "(a / b).tanh() * c", "((a + b) ** 3).exp().tanh() - c", "-(-a)"])
def test_a_gradient_is_multiplied_along_the_way(solution, formula):
    says = "The chain rule: an operand gets the gradient of the result times the derivative of the operation."
    numbers = {name: x / 3 for name, x in some("abc").items()}
    assert_derives(solution, f"y = {formula}", says, **numbers)


@pytest.mark.parametrize("formula", ["a + a", "a * a", "a - a", "a / a", "a * a * a", "sum([a, a, a])", "(a + 1) * a"])
def test_a_value_used_twice_gets_both_gradients(solution, formula):
    says = "A Value that is used in two places has two ways to y, and its gradient is the sum over both."
    assert_derives(solution, f"y = {formula}", says, **some("a"))


def test_equal_numbers_are_not_one_value(solution):
    says = "Two Values that hold the same number are two: each has the gradient of its own places in the formula."
    assert_derives(solution, "y = a * b + a ** 2", says, a=1.5, b=1.5)
    assert_derives(solution, "y = (a * 2) * (b * 2) + a * 2", says, a=-0.5, b=-0.5)


SHARED = {
    "two uses of a product": "h = a * b\ny = h * h + h",
    "a short way and a long one": "h = a * b\nk = h.tanh()\nl = k.exp() * c\ny = h * l + h",
    "the long way first": "h = a * b\ny = (h.tanh() * c).exp() + h",
    "diamonds in a row": "h = a + b\nk = h * c + h\nl = k * h - k\ny = l * k + l",
    "a Value above its own descendant": "h = a * c\nk = h + b\nl = k.tanh() * h\ny = l + a * k",
    "used again and again": "h = a * b\nfor _ in range(9):\n    h = h * 0.5 + h.tanh() * c\ny = h",
}


@pytest.mark.parametrize("name", SHARED)
def test_a_result_used_twice_passes_its_whole_gradient_on_once(solution, name):
    says = "A Value passes its gradient on once, after everything that was computed from it has added its share."
    assert_derives(solution, SHARED[name], says, **some("abc", least=0.2))


def test_values_in_between_get_a_gradient_too(solution):
    says = "Each Value that y was computed from gets the derivative of y by it, not only those at the start."
    numbers = some("abc")
    program = "h = a * b\nk = h.tanh()\ny = k * c + h\ny.backward()"
    kept = program.replace("y.", "h.retain_grad()\nk.retain_grad()\ny.")
    right = torchs(kept, **numbers)
    names = played(solution, program, **numbers)
    for name in "hk":
        assert_number(names[name], "grad", right[name].grad, f"after {spoken(program, numbers)}: {name}", says)


def test_what_has_no_part_in_the_result_gets_nothing(solution):
    numbers = some("abc")
    program = "h = a * b\ny = h + c\nz = h * c\nh.backward()"
    names = played(solution, program, **numbers)
    for name, right in {"a": numbers["b"], "c": 0.0, "y": 0.0, "z": 0.0}.items():
        assert_number(
            names[name], "grad", right, f"after {spoken(program, numbers)}: {name}",
            "backward() goes from h to what h was computed from: neither to other numbers, nor to what came of h.",
        )


def test_backward_changes_no_number(solution):
    numbers = some("ab")
    program = "h = a * b\ny = h.tanh() + h\n"
    before, after = (played(solution, program + end, **numbers) for end in ("", "y.backward()"))
    for name in "abhy":
        what = f"after {spoken(program + 'y.backward()', numbers)}: {name}"
        right = number(before[name], "data", name)
        assert_number(after[name], "data", right, what, "backward() writes into grad alone.")


# --- one backward() after the other --------------------------------------------------------------

CHAIN = "h = a * b\nk = h.tanh() + h\ny = k * k\n"


@pytest.mark.parametrize("calls", [2, 3])
def test_a_further_backward_adds_the_same_again(solution, calls):
    says = "Each call adds the derivatives once more; what an earlier call left in grad has no part in them."
    numbers = some("ab")
    once, more = (played(solution, CHAIN + "y.backward()\n" * n, **numbers) for n in (1, calls))
    for name in "yhkab":
        right = calls * number(once[name], "grad", name)
        what = f"after {calls} calls of y.backward() in {spoken(CHAIN, numbers)}: {name}"
        assert_number(more[name], "grad", right, what, says)


@pytest.mark.parametrize("second", ["z = h.exp() * b", "z = y * h", "z = a * 3"])
def test_two_results_add_up(solution, second):
    says = "Each backward() adds its own derivatives to those that are there, and each begins with a 1 of its own."
    numbers = {name: x / 2 for name, x in some("ab").items()}
    program = f"h = a * b\ny = h.tanh() + a\n{second}\ny.backward()\nz.backward()"
    names = played(solution, program, **numbers)
    right = torchs(program.replace("y.backward()", "y.backward(retain_graph=True)"), **numbers)
    for name in numbers:
        assert_number(names[name], "grad", right[name].grad, f"after {spoken(program, numbers)}: {name}", says)


def test_a_gradient_may_be_put_back_to_zero(solution):
    says = "Who puts grad to 0 sees the next backward() alone; backward() itself clears nothing."
    numbers = some("ab")
    program = "y = a * b\ny.backward()\na.grad = 0.0\nz = a * a * b\nz.backward()"
    names = played(solution, program, **numbers)
    a, b = numbers.values()
    what = f"after {spoken(program, numbers)}: "
    assert_number(names["a"], "grad", 2 * a * b, f"{what}a", says)
    assert_number(names["b"], "grad", a + a * a, f"{what}b", says)


def test_one_graph_leaves_nothing_to_the_next(solution):
    numbers = some("abc")
    says = "What one graph leaves behind has no part in another: nothing is kept outside of the Values themselves."
    for program, names in (("y = (a * b + c).tanh() * a", "abc"), ("y = b - a", "ab"), ("y = b / c + c", "bc")):
        assert_derives(solution, program, says, **{name: numbers[name] for name in names})


def test_a_number_may_be_assigned(solution):
    numbers, new = some("ab"), 0.75
    program = f"a.data = {new}\ny = a * b\ny.backward()"
    names = played(solution, program, **numbers)
    what = f"after {spoken(program, numbers)}: "
    assert_number(names["y"], "data", new * numbers["b"], f"{what}y", "The next operation uses what was assigned.")
    assert_number(names["b"], "grad", new, f"{what}b", "The derivative of a * b by b is a, as it was assigned.")


# --- larger graphs -------------------------------------------------------------------------------


DEEP = {"a sum": "y = sum([a * b] * 3000)", "a chain": "y = a\nfor _ in range(1500):\n    y = y * 0.998 + b"}


@pytest.mark.parametrize("kind", DEEP)
def test_a_graph_may_be_thousands_of_operations_deep(solution, kind):
    says = "Here are 3000 operations in a row, and Python ends a function that calls itself 1000 times."
    assert_derives(solution, DEEP[kind], says, **some("ab"))


FORMS = ["{} * {}", "{} + {}", "({} - {}).tanh()", "{} / ({} ** 2 + 1)", "({} * 0.3).tanh().exp() - {}.relu()"]


@pytest.mark.parametrize("seed", range(4))
def test_a_formula_drawn_by_lot_has_torchs_gradients(solution, seed):
    names, lines = ["a", "b", "c"], []
    picks = draw(f"formula {seed}", 14, 3).mul(1000).abs().long().tolist()
    for i, (operation, left, right) in enumerate(picks):
        one, other = (names[max(len(names) - 1 - pick % 4, 0)] for pick in (left, right))
        lines.append(f"h{i} = {FORMS[operation % len(FORMS)].format(one, other)}")
        names.append(f"h{i}")
    program = "\n".join([*lines, f"y = ({names[-1]} + {names[-2]}).tanh()"])
    says = "Fourteen operations in a row, each on two of the last four results: values and gradients are PyTorch's."
    assert_computes(solution, program, says, **some("abc", least=0.1))
    assert_derives(solution, program, says, **some("abc", least=0.1))


def test_a_neuron_learns(solution):
    program = """
for _ in range(5):
    loss = ((w * x + v * x.tanh() + b).tanh() - 0.5) ** 2
    for p in (w, v, b):
        p.grad = {zero}
    loss.backward()
    for p in (w, v, b):
        p.data = p.data - 0.1 * p.grad
"""
    numbers = some("wvbx", least=0.1)
    mine = played(solution, program.format(zero=0.0), **numbers)
    right = torchs(program.format(zero=None), **numbers)
    for name in "wvb":
        assert_number(
            mine[name], "data", right[name], f"after five steps of gradient descent on a neuron with {numbers}: {name}",
            "Each step puts the gradients to 0, makes the graph anew, calls backward() and moves the weights downhill.",
        )
    assert_true(mine["x"].data == numbers["x"], "the neuron's input has changed", because="Only w, v and b are moved.")
