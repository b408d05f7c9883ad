"""The cache filling: what each step reads, and what it need not read again."""

from common import GPT2Config
from common.pictures.panels import Box, Control, Line, Lines, Strips
from common.pictures.picture import Picture
from common.pictures.scenes import MOST, Unfit, sentence, tokens, vectors

CONTROLS = (
    sentence("the dog bites the man and the man bites back"),
    Control("prompt", "Tokens of the prompt", "number", "4", low=1, high=MOST, whole=True),
)
PARTS = ("KVCache", "CachedCausalSelfAttention")
C = 24


def draw(parts, controls):
    import torch

    words = tokens(controls["sentence"])
    T, prompt = len(words), min(controls["prompt"], len(words))
    config = GPT2Config(
        vocab_size=2,
        n_positions=MOST,
        n_embd=C,
        n_head=2,
        n_layer=1,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
    )
    attention, cache = parts.CachedCausalSelfAttention(config).eval(), parts.KVCache()
    x = vectors(words, C)[None]
    rows, outputs, read = [], [], []
    with torch.no_grad():
        for start, end in [(0, prompt), *((t, t + 1) for t in range(prompt, T))]:
            held = len(cache)
            outputs.append(attention(x[:, start:end], cache))
            if not 0 <= held <= len(cache) <= 2 * MOST:
                raise Unfit(f"len(cache) went from {held} to {len(cache)}")
            kept = tuple(Box(i, i + 1, _word(words, i), 1) for i in range(held))
            new = tuple(Box(i, i + 1, _word(words, i), 3) for i in range(held, len(cache)))
            rows.append(("the prompt" if start == 0 else f"step {end - prompt}", kept + new))
            read.append(end - start)
        whole = attention(x)
    off = float((torch.cat(outputs, 1) - whole).abs().max())
    ends = [sum(read[: i + 1]) for i in range(len(read))]
    steps = tuple(float(i) for i in range(len(read)))
    return Picture(
        "What the cache holds, and what is computed anew",
        "A row for each step: the tokens whose keys and values the cache holds already, and those that are computed in "
        "this step, which is one after the prompt. Below it the tokens read so far with a cache, a straight line, and "
        "without one, a curve that bends upward.",
        (
            Strips(
                "keys and values, step by step", tuple(rows),
                ("", "held by the cache", "", "computed now"), "tokens",
            ),
            Lines(
                "tokens that went through the layer, all steps together",
                (
                    Line("with the cache", steps, tuple(map(float, ends))),
                    Line("without", steps, tuple(float(sum(ends[: i + 1])) for i in range(len(ends)))),
                ), "step", "tokens read",
            ),
        ),
        f"With the cache and without it the outputs differ by at most {off:.1g}.",
        across=1,
    )  # fmt: skip


def _word(words, i):
    return words[i] if i < len(words) else "?"
