"""Whom one token asks, and how much of each answer it takes."""

from common.pictures.panels import Bars, Control, Heat
from common.pictures.picture import Picture
from common.pictures.scenes import MOST, row, sentence, table, tokens, vectors

CONTROLS = (
    sentence(),
    Control("token", "Token that asks", "number", "3", low=0, high=MOST - 1, whole=True),
)
PARTS = ("dot_product_attention",)


def draw(parts, controls):
    import torch

    words = tokens(controls["sentence"])
    T, asks = len(words), min(controls["token"], len(words) - 1)
    x = vectors(words, 12, size=1.6)
    output, weights = parts.dot_product_attention(x, x, torch.eye(T))
    every = table(weights, T, T, "dot_product_attention's weights")
    one = row(output[asks], T, "dot_product_attention's output")
    labels = tuple(words)
    return Picture(
        f"What “{words[asks]}” (token {asks}) takes from each token",
        "A table of attention weights, a row for each token that asks and a column for each that is asked, beside the "
        f"row of token {asks} as bars: most weight goes to the tokens whose vectors are most like its own.",
        (
            Heat(
                "weights of all queries",
                every,
                labels,
                labels,
                "token that asks",
                "token that is asked",
                most=1.0,
            ),
            Bars(
                f"weights of token {asks}, “{words[asks]}”",
                labels,
                (("weight", one),),
                "they sum to 1",
            ),
        ),
        "Query and key of a token are one vector here, the same for the same word, so equal words find each other.",
    )
