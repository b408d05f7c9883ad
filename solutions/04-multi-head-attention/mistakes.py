"""Known wrong answers to problem 04."""

from common.mistakes import Mistake

_SPLIT = "return x.unflatten(-1, (n_head, -1)).transpose(1, 2)"
_MERGE = "return x.transpose(1, 2).flatten(start_dim=2)"
_CUT = "q, k, v = (split_heads(part, self.n_head) for part in self.c_attn(x).chunk(3, dim=-1))"
_SCORES = "scores = q @ k.mT / math.sqrt(q.size(-1))"
_WEIGHTS = "weights = self.attn_dropout(torch.softmax(scores, dim=-1))"
_RETURN = "return self.resid_dropout(self.c_proj(merge_heads(weights @ v)))"
_C_ATTN = "self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)"
_C_PROJ = "self.c_proj = nn.Linear(config.n_embd, config.n_embd)"

MISTAKES = [
    Mistake(
        name="heads cut with a plain reshape",
        find=_SPLIT,
        put="return x.reshape(x.size(0), n_head, x.size(1), -1)",
        says="reshape(B, H, T, D) re-cuts the memory across tokens: head 0 gets whole tokens instead of a part of each. First view(B, T, H, D), then transpose(1, 2).",
    ),
    Mistake(
        name="heads are not moved to the front",
        find=_SPLIT,
        put="return x.unflatten(-1, (n_head, -1))",
        says="split_heads stops at (B, T, H, D). Move the heads before the tokens with transpose(1, 2), so that each head's (T, D) is a matrix.",
    ),
    Mistake(
        name="channels dealt out in turn",
        find=_SPLIT,
        put="return x.unflatten(-1, (-1, n_head)).permute(0, 3, 1, 2)",
        says="Your head h gets every H-th channel: you cut (D, H) instead of (H, D). Head h is D channels in a row, h * D to (h + 1) * D.",
    ),
    Mistake(
        name="the wrong axes are swapped",
        find=_SPLIT,
        put="return x.unflatten(-1, (n_head, -1)).transpose(1, 3)",
        says="split_heads swaps axes 1 and 3 and gives (B, D, H, T). Swap tokens and heads, axes 1 and 2.",
    ),
    Mistake(
        name="n_head taken for the size of a head",
        find=_SPLIT,
        put="return x.unflatten(-1, (-1, n_head)).transpose(1, 2)",
        says="split_heads makes heads of n_head channels each. n_head is the number of heads; a head has C // n_head channels.",
    ),
    Mistake(
        name="merged without transposing back",
        find=_MERGE,
        put="return x.reshape(x.size(0), x.size(2), -1)",
        says="merge_heads flattens without moving the tokens back to the front, so tokens and heads are scrambled. transpose(1, 2) first, then flatten.",
    ),
    Mistake(
        name="merged along the wrong axes",
        find=_MERGE,
        put="return x.transpose(2, 3).reshape(x.size(0), x.size(2), -1)",
        says="merge_heads swaps axes 2 and 3. The heads have to come next to their channels: transpose(1, 2).",
    ),
    Mistake(
        name="channels before heads",
        find=_MERGE,
        put="return x.permute(0, 2, 3, 1).flatten(start_dim=2)",
        says="merge_heads interleaves the heads channel by channel: the merged order is head 0's D channels, then head 1's. Use transpose(1, 2), not permute(0, 2, 3, 1).",
    ),
    Mistake(
        name="heads are averaged",
        find=_MERGE,
        put="return x.mean(1).repeat(1, 1, x.size(1))",
        says="merge_heads averages the heads. They are laid side by side, so that H times D channels make C again.",
    ),
    Mistake(
        name="view after transpose",
        find=_MERGE,
        put="return x.transpose(1, 2).view(x.size(0), x.size(2), -1)",
        says="After transpose the memory is not contiguous and view refuses: call .contiguous() first, or use reshape or flatten.",
    ),
    Mistake(
        name="scores are not scaled",
        find=_SCORES,
        put="scores = q @ k.mT",
        says="The scores are q·k without the division by sqrt(D): they are sqrt(D) times too large and the weights too sharp.",
    ),
    Mistake(
        name="scaled by D",
        find=_SCORES,
        put="scores = q @ k.mT / q.size(-1)",
        says="You divide the scores by D instead of sqrt(D): they are too small and attention is nearly uniform.",
    ),
    Mistake(
        name="scaled by sqrt(C)",
        find=_SCORES,
        put="scores = q @ k.mT / math.sqrt(x.size(-1))",
        says="You divide by sqrt(C), the width of the model. Each head works in D = C // H channels, so divide by sqrt(D).",
    ),
    Mistake(
        name="scaled by sqrt(H)",
        find=_SCORES,
        put="scores = q @ k.mT / math.sqrt(self.n_head)",
        says="You divide by sqrt(H), the number of heads. The scale is the root of a head's channels, D = C // H.",
    ),
    Mistake(
        name="scaled by sqrt(T)",
        find=_SCORES,
        put="scores = q @ k.mT / math.sqrt(q.size(-2))",
        says="You divide by sqrt(T): the scale changes with the length of the text. It is sqrt(D): q.size(-1), not q.size(-2).",
    ),
    Mistake(
        name="scores transposed",
        find=_SCORES,
        put="scores = k @ q.mT / math.sqrt(q.size(-1))",
        says="Your score table is transposed: entry [i, j] is q[j]·k[i]. Query i asks key j: q @ k.mT.",
    ),
    Mistake(
        name="query and key cut in the wrong order",
        find="q, k, v = (split",
        put="k, q, v = (split",
        says="The first C channels of c_attn's output are the queries and the next C the keys; you have swapped the two.",
        same_as="scores transposed",
    ),
    Mistake(
        name="value is cut first",
        find="q, k, v = (split",
        put="v, q, k = (split",
        says="The first C channels of c_attn's output are taken for the values. The order is query, key, value: values are the last C channels.",
    ),
    Mistake(
        name="query, key and value interleaved within heads",
        find=_CUT,
        put="q, k, v = split_heads(self.c_attn(x), self.n_head).chunk(3, dim=-1)",
        says="You cut c_attn's output into heads first and into q, k, v afterwards, so each head holds its own three. In GPT-2 all queries come first, then all keys, then all values.",
    ),
    Mistake(
        name="all heads share the first head's keys and values",
        find=_SCORES,
        put="k, v = k[:, :1], v[:, :1]\n        " + _SCORES,
        says="All heads use head 0's keys and values, so most key and value rows of c_attn never learn. Each head has its own.",
    ),
    Mistake(
        name="one head",
        find="self.n_head = config.n_head",
        put="self.n_head = 1",
        says="The attention runs with a single head over all C channels: n_head of the config is ignored.",
    ),
    Mistake(
        name="heads are never split",
        find=_CUT,
        put="q, k, v = (part.unsqueeze(1) for part in self.c_attn(x).chunk(3, dim=-1))",
        says="The attention runs over all C channels at once: q, k and v are never cut into heads. Use split_heads.",
        same_as="one head",
    ),
    Mistake(
        name="softmax over the queries",
        find=_WEIGHTS,
        put=_WEIGHTS.replace("dim=-1", "dim=-2"),
        says="The softmax runs over the queries (dim=-2): columns of the weights sum to 1 instead of rows. Each query shares out its attention over the keys, dim=-1.",
    ),
    Mistake(
        name="softmax over the heads",
        find=_WEIGHTS,
        put=_WEIGHTS.replace("dim=-1", "dim=1"),
        says="The softmax runs over the heads (dim=1), so heads compete with each other and a row of weights does not sum to 1. It runs over the keys, dim=-1.",
    ),
    Mistake(
        name="no softmax",
        find=_WEIGHTS,
        put="weights = self.attn_dropout(scores)",
        says="There is no softmax: the values are mixed by raw scores. Put the scores through softmax over the keys.",
    ),
    Mistake(
        name="a causal mask",
        find=_WEIGHTS,
        put="scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -torch.inf)\n        "
        + _WEIGHTS,
        says="Your attention hides later tokens. The causal mask comes in problem 05; here every token sees every token.",
    ),
    Mistake(
        name="c_proj is not applied",
        find="self.c_proj(merge_heads(weights @ v))",
        put="merge_heads(weights @ v)",
        says="c_proj is never applied: without it the heads are only laid side by side, and never mixed.",
    ),
    Mistake(
        name="c_proj before the heads are merged",
        find="self.c_proj(merge_heads(weights @ v))",
        put="merge_heads(split_heads(self.c_proj(merge_heads(v)), self.n_head).mul(0) + weights @ v)",
        says="c_proj has no effect on the output: it is computed but its result is lost. The last steps are merge, c_proj, resid_dropout.",
        same_as="c_proj is not applied",
    ),
    Mistake(
        name="no residual dropout",
        find=_RETURN,
        put="return self.c_proj(merge_heads(weights @ v))",
        says="resid_dropout is never applied: in train mode nothing of the output is dropped. It is the last step, after c_proj.",
    ),
    Mistake(
        name="residual dropout before c_proj",
        find=_RETURN,
        put="return self.c_proj(self.resid_dropout(merge_heads(weights @ v)))",
        says="resid_dropout is applied before c_proj, so no value of the output is exactly 0. It is the last step, after c_proj.",
    ),
    Mistake(
        name="no attention dropout",
        find=_WEIGHTS,
        put="weights = torch.softmax(scores, dim=-1)",
        says="attn_dropout is never applied: in train mode no attention weight is dropped. It acts on the weights, after the softmax.",
    ),
    Mistake(
        name="attention dropout on the scores",
        find=_WEIGHTS,
        put="weights = torch.softmax(self.attn_dropout(scores), dim=-1)",
        says="attn_dropout acts on the scores, before the softmax: a score of 0 still has a weight. Drop the weights, after the softmax.",
    ),
    Mistake(
        name="attention dropout on the values",
        find=_WEIGHTS,
        put="weights = torch.softmax(scores, dim=-1)\n        v = self.attn_dropout(v)",
        says="attn_dropout drops single channels of the values. It acts on the attention weights: a dropped weight takes all D channels with it.",
    ),
    Mistake(
        name="the two dropout rates are swapped",
        find="self.attn_dropout = nn.Dropout(config.attn_pdrop)",
        put="self.attn_dropout = nn.Dropout(config.resid_pdrop)",
        also=(
            (
                "self.resid_dropout = nn.Dropout(config.resid_pdrop)",
                "self.resid_dropout = nn.Dropout(config.attn_pdrop)",
            ),
        ),
        says="attn_pdrop and resid_pdrop are swapped: attn_dropout has the rate attn_pdrop, resid_dropout the rate resid_pdrop.",
    ),
    Mistake(
        name="dropout stays on in eval mode",
        find=_WEIGHTS,
        put="weights = nn.functional.dropout(torch.softmax(scores, dim=-1), self.attn_dropout.p)",
        says="Dropout is on in eval mode: F.dropout drops unless it is told otherwise. Use self.attn_dropout, or pass training=self.training.",
    ),
    Mistake(
        name="c_attn without bias",
        find=_C_ATTN,
        put="self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)",
        says="c_attn is made with bias=False. GPT-2's projections have biases, and its published weights have nowhere else to go.",
    ),
    Mistake(
        name="c_proj without bias",
        find=_C_PROJ,
        put="self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)",
        says="c_proj is made with bias=False. GPT-2's output projection has a bias.",
    ),
    Mistake(
        name="three layers instead of c_attn",
        find=_C_ATTN,
        put="self.q_proj = nn.Linear(config.n_embd, config.n_embd)\n        self.k_proj = nn.Linear(config.n_embd, config.n_embd)\n"
        "        self.v_proj = nn.Linear(config.n_embd, config.n_embd)",
        also=(
            ("self.c_attn(x).chunk(3, dim=-1)", "(self.q_proj(x), self.k_proj(x), self.v_proj(x))"),
        ),
        says="Query, key and value have a layer each. GPT-2 makes all three at once with c_attn, nn.Linear(C, 3C), and its weights load by that name.",
    ),
    Mistake(
        name="the output is only the values",
        find="merge_heads(weights @ v)",
        put="merge_heads(v)",
        says="The output is c_proj of each token's own value: the weights are never multiplied with the values, so no token hears of another.",
    ),
    Mistake(
        name="the output is the input",
        find=_RETURN,
        put="return x",
        says="forward returns its input: attention is computed but not used.",
    ),
    Mistake(
        name="zeros",
        find=_RETURN,
        put="return torch.zeros_like(x)",
        says="The output is all zeros: nothing of the computation reaches it.",
    ),
]
