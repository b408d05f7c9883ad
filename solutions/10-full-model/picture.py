"""The whole model from two sides: how the stream grows on its way up, and which token reaches which logits."""

from common import GPT2Config
from common.pictures.panels import Control, Heat
from common.pictures.picture import Picture
from common.pictures.scenes import MOST, Unfit, ids, sentence, table, tokens

CONTROLS = (sentence(), Control("layers", "Blocks", "number", "6", low=1, high=24, whole=True))
PARTS = ("GPT2Model",)
C = 32


def draw(parts, controls):
    import torch

    words = tokens(controls["sentence"])
    T, L, labels = len(words), controls["layers"], tuple(words)
    numbers = torch.tensor([ids(words)])
    config = GPT2Config(
        vocab_size=MOST + 1, n_positions=MOST, n_embd=C, n_head=4, n_layer=L,
        embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    model = parts.GPT2Model(config).eval()
    stream = []
    watched = [model.drop, *model.h, model.ln_f]
    hooks = [
        module.register_forward_hook(lambda _m, _i, output: stream.append(output))
        for module in watched
    ]
    with torch.no_grad():
        logits = model(numbers)
        for hook in hooks:
            hook.remove()
        if len(stream) != L + 2 or logits.shape != (1, T, MOST + 1):
            raise Unfit("forward does not pass drop, each block and ln_f once, on to (B, T, V)")
        sizes = torch.stack([x[0].square().mean(-1).sqrt() for x in stream])
        other = numbers.repeat(T, 1)
        other[range(T), range(T)] = MOST  # text j has another token at position j
        moved = (model(other) - logits).norm(dim=-1).T  # (T, T): position i, text j
    names = ("embeddings", *(f"block {i}" for i in range(L)), "ln_f")
    return Picture(
        "From the embeddings to the logits",
        "Left: the size of the stream for each token, a row for each stage; it grows from block to block, and the "
        "final norm brings all tokens to the same size. Right: how much the logits at each position move when one "
        "token is exchanged for another; only those at its own and later positions do.",
        (
            Heat("size of the stream (root mean square)", table(sizes, L + 2, T, "the stream"), names, labels, "stage"),
            Heat(
                "logits that move when a token is exchanged", table(moved, T, T, "the logits"), labels, labels,
                "logits at", "token exchanged",
            ),
        ),
        "A model with random weights.",
    )  # fmt: skip
