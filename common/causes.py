"""What a Python or PyTorch error usually means, in the words of a teacher."""

from __future__ import annotations

import re

# (pattern in "Type: message", sentence); the first match counts.
_CAUSES = [
    (r"before Module\.__init__\(\) call", "Call super().__init__() in the first line of __init__."),
    (
        r"view size is not compatible",
        "After transpose or permute the memory is not contiguous: use .reshape(), or .contiguous() before .view().",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)",
        r"A linear layer that takes \3 channels was given \2: look at the last axis of its input.",
    ),
    (
        r"mat1 and mat2 must have the same dtype",
        "Some tensor was made with a fixed dtype, or cast with .float(): make it with dtype=x.dtype.",
    ),
    (
        r"values to unpack",
        "split(size) cuts pieces of that size, chunk(n) cuts n pieces: one of them gave more or fewer than you name.",
    ),
    (
        r"Boolean value of Tensor with more than one value is ambiguous",
        "A tensor stands where Python wants True or False; to ask whether it is there, write `is not None`.",
    ),
    (
        r"a (?:leaf Variable|view of a leaf Variable) that requires grad",
        "A parameter is changed in place: do that under torch.no_grad(), and change other tensors with `x = x + ...`.",
    ),
    (
        r"modified by an inplace operation",
        "A tensor that backward() still needs was changed in place: write `x = x + ...` instead of `x += ...`.",
    ),
    (
        r"IndexError: index out of range in self",
        "An embedding was asked for a row it does not have: an id or position is as large as its number of rows.",
    ),
    (
        r"Expected .* scalar types?:? Long|Expected tensor for argument #1 'indices'|must be .*Long",
        "Indices must be int64: token ids and positions are looked up, not computed with.",
    ),
    (
        r"does not require grad and does not have a grad_fn",
        "The way from the parameters to the result is cut: by detach(), .data, .item() or torch.no_grad().",
    ),
    (
        r"Trying to backward through the graph a second time",
        "backward() was called twice on one graph: compute the loss anew in every step.",
    ),
    (
        r"all elements of input should be between 0 and 1|probability tensor contains",
        "The probabilities are not probabilities: look for NaN, inf or a missing softmax.",
    ),
    (
        r"'NoneType' object",
        "Something is None that should not be: usually a function that ends without a return.",
    ),
    (
        r"cannot assign '.*' as parameter '.*' \(torch\.nn\.Parameter or None expected\)",
        "A parameter was replaced by a plain tensor: change it in place, or wrap it in nn.Parameter.",
    ),
    (
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)",
        r"The two tensors do not line up: \1 against \2 in axis \3. Print both shapes in the line before.",
    ),
    (
        r"shape '\[.*\]' is invalid for input of size",
        "view and reshape keep the number of elements: the sizes you name multiply to another number.",
    ),
    (r"RecursionError", "It calls itself without end."),
    (
        r"FrozenInstanceError",
        "The config is frozen: make a new one instead of changing its fields.",
    ),
]


def usual_cause(error: BaseException) -> str:
    """One sentence on what this error usually means; empty when there is nothing to add."""
    text = f"{type(error).__name__}: {error}"
    for pattern, sentence in _CAUSES:
        if found := re.search(pattern, text):
            return found.expand(sentence) if "\\" in sentence else sentence
    return ""
