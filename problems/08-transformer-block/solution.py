"""The transformer block: attention, then feed-forward, each beside a residual path.

Shapes: B batch, T tokens, C n_embd.
"""

from torch import Tensor, nn

from common import GPT2Config, problem

CausalSelfAttention = problem(5).CausalSelfAttention
FeedForward = problem(6).FeedForward
LayerNorm = problem(7).LayerNorm
pre_norm_residual = problem(7).pre_norm_residual


class TransformerBlock(nn.Module):
    """One layer of GPT-2, pre-norm.

    Source: "Language Models are Unsupervised Multitask Learners", section 2.3; openai/gpt-2,
    src/model.py, `block`.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        # TODO(08): about 4 lines. ln_1, attn, ln_2, mlp
        raise NotImplementedError("problem 08: TransformerBlock.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # TODO(08): about 2 lines. First attention, then feed-forward, each pre-norm
        raise NotImplementedError("problem 08: TransformerBlock.forward")
