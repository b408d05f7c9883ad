"""Known wrong answers to problem 02."""

from common.mistakes import Mistake

_SCORES = "scores = query @ key.mT"
_SOFTMAX = "weights = torch.softmax(scores, dim=-1)"
_RETURN = "return weights @ value, weights"
_CALL = "output, _ = dot_product_attention(self.query(x), self.key(x), self.value(x))"
_Q_K_V = "q, k, v = self.query(x), self.key(x), self.value(x)"


def _in_class(weights: str) -> str:
    """Attention written out in forward, with these weights."""
    return f"{_Q_K_V}\n        output = ({weights}) @ v"


def _linear(name: str) -> str:
    return f"self.{name} = nn.Linear(config.n_embd, config.n_embd)"


MISTAKES = [
    # --- dot_product_attention
    Mistake(
        name="softmax over the queries",
        find=_SOFTMAX,
        put="weights = torch.softmax(scores, dim=-2)",
        says="Each query's weights over the keys must sum to 1, but it is your columns that do: softmax runs over the queries (dim=-2). Use dim=-1.",
    ),
    Mistake(
        name="softmax over axis 1",
        find=_SOFTMAX,
        put="weights = torch.softmax(scores, dim=1)",
        says="softmax with dim=1 counts axes from the front, which for (B, T, S) are the queries. The keys are the last axis: dim=-1.",
    ),
    Mistake(
        name="softmax over the batch",
        find=_SOFTMAX,
        put="weights = torch.softmax(scores, dim=0)",
        says="softmax runs over the first axis, the batch: the texts of a batch compete with each other. It runs over the keys, dim=-1.",
    ),
    Mistake(
        name="softmax over everything",
        find=_SOFTMAX,
        put="weights = torch.softmax(scores.flatten(-2), dim=-1).view(scores.shape)",
        says="All weights of a text together sum to 1: softmax ran over the whole table. Each row has to sum to 1 by itself, dim=-1.",
    ),
    Mistake(
        name="softmax without an axis",
        find=_SOFTMAX,
        put="weights = nn.functional.softmax(scores)",
        says="softmax has no dim, so PyTorch guesses one by the number of axes: for (B, T, S) it takes the batch. Say dim=-1.",
        same_as="softmax over the batch",
    ),
    Mistake(
        name="softmax over axis 2",
        find=_SOFTMAX,
        put="weights = torch.softmax(scores, dim=2)",
        says="softmax with dim=2 is right for (B, T, S) only: with more leading axes it runs over the queries, with none it fails. "
        "Count from the end: dim=-1.",
    ),
    Mistake(
        name="softmax twice",
        find=_SOFTMAX,
        put=_SOFTMAX + "\n    weights = torch.softmax(weights, dim=-1)",
        says="softmax is applied twice. The second one takes weights between 0 and 1 for scores, and makes them almost equal.",
    ),
    Mistake(
        name="softmin",
        find=_SOFTMAX,
        put="weights = torch.softmax(-scores, dim=-1)",
        says="The sign of the scores is turned around, so the keys that fit worst get the most attention.",
    ),
    Mistake(
        name="the best key takes all",
        find=_SOFTMAX,
        put="weights = nn.functional.one_hot(scores.argmax(dim=-1), scores.size(-1)).to(scores.dtype)",
        says="Only the best key of each query gets a weight, all others 0 (argmax). softmax lets every key have its share, and unlike "
        "argmax it has a gradient.",
    ),
    Mistake(
        name="a causal mask in the function",
        find=_SOFTMAX,
        put="scores = scores.masked_fill(torch.ones_like(scores).tril() == 0, -torch.inf)\n    "
        + _SOFTMAX,
        says="Your function hides later keys from a query. Masking comes in problem 05; here every query meets every key, and the keys "
        "may even come from another text.",
    ),
    Mistake(
        name="keys not transposed",
        find=_SCORES,
        put="scores = query @ key",
        says="query @ key multiplies (T, D) with (S, D), which does not fit. The key's last two axes have to change places first: "
        "query @ key.mT, (T, D) @ (D, S), gives the table (T, S).",
    ),
    Mistake(
        name="elementwise product",
        find=_SCORES,
        put="scores = query * key",
        says="query * key multiplies element by element, token by token. Every query has to meet every key: query @ key.mT, of shape (T, S).",
    ),
    Mistake(
        name="elementwise product, summed",
        find=_SCORES,
        put="scores = (query * key).sum(dim=-1)",
        says="(query * key).sum(-1) compares each token only with the key at its own place, one score a token. Every query has to meet "
        "every key: query @ key.mT, of shape (T, S).",
        same_as="elementwise product",
    ),
    Mistake(
        name="key.T",
        find=_SCORES,
        put="scores = query @ key.permute(*reversed(range(key.ndim)))",
        says="key.T turns all axes around, the batch axis too. Swap only the last two: key.mT or key.transpose(-2, -1).",
    ),
    Mistake(
        name="transpose(1, 2)",
        find=_SCORES,
        put="scores = query @ key.transpose(1, 2)",
        says="key.transpose(1, 2) counts axes from the front, so it fits three axes only. The last two are wanted, however many stand "
        "before them: key.transpose(-2, -1) or key.mT.",
    ),
    Mistake(
        name="bmm",
        find=_SCORES,
        put="scores = torch.bmm(query, key.mT)",
        says="torch.bmm takes exactly three axes. The inputs may have any number of leading axes: use @ or torch.matmul, which carry them along.",
    ),
    Mistake(
        name="einsum with one batch letter",
        find=_SCORES,
        put='scores = torch.einsum("btd,bsd->bts", query, key)',
        says="The letter b in your einsum stands for exactly one batch axis. Write ... in its place, for any number: '...td,...sd->...ts'.",
    ),
    Mistake(
        name="sizes unpacked as three",
        find=_SCORES,
        put="batch, length, width = query.shape\n    " + _SCORES,
        says="You unpack the shape into three sizes, so inputs with none or two leading axes are refused. Take the sizes that you need "
        "from the end: query.size(-1), key.size(-2).",
    ),
    Mistake(
        name="cosine similarity",
        find=_SCORES,
        put="scores = nn.functional.normalize(query, dim=-1) @ nn.functional.normalize(key, dim=-1).mT",
        says="Queries and keys are brought to length 1 first, so your scores are cosines and never leave -1 to 1. The plain dot product "
        "counts length as well: query @ key.mT.",
    ),
    Mistake(
        name="scores from distances",
        find=_SCORES,
        put="scores = -(query.unsqueeze(-2) - key.unsqueeze(-3)).square().sum(dim=-1)",
        says="Your scores are distances between query and key. Attention takes their dot product: query @ key.mT.",
    ),
    Mistake(
        name="scores transposed",
        find=_SCORES,
        put="scores = key @ query.mT",
        says="Your table is key @ query transposed: its rows are keys. scores[i, j] must be query i times key j: query @ key.mT.",
    ),
    Mistake(
        name="keys reshaped instead of transposed",
        find=_SCORES,
        put="scores = query @ key.reshape(*key.shape[:-2], key.shape[-1], key.shape[-2])",
        says="reshape does not swap axes, it re-cuts the same memory into another shape, and the keys are scrambled. Use key.mT or key.transpose(-2, -1).",
    ),
    Mistake(
        name="raw scores mix the values",
        find=_RETURN,
        put="return scores @ value, weights",
        says="The values are multiplied with the raw scores, so the output grows with them. Use the softmaxed weights: weights @ value.",
    ),
    Mistake(
        name="no softmax",
        find=_SOFTMAX,
        put="weights = scores",
        says="There is no softmax: your weights are the raw scores, some of them negative. Put the scores through softmax over the keys.",
    ),
    Mistake(
        name="log_softmax",
        find=_SOFTMAX,
        put="weights = torch.log_softmax(scores, dim=-1)",
        says="All your weights are negative: log_softmax gives their logarithms. Use softmax.",
    ),
    Mistake(
        name="sigmoid",
        find=_SOFTMAX,
        put="weights = torch.sigmoid(scores)",
        says="A sigmoid judges each key alone, so a row of weights does not sum to 1. softmax makes the keys share one unit of attention.",
    ),
    Mistake(
        name="weights are shares of the scores",
        find=_SOFTMAX,
        put="weights = scores / scores.sum(dim=-1, keepdim=True)",
        says="You divide the scores by their sum. Scores can be negative, so weights can too: take exp of the scores first, which is softmax.",
    ),
    Mistake(
        name="exp without a maximum",
        find=_SOFTMAX,
        put="weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)",
        says="The weights are NaN for large scores: exp overflows above 88. Subtract each row's maximum first, or use torch.softmax.",
    ),
    Mistake(
        name="one maximum for the whole table",
        find=_SOFTMAX,
        put="e = (scores - scores.max()).exp()\n    weights = e / e.sum(dim=-1, keepdim=True)",
        says="You subtract one maximum, that of all scores. Rows that lie far below it become 0 / 0, which is NaN: subtract each row's "
        "own maximum, scores.amax(dim=-1, keepdim=True).",
    ),
    Mistake(
        name="the sum does not keep its axis",
        find=_SOFTMAX,
        put="e = (scores - scores.amax(dim=-1, keepdim=True)).exp()\n    weights = e / e.sum(dim=-1)",
        says="The sum of each row has lost the key axis, so dividing by it lines rows up with columns. Pass keepdim=True to sum.",
    ),
    Mistake(
        name="scaled by sqrt(D)",
        find=_SCORES,
        put="scores = query @ key.mT / query.size(-1) ** 0.5",
        says="Your scores are divided by sqrt(D). That is the next problem; here they are plain dot products.",
    ),
    Mistake(
        name="scaled by D",
        find=_SCORES,
        put="scores = query @ key.mT / query.size(-1)",
        says="Your scores are divided by the number of channels; here they are plain dot products, without a scale.",
    ),
    Mistake(
        name="scaled by the number of queries",
        find=_SCORES,
        put="scores = query @ key.mT / query.size(-2) ** 0.5",
        says="Your scores are divided by sqrt(T), query.size(-2), the number of queries. In this problem scores are plain dot products.",
    ),
    Mistake(
        name="scaled by the number of keys",
        find=_SCORES,
        put="scores = query @ key.mT / key.size(-2) ** 0.5",
        says="Your scores are divided by sqrt(S), key.size(-2), the number of keys. In this problem scores are plain dot products.",
    ),
    Mistake(
        name="the output is scaled",
        find=_RETURN,
        put="return weights @ value / query.size(-1) ** 0.5, weights",
        says="The output is divided by sqrt(D). Nothing is scaled in this problem, and in the next one it is the scores: weights @ value "
        "is an average of values already.",
    ),
    Mistake(
        name="dropout in the function",
        find=_SOFTMAX,
        put=_SOFTMAX + "\n    weights = nn.functional.dropout(weights, 0.1)",
        says="Dropout is on in a plain function, so it is on for ever: two calls give two results. Attention has its dropout in problem 04.",
    ),
    Mistake(
        name="the inputs are changed in place",
        find=_SCORES,
        put="scores = query.mul_(0.5) @ key.mT * 2",
        says="Your function writes into the caller's tensor: methods that end in _ (mul_, div_) and operators like *= work in place. "
        "Make a new one, query = query * ....",
    ),
    Mistake(
        name="weights are detached",
        find=_RETURN,
        put="return weights.detach() @ value, weights",
        says="The weights are detached before they meet the values, so query and key get no gradient and never learn where to look.",
    ),
    Mistake(
        name="scores are computed in float32",
        find=_SCORES,
        put="scores = (query.float() @ key.float().mT)",
        says="The scores are cast with .float(), so inputs of another type (float64, float16) give weights that do not fit the values. "
        "Leave the type as it comes.",
    ),
    Mistake(
        name="mean instead of sum over the values",
        find=_RETURN,
        put="return weights @ value / value.size(-2), weights",
        says="The output is divided by the number of keys. The weights sum to 1 already: weights @ value is the average.",
    ),
    Mistake(
        name="the result in the wrong order",
        find=_RETURN,
        put="return weights, weights @ value",
        says="Output and weights come back in the wrong order: the contract is `return output, weights`.",
        also=(
            (_CALL, "_, output = dot_product_attention(self.query(x), self.key(x), self.value(x))"),
        ),
    ),
    Mistake(
        name="only the output is returned",
        find=_RETURN,
        put="return weights @ value",
        also=(
            (_CALL, "output = dot_product_attention(self.query(x), self.key(x), self.value(x))"),
        ),
        says="dot_product_attention returns only the output. Return the pair: `return output, weights`.",
    ),
    Mistake(
        name="the scores are returned as weights",
        find=_RETURN,
        put="return weights @ value, scores",
        says="The second result holds the raw scores: return the weights, after the softmax.",
    ),
    Mistake(
        name="nothing is returned",
        find=_RETURN,
        put="output = weights @ value",
        says="dot_product_attention ends without a return and gives None: the last line is `return output, weights`.",
    ),
    # --- SelfAttention
    Mistake(
        name="keys come from the query projection",
        find="self.key(x)",
        put="self.query(x)",
        says="The keys are computed with self.query: self.key is never used, gets no gradient, and the scores come out symmetric.",
    ),
    Mistake(
        name="values come from the key projection",
        find="self.value(x)",
        put="self.key(x)",
        says="The values are computed with self.key, and self.value is never used: a single token must get self.value(x) back.",
    ),
    Mistake(
        name="values are the input itself",
        find="self.value(x)",
        put="x",
        says="The input itself is mixed instead of its values: self.value is never used. Pass self.value(x).",
    ),
    Mistake(
        name="queries are the input itself",
        find="self.query(x)",
        put="x",
        says="The input itself asks instead of its queries: self.query is never used. Pass self.query(x).",
    ),
    Mistake(
        name="keys are the input itself",
        find="self.key(x)",
        put="x",
        says="The input itself is asked instead of its keys: self.key is never used. Pass self.key(x).",
    ),
    Mistake(
        name="no projections at all",
        find="self.query(x), self.key(x), self.value(x)",
        put="x, x, x",
        says="x is used three times over, so the three layers are made and never called. Pass self.query(x), self.key(x), self.value(x).",
    ),
    Mistake(
        name="key and value are swapped",
        find="self.key(x), self.value(x)",
        put="self.value(x), self.key(x)",
        says="self.value makes your keys and self.key your values: the last two arguments are swapped. The order is query, key, value.",
    ),
    Mistake(
        name="query and key are swapped",
        find="self.query(x), self.key(x)",
        put="self.key(x), self.query(x)",
        says="self.key makes your queries and self.query your keys: the two are swapped in the call.",
    ),
    Mistake(
        name="projections without bias",
        find=_linear("query"),
        put="self.query = nn.Linear(config.n_embd, config.n_embd, bias=False)",
        also=(
            (_linear("key"), "self.key = nn.Linear(config.n_embd, config.n_embd, bias=False)"),
            (_linear("value"), "self.value = nn.Linear(config.n_embd, config.n_embd, bias=False)"),
        ),
        says="The projections have no bias. GPT-2's have one: query.bias, key.bias and value.bias are missing (bias=False).",
    ),
    Mistake(
        name="one projection for all three",
        find=_linear("key"),
        put="self.key = self.query",
        also=((_linear("value"), "self.value = self.query"),),
        says="query, key and value are one and the same layer. Make three layers: each has weights of its own.",
    ),
    Mistake(
        name="the key has no bias",
        find=_linear("key"),
        put="self.key = nn.Linear(config.n_embd, config.n_embd, bias=False)",
        says="self.key is made with bias=False. It is true that a key's bias changes no weight, but GPT-2's checkpoints hold one, "
        "and it needs a place.",
    ),
    Mistake(
        name="query and key share one layer",
        find=_linear("key"),
        put="self.key = self.query",
        says="query and key are one and the same layer, so what a token looks for and what it offers cannot differ. Make a second one.",
    ),
    Mistake(
        name="one layer for all, three times as wide",
        find=_linear("query"),
        put="self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)",
        also=(
            (_linear("key"), "pass"),
            (_linear("value"), "pass"),
            ("self.query(x), self.key(x), self.value(x)", "*self.c_attn(x).chunk(3, dim=-1)"),
        ),
        says="Your three projections are one layer of width 3 * n_embd. GPT-2 does that too, and so will you in problem 04; here they "
        "are three layers: query, key and value.",
    ),
    Mistake(
        name="projections to the width of a head",
        find=_linear("query"),
        put="self.query = nn.Linear(config.n_embd, config.head_dim)",
        also=(
            (_linear("key"), "self.key = nn.Linear(config.n_embd, config.head_dim)"),
            (_linear("value"), "self.value = nn.Linear(config.n_embd, config.head_dim)"),
        ),
        says="The projections are n_embd / n_head wide. There is one head in this problem, and it has all n_embd channels: nn.Linear(C, C).",
    ),
    Mistake(
        name="an output projection",
        find=_linear("value"),
        put=_linear("value") + "\n        self.proj = nn.Linear(config.n_embd, config.n_embd)",
        also=(("        return output\n", "        return self.proj(output)\n"),),
        says="Your output goes through a fourth layer. It comes in problem 04, as c_proj; here the output is the mixed values alone.",
    ),
    Mistake(
        name="SelfAttention returns a pair",
        find="        return output\n",
        put="        return output, _\n",
        says="SelfAttention.forward returns a tuple: return the output alone, as the next layer expects one tensor.",
    ),
    Mistake(
        name="SelfAttention returns the weights",
        find="        return output\n",
        put="        return _\n",
        says="SelfAttention returns the weights, of shape (B, T, T). Return the first of the two results, the output.",
    ),
    Mistake(
        name="SelfAttention returns nothing",
        find="        return output\n",
        put="",
        says="SelfAttention.forward ends without a return and gives None: return the output.",
    ),
    Mistake(
        name="the tokens are averaged",
        find="        return output\n",
        put="        return output.mean(dim=1)\n",
        says="The output is averaged over the tokens, as a classifier might do. Each token keeps its own vector: (B, T, C).",
    ),
    Mistake(
        name="the batch attends to itself",
        find=_CALL,
        put="x = x.transpose(0, 1)\n        " + _CALL,
        also=(("        return output\n", "        return output.transpose(0, 1)\n"),),
        says="Batch and tokens have changed places: the texts of a batch attend to each other, and the tokens of a text do not. x is "
        "(B, T, C) as it comes.",
    ),
    Mistake(
        name="batch and tokens are flattened together",
        find=_CALL,
        put="x, shape = x.reshape(-1, x.size(-1)), x.shape\n        " + _CALL,
        also=(("        return output\n", "        return output.reshape(shape)\n"),),
        says="All texts of the batch are laid end to end before attention, so tokens look into other texts. Keep the batch axis: "
        "the products carry it along.",
    ),
    Mistake(
        name="dropout on the output",
        find="        return output\n",
        put="        return nn.functional.dropout(output, 0.1, self.training)\n",
        says="In train mode parts of the output are dropped. There is no dropout in this problem; it joins attention in problem 04.",
    ),
    Mistake(
        name="the module scales the scores",
        find=_CALL,
        put="output = nn.functional.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x))",
        says="SelfAttention divides its scores by sqrt(C), as F.scaled_dot_product_attention does by itself. Scaling is the next problem; "
        "here call your own dot_product_attention.",
    ),
    Mistake(
        name="the module has several heads",
        find=_CALL,
        put="q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in (self.query(x), self.key(x), self.value(x)))\n        "
        "output = dot_product_attention(q, k, v)[0].transpose(1, 2).flatten(2)",
        says="SelfAttention splits its channels into heads. That is problem 04; here one head has all n_embd channels.",
    ),
    Mistake(
        name="a causal mask",
        find=_CALL,
        put=_in_class(
            "(q @ k.mT).masked_fill(torch.ones(x.size(1), x.size(1), device=x.device).triu(1) > 0, -torch.inf).softmax(-1)"
        ),
        says="Your attention hides later tokens. Masking comes in problem 05; here every token sees every token.",
    ),
    Mistake(
        name="a token does not see itself",
        find=_CALL,
        put=_in_class(
            "(q @ k.mT).masked_fill(torch.eye(x.size(1), device=x.device) > 0, -torch.inf).softmax(-1)"
        ),
        says="Your tokens cannot see themselves: the diagonal of the scores is closed, and a single token has nothing to look at. "
        "Every token sees every token, itself included.",
    ),
    Mistake(
        name="the module's softmax runs over the queries",
        find=_CALL,
        put=_in_class("(q @ k.mT).softmax(dim=1)"),
        says="SelfAttention has a softmax of its own, and it runs over the queries (dim=1). Call dot_product_attention, or use dim=-1.",
    ),
    Mistake(
        name="the module's table is transposed",
        find=_CALL,
        put=_in_class("(q @ k.mT).softmax(dim=-1).mT"),
        says="SelfAttention transposes its weights before they meet the values, so a token passes on what it should collect. "
        "Rows are queries: weights @ value.",
    ),
    Mistake(
        name="the module mixes by raw scores",
        find=_CALL,
        put=_in_class("q @ k.mT"),
        says="SelfAttention mixes the values by the raw scores: there is no softmax between q @ k.mT and the values.",
    ),
    Mistake(
        name="the input is changed in place",
        find=_CALL,
        put="x -= x.mean(dim=-1, keepdim=True)\n        " + _CALL,
        says="forward writes into its input (x -= ...), so the caller's tensor is changed, and a second call gives something else. "
        "There is no norm here either: use x as it comes.",
    ),
    Mistake(
        name="the residual is added",
        find="        return output\n",
        put="        return x + output\n",
        says="The input is added to the result. The residual connection comes in problem 07; here the output is the mixed values alone.",
    ),
    Mistake(
        name="the output is the input",
        find="        return output\n",
        put="        return x\n",
        says="SelfAttention returns its input: the attention is computed but not used.",
    ),
]
