"""What PyTorch's errors about shapes, types and gradients usually mean."""

from __future__ import annotations

import ast
import itertools
import re

from torch import Tensor

from common.judging.scene import Match, Rule, Scene
from common.testing.axes import earlier, letters


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


def _cut_from_the_front(scene: Scene) -> str:
    """A slice such as mask[:T, :S] of a tensor with more axes, whose last ones were meant."""
    for node in ast.walk(scene.tree or ast.Module([], [])):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
            tensor, cuts = scene.tensors.get(ast.unparse(node.value)), node.slice.elts
            if (
                tensor is not None
                and all(isinstance(c, ast.Slice) for c in cuts)
                and tensor.ndim > len(cuts)
            ):
                name, inside = (
                    ast.unparse(node.value),
                    ast.unparse(node)[len(ast.unparse(node.value)) + 1 : -1],
                )
                return (
                    f"`{name}[{inside}]` cuts the first {len(cuts)} of its {tensor.ndim} axes: `{name}[..., {inside}]` "
                    "cuts the last ones."
                )
    return ""


def _do_not_line_up(scene: Scene, found: Match) -> str:
    a, b, axis = map(int, found.groups())
    if cut := _cut_from_the_front(scene):
        return cut
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
    for one, other in itertools.permutations(scene.tensors.items(), 2):
        counts = not (one[1].is_floating_point() and other[1].is_floating_point())  # ids, positions
        if other[1].ndim and one[1].shape == other[1].shape[:-1] and not counts:
            return f"{told}{one[0]} lacks the last axis of {other[0]}: a sum, mean or var over it keeps it as 1 with keepdim=True."
    if names == {"D", "E"}:
        return f"{told}Queries and keys have D channels; values have E, and so has the output."
    if names == {"B", "T"}:
        return f"{told}The first axis of the input is the batch, the second one the tokens."
    return f"{told}The two do not line up in axis {axis}: one of them has its axes in another order, or one too many or too few, or belongs to something else, such as another parameter or an earlier call."


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


def _not_contiguous(scene: Scene, found: Match) -> str:
    call = scene.tree
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        tensor = scene.tensors.get(ast.unparse(call.func.value))
        sizes = [_whole_number(size, scene) for size in call.args]
        if tensor is not None and None not in sizes and sizes != [*tensor.shape]:
            wanted = tuple(sizes)
            if sorted(map(str, wanted)) == sorted(map(str, tensor.shape)):
                return (
                    f"view({', '.join(map(str, wanted))}) exchanges no axes, and reshape does not either: both read the "
                    "same memory on, cut anew. .mT, transpose and permute exchange axes."
                )
    return "After transpose, permute or a slice such as x[:, 1:] the memory is not contiguous: use .reshape(), or .contiguous() before .view()."


def _whole_number(node: ast.expr, scene: Scene) -> int | None:
    """What a size in the line is: a number, a name of one, or a tensor's size."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, int) else None
    if isinstance(node, ast.Name | ast.Attribute):
        value = scene.values.get(ast.unparse(node))
        return value if isinstance(value, int) else None
    owner, axis = None, None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
        owner = node.func.value if node.func.attr == "size" else None
        axis = _whole_number(node.args[0], scene)
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
        owner = node.value.value if node.value.attr == "shape" else None
        axis = _whole_number(node.slice, scene)
    tensor = scene.tensors.get(ast.unparse(owner)) if owner else None
    if tensor is None or axis is None or not -tensor.ndim <= axis < tensor.ndim:
        return None
    return tensor.size(axis)


def _types_meet(scene: Scene, found: Match) -> str:
    types = {name: str(t.dtype) for name, t in scene.tensors.items() if t.is_floating_point()}
    for name, dtype in types.items():
        # Of what hangs on a module only a plain attribute is found without asking the module.
        plain = name.startswith("self.") and isinstance(scene.bound.get(name), Tensor)
        if plain and len({*types.values()}) > 1:
            return (
                f"{name} is {dtype.removeprefix('torch.')} here. It is a plain attribute, neither parameter nor buffer, so "
                ".to(dtype) leaves it as it was: make it anew in each call, of what is there then. Only a constant may "
                "be kept, as a buffer."
            )
    return "Two floating point types meet: some tensor was made with a fixed dtype, cast with .float(), or kept from a call in another type. Make it with the dtype of its partner."


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


def _joined(scene: Scene, found: Match) -> str:
    axis, wanted, got = map(int, found.groups())
    return (
        f"{_told(wanted, got)}torch.cat joins along dim {axis}, and all other axes have to be equal: "
        "is it another axis, counted from the end, or is one of the tensors of another call?"
    )


def _pieces(scene: Scene, found: Match) -> str:
    size, pieces = int(found[1]), [int(n) for n in re.findall(r"\d+", found[2])]
    return f"{_told(size)}The pieces have {sum(pieces)} entries together, and the axis that is cut has {size}."


def _unflatten(scene: Scene, found: Match) -> str:
    size = int(found[2])
    return f"{_told(size)}The axis that is to be cut has {size} entries, and {found[1]} does not multiply to them: a size is fixed that should follow from the tensor (-1 does), or it is another axis that you mean."


def _state_dict(scene: Scene, found: Match) -> str:
    if size := re.search(
        r"size mismatch for ([\w.]+):.*?\[([\d, ]*)\].*?\[([\d, ]*)\]", found[0], re.S
    ):
        return f"`{size[1]}` is ({size[2]}) in the dictionary and ({size[3]}) in the model: is it to be transposed, or cut?"
    kinds = ("Missing", "Unexpected")
    keys = [re.search(rf'{kind} key\(s\) in state_dict: "([^"]*)"', found[0]) for kind in kinds]
    told = [f"it lacks `{keys[0][1]}`"] if keys[0] else []
    told += [f"it has `{keys[1][1]}`, which the model does not know"] if keys[1] else []
    return f"The dictionary's names are not the model's: {' and '.join(told)}." if told else ""


def _twice(scene: Scene, found: Match) -> str:
    if scene.expression:
        return "backward() was called twice on one graph: compute the loss anew in every step."
    return "backward() goes into the graph of an earlier call, which is used up: a tensor of that call is used again."


_INDICES = "Indices must be int64: token ids and positions are looked up, not computed with."
_WHOLE = "A function of Python's math, or int() and float(), takes one number; for a whole tensor it is torch.exp, torch.tanh, torch.sqrt."

# (pattern in "Type: message", sentence or what makes one); the first match that says something counts.
RULES: list[Rule] = [
    (r"expected a non-empty list of Tensors", "The list is empty at this input: that case has to be answered before."),
    (r"view size is not compatible", _not_contiguous),
    (r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)", _do_not_line_up),
    (r"expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\) at non-singleton dimension (\d+)", _do_not_line_up),
    (r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", _matrices_do_not_meet),
    (r"batch2 tensor to be: \[([\d, ]+)\] but got: \[([\d, ]+)\]", _batched_product),
    (r"(?:self|mat2) must be a matrix", "torch.mm multiplies two plain matrices; with a batch in front it is the operator @, or torch.matmul."),
    (r"batch[12] must be a 3D tensor", "torch.bmm wants exactly three axes; the operator @, or torch.matmul, takes any number in front."),
    (r"(?:mat1|self) and mat2 must have the same dtype, but got (?:Long|Int)|same dtype[^:]*: (?:long|int) ", "A layer computes with floating point numbers and was given whole ones: are these the ids themselves, before their embedding?"),
    (r"(?:mat1|self) and mat2 must have the same dtype|expected m1 and m2 to have the same dtype|expected scalar type \w+ but found|mixed dtype \(CPU\)|expected dtype \w+ for .* but got dtype", _types_meet),
    (r"Sizes of tensors must match except in dimension (\d+)\. Expected size (\d+) but got size (\d+)", _joined),
    (r"Tensors must have same number of dimensions: got (\d+) and (\d+)", r"torch.cat joins tensors with equally many axes, and these have \1 and \2: one of them lacks an axis, or has one too many."),
    (r"stack expects a non-empty", "The list of tensors is empty: what was to fill it made no turn, or found nothing."),
    (r"value cannot be converted to type c10::(Half|BFloat16) without overflow", "No type holds every number: float16 ends at 65504, and the last numbers of float32 are beyond bfloat16. An infinity, -torch.inf, is there in every floating point type."),
    (r"stack expects each tensor to be equal size", "torch.stack wants tensors of one shape; pieces of different lengths are joined by torch.cat."),
    (r"expected Tensor as element \d+ in argument 0, but got (\w+)", r"A list of tensors is wanted here, and one of its entries is a \1."),
    (r"sum exactly to (\d+) .*but got split_sizes=\[([\d, ]+)\]", _pieces),
    (r"input\.dim\(\) = (\d+) is not equal to len\(dims\) = (\d+)", r"permute names every axis once, and this tensor has \1 axes where \2 are named; transpose(a, b) exchanges two and leaves the others."),
    (r"Given normalized_shape=\[(\d+)\]", r"The norm was built for \1 channels and takes them from the last axis: it was given another tensor, or built with another size."),
    (r"shape '\[(.*?)\]' is invalid for input of size (\d+)", _number_of_elements),
    (r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)", _axis_out_of_range),
    (r"inconsistent tensor size, expected tensor \[(\d+)\] and src \[(\d+)\]", r"A product of two plain rows wants equally many entries, and these have \1 and \2."),
    (r"must have at least 2 dimensions", "This function works on matrices, and gets a single row: torch.ones(T, T) has two axes, torch.ones(T) one."),
    (r"Number of dimensions of repeat dims", "repeat takes a number for each axis, the first one included; expand and broadcasting need no copy."),
    (r"selected index k out of range", "topk was asked for more entries than there are along this axis: take the smaller of the two numbers."),
    (r"t\(\) expects a tensor with <= 2 dimensions", "t() turns a plain matrix; of a batch of them, .mT or .transpose(-2, -1) turns the last two axes."),
    (r"1D tensors expected", "dot multiplies two plain rows of numbers; with more axes it is the operator @, or torch.matmul."),
    (r"size mismatch, got input \(\d+\), mat|vec .* must be a vector", "@ is a product of matrices; entry by entry, with broadcasting, it is *."),
    (r"unflatten: Provided sizes (\[.*?\]) don't multiply up to the size of dim \d+ \((\d+)\)", _unflatten),
    (r"output with shape \[([\d, ]*)\] doesn't match the broadcast shape \[([\d, ]*)\]", r"What is changed in place keeps its shape, (\1), and the result has (\2): one of the two has another shape than it should."),
    (r"derivative for aten::floor_divide", "// rounds down, which has no gradient: tensors are divided by /."),
    (r"bitwise_(?:xor|and|or)", "^, & and | work on the bits of whole numbers and masks: a power is **, a product *."),
    (r"is a view and is being modified inplace", "What chunk, split and unbind give are views of one tensor, and none of them may be changed in place while gradients are recorded: make a new one, q = q / 2 and not q /= 2."),
    (r"[Ii]nference tensor", "It was made under torch.inference_mode(), and such tensors never learn; torch.no_grad() does without gradients for a while."),
    (r"CUDA|NVIDIA driver", "No graphics card is asked for here: tensors and models stay where they are, or go where the caller says."),
    (r"too many indices for tensor of dimension (\d+)", r"This tensor has \1 axes, and more are named between the brackets."),
    (r"IndexError: The shape of the mask", "A bool tensor between brackets has to have the shape of what it selects from."),
    (r"index (-?\d+) is out of bounds for dimension (\d+) with size (\d+)", r"Axis \2 has \3 entries, counted from 0, and entry \1 was asked for."),
    (r"index out of range in self", "An embedding was asked for a row it does not have: an id or position is as large as its number of rows."),
    (r"Target (-?\d+) is out of bounds", r"A target is \1, and there are no logits for that token: is the last axis of the logits the vocabulary?"),
    (r"Expected input batch_size \((\d+)\) to match target batch_size \((\d+)\)", r"There are \1 rows of logits for \2 targets: one row for each target, flattened alike."),
    (r"Expected target size \[", "F.cross_entropy wants the classes in axis 1: flatten the logits to (B * T, V) and the targets to (B * T)."),
    (r"expected target dtype to be Long|Expected floating point type for target", "The targets of F.cross_entropy are token ids, int64: are logits and targets exchanged, or the targets cast?"),
    (r"only supports boolean masks|condition to be a boolean tensor", "The mask has to be a bool tensor here: compare (mask == 0), or make it with dtype=torch.bool."),
    (r"Explicit attn_mask should not be set when is_causal=True", "scaled_dot_product_attention takes a mask or is_causal=True, not both."),
    (r"only (?:one|a single) element tensors? can be converted|can only convert an array of size 1|only integer tensors of a single element|cannot be converted to Scalar|must be real number, not Tensor", _WHOLE),
    (r"must be real number, not torch.Size", "A whole shape stands where one number is wanted: .size(-1) is one axis of it."),
    (r"Boolean value of Tensor with more than one value is ambiguous", "A tensor stands where Python wants True or False; to ask whether it is there, write `is not None`."),
    (r"Expected .* scalar types?:? Long|Expected tensor for argument #1 'indices'|must be .*Long|tensors used as indices must be|dtype int32/int64 for index", _INDICES),
    (r"only integers, slices .* are valid indices \(got (\w+)\)", r"Between brackets stands a \1: an index is a whole number (// divides into one), a slice or a tensor of those."),
    (r"new\(\): invalid data type 'str'", "A tensor is indexed with a string here: is this meant for a dictionary?"),
    (r"not implemented for '(Long|Int|Bool)'|could not infer output dtype|only support floating point", "This function computes with floating point numbers, and was given whole ones or a mask: cast with .float(), or look which tensor came here."),
    (r"only implemented on integer and Boolean-type tensors", "~ turns a bool tensor around, and here it meets numbers: compare first, ~(mask > 0), or make the mask with dtype=torch.bool."),
    (r"with two bool tensors is not supported", "Of two masks write & (and), | (or), ^ (different) and ~ (not)."),
    (r"type must be tuple of ints, ?but got float|must be tuple of ints, not float|must be int, not float", "A size has to be a whole number: `/` gives a float, `//` an int."),
    (r"type must be tuple of ints, ?but got (\w+)|must be tuple of ints, not (\w+)", "Sizes and axes are whole numbers, and here something else stands among them."),
    (r"einsum\(\): the number of subscripts in the equation \((\d+)\) does not match the number of dimensions \((\d+)\)", r"The equation names \1 axes of a tensor that has \2."),
    (r"einsum\(\):", "The equation needs as many groups before -> as there are tensors, a letter for each axis, and after -> only letters that stand before it."),
    (r"Expected all tensors to be on the same device|device type at start of device string", "A tensor lies on another device: make it with device=x.device."),
    (r"a (?:leaf Variable|view of a leaf Variable) that requires grad", "A parameter is changed in place: do that under torch.no_grad(), and change other tensors with `x = x + ...`."),
    (r"modified by an inplace operation", "A tensor that backward() still needs was changed in place: write `x = x + ...` instead of `x += ...`."),
    (r"does not require grad and does not have a grad_fn", "The way from the parameters to the result is cut: by detach(), .data, .item(), torch.no_grad(), or a function that hands no gradient on, as a checkpoint with use_reentrant=True where its own input wants none."),
    (r"backward through the graph a second time", _twice),
    (r"grad can be implicitly created only for scalar", "backward() starts from one number: take the mean of the loss first."),
    (r"unsupported ScalarType BFloat16", "NumPy has no bfloat16: torch's own functions (.T, .contiguous(), torch.cat) work in every type, and .float() makes float32 of it first."),
    (r"Can't call numpy\(\) on Tensor that requires grad", "NumPy knows no gradients: stay with torch's functions, which do the same."),
    (r"Only Tensors of floating point .* can require gradients", "A parameter has to hold floating point numbers; whole ones cannot be learned."),
    (r"optimizer got an empty parameter list", "The optimizer got no parameter: the list was used up by an earlier loop, filtered to nothing, or the model registered none."),
    (r"can't optimize a non-leaf", "The optimizer takes the parameters themselves, not what was computed from them."),
    (r"more than one parameter group", "A parameter is in two groups, or twice in one: a tied weight has two names and is one tensor."),
    (r"dropout probability has to be between 0 and 1", "The first argument of dropout is a probability."),
    (r"all elements of input should be between 0 and 1|probability tensor contains|sum of probabilities <= 0", "The probabilities are not probabilities: look for NaN, inf or a missing softmax."),
    (r"cannot assign '.*' as parameter '.*' \(torch\.nn\.Parameter or None expected\)", "A parameter was replaced by a plain tensor: change it in place, or wrap it in nn.Parameter."),
    (r"Module \[\w+\] is missing the required \"forward\" function", "The class has no method forward: is its name misspelt, or is it indented too far?"),
    (r"Error\(s\) in loading state_dict.*", _state_dict),
    (r"is not a Module subclass|ModuleList\.extend should be called with an iterable", "nn.ModuleList takes a list of layers, nn.Sequential one layer after the other: nn.Sequential(*layers)."),
]  # fmt: skip
