"""The triangle, and what it leaves of a head's weights."""

from common.pictures.panels import Control, Heat
from common.pictures.picture import Picture
from common.pictures.scenes import HEADS, heads_at_work, sentence, table, tokens

CONTROLS = (sentence(), Control("head", "Head", "choice", "0", ("0", "1", "2", "3")))
PARTS = ("causal_mask", "CausalSelfAttention")


def draw(parts, controls):
    words = tokens(controls["sentence"])
    T, labels, h = len(words), tuple(words), int(controls["head"])
    mask = table(parts.causal_mask(T), T, T, f"causal_mask({T})")
    weights = table(heads_at_work(parts.CausalSelfAttention, words)[h], T, T, "the weights")
    axes = {
        "rows": labels,
        "columns": labels,
        "row_axis": "token that asks",
        "column_axis": "token that is asked",
    }
    return Picture(
        "No token sees a later one",
        "Two tables with a row for each token that asks. The mask is open on and below the diagonal and closed above. "
        "The weights of a head have nothing above the diagonal, and each row sums to 1 over what is open.",
        (
            Heat("causal_mask: who may look at whom", mask, scale="mask", **axes),
            Heat(f"weights of head {h} ({HEADS[h]})", weights, most=1.0, **axes),
        ),
        "The first token has only itself to look at, whatever its head is looking for.",
    )
