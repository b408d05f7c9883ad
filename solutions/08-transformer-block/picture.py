"""The residual stream: what comes in, what the two sublayers write into it, what goes out."""

from common import GPT2Config
from common.pictures.panels import Control, Heat
from common.pictures.picture import Picture
from common.pictures.scenes import MOST, Unfit, sentence, table, tokens, vectors

CONTROLS = (
    sentence("the dog bites the man"),
    Control("block", "Which block of six", "number", "1", low=1, high=6, whole=True),
)
PARTS = ("TransformerBlock",)
C = 24


def draw(parts, controls):
    import torch

    words = tokens(controls["sentence"])
    T, block = len(words), controls["block"]
    config = GPT2Config(
        vocab_size=2, n_positions=MOST, n_embd=C, n_head=4, n_layer=6,
        embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    x = vectors(words, C, size=C**0.5)[None]
    for number in range(1, block + 1):
        torch.manual_seed(number)
        layer, added = parts.TransformerBlock(config).eval(), {}
        for name in ("attn", "mlp"):
            getattr(layer, name).register_forward_hook(
                lambda _m, _i, output, name=name, added=added: added.setdefault(name, output)
            )
        with torch.no_grad():
            before, x = x, layer(x)
    if len(added) < 2:
        raise Unfit("forward does not call attn and mlp")
    made = [
        ("the stream before", before), ("attention adds", added["attn"]),
        ("feed-forward adds", added["mlp"]), ("the stream after", x),
    ]  # fmt: skip
    panels = tuple(
        Heat(
            title,
            table(values[0], T, C, title),
            tuple(words),
            column_axis="channels",
            scale="diverging",
            most=2.5,
        )
        for title, values in made
    )
    return Picture(
        f"Block {block}: before + attention + feed-forward = after",
        "Four tables of colours, tokens by channels: the stream before a block, what attention adds to it, what the "
        "feed-forward layer adds, and the stream after. What is added is pale beside the stream: the block writes "
        "small changes into it.",
        panels,
        "All four have the same colours. The layers are fresh from PyTorch, with random weights.",
    )
