"""Known wrong answers to interview problem 05."""

from common.mistakes import Mistake

_SCORES = "scores = logits / temperature"
_KTH = "kth = scores.topk(min(top_k, scores.size(-1))).values[:, -1:]  # (B, 1)"
_FILL = "scores = scores.masked_fill(scores < kth, -torch.inf)"
_TOP_K = f"    if top_k is not None:\n        {_KTH}\n        {_FILL}\n"
_SOFTMAX = "probs = scores.softmax(dim=-1)"
_IF_TOP_P = "if top_p is not None and top_p < 1:  # at 1 rounding must not cost the rarest tokens"
_CUT = "ranked = ranked.masked_fill(better >= top_p, 0.0)"
_BACK = "probs = torch.zeros_like(probs).scatter(-1, order, ranked)"
_SUM = "        probs = probs / probs.sum(dim=-1, keepdim=True)\n"
_GREEDY = "return F.one_hot(logits.argmax(dim=-1), logits.size(-1)).to(logits.dtype)"
_IF_GREEDY = f"    if temperature == 0:\n        {_GREEDY}\n"
_HAND = "probs = sampling_probabilities(logits, temperature, top_k, top_p)"
_DRAW = "return torch.multinomial(probs, num_samples=1, generator=generator).squeeze(-1)"
_STEP = "drawn = sample(logits, temperature, top_k, top_p, generator)"
_LOGITS = "logits = model(ids[:, -max_context:])[:, -1]  # (B, V)"
_CAT = "ids = torch.cat([ids, drawn.unsqueeze(-1)], dim=1)"
_EVAL = "    was_training = model.training\n    model.eval()\n"

MISTAKES = [
    Mistake(
        name="log-probabilities instead of probabilities",
        find=_SOFTMAX,
        put="probs = scores.log_softmax(dim=-1)",
        says="The result is negative: these are log-probabilities. sampling_probabilities returns what softmax gives, numbers from 0 to 1 that sum to 1.",
    ),
    Mistake(
        name="softmax over the batch",
        find=_SOFTMAX,
        put="probs = scores.softmax(dim=0)",
        says="The columns sum to 1 instead of the rows: your softmax runs over the batch. The vocabulary is the last axis, dim=-1.",
    ),
    Mistake(
        name="softmax by hand without the maximum",
        find=_SOFTMAX,
        put="probs = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)",
        says="For logits of a few hundred your result is NaN: exp overflows. Use softmax, which subtracts the largest logit first; the result is the same otherwise.",
    ),
    Mistake(
        name="multiplied by the temperature",
        find=_SCORES,
        put="scores = logits * max(temperature, 1e-6)",
        says="You multiply the logits by the temperature, so a low one makes the choice more even. It divides: low is careful, high is bold.",
    ),
    Mistake(
        name="the temperature is ignored",
        find=_SCORES,
        put="scores = logits",
        says="The temperature changes nothing between 0 and infinity: divide the logits by it before anything else.",
    ),
    Mistake(
        name="the probabilities are divided by the temperature",
        find=_SCORES,
        put="scores = logits",
        also=((_SOFTMAX, "probs = scores.softmax(dim=-1) / temperature"),),
        says="The rows sum to 1 / temperature: you divide the probabilities. Divide the logits, before the softmax.",
    ),
    Mistake(
        name="temperature 0 is not treated apart",
        find=_IF_GREEDY,
        put="",
        says="With temperature 0 you divide by zero, and softmax makes NaN of the infinities. Treat 0 apart: probability 1 for argmax.",
    ),
    Mistake(
        name="temperature 0 replaced by a small number",
        find=_IF_GREEDY,
        put="    temperature = max(temperature, 1e-8)\n",
        says="A tiny temperature instead of 0 shares the probability among equal logits. Greedy takes the first of the largest: argmax, and 1 for it alone.",
    ),
    Mistake(
        name="greedy shares among equals",
        find=_GREEDY,
        put="best = (logits == logits.amax(dim=-1, keepdim=True)).to(logits.dtype)\n        return best / best.sum(dim=-1, keepdim=True)",
        same_as="temperature 0 replaced by a small number",
        says="With temperature 0 equal logits share the probability. Greedy takes the first of the largest: argmax finds it.",
    ),
    Mistake(
        name="greedy gives all of the largest a probability of 1",
        find=_GREEDY,
        put="return (logits == logits.amax(dim=-1, keepdim=True)).to(logits.dtype)",
        says="Where several logits are the largest, each of them gets probability 1 at temperature 0. Only the first does: one_hot of argmax.",
    ),
    Mistake(
        name="greedy takes the last of equals",
        find="logits.argmax(dim=-1)",
        put="logits.size(-1) - 1 - logits.flip(-1).argmax(dim=-1)",
        says="Of equal logits you take the last at temperature 0. It is the first one, as argmax gives it.",
    ),
    Mistake(
        name="one logit too many in top_k",
        find=_KTH,
        put="kth = scores.topk(min(top_k + 1, scores.size(-1))).values[:, -1:]",
        says="top_k keeps k + 1 tokens: your threshold is the logit after the k-th. In sorted order the k-th largest is at index k - 1.",
    ),
    Mistake(
        name="top_k drops the k-th itself",
        find=_FILL,
        put="scores = scores.masked_fill(scores <= kth, -torch.inf)",
        says="You remove what is <= the k-th logit, so k - 1 tokens stay, and none for top_k=1. Remove what is < the k-th.",
    ),
    Mistake(
        name="top_k keeps the smallest",
        find="scores.size(-1))).values[:, -1:]",
        put="scores.size(-1)), largest=False).values[:, -1:]",
        also=(("scores < kth", "scores > kth"),),
        says="top_k keeps the k smallest logits. The likely tokens are those with the largest.",
    ),
    Mistake(
        name="one threshold for the whole batch",
        find=_KTH,
        put="kth = scores.topk(min(top_k, scores.size(-1))).values[:, -1].min()",
        says="All rows share the k-th largest logit of one row. Each row has its own threshold: values[:, -1:], which is (B, 1).",
    ),
    Mistake(
        name="ties with the k-th are cut",
        find=_FILL,
        put="best = scores.topk(min(top_k, scores.size(-1))).indices\n        scores = torch.full_like(scores, -torch.inf).scatter(-1, best, scores.gather(-1, best))",
        says="You keep exactly k tokens by their indices, so which of several equal logits stays is an accident. Keep all that are at least the k-th: scores < kth goes.",
    ),
    Mistake(
        name="removed logits are 0",
        find=_FILL,
        put="scores = scores.masked_fill(scores < kth, 0.0)",
        says="A removed logit becomes 0, which softmax turns into a fair share, exp(0) = 1. It has to be -inf, as exp(-inf) = 0.",
    ),
    Mistake(
        name="top_k on the probabilities without a new sum",
        find=_TOP_K,
        put="",
        also=(
            (
                _SOFTMAX,
                "probs = scores.softmax(dim=-1)\n    if top_k is not None:\n        kth = probs.topk(min(top_k, probs.size(-1))).values[:, -1:]\n        probs = probs.masked_fill(probs < kth, 0.0)",
            ),
        ),
        says="After top_k the rows sum to less than 1: the kept tokens have their old probabilities. Set the others to -inf before the softmax, or divide by the sum.",
    ),
    Mistake(
        name="top_k above the vocabulary",
        find="min(top_k, scores.size(-1))",
        put="top_k",
        says="A top_k above the number of tokens raises an error in topk. It keeps all tokens: topk(min(top_k, V)).",
    ),
    Mistake(
        name="the token that crosses p is cut",
        find=_CUT,
        put="ranked = ranked.masked_fill(better + ranked > top_p, 0.0)",
        says="You cut the token that brings the sum over p, so the kept ones do not reach p, and nothing is left where the first alone is above it. Look at the sum before each token.",
    ),
    Mistake(
        name="the token that crosses p is cut, except the first",
        find=_CUT,
        put="over = better + ranked > top_p\n        over[:, 0] = False\n        ranked = ranked.masked_fill(over, 0.0)",
        says="You cut the token that brings the sum over p; only the first is saved. The nucleus has to reach p: keep a token if the sum before it is below p.",
    ),
    Mistake(
        name="one token too many in the nucleus",
        find=_CUT,
        put="ranked = ranked.masked_fill((better >= top_p).roll(1, dims=-1).index_fill(-1, torch.zeros(1, dtype=torch.int64, device=ranked.device), False), 0.0)",
        says="The nucleus has one token more than it needs: the mask is shifted twice. If you compare the sum before each token with p, no shift is needed.",
    ),
    Mistake(
        name="sorted from the least likely",
        find="descending=True",
        put="descending=False",
        says="Your nucleus is made of the least likely tokens: sort gives the smallest first unless descending=True.",
    ),
    Mistake(
        name="the mask stays in sorted order",
        find=_BACK,
        put="probs = probs.masked_fill(better >= top_p, 0.0)",
        says="You apply the mask of the sorted tokens to the unsorted ones, so other tokens go than those meant. Carry it back with scatter(-1, order, ...).",
    ),
    Mistake(
        name="gathered instead of scattered",
        find=_BACK,
        put="probs = ranked.gather(-1, order)",
        says="gather with order permutes once more instead of back. The way back is scatter(-1, order, ...), or gather with order.argsort(-1).",
    ),
    Mistake(
        name="the nucleus does not sum to 1",
        find=_SUM,
        put="",
        says="After top_p the rows sum to less than 1: divide what is kept by its sum.",
    ),
    Mistake(
        name="the sum runs over the whole batch",
        find="ranked.cumsum(dim=-1) - ranked",
        put="ranked.flatten().cumsum(0).view_as(ranked) - ranked",
        says="The running sum goes on from row to row, so only the first row has a nucleus. Add up along the vocabulary of each row: cumsum(dim=-1).",
    ),
    Mistake(
        name="top_p of 1 cuts the rarest tokens",
        find=_IF_TOP_P,
        put="if top_p is not None:",
        says="top_p=1.0 loses very rare tokens: in float32 the sum is 1 before they are added. top_p=1.0 keeps all, so leave top_p out there.",
    ),
    Mistake(
        name="top_p before the temperature",
        find="probs.sort(dim=-1, descending=True)",
        put="probs.sort(dim=-1, descending=True)\n        ranked = logits.softmax(dim=-1).gather(-1, order)",
        also=((_BACK, "probs = probs * (torch.zeros_like(probs).scatter(-1, order, ranked) > 0)"),),
        says="The nucleus is measured on the softmax of the bare logits. Temperature comes first, then top_k, and top_p looks at the probabilities that those two leave.",
    ),
    Mistake(
        name="top_p before top_k",
        find=_TOP_K,
        put="",
        also=(
            (
                _SUM,
                _SUM
                + "    if top_k is not None:\n        kth = probs.topk(min(top_k, probs.size(-1))).values[:, -1:]\n        probs = probs.masked_fill(probs < kth, 0.0)\n        probs = probs / probs.sum(dim=-1, keepdim=True)\n",
            ),
        ),
        says="top_p runs before top_k, on the probabilities of all tokens, so the nucleus comes out too large. top_k is first, and the nucleus is measured on the softmax of what it left.",
    ),
    Mistake(
        name="zero times minus infinity",
        find=_FILL,
        put="scores = scores * (scores >= kth) + torch.where(scores >= kth, 0.0, -torch.inf)",
        says="A logit of -inf becomes NaN: 0 * -inf is not 0. Mask with masked_fill or where, which replace instead of multiply.",
    ),
    Mistake(
        name="a negative temperature is accepted",
        find="    if temperature < 0:\n",
        put="    if False:\n",
        says="A negative temperature turns the order of the tokens around without a word. Refuse it with a ValueError that names it.",
    ),
    Mistake(
        name="top_k of 0 is taken for no top_k",
        find="if top_k is not None and top_k < 1:",
        put="if top_k and top_k < 1:",
        also=((_TOP_K, _TOP_K.replace("if top_k is not None:", "if top_k:")),),
        says="top_k=0 passes as if it were None, since 0 counts as false. Ask `top_k is not None`, and refuse what is below 1.",
    ),
    Mistake(
        name="top_p out of range is accepted",
        find="if top_p is not None and not 0 < top_p <= 1:",
        put="if top_p is not None and top_p < 0:",
        says="A top_p of 0 or above 1 passes. It is a probability to reach, so it lies above 0 and at most at 1; everything else is a ValueError.",
    ),
    Mistake(
        name="the logits are divided in place",
        find=_SCORES,
        put="logits /= temperature\n    scores = logits",
        says="The caller's logits are changed: `/=` works in place. Make a new tensor: logits / temperature.",
    ),
    Mistake(
        name="the logits are masked in place",
        find=_FILL,
        put="scores = logits.masked_fill_(scores < kth, -torch.inf) / temperature",
        says="The caller's logits are full of -inf after the call: masked_fill_ works in place. masked_fill, without the _, makes a new tensor.",
    ),
    Mistake(
        name="sample returns a column",
        find=".squeeze(-1)",
        put="",
        also=((_CAT, "ids = torch.cat([ids, drawn], dim=1)"),),
        says="sample returns (B, 1), as multinomial does. The contract is one id for each row, (B,): squeeze(-1).",
    ),
    Mistake(
        name="squeeze without an axis",
        find=".squeeze(-1)",
        put=".squeeze()",
        also=((_CAT, "ids = torch.cat([ids, drawn.view(-1, 1)], dim=1)"),),
        says="For a batch of 1 sample returns a bare number: squeeze() removes every axis of size 1, the batch too. Name the axis: squeeze(-1).",
    ),
    Mistake(
        name="sample is greedy",
        find=_DRAW,
        put="return probs.argmax(dim=-1)",
        says="sample always takes the most likely token. Draw: torch.multinomial(probs, 1, generator=generator).",
    ),
    Mistake(
        name="one draw for the whole batch",
        find=_DRAW,
        put="noise = torch.rand(1, generator=generator, device=probs.device)\n    return (probs.cumsum(-1) < noise).sum(-1).clamp(max=probs.size(-1) - 1)",
        says="All rows share one random number, so equal rows get equal tokens. Each row has a draw of its own: rand(B, 1), or multinomial.",
    ),
    Mistake(
        name="all rows are drawn from the first row",
        find=_DRAW,
        put="return torch.multinomial(probs[0], probs.size(0), replacement=True, generator=generator)",
        says="Every id is drawn from row 0's probabilities. multinomial takes the (B, V) tensor and draws for each row.",
    ),
    Mistake(
        name="softmax twice before the draw",
        find=_DRAW,
        put="return torch.multinomial(probs.softmax(dim=-1), num_samples=1, generator=generator).squeeze(-1)",
        says="Removed tokens are drawn, and the choice is almost even: the probabilities went through a second softmax. multinomial takes the probabilities as they are.",
    ),
    Mistake(
        name="drawn evenly from what is left",
        find=_DRAW,
        put="return torch.multinomial((probs > 0).float(), num_samples=1, generator=generator).squeeze(-1)",
        says="Every token that is left is drawn equally often. Hand multinomial the probabilities, not the mask.",
    ),
    Mistake(
        name="sample ignores the temperature",
        find=_HAND,
        put="probs = sampling_probabilities(logits, top_k=top_k, top_p=top_p)",
        says="sample does not hand its temperature on, so temperature=0 is not greedy, and a high one is not bolder.",
    ),
    Mistake(
        name="sample ignores top_k and top_p",
        find=_HAND,
        put="probs = sampling_probabilities(logits, temperature)",
        says="sample hands on the temperature alone: top_k and top_p have to reach sampling_probabilities too.",
    ),
    Mistake(
        name="the generator is ignored",
        find="num_samples=1, generator=generator)",
        put="num_samples=1)",
        says="Generators of one seed give different draws: yours come from torch's global state. Pass generator=generator to multinomial.",
    ),
    Mistake(
        name="a seed inside of sample",
        find=_DRAW,
        put="generator = torch.Generator(device=probs.device).manual_seed(0)\n    return torch.multinomial(probs, num_samples=1, generator=generator).squeeze(-1)",
        says="sample sets a seed, so each call gives the same draws. Seeds are the caller's business: draw from the generator as it is.",
    ),
    Mistake(
        name="the first position's logits",
        find="[:, -1]  # (B, V)",
        put="[:, 0]  # (B, V)",
        says="Every new token is drawn from the logits of position 0. What follows the text stands at the last position: logits[:, -1].",
    ),
    Mistake(
        name="the context is never cropped",
        find="ids[:, -max_context:]",
        put="ids",
        says="The model is given more than max_context tokens; a real one has no positions for them. Crop in each step: ids[:, -max_context:].",
    ),
    Mistake(
        name="the context is cropped to its beginning",
        find="ids[:, -max_context:]",
        put="ids[:, :max_context]",
        says="You keep the first max_context tokens, so the model never sees what it has written. It needs the last ones: ids[:, -max_context:].",
    ),
    Mistake(
        name="the result is cropped too",
        find=_LOGITS,
        put="ids = ids[:, -max_context:]\n        logits = model(ids)[:, -1]",
        says="The beginning of a long text is lost: you crop the text that you return. Crop only what the model sees.",
    ),
    Mistake(
        name="only the new token is shown to the model",
        find=_LOGITS,
        put="logits = model(ids[:, -max_context:] if drawn is None else drawn.unsqueeze(-1))[:, -1]",
        also=((_EVAL, _EVAL + "    drawn = None\n"),),
        says="After the first step the model sees one token only. Without a cache it needs the whole context each time: ids[:, -max_context:].",
    ),
    Mistake(
        name="the context does not grow",
        find=_LOGITS,
        put="logits = model(prompt[:, -max_context:])[:, -1]",
        also=((_EVAL, _EVAL + "    prompt = ids\n"),),
        says="Every new token is drawn after the bare prompt: the drawn tokens never join the context. Feed the text as it has grown.",
    ),
    Mistake(
        name="the prompt is not returned",
        find="    return ids\n",
        put="    return ids[:, ids.size(1) - n_tokens :]\n",
        says="generate returns the new tokens alone. The result is prompt and new tokens, (B, T + n_tokens).",
    ),
    Mistake(
        name="the new token is put in front",
        find="[ids, drawn.unsqueeze(-1)]",
        put="[drawn.unsqueeze(-1), ids]",
        says="The drawn token is put before the text. It comes after it: torch.cat([ids, drawn.unsqueeze(-1)], dim=1).",
    ),
    Mistake(
        name="one token too many",
        find="range(n_tokens)",
        put="range(n_tokens + 1)",
        says="generate adds n_tokens + 1 tokens: one pass of the loop for each new token.",
    ),
    Mistake(
        name="generate takes the most likely token",
        find=_STEP,
        put="drawn = logits.argmax(dim=-1)",
        says="generate is greedy whatever its options are: call sample with temperature, top_k, top_p and generator.",
    ),
    Mistake(
        name="generate forgets its options",
        find=_STEP,
        put="drawn = sample(logits, generator=generator)",
        says="generate calls sample without temperature, top_k and top_p, so none of the three has an effect.",
    ),
    Mistake(
        name="top_k and top_p are swapped",
        find=_STEP,
        put="drawn = sample(logits, temperature, top_p, top_k, generator)",
        says="generate hands top_p on as top_k and top_k as top_p: the order in sample is temperature, top_k, top_p.",
    ),
    Mistake(
        name="generate forgets the generator",
        find=_STEP,
        put="drawn = sample(logits, temperature, top_k, top_p)",
        says="Two runs with generators of one seed give different texts: generate does not hand its generator on to sample.",
    ),
    Mistake(
        name="the generator starts anew at each step",
        find=_STEP,
        put="drawn = sample(logits, temperature, top_k, top_p, generator and generator.manual_seed(0))",
        says="Each text repeats one token: the generator is seeded again in each step. Use it as it is, and let it move on.",
    ),
    Mistake(
        name="the model stays in training mode",
        find=_EVAL,
        put="    was_training = model.training\n",
        says="The model generates in training mode, so dropout disturbs every token. Call model.eval() before the loop.",
    ),
    Mistake(
        name="the model is left in eval mode",
        find="    model.train(was_training)\n",
        put="",
        says="A model that was training is left in eval mode: the training that goes on has no dropout. End with model.train(was_training).",
    ),
    Mistake(
        name="the model is always put into training mode",
        find="model.train(was_training)",
        put="model.train()",
        says="A model that was in eval mode is in training mode after generate. Remember model.training at the start, and restore that.",
    ),
    Mistake(
        name="gradients stay on",
        find="@torch.no_grad()\n",
        put="",
        says="Each forward pass builds a gradient graph that nobody uses, at the price of memory. Decorate generate with torch.no_grad().",
    ),
    Mistake(
        name="gradients are switched off for good",
        find="@torch.no_grad()\n",
        put="",
        also=((_EVAL, _EVAL + "    torch.set_grad_enabled(False)\n"),),
        says="After generate nothing can be trained: gradients stay switched off for the whole program. torch.no_grad() as a decorator ends by itself.",
    ),
    Mistake(
        name="sampling_probabilities is not written",
        find=_SOFTMAX,
        put="return None",
        says="sampling_probabilities returns None: what you computed is lost at its end. Finish it with a return of the (B, V) probabilities.",
    ),
    Mistake(
        name="sample is not written",
        find=_DRAW,
        put="return None",
        says="sample ends without a draw and returns None. Draw from the probabilities with torch.multinomial and return ids of shape (B,).",
    ),
    Mistake(
        name="generate is not written",
        find="    return ids\n",
        put="    return None\n",
        says="generate returns None: its last line is missing. Return prompt and new tokens, (B, T + n_tokens).",
    ),
]
