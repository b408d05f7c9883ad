"""What a Python or PyTorch error usually means, in the words of a teacher."""

from __future__ import annotations

import ast
import math
import re
import sys
from types import ModuleType

import torch
from torch import Tensor, nn

from common.judging import other_names, tensor_errors
from common.judging.scene import Match, Rule, Scene, alike, plainly
from common.testing.axes import spoken

_MOST = 4  # values that are told
_NOTHING = ("None", "[]", "()", "{}", "''", "b''", "a set of 0")


def sentence(scene: Scene) -> str:
    """One sentence on what this error usually means; empty when there is nothing to add."""
    text = f"{type(scene.error).__name__}: {scene.error}"
    for pattern, says in _RULES:
        if found := re.search(pattern, text, re.S):
            said = found.expand(says) if isinstance(says, str) else says(scene, found)
            if said:
                of_torch = (pattern, says) in tensor_errors.RULES
                return said if of_torch else _values(scene, said) + said
    return ""


def _silent_guard(scene: Scene) -> bool:
    return isinstance(scene.error, AssertionError) and not str(scene.error)


def _without_tensors(scene: Scene) -> dict[str, object]:
    """What stands in the line, where it is plain Python: tensors have their shapes told instead."""
    bound = scene.bound
    return {} if scene.tensors or any(isinstance(v, Tensor) for v in bound.values()) else bound


def _values(scene: Scene, said: str) -> str:
    """The plain values in the line, where they tell why it failed and the sentence does not say it."""
    plain = isinstance(scene.error, ArithmeticError | ValueError | LookupError | TypeError)
    signature = isinstance(scene.error, TypeError) and "argument" in str(scene.error)
    if not (_silent_guard(scene) or (plain and not signature and not scene.own_guard)):
        return ""
    shown = {name: plainly(value) for name, value in _without_tensors(scene).items()}
    told = [f"{name} is {text}" for name, text in shown.items() if text][:_MOST]
    return f"Here {spoken(told)}. " if told and " is None here" not in said else ""


def without_addresses(text: str) -> str:
    """A message without what differs from run to run."""
    return re.sub(r"solution_[a-z0-9_]+?_\d+\b", "solution", re.sub(r"0x[0-9a-f]+", "0x", text))


def _unpacked(scene: Scene, found: Match) -> str:
    shapes = [name for name in scene.values if name.endswith(".shape")]
    if "shape" in scene.expression or ".size()" in scene.expression or shapes:
        name, tensor = next(iter(scene.tensors.items()), ("this tensor", None))
        count = f"{tensor.ndim} axes" if isinstance(tensor, Tensor) else "another number of axes"
        return f"{name} has {count} here: name as many sizes as there are, or take single ones with .size(-1)."
    if ".split(" in scene.expression:
        return "split(n) cuts pieces of n entries each; for n pieces of equal size it is chunk(n, dim=-1)."
    if ".chunk(" in scene.expression:
        return "chunk(n, dim) cuts n pieces along one axis: is it the axis of the channels, dim=-1?"
    return "As many names as there are values: something gives more, or fewer, than you name."


def _wrong_operand(scene: Scene, found: Match) -> str:
    kinds = [k.strip("'") for k in re.findall(r"'[^']*'", found[0])]
    if any("return_types" in k for k in kinds):
        return "max, min, sort and topk along an axis return a pair (values, indices): take .values, or use amax and amin."
    layers = [name for name, v in scene.values.items() if isinstance(v, nn.Module)]
    if layers:
        return f"{layers[0]} is the layer itself: call it with its input, {layers[0]}(x)."
    if "NoneType" in kinds:
        none = [name for name, v in scene.bound.items() if v is None]
        what = f"{none[0]} is None" if none else "something is None"
        return f"{what} here: an argument was left out, nothing was assigned, or a function ended without a return."
    if "concatenate" in found[0] or any(k in ("tuple", "list") for k in kinds):
        return (
            "One of the two is a pair or a list: take the one that you need out of it (max, min, sort and topk along an "
            "axis give values and indices)."
        )
    return f"These two kinds do not go together here: {' and '.join(kinds)}."


def _attribute(scene: Scene, found: Match) -> str:
    error = scene.error
    owner, name = getattr(error, "obj", None), getattr(error, "name", None) or ""
    if owner is None and name:
        if scene.expression.endswith(f".grad.{name}"):
            return "It has no gradient yet: .grad is None until backward() reaches it, and after it was cleared."
        if lacking := _left_out(scene):
            return lacking
        what = next((n for n, v in scene.bound.items() if v is None), "Something")
        if what in scene.arguments:
            return f"{what} is None here, the value of an argument that was not given: ask `{what} is None` first."
        return f"{what} is None here: nothing was assigned to it, or a function ended without a return."
    if isinstance(owner, tuple | list) and hasattr(Tensor, name):
        return "This is a pair or a list of tensors, not one tensor: take the one that you need out of it."
    if isinstance(owner, nn.Module) and "_parameters" not in vars(owner):
        return "Call super().__init__() in the first line of __init__: before it a module can hold nothing."
    if type(owner).__name__ == "GPT2Config" and (meant := other_names.name_here(name)):
        return f"What other code calls {name} is {meant} in this GPT2Config."
    if isinstance(owner, Tensor) and name in other_names.OUTPUTS:
        return (
            f"It is a tensor already: transformers' models give an object that has .{name}, and here a model gives the "
            "logits themselves."
        )
    if isinstance(owner, nn.Module) and hasattr(Tensor, name):
        table = ", and its numbers are its .weight" if "weight" in owner._parameters else ""
        return f"This is a layer ({type(owner).__name__}) and no tensor: it has no .{name}{table}."
    known = dir(owner)  # of a module that is its parameters and submodules, too
    close = alike(name, known)
    if isinstance(owner, nn.Module):
        hint = (
            f"it has `{close}`"
            if close
            else "it is set in __init__, on self, under the very name that is used"
        )
        typed = re.search(rf"[\w.]+\.{name}\b", scene.expression)
        return f"There is no {typed[0] if typed else f'self.{name}'} in this {type(owner).__name__}: {hint}."
    if name == "forward" and callable(owner):
        return "A function has no forward. Call it, as f(x); a module is called in the same way."
    if isinstance(owner, ModuleType):
        homes = {"nn": nn, "F": nn.functional, "torch": torch, "math": math}
        here = [f"{short}.{name}" for short, home in homes.items() if hasattr(home, name)]
        close = " or ".join(here) or close
    meant = f"did you mean `{close}`?" if close else "is it another object that you want here?"
    return f"There is no `{name}` on this {type(owner).__name__}: {meant}"


def _left_out(scene: Scene) -> str:
    """A parameter that a layer was built without, as bias=False builds it."""
    for node in ast.walk(scene.tree) if scene.tree else ():
        if isinstance(node, ast.Attribute):
            layer = scene.values.get(ast.unparse(node.value))
            own = vars(layer).get("_parameters", {}) if isinstance(layer, nn.Module) else {}
            if node.attr in own and own[node.attr] is None:
                alone = node.attr == "bias" and own.get("weight") is not None
                how = ", with bias=False" if alone else ""
                return (
                    f"{ast.unparse(node)} is None here: this {type(layer).__name__} was built without one{how}. Ask "
                    "`is not None` first; hasattr is True of it all the same."
                )
    return ""


def _name(scene: Scene, found: Match) -> str:
    if scene.in_class_body and not scene.meant:
        return f"The name {found[1]} is not defined in the body of the class, outside of its functions: does this line belong into one, four columns further in?"
    meant = (
        f"did you mean `{scene.meant}`?" if scene.meant else "is it imported, or set further down?"
    )
    return f"The name {found[1]} is not defined where it is used: {meant}"


def _no_package(scene: Scene, found: Match) -> str:
    whole = found[1]
    name = whole.partition(".")[0]
    if name in ("nn", "optim", "utils"):
        asked = re.search(rf"\b{name}[\w.]*", scene.expression)
        return f"It lives in torch: torch.{asked[0] if asked else whole}."
    if close := alike(name, ("torch", *sys.stdlib_module_names)):
        return f"There is no package {name}: did you mean `{close}`?"
    return f"No package {whole} is installed here; the course needs torch and Python's own library."


def _missing_argument(scene: Scene, found: Match) -> str:
    if scene.expression:
        return f"What is called here needs {found[1]} too."
    return f"The tests call it as the README's Build section says; yours also wants {found[1]}."


def _unknown_argument(scene: Scene, found: Match) -> str:
    if scene.expression:
        return f"What is called here takes no argument {found[1]}."
    return f"The README's Build section has an argument {found[1]}; yours does not take it by that name."


def _argument(scene: Scene, found: Match) -> str:
    function, name, wanted, got = found.groups()
    if got == "NoneType":
        return f"`{name}` of {function} got None: a function that ends without a return gives None, and so may an argument that is left out."
    if got in ("tuple", "list") and wanted == "Tensor":
        return f"`{name}` of {function} got a {got}, not one tensor: take the one that you need out of it."
    if got == "Tensor" and "Tensors" in wanted:
        return f"{function} wants one list of tensors: {function}([a, b])."
    return f"`{name}` of {function} has to be {wanted}, and a {got} was given."


def _too_many_arguments(scene: Scene, found: Match) -> str:
    if scene.expression:
        return "What is called here takes fewer arguments than it is given; of a method, self is one of them."
    return "More arguments came than it takes: the README's Build section has the signature, and a method's first one is self."


def _compared(scene: Scene, found: Match) -> str:
    kinds = (found[1], found[2])
    if any("builtin" in k or "method" in k or "function" in k for k in kinds):
        return "A function itself is compared: it lacks its brackets, as in x.size(1)."
    if "NoneType" in kinds:
        none = [name for name, v in scene.bound.items() if v is None]
        return f"{none[0] if none else 'Something'} is None here: what may be left out is asked for first, `is not None`."
    return f"A {found[1]} and a {found[2]} have no order."


def _key(scene: Scene, found: Match) -> str:
    known = [v for v in scene.values.values() if isinstance(v, dict)]
    key = scene.error.args[0] if scene.error.args else None
    close = alike(str(key), map(str, known[0])) if len(known) == 1 else ""
    return f"The dictionary has no key {key!r}" + (f"; it has {close!r}." if close else ".")


def _divided(scene: Scene, found: Match) -> str:
    tree, bound = scene.tree, _without_tensors(scene)
    divisor = {ast.BinOp: "right", ast.AugAssign: "value"}.get(type(tree), "")
    by = getattr(tree, divisor, None)
    if not bound or not isinstance(by, ast.expr) or isinstance(by, ast.Constant):
        return ""
    if not isinstance(getattr(tree, "op", None), ast.Div | ast.FloorDiv | ast.Mod):
        return ""
    text = ast.unparse(by)
    what = f"The divisor `{text}`" if len(text) <= 40 else "The divisor"
    return f"{what} is 0 at this input: that case has to be answered before this line."


def _nothing_to_choose(scene: Scene, found: Match) -> str:
    wanted = {"min": "the smallest", "max": "the largest"}.get(found[1] or "", "an entry")
    return f"There is nothing to choose from: at this input the sequence is empty, so the code has to stop before it asks for {wanted}."


def _guard(scene: Scene, found: Match) -> str:
    """An exception that the learner's own `assert` or `raise` threw at an input of the contract."""
    own_guard = scene.own_guard or (_silent_guard(scene) and scene.raised_here)
    if own_guard and _silent_guard(scene):
        nothing = [v for v in _without_tensors(scene).values() if plainly(v) in _NOTHING]
        if nothing:
            return "This guard of yours went off at an input that the README allows: its condition is too strict, or what came before it (for example a loop that goes on one round too long) left nothing to work with."
    if own_guard and not isinstance(scene.error, NotImplementedError):
        return "This guard of yours went off at an input that the README allows: its condition is wrong, or what was computed before it, perhaps in an earlier call."
    if scene.other_guard:
        return "An earlier part refuses what it is given here, and says why: what reaches it from this line?"
    return ""


# As in tensor_errors; the first match that says something counts.
_RULES: list[Rule] = [
    (r"", _guard),
    (r"before Module\.__init__\(\) call", "Call super().__init__() in the first line of __init__."),
    *tensor_errors.RULES,
    (r"values? to unpack", _unpacked),
    (r"cannot unpack non-iterable (\w+)", r"Several names stand before the =, and one \1 comes."),
    (r"bad operand type for unary ~: '(\w+)'", r"~ turns a bool tensor around, and here it meets a \1: a mask that may be None is asked for first, `if mask is not None`."),
    (r"unsupported operand type\(s\)[^:]*: .*|can only concatenate (?:tuple|list)[^:]*", _wrong_operand),
    (r"not supported between instances of '(\w+)' and '(\w+)'", _compared),
    (r"missing \d+ required (?:positional|keyword-only) arguments?: (.*)", _missing_argument),
    (r"got an unexpected keyword argument '(\w+)'", _unknown_argument),
    (r"got multiple values for argument '(\w+)'", r"\1 is given twice: by its place and by its name."),
    (r"received an invalid combination of arguments - got \((.*?)\), but", r"What is called here does not take (\1): a name, a type or the order of the arguments is another one."),
    (r"(\w+)\(\): argument '(\w+)' (?:\(position \d+\) )?must be (.+?), (?:not|but found element of type) (\w+)", _argument),
    (r"\(\) takes no arguments", "The class takes no arguments: its __init__ is missing, misspelt (two underscores on each side), or indented too far."),
    (r"takes (?:from )?\d.* positional arguments? but \d+ (?:was|were) given", _too_many_arguments),
    (r"descriptor '\w+' of '\w+' object needs an argument", "super is called first: super().__init__(), with its brackets."),
    (r"expected (\d+) arguments?, got (\d+)", r"What is called here takes \1 arguments and got \2; several classes or values in one place stand in a tuple."),
    (r"attribute name must be string", "getattr and setattr take the object first and then the name, a string."),
    (r"IndexError: index -?\d+ is out of range", "A list of layers has fewer of them than are asked for."),
    (r"^(?:error|PatternError): ", "This text is read as a regular expression, where ( [ . * + ? and others mean something: re.escape takes them literally, as str.replace does."),
    (r"RecursionError", "Functions call one another deeper than the about 1000 levels that Python allows: without end, or once for each step of something long, where a loop with a stack of its own has no such limit."),
    (r"FrozenInstanceError", "The config is frozen: make a new one instead of changing its fields."),
    (r"UnboundLocalError", "This name gets its value further down, or in a branch that was not taken."),
    (r"NameError: name '(\w+)'", _name),
    (r"ImportError: cannot import name '(\w+)' from '([\w.]+)'", r"There is no \1 in \2: is it spelt so, and does it live there?"),
    (r"ModuleNotFoundError: No module named '([\w.]+)'", _no_package),
    (r"'(?:builtin_function_or_method|method|function)' object is not (?:subscriptable|iterable)", "A function itself stands here: it lacks its round brackets."),
    (r"'torch.Size' object is not callable", "A shape is no function: x.shape[1], or x.size(1)."),
    (r"'NoneType' object is not", "Something is None that should not be: usually a function that ends without a return."),
    (r"KeyError", _key),
    (r"AttributeError", _attribute),
    (r"object of type 'int' has no len|'int' object is not iterable", "A single number stands where several are wanted: range(n) counts up to it."),
    (r"(list|tuple) indices must be integers or slices, not (\w+)", r"A \1 is asked for its entry by a \2: is it the entry's number that is wanted, or another object?"),
    (r"'([\w.]+)' object is not callable", r"Something that is no function is called: a \1 followed by round brackets."),
    (r"'(\w+)' object is not (?:subscriptable|iterable)", r"This is a single \1, and one of its entries is asked for."),
    (r"does not support item assignment", "This cannot be changed in place: make a new one."),
    (r"unhashable type: '(\w+)'", r"A \1 cannot be a key of a dictionary or stand in a set: a tuple can."),
    (r"(min|max)\(\) (?:arg is an empty sequence|iterable argument is empty)|Cannot choose from an empty sequence|pop from empty", _nothing_to_choose),
    (r"^ZeroDivisionError", _divided),
    (r"math range error|OverflowError: .*[Rr]esult (?:out of range|too large)", "A float ends at about 1.8e308, and this step is beyond it, as exp is from 710 on, whatever the end result is."),
    (r"ZeroDivisionError|math domain error", "A number is out of the range of this operation: a division by 0, or the root or logarithm of what is not positive."),
    (r"IndexError: (list|tuple|string) index out of range", r"The \1 has fewer entries than are asked for; the last one is [len - 1]."),
]  # fmt: skip
