"""Known wrong answers to problem 10."""

from common.mistakes import Mistake

_TIE = "self.lm_head.weight = self.wte.weight  # one Parameter under two names"
_H = "self.h = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layer))"
_LN_F = "self.ln_f = LayerNorm(config.n_embd, config.layer_norm_epsilon)"
_POSITIONS = "positions = torch.arange(T, device=input_ids.device)"
_X = "x = self.drop(self.wte(input_ids) + self.wpe(positions))"
_LOOP = "for block in self.h:\n            x = block(x)"
_RETURN = "return self.lm_head(self.ln_f(x))"
_CHECK = 'raise ValueError(f"a text of {T} tokens is longer than n_positions ({limit})")'
_BLOCK = "TransformerBlock = problem(8).TransformerBlock\n"


def _block(body: str) -> str:
    """A TransformerBlock whose forward, or some part, is replaced."""
    return "class TransformerBlock(problem(8).TransformerBlock):\n" + body + "\n\n"


MISTAKES = [
    Mistake(
        name="the head is not tied",
        find=_TIE,
        put="",
        says="lm_head has a matrix of its own, 38.6 million parameters too many for GPT-2 small. Tie it: self.lm_head.weight = self.wte.weight.",
    ),
    Mistake(
        name="tied through .data",
        find=_TIE,
        put="self.lm_head.weight.data = self.wte.weight.data",
        says="lm_head.weight and wte.weight share their memory but are two Parameters: gradients do not add up and the optimizer steps twice. Assign the Parameter, not its .data.",
    ),
    Mistake(
        name="tied through nn.Parameter",
        find=_TIE,
        put="self.lm_head.weight = nn.Parameter(self.wte.weight)",
        says="nn.Parameter(...) makes a second Parameter on the same memory, so the two are not tied. Assign the very Parameter: self.lm_head.weight = self.wte.weight.",
        same_as="tied through .data",
    ),
    Mistake(
        name="the head has a bias",
        find="config.vocab_size, bias=False)",
        put="config.vocab_size)",
        says="lm_head has a bias. GPT-2's output layer has none: bias=False.",
    ),
    Mistake(
        name="one block, n_layer times",
        find=_H,
        put="self.h = nn.ModuleList([TransformerBlock(config)] * config.n_layer)",
        says="All layers are one and the same block: [block] * n repeats a reference. Build a new block for each layer, in a comprehension.",
    ),
    Mistake(
        name="a plain list of blocks",
        find=_H,
        put="self.h = [TransformerBlock(config) for _ in range(config.n_layer)]",
        says="The blocks are in a plain list, so the model does not know their parameters: they are not trained, saved or moved. Use nn.ModuleList.",
    ),
    Mistake(
        name="the number of layers is hard-coded",
        find="range(config.n_layer)",
        put="range(12)",
        says="There are always 12 blocks, whatever config.n_layer says.",
    ),
    Mistake(
        name="as many layers as heads",
        find="range(config.n_layer)",
        put="range(config.n_head)",
        says="The number of blocks follows n_head. It is n_layer.",
    ),
    Mistake(
        name="the last block is skipped",
        find="for block in self.h:",
        put="for block in self.h[:-1]:",
        says="The last block is never run, and gets no gradient: go through all of self.h.",
    ),
    Mistake(
        name="the first block is skipped",
        find="for block in self.h:",
        put="for block in self.h[1:]:",
        says="The first block is never run, and gets no gradient: go through all of self.h.",
    ),
    Mistake(
        name="the blocks run in reverse",
        find="for block in self.h:",
        put="for block in reversed(self.h):",
        says="The blocks run in reverse order, the last one first. Published weights expect h.0 first.",
    ),
    Mistake(
        name="every block reads the embeddings",
        find=_LOOP,
        put="embedded = x\n        for block in self.h:\n            x = block(embedded)",
        says="Every block reads the embeddings, and only the last one counts: blocks 0 to n-2 get no gradient. Each block reads the previous one's output, x = block(x).",
    ),
    Mistake(
        name="the result of a block is thrown away",
        find="            x = block(x)",
        put="            block(x)",
        says="The blocks' results are thrown away: no block has an effect. Keep them, x = block(x).",
    ),
    Mistake(
        name="a second residual around each block",
        find="x = block(x)",
        put="x = x + block(x)",
        says="Each block's output is added to x once more. The residual connections are inside the block: x = block(x).",
    ),
    Mistake(
        name="the final norm is missing",
        find=_RETURN,
        put="return self.lm_head(x)",
        says="ln_f is never applied, and gets no gradient. The head reads ln_f(x).",
    ),
    Mistake(
        name="the final norm does not know epsilon",
        find=_LN_F,
        put="self.ln_f = LayerNorm(config.n_embd)",
        says="ln_f uses its default eps, whatever config.layer_norm_epsilon says. Pass it on.",
    ),
    Mistake(
        name="the final norm comes in every layer",
        find="x = block(x)",
        put="x = self.ln_f(block(x))",
        also=((_RETURN, "return self.lm_head(x)"),),
        says="ln_f is applied after every block, on the residual path. It comes once, after the last.",
    ),
    Mistake(
        name="a norm before the first block",
        find=_LOOP,
        put="x = self.ln_f(x)\n        " + _LOOP,
        says="ln_f is applied to the embeddings as well. It comes once, after the last block.",
    ),
    Mistake(
        name="positions are never added",
        find=_X,
        put="x = self.drop(self.wte(input_ids))",
        says="The position embeddings are never added: wpe gets no gradient, and the model cannot tell places apart.",
    ),
    Mistake(
        name="positions start at 1",
        find=_POSITIONS,
        put="positions = torch.arange(1, T + 1, device=input_ids.device)",
        says="The first token gets wpe[1], and a text of n_positions tokens runs off the table. Positions count from 0.",
    ),
    Mistake(
        name="positions run backwards",
        find=_POSITIONS,
        put="positions = torch.arange(T - 1, -1, -1, device=input_ids.device)",
        says="The first token gets wpe[T-1]: positions run backwards, so each new token moves all the others.",
    ),
    Mistake(
        name="positions are the ids",
        find="self.wpe(positions)",
        put="self.wpe(input_ids.clamp(max=self.config.n_positions - 1))",
        says="wpe is looked up with the token ids: the position follows the token and not its place. Use 0, 1, ..., T-1.",
    ),
    Mistake(
        name="embeddings are scaled by sqrt(C)",
        find="self.drop(self.wte(input_ids) +",
        put="self.drop(self.wte(input_ids) * self.config.n_embd**0.5 +",
        says="The token embeddings are multiplied by sqrt(C). The first Transformer did that; GPT-2 adds them as they are.",
    ),
    Mistake(
        name="softmax on the logits",
        find=_RETURN,
        put="return torch.softmax(self.lm_head(self.ln_f(x)), dim=-1)",
        says="The model returns probabilities: rows sum to 1. Return the raw logits; cross_entropy and sampling do the softmax themselves.",
    ),
    Mistake(
        name="log_softmax on the logits",
        find=_RETURN,
        put="return torch.log_softmax(self.lm_head(self.ln_f(x)), dim=-1)",
        says="The model returns log-probabilities, all below 0. Return the raw logits.",
    ),
    Mistake(
        name="only the last position",
        find=_RETURN,
        put="return self.lm_head(self.ln_f(x[:, -1:]))",
        says="Only the last position gets logits. Training needs all of them: (B, T, V).",
    ),
    Mistake(
        name="logits and hidden states are returned",
        find=_RETURN,
        put="return self.lm_head(self.ln_f(x)), x",
        says="forward returns a tuple. Return the logits alone.",
    ),
    Mistake(
        name="no dropout on the embeddings",
        find=_X,
        put="x = self.wte(input_ids) + self.wpe(positions)",
        says="Dropout on the embeddings is never applied: in train mode nothing of what the first block gets is dropped.",
    ),
    Mistake(
        name="the embeddings' dropout has another rate",
        find="self.drop = nn.Dropout(config.embd_pdrop)",
        put="self.drop = nn.Dropout(config.resid_pdrop)",
        says="The dropout after the embeddings has resid_pdrop's rate; it has embd_pdrop's.",
    ),
    Mistake(
        name="dropout before the head",
        find=_RETURN,
        put="return self.lm_head(nn.functional.dropout(self.ln_f(x), 0.1, self.training))",
        says="There is a dropout before the head, with a rate of its own. GPT-2 has none there.",
    ),
    Mistake(
        name="a long text is cut",
        find=_CHECK,
        put="input_ids, T = input_ids[:, -limit:], limit",
        says="A text longer than n_positions is cut without a word. Refuse it with a ValueError; cropping is the caller's decision.",
    ),
    Mistake(
        name="a long text is not checked",
        find=_CHECK,
        put="pass",
        says="A text longer than n_positions ends in an IndexError from inside PyTorch. Check T first and raise ValueError.",
    ),
    Mistake(
        name="the check is off by one",
        find="if T > limit:",
        put="if T >= limit:",
        says="A text of exactly n_positions tokens is refused, but it fits: refuse T > n_positions.",
    ),
    Mistake(
        name="the length is the batch size",
        find="input_ids.size(1), self",
        put="input_ids.size(0), self",
        says="T is taken from the first axis, which is the batch: input_ids.size(1) is the number of tokens.",
    ),
    Mistake(
        name="the config is not kept",
        find="self.config = config",
        put="self.settings = config",
        also=(("self.config.n_positions", "self.settings.n_positions"),),
        says="The model does not keep its config: self.config = config. Later problems read it.",
    ),
    Mistake(
        name="positions stay on the CPU",
        find=_POSITIONS,
        put="positions = torch.arange(T)",
        says="The positions are made on the CPU whatever device the ids are on: pass device=input_ids.device to torch.arange.",
    ),
    Mistake(
        name="a post-norm block",
        find=_BLOCK,
        put=_block(
            "    def forward(self, x):\n        x = self.ln_1(x + self.attn(x))\n        return self.ln_2(x + self.mlp(x))\n"
        ),
        says="Your block is post-norm, as in GPT-1: the norms stand around the sums. GPT-2: x + attn(ln_1(x)), then x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="a block without residuals",
        find=_BLOCK,
        put=_block(
            "    def forward(self, x):\n        return self.mlp(self.ln_2(self.attn(self.ln_1(x))))\n"
        ),
        says="Your block does not add its input back: x + attn(ln_1(x)), then x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="a block with one norm for both",
        find=_BLOCK,
        put=_block(
            "    def forward(self, x):\n        x = x + self.attn(self.ln_1(x))\n        return x + self.mlp(self.ln_1(x))\n"
        ),
        says="Your block uses ln_1 before both sublayers: ln_2 is never used. The feed-forward layer reads ln_2(x).",
    ),
    Mistake(
        name="bidirectional blocks",
        find=_BLOCK,
        put=_block(
            "    def __init__(self, config):\n        super().__init__(config)\n        self.attn = problem(4).MultiHeadAttention(config)\n"
        ),
        says="The blocks' attention sees the future. A language model needs the causal attention of problem 05.",
    ),
    Mistake(
        name="blocks with the exact GELU",
        find=_BLOCK,
        put=_block(
            "    def forward(self, x):\n        x = x + self.attn(self.ln_1(x))\n        h = nn.functional.gelu(self.mlp.c_fc(self.ln_2(x)))\n        return x + self.mlp.dropout(self.mlp.c_proj(h))\n"
        ),
        says="The blocks use the exact GELU, PyTorch's default. GPT-2 uses the tanh approximation: approximate='tanh'. Real weights notice.",
    ),
    Mistake(
        name="zeros",
        find=_RETURN,
        put="return torch.zeros(*input_ids.shape, self.config.vocab_size)",
        says="The logits are all zeros: nothing of the computation reaches them.",
    ),
]
