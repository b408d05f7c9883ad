"""What several problems' pictures are made with: a sentence as labels, ids and vectors; heads that do one thing each.

Shapes: T tokens, C n_embd, H n_head, D = C // H. torch is imported by who draws: a page that only asks for the
controls need not wait for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from common.pictures.panels import Control, Row

if TYPE_CHECKING:
    from torch import Tensor

MOST = 12  # tokens of a sentence that a picture has room for
SENTENCE = "the dog bites the man and the man bites back"
HEADS = ("the same word", "the token before", "the first token", "everything alike")


class Unfit(Exception):
    """What a part gave cannot be drawn: another shape, or no tensor at all."""


def sentence(default: str = SENTENCE) -> Control:
    """The control that most pictures have."""
    return Control("sentence", "Sentence", "text", default)


def tokens(text: str, most: int = MOST) -> list[str]:
    """The first tokens of a text as labels; words and marks, as GPT-2's tokenizer cuts common English."""
    found = re.findall(r"'\w+|\w+|[^\w\s]+", text)[:most]
    return found or ["(nothing)"]


def ids(words: list[str]) -> list[int]:
    """An id for each word: equal words have equal ones, in the order in which they are met."""
    known = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return [known[word] for word in words]


def vectors(words: list[str], width: int, size: float = 1.0) -> Tensor:
    """(T, width): random vectors of that length, the same for the same word."""
    import torch
    from torch.nn.functional import normalize

    numbers = ids(words)
    table = torch.randn(max(numbers) + 1, width, generator=torch.Generator().manual_seed(4))
    return size * normalize(table, dim=-1)[numbers]


def table(values: Any, rows: int, columns: int, what: str) -> tuple[Row, ...]:
    """A tensor (rows, columns) as plain numbers.

    Raises:
        Unfit: it is something else.
    """
    import torch

    shape = tuple(getattr(values, "shape", ()))
    if not isinstance(values, torch.Tensor) or shape != (rows, columns):
        got = f"shape {shape}" if isinstance(values, torch.Tensor) else f"a {type(values).__name__}"
        raise Unfit(f"{what} gave {got}, where ({rows}, {columns}) is drawn")
    return tuple(tuple(float(f"{v:.4g}") for v in row) for row in values.detach().double().tolist())


def row(values: Any, size: int, what: str) -> Row:
    """A tensor (size,) as plain numbers; the same errors."""
    import torch

    if not isinstance(values, torch.Tensor) or values.shape != (size,):
        table(values, 1, size, what)
    return table(values[None], 1, size, what)[0]


def heads_at_work(attention: Any, words: list[str]) -> Tensor:
    """The weights (H, T, T) of an attention with GPT-2's layers whose heads were told what to look for.

    Its input holds for each token a vector of the word and a one-hot position; c_attn is set so that head h looks
    for HEADS[h] and passes on the position that it looked at, so that the output is the weights themselves.

    Raises:
        Unfit: it has not the layers of the contract, or gives another shape.
    """
    import torch

    from common.config import GPT2Config

    T, H, D = len(words), len(HEADS), 2 * MOST
    C = H * D
    config = GPT2Config(
        vocab_size=2, n_positions=MOST, n_embd=C, n_head=H, n_layer=1,
        embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    module = attention(config).eval()
    word, place = slice(0, MOST), slice(MOST, 2 * MOST)
    x = torch.zeros(1, T, C)
    x[0, :, word] = vectors(words, MOST)
    x[0, :, place] = torch.eye(MOST)[:T]
    x[0, :, 2 * MOST] = 1  # for what is asked whatever the token
    query, key, value = torch.zeros(3, H, D, C).unbind()
    sharp = 4.0 * D**0.5
    query[0, :MOST, word], key[0, :MOST, word] = sharp * torch.eye(MOST), torch.eye(MOST)
    query[1, :MOST, place] = sharp * torch.diag(torch.ones(MOST - 1), 1)
    key[1, :MOST, place] = torch.eye(MOST)
    query[2, 0, 2 * MOST], key[2, 0, MOST] = sharp, 1
    value[:, :MOST, place] = torch.eye(MOST)
    wanted = {
        "c_attn.weight": torch.cat([query, key, value]).view(3 * C, C),
        "c_proj.weight": torch.eye(C),
    }
    wanted |= {"c_attn.bias": torch.zeros(3 * C), "c_proj.bias": torch.zeros(C)}
    try:
        module.load_state_dict(wanted)
    except RuntimeError as error:
        raise Unfit(f"its layers are not GPT-2's: {str(error).splitlines()[-1].strip()}") from None
    with torch.no_grad():
        output = module(x)
    if not isinstance(output, torch.Tensor) or output.shape != x.shape:
        table(output, T, C, "forward")
    return output[0].view(T, H, D)[:, :, :T].transpose(0, 1)
