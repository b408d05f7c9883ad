"""Known wrong answers to problem 02."""

from common.mistakes import Mistake

_SCORES = "scores = query @ key.mT"
_SOFTMAX = "weights = torch.softmax(scores, dim=-1)"
_RETURN = "return weights @ value, weights"
_CALL = "output, _ = dot_product_attention(self.query(x), self.key(x), self.value(x))"


def _linear(name: str) -> str:
    return f"self.{name} = nn.Linear(config.n_embd, config.n_embd)"


MISTAKES = [
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
        name=".T on a batch",
        find=_SCORES,
        put="scores = query @ key.permute(*reversed(range(key.ndim)))",
        says="Transposing all axes (as .T does) also moves the batch axis. Swap only the last two: key.mT or key.transpose(-2, -1).",
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
        also=((_CALL, "_, output = dot_product_attention(self.query(x), self.key(x), self.value(x))"),),
    ),
    Mistake(
        name="only the output is returned",
        find=_RETURN,
        put="return weights @ value",
        also=((_CALL, "output = dot_product_attention(self.query(x), self.key(x), self.value(x))"),),
        says="dot_product_attention returns only the output. Return the pair: `return output, weights`.",
    ),
    Mistake(
        name="the scores are returned as weights",
        find=_RETURN,
        put="return weights @ value, scores",
        says="The second result holds the raw scores: return the weights, after the softmax.",
    ),
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
        name="SelfAttention returns a pair",
        find="        return output\n",
        put="        return output, _\n",
        says="SelfAttention.forward returns a tuple: return the output alone, as the next layer expects one tensor.",
    ),
    Mistake(
        name="the residual is added",
        find="        return output\n",
        put="        return x + output\n",
        says="The input is added to the result. The residual connection comes in problem 07; here the output is the mixed values alone.",
    ),
    Mistake(
        name="a causal mask",
        find=_CALL,
        put="q, k = self.query(x), self.key(x)\n        s = (q @ k.mT).masked_fill(torch.ones(x.size(1), x.size(1), device=x.device).triu(1) > 0, -torch.inf)\n        "
        "output = s.softmax(-1) @ self.value(x)",
        says="Your attention hides later tokens. Masking comes in problem 05; here every token sees every token.",
    ),
    Mistake(
        name="the output is the input",
        find="        return output\n",
        put="        return x\n",
        says="SelfAttention returns its input: the attention is computed but not used.",
    ),
    Mistake(
        name="elementwise product",
        find=_SCORES,
        put="scores = query[..., : key.size(-2), :] * key[..., : query.size(-2), :]",
        says="query * key multiplies element by element and compares each token only with itself. Every query has to meet every key: query @ key.mT, of shape (T, S).",
    ),
]
