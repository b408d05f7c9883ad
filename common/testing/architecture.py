"""What a GPT-2 is made of, asked of a model whose names are its author's own.

Its tables (tokens, positions, the head) are known by their sizes, which nothing else has; what else is as large as
width * width is a matrix of the blocks. Models are small: one block, one head; they are changed and not given back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.testing.asserts import assert_true
from common.testing.modules import draw

_LARGE = 1e6  # how many times as much the embeddings hold


@dataclass
class Anatomy:
    """A model in eval mode, a text (B, T) for it, and the sizes by which its parts are known.

    Args:
        sizes: of the vocabulary and of the positions.
    """

    model: nn.Module
    ids: Tensor
    width: int
    sizes: Collection[int]

    @property
    def tables(self) -> list[nn.Parameter]:
        """The tables of tokens and positions, and the head."""
        return [p for p in self.model.parameters() if {*self.sizes} & {*p.shape}]

    @property
    def matrices(self) -> dict[str, nn.Parameter]:
        """The matrices inside the block: no gains and biases of norms."""
        large = {n: p for n, p in self.model.named_parameters() if p.numel() >= self.width**2}
        return {n: p for n, p in large.items() if not any(p is table for table in self.tables)}

    def logits(self) -> Tensor:
        with torch.no_grad():
            return self.model(self.ids)

    def with_large_and_empty_parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Logits with large embeddings; with each matrix in the block at 0, too; with that alone."""
        with torch.no_grad():
            for p in self.tables:
                p.mul_(_LARGE)
            large = self.logits()
            for p in self.matrices.values():
                p.zero_()
            emptied = self.logits()
            for p in self.tables:
                p.div_(_LARGE)
        return large, emptied, self.logits()

    def slopes(self) -> dict[str, Tensor]:
        """How much each entry of the matrices in the block counts for the logits, between 0 and 1."""
        out = self.model(self.ids)
        (out * draw("direction", *out.shape)).sum().backward()
        found = {n: p.grad.abs() for n, p in self.matrices.items() if p.grad is not None}
        most = max((float(g.max()) for g in found.values()), default=0.0) or 1.0
        return {name: g / most for name, g in found.items()}


def _spread(logits: Tensor) -> float:
    """How much the logits differ from token to token."""
    return float((logits - logits[:1, :1]).norm())


def assert_text_goes_past_the_block(anatomy: Anatomy) -> None:
    """Check that x is added to what each half of the block gives."""
    assert_true(
        _spread(anatomy.with_large_and_empty_parts()[2]) > 1e-4,
        "with every matrix in the block at 0 the logits no longer depend on the token",
        because="A block adds to the text, x = x + attention(ln_1(x)) and then x + mlp(ln_2(x)), so a block that gives "
        "nothing leaves it as it was. Here it is lost: one of the two sums is missing.",
    )  # fmt: skip


def assert_block_reads_what_is_normalised(anatomy: Anatomy) -> None:
    """Check that what the block adds does not grow with the embeddings."""
    large, emptied, _ = anatomy.with_large_and_empty_parts()
    assert_true(
        float((large - emptied).norm()) <= 0.05 * _spread(emptied),
        "the block adds the more to the text, the larger its embeddings are",
        because="In a pre-norm block both parts read the text through a LayerNorm, x + attention(ln_1(x)) and "
        "x + mlp(ln_2(x)), so what they add does not grow with it. Here one of them reads x itself, or a norm stands "
        "on the path of x, as after the sum.",
    )  # fmt: skip


def assert_head_reads_what_is_normalised(anatomy: Anatomy) -> None:
    """Check that the logits do not grow with the embeddings, but with the head alone."""
    _, emptied, small = anatomy.with_large_and_empty_parts()
    assert_true(
        _spread(emptied) < _LARGE**1.5 * _spread(small),
        "the logits grow with the embeddings",
        because="The last LayerNorm stands between the last block and the head, which never learns how large x was.",
    )  # fmt: skip


def assert_there_is_a_feed_forward_layer(anatomy: Anatomy) -> None:
    """Check that the block has more matrices than attention needs; that they are used is for others to say."""
    C = anatomy.width
    entries = sum(p.numel() for p in anatomy.matrices.values())
    assert_true(
        entries > 4.5 * C**2,
        f"the matrices of a block have {entries} entries, with embed_dim={C}",
        because=f"Queries, keys, values and attention's output take {C} * {C} each, {4 * C**2} together. Behind them "
        "comes a feed-forward layer, x + mlp(ln_2(x)): it widens each token, applies an activation and goes back.",
    )  # fmt: skip


def assert_every_row_counts(anatomy: Anatomy) -> None:
    """Check that of no matrix in the block whole rows or columns are idle, as where the keys serve as queries."""
    for name, slope in anatomy.slopes().items():
        for axis, lines in enumerate(("columns", "rows")) if slope.ndim == 2 else ():
            idle = int((slope.amax(axis) <= 1e-7).sum())
            assert_true(
                idle <= anatomy.width // 2,
                f"{idle} of the {slope.size(1 - axis)} {lines} of `{name}` get no gradient from the logits",
                because="Queries, keys and values are three things: a token's query meets the keys of those before it, "
                "and their values are mixed. One of them is made and not used, or a part of a layer is cut away.",
            )  # fmt: skip
