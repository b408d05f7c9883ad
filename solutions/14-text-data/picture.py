"""A text in windows, each with the token after its last input."""

from common.pictures.panels import Box, Control, Strips
from common.pictures.picture import Picture
from common.pictures.scenes import Unfit, sentence, tokens

CONTROLS = (
    sentence("once upon a time the tide came in and took the ledger with it for good"),
    Control("context", "context_length", "number", "4", low=1, high=12, whole=True),
    Control("stride", "stride", "number", "2", low=1, high=12, whole=True),
)
PARTS = ("SlidingWindowDataset",)
ROWS = 9


def draw(parts, controls):
    import torch

    words = tokens(controls["sentence"], most=16)
    context, stride = min(controls["context"], max(len(words) - 1, 1)), controls["stride"]
    if len(words) < 2:
        words = [*words, "(end)"]
    numbers = torch.arange(len(words))
    windows = parts.SlidingWindowDataset(numbers, context, stride)
    rows = [("the text", tuple(Box(i, i + 1, word) for i, word in enumerate(words)))]
    for index in range(min(len(windows), ROWS)):
        inputs, targets = (part.tolist() for part in windows[index])
        if not all(isinstance(i, int) and 0 <= i < len(words) for i in (*inputs, *targets)):
            raise Unfit(f"window {index} holds what is not in the text")
        kinds = dict.fromkeys(targets, 2) | dict.fromkeys(inputs, 1)
        kinds |= dict.fromkeys(set(inputs) & set(targets), 3)
        boxes = tuple(Box(i, i + 1, words[i], kind) for i, kind in sorted(kinds.items()))
        rows.append((f"window {index}", boxes))
    return Picture(
        f"Windows of {context} tokens, one every {stride}",
        "The tokens of a text in a row, and below it the windows that are cut from it: each begins a stride later, and "
        "its targets are its inputs shifted by one.",
        (
            Strips(
                f"{len(windows)} windows", tuple(rows),
                ("", "input only", "target only", "input and target"), "the text, token by token",
            ),
        ),
        f"Only the first {ROWS} windows are drawn." if len(windows) > ROWS else "",
        across=1,
    )  # fmt: skip
