"""Where the parameters of a GPT-2 are."""

from common.pictures.panels import Bars, Control
from common.pictures.picture import Picture
from common.pictures.scenes import Unfit

SIZES = ("small", "medium", "large", "xl")
CONTROLS = (
    Control("size", "Size", "choice", "small", SIZES),
    Control("vocabulary", "vocab_size", "number", "50257", low=1, high=1_000_000, whole=True),
)
PARTS = ("GPT2Config",)


def draw(parts, controls):
    from dataclasses import replace

    config = replace(
        getattr(parts.GPT2Config, f"gpt2_{controls['size']}")(), vocab_size=controls["vocabulary"]
    )
    C, inner, L = config.n_embd, config.n_inner, config.n_layer
    if not all(isinstance(n, int) for n in (C, inner, L, config.n_positions)):
        raise Unfit("a size of the preset is no int")
    counts = {
        "wte, tied to lm_head": config.vocab_size * C,
        "wpe": config.n_positions * C,
        f"attention, {L} layers": L * (4 * C * C + 4 * C),
        f"feed-forward, {L} layers": L * (2 * C * inner + inner + C),
        "norms": (4 * L + 2) * C,
    }
    totals = [getattr(parts.GPT2Config, f"gpt2_{name}")().num_parameters() for name in SIZES]
    return Picture(
        f"GPT-2 {controls['size']}: {config.num_parameters():,} parameters",
        "Bars of the parameters of each part, in millions: in the small model the feed-forward layers have the most, "
        "then the token table and attention; positions and norms hardly count. Beside them the totals of the four "
        "published sizes.",
        (
            Bars(
                "parameters by part",
                tuple(counts),
                (("", tuple(n / 1e6 for n in counts.values())),),
                "millions",
                2,
            ),
            Bars(
                "num_parameters()",
                SIZES,
                (("", tuple(float(n) / 1e6 for n in totals)),),
                "millions",
                1,
            ),
        ),
        "lm_head is the same matrix as wte and counts once.",
    )
