"""What a Python or PyTorch error usually means, in the words of a teacher."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

from common.testing.axes import earlier, letters

Match = re.Match[str]


@dataclass(frozen=True)
class Scene:
    """Where an exception came from: the text of the innermost expression of the learner's, and what stands in it."""

    error: BaseException
    expression: str = ""
    values: dict[str, object] = field(
        default_factory=dict
    )  # by how they are written: "q", "self.mask"

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {name: v for name, v in self.values.items() if isinstance(v, Tensor)}


Rule = tuple[str, str | Callable[[Scene, Match], str]]


def sentence(scene: Scene) -> str:
    """One sentence on what this error usually means; empty when there is nothing to add."""
    text = f"{type(scene.error).__name__}: {scene.error}"
    for pattern, says in _RULES:
        if found := re.search(pattern, text, re.S):
            said = found.expand(says) if isinstance(says, str) else says(scene, found)
            if said:
                return said
    return ""


def alike(name: str, known: Iterable[str]) -> str:
    """The known name that was perhaps meant; empty where none is close."""
    close = difflib.get_close_matches(name, [k for k in known if k != name], n=1, cutoff=0.6)
    return close[0] if close else ""


def without_addresses(text: str) -> str:
    """A message without what differs from run to run."""
    return re.sub(r"solution_[a-z0-9_]+?_\d+\b", "solution", re.sub(r"0x[0-9a-f]+", "0x", text))


def _size(size: int) -> str:
    """What a size is, for a sentence: "7 is T", "11 is n_positions"; empty where that is not certain."""
    found = letters(size)
    if len(found) == 1:
        return f"{size} is {found[0]}"
    before = earlier(size)
    return f"{size} was {before[0]} in a call before this one" if not found and before else ""


def _told(*sizes: int) -> str:
    known = [text for text in dict.fromkeys(map(_size, sizes)) if text]
    return f"{' and '.join(known)}. " if known else ""


def _do_not_line_up(scene: Scene, found: Match) -> str:
    a, b, axis = map(int, found.groups())
    names = {letter for size in (a, b) for letter in letters(size)}
    told = _told(a, b)
    if (before := earlier(a) or earlier(b)) and not (letters(a) and letters(b)):
        return (
            f"{told}Something was made for another length than that of this text, and kept: make it "
            f"for each call, from the {before[0]} of the input at hand."
        )
    if "n_positions" in names:
        return (
            f"{told}Something was made for the full context and not cut to the text: "
            "a mask as mask[:T, :T], positions as [:T]."
        )
    if names == {"B", "T"}:
        return f"{told}The first axis of the input is the batch, the second one the tokens."
    return f"{told}The two do not line up in axis {axis}: one of them has its axes in another order, or one too many or too few."


def _matrices_do_not_meet(scene: Scene, found: Match) -> str:
    inner, takes = int(found[2]), int(found[3])
    told = _told(inner, takes)
    if letters(inner) == ["D"] and letters(takes) == ["C"]:
        return f"{told}The heads have to be merged into C = H * D channels again before this layer."
    return (
        f"{told}A linear layer, or a product, that takes {takes} channels was given {inner}: "
        "its input's last axis has to be the channels that it was built for."
    )


def _batched_product(scene: Scene, found: Match) -> str:
    left, right = (tuple(map(int, found[i].split(","))) for i in (1, 2))
    told = _told(left[-1], right[-1])
    rule = (
        "In a product the last axis of the left has to meet an equal second last axis of the right"
    )
    shapes = [tuple(t.shape) for t in scene.tensors.values()]
    if len(shapes) == 2 and shapes[0][-1:] == shapes[1][-1:]:
        name = [*scene.tensors][1]
        return f"{told}{rule}: to set every row against every row, turn {name}.transpose(-2, -1)."
    if "n_positions" in (*letters(left[-1]), *letters(right[-1])):
        return f"{told}{rule}: a mask made for the full context has to be cut to the text, mask[:T, :T]."
    return f"{told}{rule}."


def _number_of_elements(scene: Scene, found: Match) -> str:
    wanted = [int(n) for n in re.findall(r"-?\d+", found[1])]
    sizes = list(scene.tensors.values())
    told = _told(*[n for n in wanted if n > 1])
    if len(sizes) == 1 and sizes[0].ndim and wanted[:1] == [sizes[0].size(-1)]:
        return f"{told}The sizes that you name are not those of this tensor, in their order."
    return f"{told}view and reshape keep the number of elements: those sizes multiply to another one than {found[2]}."


def _axis_out_of_range(scene: Scene, found: Match) -> str:
    high, got = int(found[2]), int(found[3])
    axes = high + 1
    return (
        f"There is no axis {got}: this tensor has {axes} ax{'is' if axes == 1 else 'es'}, 0 to {high}. "
        "Counted from the end, as -1 and -2, axes are the same whatever stands in front of them."
    )


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
        none = [name for name, v in scene.values.items() if v is None]
        what = f"{none[0]} is None" if none else "something is None"
        return f"{what} here: a function that ends without a return gives None, and an argument may be left out."
    if any(k in ("tuple", "list") for k in kinds):
        return (
            "One of the two is a pair or a list of tensors: take the one that you need out of it."
        )
    return ""


def _attribute(scene: Scene, found: Match) -> str:
    error = scene.error
    owner, name = getattr(error, "obj", None), getattr(error, "name", None) or ""
    if owner is None and name:
        what = next((n for n, v in scene.values.items() if v is None), "it")
        return f"{what} is None here: a function that ends without a return gives None."
    if isinstance(owner, tuple | list) and hasattr(Tensor, name):
        return "This is a pair or a list of tensors, not one tensor: take the one that you need out of it."
    if isinstance(owner, nn.Module) and "_parameters" not in vars(owner):
        return "Call super().__init__() in the first line of __init__: before it a module can hold nothing."
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
    return (
        f"There is no `{name}` on a {type(owner).__name__}; did you mean `{close}`?"
        if close
        else ""
    )


def _name(scene: Scene, found: Match) -> str:
    return f"The name {found[1]} is not defined where it is used: is it imported, or meant to be self.{found[1]}?"


def _missing_argument(scene: Scene, found: Match) -> str:
    if scene.expression:
        return f"What is called here needs {found[1]} too."
    return f"The tests call it as the README's Build section says; yours also wants {found[1]}."


def _unknown_argument(scene: Scene, found: Match) -> str:
    if scene.expression:
        return f"What is called here takes no argument {found[1]}."
    return f"The README's Build section has an argument {found[1]}; yours does not take it by that name."


def _too_many_arguments(scene: Scene, found: Match) -> str:
    if scene.expression:
        return "What is called here takes fewer arguments than it is given; of a method, self is one of them."
    return "More arguments came than it takes: the README's Build section has the signature, and a method's first one is self."


# (pattern in "Type: message", sentence or what makes one); the first match that says something counts.
_RULES: list[Rule] = [
    (r"before Module\.__init__\(\) call", "Call super().__init__() in the first line of __init__."),
    (r"view size is not compatible", "After transpose or permute the memory is not contiguous: use .reshape(), or .contiguous() before .view()."),
    (r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)", _do_not_line_up),
    (r"expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\) at non-singleton dimension (\d+)", _do_not_line_up),
    (r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", _matrices_do_not_meet),
    (r"batch2 tensor to be: \[([\d, ]+)\] but got: \[([\d, ]+)\]", _batched_product),
    (r"(?:self|mat2) must be a matrix", "torch.mm multiplies two plain matrices; with a batch in front it is the operator @, or torch.matmul."),
    (r"batch[12] must be a 3D tensor", "torch.bmm wants exactly three axes; the operator @, or torch.matmul, takes any number in front."),
    (r"mat1 and mat2 must have the same dtype|expected m1 and m2 to have the same dtype", "Two floating point types meet: some tensor was made with a fixed dtype, or cast with .float(). Make it with dtype=x.dtype."),
    (r"values? to unpack", _unpacked),
    (r"shape '\[(.*?)\]' is invalid for input of size (\d+)", _number_of_elements),
    (r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)", _axis_out_of_range),
    (r"too many indices for tensor of dimension (\d+)", r"This tensor has \1 axes, and more are named between the brackets."),
    (r"only (?:one|a single) element tensors? can be converted|can only convert an array of size 1|only integer tensors of a single element", "A function of Python's math, or int() and float(), takes one number; for a whole tensor it is torch.exp, torch.tanh, torch.sqrt."),
    (r"must be real number, not Tensor", "A function of Python's math takes one number; for a whole tensor it is torch.exp, torch.tanh, torch.sqrt."),
    (r"bad operand type for unary ~: '(\w+)'", r"~ turns a bool tensor around, and here it meets a \1: a mask that may be None is asked for first, `if mask is not None`."),
    (r"unsupported operand type\(s\)[^:]*: .*", _wrong_operand),
    (r"Boolean value of Tensor with more than one value is ambiguous", "A tensor stands where Python wants True or False; to ask whether it is there, write `is not None`."),
    (r"a (?:leaf Variable|view of a leaf Variable) that requires grad", "A parameter is changed in place: do that under torch.no_grad(), and change other tensors with `x = x + ...`."),
    (r"modified by an inplace operation", "A tensor that backward() still needs was changed in place: write `x = x + ...` instead of `x += ...`."),
    (r"IndexError: index out of range in self", "An embedding was asked for a row it does not have: an id or position is as large as its number of rows."),
    (r"Expected .* scalar types?:? Long|Expected tensor for argument #1 'indices'|must be .*Long", "Indices must be int64: token ids and positions are looked up, not computed with."),
    (r"does not require grad and does not have a grad_fn", "The way from the parameters to the result is cut: by detach(), .data, .item() or torch.no_grad()."),
    (r"backward through the graph a second time", "backward() was called twice on one graph: compute the loss anew in every step."),
    (r"all elements of input should be between 0 and 1|probability tensor contains", "The probabilities are not probabilities: look for NaN, inf or a missing softmax."),
    (r"cannot assign '.*' as parameter '.*' \(torch\.nn\.Parameter or None expected\)", "A parameter was replaced by a plain tensor: change it in place, or wrap it in nn.Parameter."),
    (r"Module \[\w+\] is missing the required \"forward\" function", "The class has no method forward: is its name misspelt, or is it indented too far?"),
    (r"missing \d+ required positional arguments?: (.*)", _missing_argument),
    (r"got an unexpected keyword argument '(\w+)'", _unknown_argument),
    (r"takes (?:from )?\d.* positional arguments? but \d+ (?:was|were) given", _too_many_arguments),
    (r"RecursionError", "It calls itself without end."),
    (r"FrozenInstanceError", "The config is frozen: make a new one instead of changing its fields."),
    (r"UnboundLocalError", "This name gets its value further down, or in a branch that was not taken."),
    (r"NameError: name '(\w+)'", _name),
    (r"'NoneType' object is not", "Something is None that should not be: usually a function that ends without a return."),
    (r"AttributeError", _attribute),
    (r"'(\w+)' object is not callable", r"Something that is no function is called: a \1 followed by round brackets."),
]  # fmt: skip
