"""Known wrong answers to problem 05."""

from common.mistakes import Mistake

_MASK = "torch.ones(seq_len, seq_len, dtype=torch.bool, device=device).tril()"
_APPLY = "scores = scores.masked_fill(~causal_mask(x.size(1), x.device), -torch.inf)"
_SPLIT = "q, k, v = (split_heads(part, self.n_head) for part in self.c_attn(x).chunk(3, dim=-1))"
_SCALE = "scores = q @ k.mT / math.sqrt(q.size(-1))"
_WEIGHTS = "weights = self.attn_dropout(torch.softmax(scores, dim=-1))"
_RETURN = "return self.resid_dropout(self.c_proj(merge_heads(weights @ v)))"

MISTAKES = [
    Mistake(
        name="the diagonal is closed",
        find=_MASK,
        put=_MASK.replace(".tril()", ".tril(-1)"),
        says="Each token must see itself, but your mask closes the diagonal (tril with diagonal=-1). Row 0 then has "
        "nothing left to attend to, and its softmax is NaN. Use tril() as it is.",
    ),
    Mistake(
        name="one token of the future is open",
        find=_MASK,
        put=_MASK.replace(".tril()", ".tril(1)"),
        says="Your mask lets each token see the one right after it (diagonal=1), which is the very token it is asked to "
        "predict: training would look perfect and generation would fail. The last open entry of row i is column i.",
    ),
    Mistake(
        name="the mask is transposed",
        find=_MASK,
        put=_MASK.replace("tril", "triu"),
        says="Your mask is the upper triangle: each token sees itself and the future, and not the past. Rows are queries "
        "and columns are keys, so the open part is the lower triangle (tril).",
    ),
    Mistake(
        name="the mask is True where attending is forbidden",
        find=_MASK,
        put=_MASK.replace(".tril()", ".triu(1)"),
        also=((_APPLY, _APPLY.replace("~", "")),),
        says="Your causal_mask is True where a token may NOT look. The contract is the other way round: True = may attend. "
        "Return the lower triangle, and close what is not True with masked_fill(~mask, ...).",
    ),
    Mistake(
        name="the mask is a float matrix",
        find=_MASK,
        put="torch.ones(seq_len, seq_len, device=device).tril()",
        also=(
            (
                _APPLY,
                _APPLY.replace(
                    "~causal_mask(x.size(1), x.device)", "causal_mask(x.size(1), x.device) == 0"
                ),
            ),
        ),
        says="causal_mask returns floats 0.0 and 1.0. It must be of bools, so that ~mask and masked_fill work on it: "
        "pass dtype=torch.bool to torch.ones.",
    ),
    Mistake(
        name="the mask ignores the device",
        find=_MASK,
        put=_MASK.replace(", device=device", ""),
        says="causal_mask takes a device and does not use it: the mask is always made on the CPU, and on a GPU masked_fill "
        "would fail. Pass device=device to torch.ones.",
    ),
    Mistake(
        name="the mask is never applied",
        find=_APPLY,
        put="pass",
        says="The causal mask has no effect on the scores: every token attends to all the others, also to later ones. "
        "Before the softmax, set the scores where the mask is False to -inf.",
    ),
    Mistake(
        name="the result of masked_fill is thrown away",
        find=_APPLY,
        put="scores.masked_fill(~causal_mask(x.size(1), x.device), -torch.inf)",
        says="The causal mask has no effect on the scores: masked_fill returns a new tensor and leaves the old one alone. "
        "Keep the result: scores = scores.masked_fill(...).",
        same_as="the mask is never applied",
    ),
    Mistake(
        name="masked_fill without turning the mask around",
        find=_APPLY,
        put=_APPLY.replace("~", ""),
        says="masked_fill fills where its mask is True, and yours is True where a token MAY look: the past is closed and the "
        "future open, and the last row has nothing left. Use masked_fill(~mask, -inf).",
    ),
    Mistake(
        name="the mask comes after the softmax",
        find=_APPLY,
        put="visible = causal_mask(x.size(1), x.device)",
        also=(
            (
                _WEIGHTS,
                "weights = self.attn_dropout(torch.softmax(scores, dim=-1).masked_fill(~visible, 0.0))",
            ),
        ),
        says="The weights of earlier tokens depend on later ones and do not sum to 1: you zero weights after the softmax, when "
        "the future has already taken its share. Set the scores to -inf before the softmax.",
    ),
    Mistake(
        name="closed scores are set to zero",
        find=_APPLY,
        put=_APPLY.replace("-torch.inf", "0.0"),
        says="Closed scores are set to 0, but a score of 0 has weight exp(0) = 1 before normalising: the future stays visible. "
        "Use -inf, whose exp is 0.",
    ),
    Mistake(
        name="closed scores are set to -10",
        find=_APPLY,
        put=_APPLY.replace("-torch.inf", "-10.0"),
        says="Closed scores are set to -10, which still leaves the future a weight of about e^-10, and far more where real "
        "scores are low. Use -inf.",
    ),
    Mistake(
        name="the mask multiplies the scores",
        find=_APPLY,
        put="scores = scores * causal_mask(x.size(1), x.device)",
        says="Multiplying scores by the mask turns the closed ones into 0, and a score of 0 has weight exp(0) = 1: the "
        "future stays visible. Fill them with -inf.",
        same_as="closed scores are set to zero",
    ),
    Mistake(
        name="the mask is applied in train mode only",
        find=_APPLY,
        put="if self.training:\n            " + _APPLY,
        says="In eval mode an earlier output changes with a later token, in train mode it does not: the mask depends on "
        "self.training. It must always be applied.",
    ),
    Mistake(
        name="softmax over the queries",
        find=_WEIGHTS,
        put=_WEIGHTS.replace("dim=-1", "dim=-2"),
        says="The softmax runs over the queries (dim=-2): columns of the weights sum to 1 instead of rows, and a token's "
        "weights depend on later tokens. Each query shares out its attention over the keys: dim=-1.",
    ),
    Mistake(
        name="softmax over the heads",
        find=_WEIGHTS,
        put=_WEIGHTS.replace("dim=-1", "dim=1"),
        says="The softmax runs over the heads (dim=1), so the heads compete with each other and a row of weights does not sum "
        "to 1. It must run over the keys, dim=-1.",
    ),
    Mistake(
        name="scores are not scaled",
        find=_SCALE,
        put="scores = q @ k.mT",
        says="The scores are q·k without the division by sqrt(D): they are sqrt(D) times too large and the weights too sharp.",
    ),
    Mistake(
        name="scores are scaled by D",
        find=_SCALE,
        put="scores = q @ k.mT / q.size(-1)",
        says="You divide the scores by D instead of sqrt(D): they are too small and attention is nearly uniform.",
    ),
    Mistake(
        name="scores are scaled by sqrt(C)",
        find=_SCALE,
        put="scores = q @ k.mT / math.sqrt(x.size(-1))",
        says="You divide by sqrt(C), the width of the model. Each head works in D = C // H channels, so divide by sqrt(D).",
    ),
    Mistake(
        name="scores are scaled by sqrt(T)",
        find=_SCALE,
        put="scores = q @ k.mT / math.sqrt(q.size(-2))",
        says="You divide by sqrt(T): the scale changes with the length of the text. It must be sqrt(D), the size of a head; "
        "q.size(-1), not q.size(-2).",
    ),
    Mistake(
        name="scores computed as k times q",
        find=_SCALE,
        put="scores = k @ q.mT / math.sqrt(q.size(-1))",
        says="Your score table is transposed: entry [i, j] is q[j]·k[i]. Query i asks key j: q @ k.mT.",
    ),
    Mistake(
        name="key and query are cut in the wrong order",
        find="q, k, v = (split_heads",
        put="k, q, v = (split_heads",
        says="The first C channels of c_attn's output are the queries and the next C the keys; you have swapped the two. "
        "Published weights rely on the order query, key, value.",
        same_as="scores computed as k times q",
    ),
    Mistake(
        name="value is cut first",
        find="q, k, v = (split_heads",
        put="v, q, k = (split_heads",
        says="The first C channels of c_attn's output are taken for the values. The order is query, key, value: the values "
        "are the last C channels.",
    ),
    Mistake(
        name="heads are cut with a plain reshape",
        find=_SPLIT,
        put="q, k, v = (t.reshape(x.size(0), self.n_head, x.size(1), -1) for t in self.c_attn(x).chunk(3, dim=-1))",
        says="reshape(B, H, T, D) re-cuts the memory so that each head gets pieces of different tokens. First "
        "view(B, T, H, D), then transpose(1, 2).",
    ),
    Mistake(
        name="heads are merged without transposing back",
        find="merge_heads(weights @ v)",
        put="(weights @ v).reshape(x.shape)",
        says="The heads are merged without moving the token axis back to the front: (B, H, T, D) must become (B, T, H, D) "
        "with transpose(1, 2) before it is flattened to (B, T, C).",
    ),
    Mistake(
        name="heads are merged along the wrong axes",
        find="merge_heads(weights @ v)",
        put="(weights @ v).transpose(2, 3).reshape(x.shape)",
        says="You transpose axes 2 and 3 before merging, which puts channels before tokens. Bring heads next to channels "
        "with transpose(1, 2).",
    ),
    Mistake(
        name="c_proj is not applied",
        find="self.c_proj(merge_heads(weights @ v))",
        put="merge_heads(weights @ v)",
        says="c_proj is never applied: the heads are only laid side by side. The output is c_proj of the merged heads.",
    ),
    Mistake(
        name="resid_dropout is missing",
        find=_RETURN,
        put="return self.c_proj(merge_heads(weights @ v))",
        says="resid_dropout is never applied: in train mode nothing of the output is dropped. It is the last step, after c_proj.",
    ),
    Mistake(
        name="attn_dropout is missing",
        find=_WEIGHTS,
        put="weights = torch.softmax(scores, dim=-1)",
        says="attn_dropout is never applied: in train mode no attention weight is dropped. It acts on the weights, after the softmax.",
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
        says="Dropout is on in eval mode: F.dropout drops unless it is told otherwise. Use self.attn_dropout, or pass "
        "training=self.training.",
    ),
    Mistake(
        name="the mask is part of the state dict",
        find="        self.resid_dropout = nn.Dropout(config.resid_pdrop)\n",
        put="        self.resid_dropout = nn.Dropout(config.resid_pdrop)\n"
        '        self.register_buffer("visible", causal_mask(config.n_positions))\n',
        says="The state_dict holds your mask. A mask is not learned, and published weights have none: register it with "
        "persistent=False.",
    ),
    Mistake(
        name="the mask is a plain attribute",
        find="        self.resid_dropout = nn.Dropout(config.resid_pdrop)\n",
        put="        self.resid_dropout = nn.Dropout(config.resid_pdrop)\n"
        "        self.visible = causal_mask(config.n_positions)\n",
        also=(
            (
                _APPLY,
                "scores = scores.masked_fill(~self.visible[: x.size(1), : x.size(1)], -torch.inf)",
            ),
        ),
        says="The mask is a plain attribute, so model.to(device) leaves it behind on the CPU. Register it with "
        "register_buffer(..., persistent=False), or make it in forward on x.device.",
    ),
    Mistake(
        name="the projections have no bias",
        find="nn.Linear(config.n_embd, 3 * config.n_embd)",
        put="nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)",
        says="c_attn is made with bias=False. GPT-2's projections have biases, and its published weights have nowhere else to go.",
    ),
    Mistake(
        name="the output is the input",
        find=_RETURN,
        put="return x",
        says="forward returns its input: attention is computed but not used.",
    ),
    Mistake(
        name="the output is only the values",
        find="merge_heads(weights @ v)",
        put="merge_heads(v)",
        says="The output is c_proj of each token's own value: the weights are never multiplied with the values, so no token "
        "hears of another.",
    ),
    Mistake(
        name="the mask of the first call is kept",
        find="~causal_mask(x.size(1), x.device)",
        put="~self.mask",
        also=(
            (
                "        q, k, v = (",
                '        if not hasattr(self, "mask"):\n            self.mask = causal_mask(x.size(1), x.device)\n        q, k, v = (',
            ),
        ),
        says="The mask is made in the first call and kept, so a text of another length does not fit it. Make it in each call, or once for n_positions and cut it: mask[:T, :T].",
    ),
]
