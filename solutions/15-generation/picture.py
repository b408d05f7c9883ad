"""What temperature, top-k and top-p leave of the next token's probabilities."""

import itertools
import re
from collections import Counter

from common.pictures.panels import Bars, Control
from common.pictures.picture import Picture
from common.pictures.scenes import row

CONTROLS = (
    Control("prompt", "The word before", "text", "the"),
    Control("temperature", "Temperature", "number", "0.7", low=0.05, high=5),
    Control("top_k", "top_k (0: all)", "number", "8", low=0, high=1000, whole=True),
    Control("top_p", "top_p", "number", "0.9", low=0.01, high=1),
)
PARTS = ("filter_logits",)
SHOWN = 10


def draw(parts, controls):
    import torch

    from common.text.texts import read_text

    words = re.findall(r"\w+|[^\w\s]", read_text().lower())
    asked = re.findall(r"\w+|[^\w\s]", controls["prompt"].lower())[-1:]
    after = Counter(b for a, b in itertools.pairwise(words) if [a] == asked)
    known = bool(after)
    counts = (after or Counter(words)).most_common()
    logits = torch.tensor([[float(n) for _, n in counts]]).log()
    kept = parts.filter_logits(
        logits, controls["temperature"], controls["top_k"] or None, controls["top_p"]
    )
    before = row(logits.softmax(-1)[0], len(counts), "softmax")
    then = row(kept.softmax(-1)[0], len(counts), "filter_logits")
    labels = tuple(word for word, _ in counts[:SHOWN])
    left = sum(p > 0 for p in then)
    after_what = f"after “{asked[0]}”" if known else "of the story, as this word is not in it"
    return Picture(
        f"The next token {after_what}: {left} of {len(counts)} are left to draw from",
        f"Bars of the probabilities of the {len(labels)} most likely next words, as they are and after temperature, "
        "top_k and top_p: a low temperature makes the likely ones likelier, and the unlikely ones are cut off.",
        (
            Bars(
                f"probability of the {len(labels)} most likely", labels,
                (
                    ("as it is", tuple(before[:SHOWN])),
                    (f"temperature {controls['temperature']:g}, top_k {controls['top_k'] or 'all'}, "
                     f"top_p {controls['top_p']:g}", tuple(then[:SHOWN])),
                ), "", 3,
            ),
        ),
        "The logits are logarithms of how often each word follows in the story that comes with the course.",
        across=1,
    )  # fmt: skip
