"""Known wrong answers to interview 03."""

from common.mistakes import Mistake

_HIDE = "scores = scores.masked_fill(~mask, -torch.inf)"
_HIGHEST = "    highest = scores.amax(dim, keepdim=True)\n"
_EMPTY = "    highest = highest.masked_fill(highest == -torch.inf, 0.0)  # an empty row: -inf - -inf is NaN\n"
_EXP = "weights = torch.exp(scores - highest)"
_DIVIDE = "return weights / weights.sum(dim, keepdim=True).clamp(min=1.0)"
_CHECK = "if num_heads < 1 or C % num_heads:"
_SAYS = 'raise ValueError(f"C ({C}) must be a multiple of num_heads ({num_heads}), which is >= 1")'
_QKV = "qkv = F.linear(x, in_proj_weight, in_proj_bias)"
_CUT = "q, k, v = (t.view(B, T, num_heads, D).transpose(1, 2) for t in qkv.split(C, dim=-1))"
_ONES = "visible = torch.ones(T, T, dtype=torch.bool, device=x.device)"
_TRIL = "        visible = visible.tril()\n"
_PADDING = "visible = visible & key_padding_mask[:, None, None, :]"
_WEIGHTS = "weights = masked_softmax(q @ k.mT / math.sqrt(D), visible)"
_MERGE = "heads = (weights @ v).transpose(1, 2).flatten(2)"
_OUT = "return F.linear(heads, out_proj_weight, out_proj_bias)"

MISTAKES = [
    Mistake(
        name="masked_softmax gives the scores back",
        find=_DIVIDE,
        put="return scores",
        says="masked_softmax gives back scores, not weights: exp and the division by the row's sum are still to be written.",
    ),
    Mistake(
        name="the mask is turned round",
        find="masked_fill(~mask",
        put="masked_fill(mask",
        says="masked_softmax hides what may be seen: True means may attend, so it is ~mask that gets -inf.",
    ),
    Mistake(
        name="the mask is ignored",
        find=f"    {_HIDE}\n",
        put="",
        says="masked_softmax never looks at the mask: put -inf where it is False, before anything else.",
    ),
    Mistake(
        name="hidden scores are 0",
        find="masked_fill(~mask, -torch.inf)",
        put="masked_fill(~mask, 0.0)",
        says="Hidden scores become 0, and exp(0) = 1 is a large weight. A hidden score is -inf, since exp(-inf) = 0.",
    ),
    Mistake(
        name="hidden scores are smallest positive",
        find="masked_fill(~mask, -torch.inf)",
        put="masked_fill(~mask, torch.finfo(scores.dtype).tiny)",
        says="finfo.tiny is the smallest positive number, about 1e-38, and so no mask: the lowest is finfo.min, and -inf is what exp turns into 0.",
        same_as="hidden scores are 0",
    ),
    Mistake(
        name="hidden after the softmax",
        find=_HIDE,
        put="full = scores",
        also=(
            (_DIVIDE, _DIVIDE + ".masked_fill(~mask, 0.0)"),
            (_HIGHEST, "    highest = full.amax(dim, keepdim=True)\n"),
        ),
        says="The weights are hidden after the division, so the visible ones no longer sum to 1: hide the scores, with -inf, before exp.",
    ),
    Mistake(
        name="a low finite score hides",
        find="masked_fill(~mask, -torch.inf)",
        put="masked_fill(~mask, -1e9)",
        says="A score of -1e9 hides a position beside others, but a row with -1e9 everywhere has equal scores and shares its weight evenly. An empty row needs zeros.",
    ),
    Mistake(
        name="-1e4 is taken for low enough",
        find="masked_fill(~mask, -torch.inf)",
        put="masked_fill(~mask, -1e4)",
        says="You hide with -1e4, which is no lower than real scores may be: around -1e4 hidden positions get weight. Use -inf.",
    ),
    Mistake(
        name="an empty row is NaN",
        find=_EMPTY,
        put="",
        says="The highest score of an empty row is -inf, and -inf - -inf is NaN. Take another highest there, such as 0; the weights are exp(-inf) = 0.",
    ),
    Mistake(
        name="an empty row is 0/0",
        find=".clamp(min=1.0)",
        put="",
        says="The weights of an empty row sum to 0, and 0/0 is NaN. Clamp the sum: any other row sums to 1 or more, as its highest score has the weight exp(0) = 1.",
        same_as="an empty row is NaN",
    ),
    Mistake(
        name="NaN replaced at the end",
        find=_HIDE,
        put="scores = scores + torch.zeros_like(scores).masked_fill(~mask, -torch.inf)",
        also=(
            (_EMPTY, ""),
            (_DIVIDE, "return (weights / weights.sum(dim, keepdim=True)).nan_to_num()"),
        ),
        says="nan_to_num mends the result of an empty row, but backward() passes through the NaN that was there, and 0 * NaN is NaN. Adding -inf lets that gradient on; masked_fill stops it.",
    ),
    Mistake(
        name="hidden after exp",
        find=_EXP,
        put="weights = torch.where(mask, torch.exp(full - highest), 0.0)",
        also=((_HIDE, f"full = scores\n    {_HIDE}"),),
        says="A hidden score goes through exp and is taken out after it. At 1e4 that is inf, and backward() makes 0 * inf = NaN of it: hide the scores before exp.",
    ),
    Mistake(
        name="no maximum is subtracted",
        find=_EXP,
        put="weights = torch.exp(scores)",
        also=((".clamp(min=1.0)", ".clamp(min=1e-12)"),),
        says="exp overflows above 88: scores of 100 give inf/inf = NaN. Subtract the row's highest visible score first; the result stays the same.",
    ),
    Mistake(
        name="one maximum for the whole table",
        find=_HIGHEST,
        put="    highest = scores.amax()\n",
        also=((".clamp(min=1.0)", ".clamp(min=1e-12)"),),
        says="One maximum is subtracted from the whole table, so that rows far below it become exp(-500) = 0. Each row needs its own: amax(dim, keepdim=True).",
    ),
    Mistake(
        name="the maximum counts hidden scores",
        find=f"    {_HIDE}\n{_HIGHEST}",
        put=f"{_HIGHEST}    {_HIDE}\n",
        also=((".clamp(min=1.0)", ".clamp(min=1e-12)"),),
        says="The maximum is taken before hiding: a hidden score of 1e4 pushes every visible one down to exp(-1e4) = 0. Hide first.",
    ),
    Mistake(
        name="always along the last axis",
        find=_HIGHEST,
        put="    dim = -1\n" + _HIGHEST,
        says="masked_softmax runs along the last axis whatever dim says: pass dim to both amax and sum.",
    ),
    Mistake(
        name="emptiness along the last axis",
        find="highest.masked_fill(highest == -torch.inf, 0.0)",
        put="highest.masked_fill(~mask.any(-1, keepdim=True), 0.0)",
        says="You look for empty rows along the last axis, and in the mask as it comes. A row lies along dim, so look there, with the mask broadcast to the scores.",
    ),
    Mistake(
        name="the sum runs along the last axis",
        find="weights.sum(dim, keepdim=True)",
        put="weights.sum(-1, keepdim=True)",
        says="The highest score is taken along dim, the sum along the last axis: pass dim to sum too.",
    ),
    Mistake(
        name="the sum is detached",
        find="weights.sum(dim, keepdim=True)",
        put="weights.sum(dim, keepdim=True).detach()",
        says="The values are right and the gradient is not: the sum is detached, but it depends on the scores too. Only the highest score may be a constant.",
    ),
    Mistake(
        name="the weights are detached",
        find=_EXP,
        put="weights = torch.exp(scores - highest).detach()",
        says="No gradient reaches the scores: detach() (or .data, or no_grad()) cuts the graph in masked_softmax.",
    ),
    Mistake(
        name="the scores are overwritten",
        find="scores.masked_fill(~mask",
        put="scores.detach().masked_fill_(~mask",
        says="masked_fill_ with its underscore writes -inf into the caller's scores: masked_fill makes a new tensor. detach() still shares the memory, and cuts the gradient as well.",
    ),
    Mistake(
        name="the scores are overwritten in place",
        find="    " + _HIDE,
        put="    scores.masked_fill_(~mask, -torch.inf)",
        says="masked_fill_ with its underscore writes -inf into the caller's scores, and fails when these are a leaf that needs a gradient. masked_fill makes a new tensor.",
    ),
    Mistake(
        name="answers in float32",
        find=_HIDE,
        put="scores = scores.float().masked_fill(~mask, -torch.inf)",
        also=((_MERGE, "heads = (weights.to(v.dtype) @ v).transpose(1, 2).flatten(2)"),),
        says="masked_softmax answers in float32 whatever it is given: cast the weights back, or leave the type of the scores alone.",
    ),
    Mistake(
        name="attention gives x back",
        find=_OUT,
        put="return x",
        says="multi_head_attention gives its input back: return the output projection of the merged heads.",
    ),
    Mistake(
        name="divided by the root of all channels",
        find="math.sqrt(D)",
        put="math.sqrt(C)",
        says="The scores are divided by sqrt(C). A head's dot product has D = C // num_heads terms, so divide by sqrt(D).",
    ),
    Mistake(
        name="no scale",
        find=" / math.sqrt(D)",
        put="",
        says="The scores are not scaled: divide q @ k.mT by sqrt(D), before the softmax.",
    ),
    Mistake(
        name="scaled after the softmax",
        find=_WEIGHTS,
        put="weights = masked_softmax(q @ k.mT, visible) / math.sqrt(D)",
        says="The weights are divided by sqrt(D) after the softmax and no longer sum to 1: divide the scores, before it.",
    ),
    Mistake(
        name="the root is missing",
        find="math.sqrt(D)",
        put="D",
        says="The scores are divided by D itself. A sum of D products of size 1 is about sqrt(D) in size, so that is what brings it back to 1.",
    ),
    Mistake(
        name="softmax over the queries",
        find="math.sqrt(D), visible)",
        put="math.sqrt(D), visible, dim=-2)",
        says="The softmax runs over the queries. Rows are queries and columns keys, and each row shares out its weight over the keys: dim=-1.",
    ),
    Mistake(
        name="queries and keys exchanged",
        find="q, k, v = (",
        put="k, q, v = (",
        says="Query and key are exchanged: the first C rows of in_proj_weight make the query, the next C the key, the last C the value.",
    ),
    Mistake(
        name="tokens first",
        find=_QKV,
        put="x = x.transpose(0, 1).reshape(B, T, C)\n    qkv = F.linear(x, in_proj_weight, in_proj_bias)",
        also=(
            (
                _OUT,
                "return F.linear(heads, out_proj_weight, out_proj_bias).reshape(T, B, C).transpose(0, 1)",
            ),
        ),
        says="You turn x to (T, B, C), which is how nn.MultiheadAttention takes it by default. Here the batch comes first, and stays there: attention would run across texts.",
    ),
    Mistake(
        name="values first",
        find="q, k, v = (",
        put="v, q, k = (",
        says="The first third is taken for the values. The rows of in_proj_weight make query, key, value, in this order.",
    ),
    Mistake(
        name="keys and values exchanged",
        find="q, k, v = (",
        put="q, v, k = (",
        says="Key and value are exchanged: the rows of in_proj_weight make query, key, value, in this order.",
    ),
    Mistake(
        name="heads cut without a transpose",
        find="t.view(B, T, num_heads, D).transpose(1, 2)",
        put="t.reshape(B, num_heads, T, D)",
        also=((_MERGE, "heads = (weights @ v).reshape(B, T, C)"),),
        says="reshape(B, H, T, D) cuts across tokens: a head would get all channels of some tokens. Cut the channels, view(B, T, H, D), then transpose(1, 2).",
    ),
    Mistake(
        name="channels dealt out to the heads in turn",
        find="t.view(B, T, num_heads, D).transpose(1, 2)",
        put="t.view(B, T, D, num_heads).permute(0, 3, 1, 2)",
        says="A head takes every H-th channel. Head h owns the D channels from h * D on: view(B, T, H, D).",
    ),
    Mistake(
        name="query, key, value head by head",
        find=_CUT,
        put="q, k, v = qkv.view(B, T, num_heads, 3, D).permute(3, 0, 2, 1, 4)",
        says="You read the 3C channels head by head, each with its own query, key and value. nn.MultiheadAttention stores all queries, then all keys, then all values: cut by C first.",
    ),
    Mistake(
        name="heads merged without a transpose",
        find=_MERGE,
        put="heads = (weights @ v).reshape(B, T, C)",
        says="The heads are merged while the head axis still stands before the tokens, which mixes tokens: transpose(1, 2) first, then flatten(2).",
    ),
    Mistake(
        name="channels interleaved on merging",
        find=_MERGE,
        put="heads = (weights @ v).permute(0, 2, 3, 1).flatten(2)",
        says="The merged channels are interleaved, one of each head in turn. Head h goes to channels h * D and on: transpose(1, 2), then flatten(2).",
    ),
    Mistake(
        name="one head only",
        find="D = C // num_heads\n",
        put="D, num_heads = C, 1\n",
        says="Everything is one head of C channels: cut query, key and value into num_heads pieces, each with scores of its own.",
    ),
    Mistake(
        name="no output projection",
        find=_OUT,
        put="return heads",
        says="The merged heads are returned as they are: the output projection, out_proj_weight and out_proj_bias, comes last.",
    ),
    Mistake(
        name="output weight not transposed",
        find=_OUT,
        put="return heads @ out_proj_weight + out_proj_bias",
        says="out_proj_weight is (out, in), so the product is heads @ out_proj_weight.mT, or F.linear. As it is square, no error tells you.",
    ),
    Mistake(
        name="no output bias",
        find=_OUT,
        put="return F.linear(heads, out_proj_weight)",
        says="out_proj_bias is never added: F.linear takes it as third argument.",
    ),
    Mistake(
        name="no input bias",
        find=_QKV,
        put="qkv = F.linear(x, in_proj_weight)",
        says="in_proj_bias is never added: query, key and value each have their third of it. F.linear takes it as third argument.",
    ),
    Mistake(
        name="a residual connection inside",
        find=_OUT,
        put="return x + F.linear(heads, out_proj_weight, out_proj_bias)",
        says="The input is added to the output. A residual connection belongs to the transformer block, not to attention.",
    ),
    Mistake(
        name="not causal",
        find=_TRIL,
        put="        pass\n",
        says="causal=True changes nothing: earlier tokens see later ones. Keep the lower triangle of the (T, T) mask, tril().",
    ),
    Mistake(
        name="the upper triangle",
        find=".tril()",
        put=".triu()",
        says="Tokens see the future and not the past: rows are queries and columns keys, so what may be seen is the lower triangle, tril().",
    ),
    Mistake(
        name="a token does not see itself",
        find=".tril()",
        put=".tril(-1)",
        says="The diagonal is hidden, so a token does not see itself and the first one sees nothing. tril() keeps the diagonal.",
    ),
    Mistake(
        name="a token sees the next one",
        find=".tril()",
        put=".tril(1)",
        says="One diagonal too many: each token sees the next one, which is the answer it should predict. tril() ends at the diagonal.",
    ),
    Mistake(
        name="always causal",
        find="    if causal:\n" + _TRIL,
        put="    visible = visible.tril()\n",
        says="The mask is causal even with causal=False: take the lower triangle only if causal.",
    ),
    Mistake(
        name="not causal by default",
        find="causal: bool = True",
        put="causal: bool = False",
        says="The default of causal is False in your signature; the contract says True.",
    ),
    Mistake(
        name="padding the other way round",
        find="& key_padding_mask[",
        put="& ~key_padding_mask[",
        says="You hide the real tokens. In nn.MultiheadAttention True means padding, but here True is a real token, which may be seen.",
    ),
    Mistake(
        name="padding ignored",
        find=f"        {_PADDING}",
        put="        pass",
        says="key_padding_mask changes nothing: a key is visible if the causal mask and the padding mask both allow it, &.",
    ),
    Mistake(
        name="padding only if causal",
        find="    if key_padding_mask is not None:\n",
        put="    if causal and key_padding_mask is not None:\n",
        says="With causal=False the padding mask is not looked at: the two masks have nothing to do with each other, and each holds by itself.",
    ),
    Mistake(
        name="padded values are zeroed",
        find=f"        {_PADDING}",
        put="        v = v * key_padding_mask[:, None, :, None]",
        says="Padded values are set to 0, but their keys still take a share of the weight, which the real tokens lose: hide the scores.",
    ),
    Mistake(
        name="padding hides queries",
        find="key_padding_mask[:, None, None, :]",
        put="key_padding_mask[:, None, :, None]",
        says="The padding mask hides the rows, the queries. It is about keys, the last axis of the scores: key_padding_mask[:, None, None, :].",
    ),
    Mistake(
        name="padding hides keys and queries",
        find=_PADDING,
        put="visible = visible & key_padding_mask[:, None, None, :] & key_padding_mask[:, None, :, None]",
        says="Padded queries are hidden too. The mask is about keys only: a padded query attends to the real tokens that it may see, and nobody reads its output.",
    ),
    Mistake(
        name="either mask is enough",
        find="visible & key_padding_mask",
        put="visible | key_padding_mask",
        says="A key is visible in your code if one of the two masks allows it. Both have to: & instead of |.",
    ),
    Mistake(
        name="padding replaces the causal mask",
        find="visible = visible & key_padding_mask[:, None, None, :]",
        put="visible = key_padding_mask[:, None, None, :]",
        says="With a padding mask the causal one is forgotten, so that earlier tokens see later ones: join the two with &.",
    ),
    Mistake(
        name="the first text's padding for all",
        find="key_padding_mask[:, None, None, :]",
        put="key_padding_mask[0]",
        says="The padding of text 0 is used for all texts of the batch: each has its own row, key_padding_mask[:, None, None, :].",
    ),
    Mistake(
        name="empty queries zeroed at the end",
        find=_OUT,
        put="return F.linear(heads, out_proj_weight, out_proj_bias) * (visible.any(-1).squeeze(1)[..., None] if visible.ndim == 4 else 1)",
        says="A query that sees nothing gives 0 in your output. Its zeros belong before the output projection, which then adds out_proj_bias.",
    ),
    Mistake(
        name="the heads are not checked",
        find=_CHECK,
        put="if False:",
        says="A num_heads that does not divide C is not refused: raise a ValueError with both numbers before anything is computed.",
    ),
    Mistake(
        name="only the remainder is checked",
        find=_CHECK,
        put="if num_heads == 0 or C % num_heads:",
        says="num_heads = -3 gets through, as 12 % -3 is 0: ask for num_heads < 1 first.",
    ),
    Mistake(
        name="zero heads divide by zero",
        find=_CHECK,
        put="if num_heads < 0 or C % num_heads:",
        says="num_heads = 0 ends in a ZeroDivisionError at C % num_heads: ask for num_heads < 1 first.",
    ),
    Mistake(
        name="the message names no numbers",
        find=_SAYS,
        put='raise ValueError("C must be a multiple of num_heads")',
        says="The error does not say which numbers it is about: put C and num_heads into the message.",
    ),
    Mistake(
        name="an assertion instead of an error",
        find=_CHECK + "\n        " + _SAYS,
        put='assert num_heads >= 1 and C % num_heads == 0, f"{C} {num_heads}"',
        says="An assertion guards against your own bugs, and python -O removes it. A caller's bad argument is a ValueError.",
    ),
    Mistake(
        name="the mask stays on the CPU",
        find="dtype=torch.bool, device=x.device)",
        put="dtype=torch.bool)",
        says="The causal mask is made on the CPU, so that on a GPU it meets tensors from elsewhere: torch.ones(..., device=x.device).",
    ),
    Mistake(
        name="the weight is made float32",
        find=_QKV,
        put="qkv = F.linear(x.float(), in_proj_weight.float(), in_proj_bias.float())",
        also=((_OUT, "return F.linear(heads, out_proj_weight.float(), out_proj_bias.float())"),),
        says="The output is in float32 whatever the inputs are: leave out .float(), and everything stays in x's type.",
    ),
    Mistake(
        name="x is detached",
        find=_QKV,
        put="qkv = F.linear(x.detach(), in_proj_weight, in_proj_bias)",
        says="No gradient reaches x: detach() (or .data) cuts it off, so the layers below attention would never learn.",
    ),
    Mistake(
        name="x is overwritten",
        find=_OUT,
        put="x.detach().copy_(F.linear(heads, out_proj_weight, out_proj_bias))\n    return F.linear(heads, out_proj_weight, out_proj_bias)",
        says="The result is written into the caller's x: return a new tensor, and leave the inputs as they are.",
    ),
]
