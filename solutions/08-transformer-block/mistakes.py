"""Known wrong answers to problem 08."""

from common.mistakes import Mistake

_FIRST = "x = pre_norm_residual(x, self.ln_1, self.attn)"
_SECOND = "return pre_norm_residual(x, self.ln_2, self.mlp)"
_BOTH = f"{_FIRST}\n        {_SECOND}"
_LN_1 = "self.ln_1 = LayerNorm(config.n_embd, config.layer_norm_epsilon)"
_LN_2 = "self.ln_2 = LayerNorm(config.n_embd, config.layer_norm_epsilon)"
_ATTN = "self.attn = CausalSelfAttention(config)"
_MLP = "self.mlp = FeedForward(config)"
_IMPORT = "from torch import Tensor, nn"

MISTAKES = [
    Mistake(
        name="post-norm",
        find=_BOTH,
        put="x = self.ln_1(x + self.attn(x))\n        return self.ln_2(x + self.mlp(x))",
        says="This is a post-norm block, as in GPT-1: the norms stand around the sums. GPT-2: x + attn(ln_1(x)), then x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="the norm comes after each sublayer",
        find=_BOTH,
        put="x = x + self.ln_1(self.attn(x))\n        return x + self.ln_2(self.mlp(x))",
        says="Each sublayer reads the raw x and its output is normalised. The norm comes before the sublayer: x + attn(ln_1(x)).",
    ),
    Mistake(
        name="no residual around attention",
        find=_FIRST,
        put="x = self.attn(self.ln_1(x))",
        says="Attention's output replaces x instead of being added to it: x + attn(ln_1(x)). With attention silent, the block forgets its input.",
    ),
    Mistake(
        name="no residual around the feed-forward layer",
        find=_SECOND,
        put="return self.mlp(self.ln_2(x))",
        says="The feed-forward output replaces x instead of being added to it: x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="no residuals at all",
        find=_BOTH,
        put="return self.mlp(self.ln_2(self.attn(self.ln_1(x))))",
        says="Neither sublayer's output is added to x: with both silent the output is zero. Each line is x + sublayer(norm(x)).",
    ),
    Mistake(
        name="ln_1 serves both sublayers",
        find=_SECOND,
        put="return pre_norm_residual(x, self.ln_1, self.mlp)",
        says="The feed-forward layer reads ln_1(x): ln_2 is never used and gets no gradient. It has a norm of its own, ln_2.",
    ),
    Mistake(
        name="the norms are swapped",
        find=_BOTH,
        put="x = pre_norm_residual(x, self.ln_2, self.attn)\n        return pre_norm_residual(x, self.ln_1, self.mlp)",
        says="ln_1 and ln_2 are swapped: ln_1 comes before attention, ln_2 before the feed-forward layer. Real weights rely on that.",
    ),
    Mistake(
        name="one norm under two names",
        find=_LN_2,
        put="self.ln_2 = self.ln_1",
        says="ln_2 is the same layer as ln_1: 2C parameters too few. Make two layers, each with its own weight and bias.",
    ),
    Mistake(
        name="the normalised input is the residual",
        find=_BOTH,
        put="x = self.ln_1(x)\n        x = x + self.attn(x)\n        x = self.ln_2(x)\n        return x + self.mlp(x)",
        says="You overwrite x with its normalised form before the sum, so the residual path carries ln_1(x). Keep the raw x: x + attn(ln_1(x)).",
    ),
    Mistake(
        name="the norm before attention is missing",
        find=_FIRST,
        put="x = x + self.attn(x)",
        says="Attention reads the raw x: ln_1 is never used. It is x + attn(ln_1(x)).",
    ),
    Mistake(
        name="the norm before the feed-forward layer is missing",
        find=_SECOND,
        put="return x + self.mlp(x)",
        says="The feed-forward layer reads the raw x: ln_2 is never used. It is x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="both sublayers in parallel",
        find=_BOTH,
        put="return x + self.attn(self.ln_1(x)) + self.mlp(self.ln_2(x))",
        says="Both sublayers read the block's input, in parallel. In GPT-2 the feed-forward layer reads what attention has written: two lines, one after the other.",
    ),
    Mistake(
        name="the residual goes around the whole block",
        find=_BOTH,
        put="h = self.attn(self.ln_1(x))\n        return x + self.mlp(self.ln_2(h))",
        says="One residual connection spans both sublayers. Each has its own: x + attn(ln_1(x)), and then x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="the second residual starts at the input",
        find=_BOTH,
        put="h = pre_norm_residual(x, self.ln_1, self.attn)\n        return x + self.mlp(self.ln_2(h))",
        says="The second sum adds to the block's input and drops what attention has written. Add to x after attention.",
    ),
    Mistake(
        name="feed-forward comes first",
        find=_BOTH,
        put="x = pre_norm_residual(x, self.ln_2, self.mlp)\n        return pre_norm_residual(x, self.ln_1, self.attn)",
        says="The feed-forward layer comes before attention. In GPT-2 attention comes first.",
    ),
    Mistake(
        name="attention twice",
        find=_SECOND,
        put="return pre_norm_residual(x, self.ln_2, self.attn)",
        says="Attention is used twice and mlp never: the second sublayer is the feed-forward layer.",
    ),
    Mistake(
        name="the feed-forward layer is missing",
        find=_SECOND,
        put="return x",
        says="The block ends after attention: mlp is never called. Add x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="attention is missing",
        find=_FIRST,
        put="",
        says="attn is never called, so no token hears of another. The first line is x + attn(ln_1(x)).",
    ),
    Mistake(
        name="a norm at the end",
        find=_SECOND,
        put="return self.ln_2(pre_norm_residual(x, self.ln_2, self.mlp))",
        says="The block's output is normalised. Nothing stands on the residual path; the final norm, ln_f, belongs to the model and comes once.",
    ),
    Mistake(
        name="dropout on the residual path",
        find=_SECOND,
        put="return nn.functional.dropout(pre_norm_residual(x, self.ln_2, self.mlp), 0.1, self.training)",
        says="The sum goes through dropout, even with all rates at 0. Dropout lives inside attn and mlp; the residual path is never dropped.",
    ),
    Mistake(
        name="the rates are swapped",
        find=_ATTN,
        put="self.attn = CausalSelfAttention(config)\n        self.attn.attn_dropout.p, self.attn.resid_dropout.p = config.resid_pdrop, config.attn_pdrop",
        says="In attn the two rates are swapped: the weights are dropped with resid_pdrop and the output with attn_pdrop.",
    ),
    Mistake(
        name="epsilon is not passed on",
        find=_LN_1,
        put="self.ln_1 = LayerNorm(config.n_embd)",
        also=((_LN_2, "self.ln_2 = LayerNorm(config.n_embd)"),),
        says="The norms use their default eps, whatever config.layer_norm_epsilon says. Pass it to both.",
    ),
    Mistake(
        name="epsilon reaches only ln_1",
        find=_LN_2,
        put="self.ln_2 = LayerNorm(config.n_embd)",
        says="ln_2 uses its default eps, whatever config.layer_norm_epsilon says. Pass it on, as you do for ln_1.",
    ),
    Mistake(
        name="bidirectional attention",
        find=_ATTN,
        put="self.attn = problem(4).MultiHeadAttention(config)",
        says="attn is the attention of problem 04, which sees the future. The block uses problem 05's CausalSelfAttention.",
    ),
    Mistake(
        name="exact GELU in the feed-forward layer",
        find="FeedForward = problem(6).FeedForward\n",
        put="class FeedForward(problem(6).FeedForward):\n    def forward(self, x):\n        return self.dropout(self.c_proj(nn.functional.gelu(self.c_fc(x))))\n\n\n",
        says="mlp uses PyTorch's GELU in its default form, the exact one. GPT-2 uses the tanh approximation: approximate='tanh'.",
    ),
    Mistake(
        name="ReLU in the feed-forward layer",
        find="FeedForward = problem(6).FeedForward\n",
        put="class FeedForward(problem(6).FeedForward):\n    def forward(self, x):\n        return self.dropout(self.c_proj(self.c_fc(x).relu()))\n\n\n",
        says="mlp uses ReLU as its activation. GPT-2 uses GELU in its tanh form.",
    ),
    Mistake(
        name="in-place sums",
        find=_BOTH,
        put="x += self.attn(self.ln_1(x))\n        x += self.mlp(self.ln_2(x))\n        return x",
        says="x += ... overwrites the caller's tensor, and a leaf that requires grad refuses it. Write x = x + ...",
    ),
    Mistake(
        name="the feed-forward layer is four times too small",
        find=_MLP,
        put="self.mlp = FeedForward(config.__class__(**{**config.__dict__, 'n_inner': config.n_embd}))",
        says="mlp has an inner width of n_embd. It is config.n_inner, which is 4 * n_embd unless something else was asked for.",
    ),
    Mistake(
        name="the output is the input",
        find=_BOTH,
        put="return x",
        says="forward returns its input: neither sublayer is called.",
    ),
]
