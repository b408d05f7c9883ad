"""Known wrong answers to problem 03."""

from common.mistakes import Mistake

_POWERS = "powers = torch.exp(scores - scores.amax(dim, keepdim=True))"
_DIVIDE = "return powers / powers.sum(dim, keepdim=True)"
_SCORES = "scores = query @ key.mT / math.sqrt(query.size(-1))"
_MASK = "scores = scores.masked_fill(~mask, -torch.inf)"
_WEIGHTS = "    weights = softmax(scores)\n"
_RETURN = "return weights @ value, weights"

MISTAKES = [
    Mistake(
        name="softmax without subtracting the maximum",
        find=_POWERS,
        put="powers = torch.exp(scores)",
        says="softmax gives NaN for scores above 88, where exp overflows to inf, and inf / inf is NaN. Subtract each row's maximum before exp.",
    ),
    Mistake(
        name="softmax subtracts the global maximum",
        find=_POWERS,
        put="powers = torch.exp(scores - scores.max())",
        says="You subtract the maximum of the whole tensor: a row far below it has only exp(-500) = 0 left, and 0 / 0 is NaN. Each row needs its own maximum, along dim.",
    ),
    Mistake(
        name="softmax subtracts the mean",
        find=_POWERS,
        put="powers = torch.exp(scores - scores.mean(dim, keepdim=True))",
        says="You subtract the mean, which leaves the largest score above 0: exp can still overflow, and a score of -inf makes the mean -inf. Subtract the maximum.",
    ),
    Mistake(
        name="softmax divides by the global sum",
        find=_DIVIDE,
        put="return powers / powers.sum()",
        says="You divide by the sum of the whole tensor, so all rows together sum to 1. Sum along dim, with keepdim=True.",
    ),
    Mistake(
        name="softmax ignores dim",
        find="def softmax(scores: Tensor, dim: int = -1) -> Tensor:",
        put="def softmax(scores: Tensor, dim: int = -1) -> Tensor:\n    dim = -1",
        says="softmax always runs over the last axis: its argument dim is ignored. Use it for the maximum and for the sum.",
    ),
    Mistake(
        name="softmax sums over the last axis only",
        find=_DIVIDE,
        put="return powers / powers.sum(-1, keepdim=True)",
        says="The sum in your softmax always runs over the last axis. It has to run along dim, as the maximum does.",
    ),
    Mistake(
        name="the default axis is the first",
        find="dim: int = -1",
        put="dim: int = 0",
        says="The default of dim is 0 in your softmax; the contract says -1, the last axis, which holds the keys.",
    ),
    Mistake(
        name="softmax without keepdim",
        find=_DIVIDE,
        put="return powers / powers.sum(dim)",
        says="The sum has lost its axis, so it does not line up with the rows any more: a shape error, or division by another row's sum. Pass keepdim=True.",
    ),
    Mistake(
        name="log_softmax",
        find=_DIVIDE,
        put="return torch.log(powers / powers.sum(dim, keepdim=True))",
        says="Your softmax returns logarithms, which are all negative. Return the probabilities themselves.",
    ),
    Mistake(
        name="base 2",
        find=_POWERS,
        put="powers = torch.exp2(scores - scores.amax(dim, keepdim=True))",
        says="Your softmax raises 2 to the scores. The base is e: torch.exp.",
    ),
    Mistake(
        name="softmax in place",
        find=_POWERS,
        put="powers = scores.sub_(scores.amax(dim, keepdim=True)).exp_()",
        says="softmax overwrites the scores it was given: methods that end in _ work in place. Use scores - maximum and torch.exp.",
    ),
    Mistake(
        name="an epsilon in the denominator",
        find=_DIVIDE,
        put="return powers / (powers.sum(dim, keepdim=True) + 1e-2)",
        says="You add an epsilon to the sum, so the weights sum to less than 1. After subtracting the maximum the sum is at least 1: no epsilon is needed.",
    ),
    Mistake(
        name="scores are not scaled",
        find=_SCORES,
        put="scores = query @ key.mT",
        says="The scores are q·k without the division by sqrt(D): their spread grows with sqrt(D), and for large D the weights become one-hot.",
    ),
    Mistake(
        name="divided by D",
        find=_SCORES,
        put="scores = query @ key.mT / query.size(-1)",
        says="You divide the scores by D; the square root is missing. They are sqrt(D) times too small and the weights nearly uniform.",
    ),
    Mistake(
        name="multiplied by sqrt(D)",
        find=_SCORES,
        put="scores = query @ key.mT * math.sqrt(query.size(-1))",
        says="You multiply the scores by sqrt(D); they have to be divided by it.",
    ),
    Mistake(
        name="scaled by the number of queries",
        find=_SCORES,
        put="scores = query @ key.mT / math.sqrt(query.size(-2))",
        says="You divide by sqrt(T), the number of queries: query.size(-2). The scale depends on the channels only: query.size(-1).",
    ),
    Mistake(
        name="scaled by the number of keys",
        find=_SCORES,
        put="scores = query @ key.mT / math.sqrt(key.size(-2))",
        says="You divide by sqrt(S), the number of keys: the scale changes with the length of the text. It depends on the channels only: key.size(-1).",
    ),
    Mistake(
        name="scaled by the channels of the values",
        find=_SCORES,
        put="scores = query @ key.mT / math.sqrt(value.size(-1))",
        says="You divide by sqrt(E), the channels of the values. Queries and keys have D channels: query.size(-1).",
    ),
    Mistake(
        name="query and key are both scaled",
        find=_SCORES,
        put="scores = (query / math.sqrt(query.size(-1))) @ (key / math.sqrt(key.size(-1))).mT",
        says="The scale is applied twice, to the query and to the key: the scores are q·k / D. Scale once by sqrt(D), or each by D ** 0.25.",
        same_as="divided by D",
    ),
    Mistake(
        name="only half of the scale",
        find=_SCORES,
        put="scores = query @ key.mT / query.size(-1) ** 0.25",
        says="Half of the scale is missing: the scores are q·k / D ** 0.25 rather than q·k / D ** 0.5.",
    ),
    Mistake(
        name="the output is scaled",
        find=_SCORES,
        put="scores = query @ key.mT",
        also=((_RETURN, "return weights @ value / math.sqrt(query.size(-1)), weights"),),
        says="The scale is on the output instead of the scores: the weights are too sharp and the output sqrt(D) times too small. Divide the scores, before the softmax.",
    ),
    Mistake(
        name="the weights are scaled",
        find=_SCORES,
        put="scores = query @ key.mT",
        also=((_WEIGHTS, "    weights = softmax(scores) / math.sqrt(query.size(-1))\n"),),
        says="You divide the weights by sqrt(D), after the softmax: the rows do not sum to 1. The scale belongs to the scores, before it.",
    ),
    Mistake(
        name="scores transposed",
        find=_SCORES,
        put="scores = key @ query.mT / math.sqrt(query.size(-1))",
        says="Your table is key @ query transposed: its rows are keys. scores[i, j] must be query i times key j: query @ key.mT.",
    ),
    Mistake(
        name="softmax over the queries",
        find="softmax(scores)\n",
        put="softmax(scores, dim=-2)\n",
        says="Softmax runs over the queries (dim=-2): your columns sum to 1. Each query shares out its attention over the keys, dim=-1.",
    ),
    Mistake(
        name="the mask is ignored",
        find=_MASK,
        put="pass",
        says="The mask has no effect: closed keys keep their weight. Set the scores where the mask is False to -inf, before the softmax.",
    ),
    Mistake(
        name="the result of masked_fill is thrown away",
        find=_MASK,
        put="scores.masked_fill(~mask, -torch.inf)",
        says="The mask has no effect: masked_fill returns a new tensor and leaves scores alone. Keep it: scores = scores.masked_fill(...).",
        same_as="the mask is ignored",
    ),
    Mistake(
        name="the mask is inverted",
        find=_MASK,
        put="scores = scores.masked_fill(mask, -torch.inf)",
        says="The mask is inverted: True means may attend, and you close exactly those keys. Use masked_fill(~mask, -inf).",
    ),
    Mistake(
        name="closed scores are zero",
        find=_MASK,
        put="scores = scores.masked_fill(~mask, 0.0)",
        says="Closed keys get a score of 0, and exp(0) is 1: they keep a share of the attention. Use -inf.",
    ),
    Mistake(
        name="the scores are multiplied by the mask",
        find=_MASK,
        put="scores = scores * mask",
        says="Multiplying by the mask turns closed scores into 0, and exp(0) is 1: they keep a share of the attention. Fill them with -inf.",
        same_as="closed scores are zero",
    ),
    Mistake(
        name="the mask is added to the scores",
        find=_MASK,
        put="scores = scores + mask",
        says="You add the bool mask to the scores: open keys gain 1, closed ones stay. Adding works only with a mask of 0 and -inf; here use masked_fill(~mask, -inf).",
    ),
    Mistake(
        name="closed scores are -1",
        find=_MASK,
        put="scores = scores.masked_fill(~mask, -1.0)",
        says="Closed keys get a score of -1, which many an open key has too. Use -inf, whose exp is exactly 0.",
    ),
    Mistake(
        name="closed scores are -10",
        find=_MASK,
        put="scores = scores.masked_fill(~mask, -10.0)",
        says="Closed keys get a score of -10 and keep a weight of about e^-10. Use -inf, whose exp is exactly 0.",
    ),
    Mistake(
        name="closed scores are -100",
        find=_MASK,
        put="scores = scores.masked_fill(~mask, -100.0)",
        says="Closed keys get a score of -100. That hides them only while real scores are higher, and these can be in the thousands below zero. Use -inf.",
    ),
    Mistake(
        name="1e-9 instead of -1e9",
        find=_MASK,
        put="scores = scores.masked_fill(~mask, 1e-9)",
        says="Closed keys get a score of 1e-9, which is 0, and exp(0) is 1. You meant -1e9 (the sign is on the exponent); better still, -inf.",
        same_as="closed scores are zero",
    ),
    Mistake(
        name="the mask comes after the softmax",
        find="    if mask is not None:\n        scores = scores.masked_fill(~mask, -torch.inf)\n"
        + _WEIGHTS,
        put=_WEIGHTS
        + "    if mask is not None:\n        weights = weights.masked_fill(~mask, 0.0)\n",
        says="You zero weights after the softmax, when the closed keys have taken their share: the rows do not sum to 1 any more. Mask the scores, before it.",
    ),
    Mistake(
        name="the mask is applied before the scale with a small number",
        find=_SCORES + "  # (..., T, S)\n    if mask is not None:\n        " + _MASK,
        put="scores = query @ key.mT\n    if mask is not None:\n        scores = scores.masked_fill(~mask, -20.0)\n    scores = scores / math.sqrt(query.size(-1))",
        says="Closed keys end with a score of -20 / sqrt(D) and keep a visible weight. Use -inf, which no scale can bring back.",
    ),
    Mistake(
        name="the values are masked",
        find=_MASK,
        put="value = value * mask.any(-2).unsqueeze(-1)",
        says="You zero values instead of scores, so the mask does not stop a single query from looking at a key. Set closed scores to -inf.",
    ),
    Mistake(
        name="the weights before the mask are returned",
        find="    if mask is not None:\n        scores",
        put="    plain = softmax(scores)\n    if mask is not None:\n        scores",
        also=((_RETURN, "return weights @ value, plain"),),
        says="The weights you return were taken before the mask. Return those that made the output.",
    ),
    Mistake(
        name="the result in the wrong order",
        find=_RETURN,
        put="return weights, weights @ value",
        says="Output and weights come back in the wrong order: the contract is `return output, weights`.",
    ),
    Mistake(
        name="only the output is returned",
        find=_RETURN,
        put="return weights @ value",
        says="scaled_dot_product_attention returns only the output. Return the pair: `return output, weights`.",
    ),
    Mistake(
        name="raw scores mix the values",
        find=_RETURN,
        put="return scores @ value, weights",
        says="The values are multiplied with the scores instead of the weights: use what comes out of the softmax.",
    ),
]
