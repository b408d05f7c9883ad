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
        # lesson: about 4 lines. ln_1, attn, ln_2, mlp
        self.ln_1 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # lesson: about 2 lines. First attention, then feed-forward, each pre-norm
        x = pre_norm_residual(x, self.ln_1, self.attn)
        return pre_norm_residual(x, self.ln_2, self.mlp)
