"""Known wrong answers to problem 15."""

from common.mistakes import Mistake

_MODE = "    was_training = model.training\n    model.eval()\n"
_TRY = "    try:\n        yield\n    finally:\n        model.train(was_training)\n"
_NO_GRAD = "@torch.no_grad()\ndef generate_text_simple("
_NO_GRAD_TOO = "@torch.no_grad()\ndef generate(\n"
# generate_text_simple
_SIMPLE = "            logits = model(text[:, -max_context:])[:, -1]  # (B, V)\n            text = torch.cat([text, logits.argmax(dim=-1, keepdim=True)], dim=1)\n"
_SIMPLE_RETURN = "    return text[:, batch.size(1) :]\n\n\ndef filter_logits"
# filter_logits
_DIVIDE = "logits = logits / temperature\n"
_KTH = "kth = logits.topk(min(top_k, logits.size(-1))).values[:, -1:]  # (B, 1)"
_FILL = "logits = logits.masked_fill(logits < kth, -torch.inf)"
_TOP_K = f"    if top_k is not None:\n        {_KTH}\n        {_FILL}\n"
_SORT = "probs, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)"
_BETTER = "better = probs.cumsum(dim=-1) - probs  # what the more likely tokens hold together"
_REMOVED = (
    "removed = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, better >= top_p)"
)
_CUT = "logits = logits.masked_fill(removed, -torch.inf)"
_FILTERED = "    return logits\n\n\n@torch.no_grad()\ndef generate("
# generate
_ENDED = "    ended = torch.zeros_like(batch[:, :1], dtype=torch.bool)  # (B, 1)\n"
_LOGITS = "            logits = model(text[:, -max_context:])[:, -1]  # (B, V)\n            if temperature == 0:\n"
_GREEDY = "            if temperature == 0:\n                token = logits.argmax(dim=-1, keepdim=True)  # (B, 1)\n            else:\n"
_DRAW = "                probs = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)\n                token = torch.multinomial(probs, num_samples=1, generator=generator)\n"
_EOS = "            if eos_id is not None:\n                token = token.masked_fill(ended, eos_id)\n                ended = token == eos_id\n"
_APPEND = "            text = torch.cat([text, token], dim=1)\n"
_STOP = "            if ended.all():\n                break\n"
_RETURN = _STOP + "    return text[:, batch.size(1) :]\n"
_LOOP = "            text = torch.cat([text, token], dim=1)\n            if ended.all():"

MISTAKES = [
    # --- the loop --------------------------------------------------------------------------------
    Mistake(
        name="the prompt is returned too",
        find=_SIMPLE_RETURN,
        put=_SIMPLE_RETURN.replace("text[:, batch.size(1) :]", "text"),
        also=((_RETURN, _STOP + "    return text\n"),),
        says="The result begins with the prompt. It holds the new tokens only, (B, n_tokens): text[:, T:], where T is the length of the prompt.",
    ),
    Mistake(
        name="generate returns the prompt too",
        find=_RETURN,
        put=_STOP + "    return text\n",
        says="generate returns the prompt in front of the new tokens. As in generate_text_simple, the new tokens alone are the result: text[:, T:].",
    ),
    Mistake(
        name="the last max_context tokens are returned",
        find=_SIMPLE,
        put="            text = text[:, -max_context:]\n" + _SIMPLE,
        says="You crop the text that you return, so the cut after the prompt's T tokens is in the wrong place once the context is full. Crop only what the model sees.",
    ),
    Mistake(
        name="one token too many",
        find="        for _ in range(n_tokens):\n" + _SIMPLE,
        put="        for _ in range(n_tokens + 1):\n" + _SIMPLE,
        says="generate_text_simple makes n_tokens + 1 tokens: the loop has one pass for each new token, range(n_tokens).",
    ),
    Mistake(
        name="the first position's logits",
        find=_SIMPLE,
        put=_SIMPLE.replace("[:, -1]  #", "[:, 0]  #"),
        says="Your new token comes from the logits of position 0, which have seen the first token alone. What follows the text stands at the last position: logits[:, -1].",
    ),
    Mistake(
        name="the last position but one",
        find=_SIMPLE,
        put=_SIMPLE.replace("[:, -1]  #", "[:, -2:][:, 0]  #"),
        says="You take the logits of the last position but one, which predict the last token of the prompt. The next token stands at logits[:, -1].",
    ),
    Mistake(
        name="the argmax runs over all positions",
        find="logits.argmax(dim=-1, keepdim=True)], dim=1)",
        put="logits.argmax(dim=0, keepdim=True)[:, : text.size(0)].T], dim=1)",
        says="argmax runs over the batch instead of the vocabulary. Each row of the (B, V) logits has its own best token: dim=-1.",
    ),
    Mistake(
        name="the least likely token",
        find="logits.argmax(dim=-1, keepdim=True)], dim=1)",
        put="logits.argmin(dim=-1, keepdim=True)], dim=1)",
        says="You take the least likely token of each row. The largest logit belongs to the most likely one: argmax.",
    ),
    Mistake(
        name="the context does not grow",
        find=_SIMPLE,
        put=_SIMPLE.replace("model(text[", "model(batch["),
        says="Every new token is predicted from the bare prompt, so it comes again and again. Append it, and ask the model with the text as it has grown.",
    ),
    Mistake(
        name="only the new token is shown to the model",
        find=_SIMPLE,
        put=_SIMPLE.replace(
            "model(text[:, -max_context:])",
            "model(text[:, -max_context:] if text is batch else text[:, -1:])",
        ),
        says="After the first pass the model sees the last token alone. Without a cache it has no memory and needs the whole text in each pass: text[:, -max_context:].",
    ),
    Mistake(
        name="the context keeps the prompt's length",
        find=_SIMPLE,
        put="            limit = min(max_context, batch.size(1))\n"
        + _SIMPLE.replace("-max_context:", "-limit:"),
        says="The model never sees more tokens than the prompt had, though max_context leaves room for more. Let the text grow, and crop at max_context.",
    ),
    Mistake(
        name="the new token is put in front",
        find="torch.cat([text, logits.argmax(dim=-1, keepdim=True)], dim=1)\n    return text[:, batch.size(1) :]",
        put="torch.cat([logits.argmax(dim=-1, keepdim=True), text], dim=1)\n    return text[:, :n_tokens].flip(1)",
        says="The new token is put before the text, so the model goes on with a text in the wrong order. It comes after it: torch.cat([text, token], dim=1).",
    ),
    Mistake(
        name="appended along the batch",
        find=_SIMPLE,
        put=_SIMPLE.replace("dim=1)", "dim=0)").replace(
            "keepdim=True)", "keepdim=True).expand(-1, text.size(1))"
        ),
        also=(
            (
                _SIMPLE_RETURN,
                _SIMPLE_RETURN.replace("text[:, batch.size(1) :]", "text[batch.size(0) :]"),
            ),
        ),
        says="The new token is appended along dim=0, so the batch grows instead of the text. Tokens lie along dim=1.",
    ),
    Mistake(
        name="the context is never cropped",
        find=_SIMPLE,
        put=_SIMPLE.replace("[:, -max_context:]", ""),
        says="The model is given more than max_context tokens; a real one has no positions for them, and fails. Crop in each pass: text[:, -max_context:].",
    ),
    Mistake(
        name="only the prompt is cropped",
        find="    text = batch\n    with _eval_mode(model):",
        put="    text = batch = batch[:, -max_context:]\n    with _eval_mode(model):",
        also=((_SIMPLE, _SIMPLE.replace("[:, -max_context:]", "")),),
        says="You crop the prompt, once, and then the text grows beyond max_context. Crop in each pass of the loop: text[:, -max_context:].",
    ),
    Mistake(
        name="the context is cropped to its beginning",
        find=_SIMPLE,
        put=_SIMPLE.replace("[:, -max_context:]", "[:, :max_context]"),
        says="The model sees the first max_context tokens, so it never reads what it has written. It needs the last ones: text[:, -max_context:].",
    ),
    Mistake(
        name="the model is called twice for a token",
        find=_SIMPLE,
        put=_SIMPLE.replace(
            "logits = model(text[:, -max_context:])[:, -1]",
            "logits = model(text[:, -max_context:])[:, model(text[:, -max_context:]).size(1) - 1]",
        ),
        says="Each new token costs two forward passes, so generation takes twice as long. Keep what the first call gave.",
    ),
    Mistake(
        name="the new tokens are kept in a list of columns",
        find=_SIMPLE,
        put=_SIMPLE + "            columns.append(text[:, -1:])\n",
        also=(
            (
                "    text = batch\n    with _eval_mode(model):",
                "    text, columns = batch, []\n    with _eval_mode(model):",
            ),
            (
                _SIMPLE_RETURN,
                _SIMPLE_RETURN.replace("text[:, batch.size(1) :]", "torch.cat(columns, dim=1)"),
            ),
        ),
        says="n_tokens=0 raises an error: cat and stack cannot join an empty list. Append to the text and return text[:, T:], which is (B, 0) then.",
    ),
    Mistake(
        name="the new tokens are stacked along the batch",
        find=_SIMPLE,
        put=_SIMPLE + "            columns.append(text[:, -1])\n",
        also=(
            (
                "    text = batch\n    with _eval_mode(model):",
                "    text, columns = batch, []\n    with _eval_mode(model):",
            ),
            (
                _SIMPLE_RETURN,
                _SIMPLE_RETURN.replace(
                    "text[:, batch.size(1) :]", "torch.stack(columns) if columns else batch[:, :0]"
                ),
            ),
        ),
        says="The result is (n_tokens, B): each entry of your list holds one token of every row. Stack along dim=1.",
    ),
    # --- manners of the loop ---------------------------------------------------------------------
    Mistake(
        name="the model stays in training mode",
        find=_MODE,
        put="    was_training = model.training\n",
        says="The model generates in training mode, so dropout disturbs every token. Call model.eval() before the loop, and put the mode back after it.",
    ),
    Mistake(
        name="the model is left in eval mode",
        find=_TRY,
        put="    yield\n",
        says="A model that was training is left in eval mode: the training that goes on has no dropout. Remember model.training, and restore it at the end.",
    ),
    Mistake(
        name="the model is always put into training mode",
        find="model.train(was_training)",
        put="model.train()",
        says="A model that was in eval mode is in training mode after generation. Remember model.training at the start, and end with model.train(was_training).",
    ),
    Mistake(
        name="the mode is not restored after an error",
        find=_TRY,
        put="    yield\n    model.train(was_training)\n",
        says="When an error ends the loop, the model stays in eval mode: the line that restores it is never reached. Put it under `finally:`, which runs in any case.",
    ),
    Mistake(
        name="gradients stay on",
        find=_NO_GRAD,
        put="def generate_text_simple(",
        also=((_NO_GRAD_TOO, "def generate(\n"),),
        says="Each forward pass builds a gradient graph that nobody uses, at the price of time and memory. Decorate both functions with torch.no_grad().",
    ),
    Mistake(
        name="gradients stay on in generate",
        find=_NO_GRAD_TOO,
        put="def generate(\n",
        says="generate builds a gradient graph in each forward pass, though nothing is trained. Decorate it with torch.no_grad(), as generate_text_simple.",
    ),
    Mistake(
        name="gradients are switched off for good",
        find=_NO_GRAD,
        put="def generate_text_simple(",
        also=(
            (
                "    text = batch\n    with _eval_mode(model):",
                "    torch.set_grad_enabled(False)\n    text = batch\n    with _eval_mode(model):",
            ),
        ),
        says="After generate_text_simple nothing can be trained: gradients stay switched off for the whole program. torch.no_grad() as a decorator or `with` block ends by itself.",
    ),
    Mistake(
        name="gradients are switched on at the end",
        find=_SIMPLE_RETURN,
        put="    torch.set_grad_enabled(True)\n" + _SIMPLE_RETURN,
        also=(
            (_NO_GRAD, "def generate_text_simple("),
            (
                "    text = batch\n    with _eval_mode(model):",
                "    torch.set_grad_enabled(False)\n    text = batch\n    with _eval_mode(model):",
            ),
        ),
        says="You switch gradients off and then on, whatever they were before, and an error in between leaves them off. torch.no_grad() puts back what it found.",
    ),
    # --- filter_logits ---------------------------------------------------------------------------
    Mistake(
        name="the filter returns probabilities",
        find=_FILTERED,
        put=_FILTERED.replace("return logits", "return logits.softmax(dim=-1)"),
        also=(("top_p).softmax(dim=-1)", "top_p)"),),
        says="filter_logits returns probabilities. Its result are logits, with -inf where a token was removed; the softmax comes afterwards, in generate.",
    ),
    Mistake(
        name="multiplied by the temperature",
        find=_DIVIDE,
        put="logits = logits * temperature\n",
        says="You multiply the logits by the temperature, so a low one makes the choice more even. It divides: low is careful, high is bold.",
    ),
    Mistake(
        name="the temperature is ignored",
        find=_DIVIDE,
        put="logits = logits.clone()\n",
        says="The temperature is checked and then forgotten: divide the logits by it, before top_k and top_p.",
    ),
    Mistake(
        name="the temperature comes last",
        find=_DIVIDE,
        put="pass\n",
        also=((_FILTERED, _FILTERED.replace("return logits", "return logits / temperature")),),
        says="You divide by the temperature after top_p, so the nucleus is measured on the wrong probabilities. The order is temperature, top_k, top_p.",
    ),
    Mistake(
        name="one logit too many in top_k",
        find=_KTH,
        put="kth = logits.topk(min(top_k + 1, logits.size(-1))).values[:, -1:]",
        says="top_k keeps k + 1 tokens: your threshold is the logit after the k-th, so top_k=1 is not greedy. In sorted order the k-th largest is at index k - 1.",
    ),
    Mistake(
        name="top_k drops the k-th itself",
        find=_FILL,
        put="logits = logits.masked_fill(logits <= kth, -torch.inf)",
        says="You remove what is <= the k-th logit, so k - 1 tokens stay, and none for top_k=1. Remove what is < the k-th.",
    ),
    Mistake(
        name="top_k keeps the smallest",
        find="logits.size(-1))).values[:, -1:]",
        put="logits.size(-1)), largest=False).values[:, -1:]",
        also=(("logits < kth", "logits > kth"),),
        says="top_k keeps the k smallest logits. The likely tokens are those with the largest.",
    ),
    Mistake(
        name="the threshold is the k-th smallest",
        find="logits.size(-1))).values[:, -1:]",
        put="logits.size(-1)), largest=False).values[:, -1:]",
        says="Your threshold is the k-th smallest logit, so all but k - 1 tokens stay. topk gives the largest by itself; after sort, use descending=True.",
    ),
    Mistake(
        name="one threshold for the whole batch",
        find=_KTH,
        put="kth = logits.topk(min(top_k, logits.size(-1))).values[:, -1].min()",
        says="All rows share the k-th largest logit of one row. Each row has its own threshold: values[:, -1:], which is (B, 1).",
    ),
    Mistake(
        name="ties with the k-th are cut",
        find=_FILL,
        put="best = logits.topk(min(top_k, logits.size(-1))).indices\n        logits = torch.full_like(logits, -torch.inf).scatter(-1, best, logits.gather(-1, best))",
        says="You keep exactly k tokens by their indices, so which of several equal logits stays is an accident. Keep all that are at least the k-th: only logits < kth go.",
    ),
    Mistake(
        name="removed logits are 0",
        find=_FILL,
        put="logits = logits.masked_fill(logits < kth, 0.0)",
        says="A removed logit becomes 0, which softmax turns into a fair share, exp(0) = 1. It has to be -inf, as exp(-inf) = 0.",
    ),
    Mistake(
        name="removed logits are -1e9",
        find=_FILL,
        put="logits = logits.masked_fill(logits < kth, -1e9)",
        also=((_CUT, _CUT.replace("-torch.inf", "-1e9")),),
        says="A removed logit is -1e9. The contract says -inf, which stays removed whatever is done to it later, such as a division by a huge temperature.",
    ),
    Mistake(
        name="the result of masked_fill is thrown away",
        find=_FILL,
        put="logits.masked_fill(logits < kth, -torch.inf)",
        says="top_k has no effect: masked_fill returns a new tensor and leaves the old one alone. Keep the result: logits = logits.masked_fill(...).",
    ),
    Mistake(
        name="a top_k above the vocabulary",
        find="min(top_k, logits.size(-1))",
        put="top_k",
        says="A top_k above the number of tokens raises an error in topk. It keeps all tokens: topk(min(top_k, V)).",
    ),
    Mistake(
        name="the token that crosses p is cut",
        find=_REMOVED,
        put=_REMOVED.replace("better >= top_p", "better + probs > top_p"),
        says="You cut the token that brings the sum over p, so the kept ones do not reach p, and nothing is left where the first alone is above it. Look at the sum before each token.",
    ),
    Mistake(
        name="the token that crosses p is cut, except the first",
        find=_REMOVED,
        put=_REMOVED.replace("better >= top_p", "(better + probs > top_p) & (better > 0)"),
        says="You cut the token that brings the sum over p; only the first is saved. The kept ones have to reach p: keep a token if the sum before it is below p.",
    ),
    Mistake(
        name="one token too many in the nucleus",
        find=_REMOVED,
        put=_REMOVED.replace("better >= top_p", "better - probs.roll(1, -1) >= top_p"),
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
        find=_REMOVED,
        put="removed = better >= top_p",
        says="You apply the mask of the sorted tokens to the unsorted ones, so other tokens go than those meant. Carry it back: scatter(-1, order, mask).",
    ),
    Mistake(
        name="gathered instead of scattered",
        find=_REMOVED,
        put="removed = (better >= top_p).gather(-1, order)",
        says="gather with order permutes once more instead of back. The way back is scatter(-1, order, ...), or gather with order.argsort(-1).",
    ),
    Mistake(
        name="the logits come back sorted",
        find=_CUT,
        put="logits = logits.gather(-1, order).masked_fill(better >= top_p, -torch.inf)",
        says="After top_p the logits stand in sorted order, so every token has another one's logit. Carry the mask, or the logits, back to the tokens' places with scatter.",
    ),
    Mistake(
        name="the logits are added up",
        find=_SORT,
        put="probs, order = logits.sort(dim=-1, descending=True)",
        says="You add up the logits themselves, which are no probabilities and may be negative. top_p adds up softmax(logits).",
    ),
    Mistake(
        name="the sum runs over the whole batch",
        find=_BETTER,
        put="better = probs.flatten().cumsum(0).view_as(probs) - probs",
        says="The running sum goes on from row to row, so only the first row has a nucleus. Add up along the vocabulary of each row: cumsum(dim=-1).",
    ),
    Mistake(
        name="top_p before top_k",
        find=_TOP_K,
        put="",
        also=((_FILTERED, _TOP_K + _FILTERED),),
        says="top_p runs before top_k, on the probabilities of all tokens, so the nucleus comes out too large. top_k is first, and top_p adds up the softmax of what it left.",
    ),
    Mistake(
        name="top_p only without top_k",
        find="    if top_p is not None and top_p < 1:  # at 1",
        put="    elif top_p is not None and top_p < 1:  # at 1",
        says="With top_k given, top_p has no effect: an `elif` makes them alternatives. They are two steps, one after the other.",
    ),
    Mistake(
        name="zero times minus infinity",
        find=_FILL,
        put="logits = logits * (logits >= kth) + torch.where(logits >= kth, 0.0, -torch.inf)",
        says="A logit of -inf becomes NaN: 0 * -inf is not 0. Mask with masked_fill or where, which replace instead of multiply.",
    ),
    Mistake(
        name="a temperature of 0 is accepted by the filter",
        find="if not temperature > 0:",
        put="if temperature < 0:",
        says="filter_logits divides by a temperature of 0, and gives inf and NaN. It refuses what is not above 0 with a ValueError; greedy is generate's business.",
    ),
    Mistake(
        name="a negative temperature is accepted",
        find="if not temperature > 0:",
        put="if temperature == 0:",
        says="A negative temperature turns the order of the tokens around without a word. Refuse it with a ValueError that names it.",
    ),
    Mistake(
        name="a small temperature instead of an error",
        find='    if not temperature > 0:\n        raise ValueError(f"temperature must be above 0, not {temperature}")\n',
        put="    temperature = max(temperature, 1e-6)\n",
        says="A temperature of 0 or below is quietly replaced by a small one. Bad input is refused with a ValueError that names it, never mended in silence.",
    ),
    Mistake(
        name="a top_k of 0 is taken for no top_k",
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
        name="a top_p of 1 is refused",
        find="not 0 < top_p <= 1",
        put="not 0 < top_p < 1",
        says="top_p=1.0 is refused, but it is a fair value: it keeps all tokens. The range is above 0 and at most 1.",
    ),
    Mistake(
        name="the logits are divided in place",
        find=_DIVIDE,
        put="logits /= temperature\n",
        says="The caller's logits are changed: `/=` works in place. Make a new tensor: logits / temperature.",
    ),
    Mistake(
        name="the filter works in float32",
        find=_DIVIDE,
        put="logits = logits.float() / temperature\n",
        says="Logits in float64 come back as float32: leave out .float(), and the result has the type of the logits.",
    ),
    Mistake(
        name="the mask is made on the CPU",
        find="torch.zeros_like(logits, dtype=torch.bool)",
        put="torch.zeros(logits.shape, dtype=torch.bool)",
        says="The mask of top_p is made on the CPU, wherever the logits are, and on a GPU scatter would fail. zeros_like makes it where they are.",
    ),
    # --- generate --------------------------------------------------------------------------------
    Mistake(
        name="temperature 0 is not treated apart",
        find=_GREEDY,
        put="            if True:\n",
        says="generate hands temperature=0 on to filter_logits, which refuses it. 0 means greedy here: take the argmax instead of a draw.",
    ),
    Mistake(
        name="negative temperatures are greedy",
        find="if temperature == 0:",
        put="if temperature <= 0:",
        says="A negative temperature is taken for greedy. Only 0 is; anything below goes to filter_logits, which raises the ValueError.",
    ),
    Mistake(
        name="generate is always greedy",
        find=_DRAW,
        put="                probs = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)\n                token = probs.argmax(dim=-1, keepdim=True)\n",
        says="generate takes the most likely token whatever its options are. Draw it: torch.multinomial(probs, num_samples=1, generator=generator).",
    ),
    Mistake(
        name="drawn evenly from what is left",
        find=_DRAW,
        put=_DRAW.replace("multinomial(probs", "multinomial((probs > 0).float()"),
        says="Every token that is left is drawn equally often. Hand multinomial the probabilities, not the mask.",
    ),
    Mistake(
        name="softmax twice",
        find=_DRAW,
        put=_DRAW.replace("multinomial(probs", "multinomial(probs.softmax(dim=-1)"),
        says="Removed tokens are drawn, and the choice is almost even: the probabilities went through a second softmax. multinomial takes them as they are.",
    ),
    Mistake(
        name="the options are not handed on",
        find="filter_logits(logits, temperature, top_k, top_p)",
        put="filter_logits(logits)",
        says="generate calls filter_logits without temperature, top_k and top_p, so none of the three has an effect.",
    ),
    Mistake(
        name="top_k is not handed on",
        find="filter_logits(logits, temperature, top_k, top_p)",
        put="filter_logits(logits, temperature, top_p=top_p)",
        says="generate does not hand top_k on to filter_logits, so it has no effect.",
    ),
    Mistake(
        name="top_p is not handed on",
        find="filter_logits(logits, temperature, top_k, top_p)",
        put="filter_logits(logits, temperature, top_k)",
        says="generate does not hand top_p on to filter_logits, so it has no effect.",
    ),
    Mistake(
        name="the temperature is not handed on",
        find="filter_logits(logits, temperature, top_k, top_p)",
        put="filter_logits(logits, top_k=top_k, top_p=top_p)",
        says="generate does not hand its temperature on to filter_logits: it has no effect, except that 0 is greedy.",
    ),
    Mistake(
        name="one draw for the whole batch",
        find=_DRAW,
        put="                probs = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)\n"
        "                noise = torch.rand(1, generator=generator, device=probs.device)\n"
        "                token = (probs.cumsum(-1) <= noise).sum(-1, keepdim=True).clamp(max=probs.size(-1) - 1)\n",
        says="All rows share one random number, so equal prompts get equal texts. Each row has a draw of its own: rand(B, 1), or multinomial.",
    ),
    Mistake(
        name="all rows are drawn from the first row",
        find=_DRAW,
        put=_DRAW.replace(
            "multinomial(probs, num_samples=1",
            "multinomial(probs[0], num_samples=probs.size(0), replacement=True",
        ).replace("generator=generator)", "generator=generator)[:, None]"),
        says="Every row's token is drawn from row 0's probabilities. multinomial takes the (B, V) tensor, and draws for each row from its own.",
    ),
    Mistake(
        name="the generator is ignored",
        find="num_samples=1, generator=generator)",
        put="num_samples=1)",
        says="Generators of one seed give different texts: your draws come from torch's global state. Pass generator=generator to multinomial.",
    ),
    Mistake(
        name="the generator starts anew in each step",
        find=_DRAW,
        put="                if generator is not None:\n                    generator.manual_seed(0)\n"
        + _DRAW,
        says="The generator is seeded in each step, so each draw of a row uses the same random number. Use it as it is, and let it move on.",
    ),
    Mistake(
        name="a seed inside generate",
        find=_ENDED,
        put=_ENDED
        + "    if generator is None:\n        generator = torch.Generator(device=batch.device).manual_seed(42)\n",
        says="Without a generator every call gives the same text: you make one with a fixed seed. None means torch's global state, and multinomial takes None.",
    ),
    Mistake(
        name="the first position's logits in generate",
        find=_LOGITS,
        put=_LOGITS.replace("[:, -1]", "[:, 0]"),
        says="generate takes the logits of position 0, which have seen the first token alone. What follows the text stands at the last position: logits[:, -1].",
    ),
    Mistake(
        name="the context is never cropped in generate",
        find=_LOGITS,
        put=_LOGITS.replace("[:, -max_context:]", ""),
        says="generate gives the model more than max_context tokens; a real one has no positions for them. Crop in each pass: text[:, -max_context:].",
    ),
    Mistake(
        name="rows go on after their end",
        find="                token = token.masked_fill(ended, eos_id)\n                ended = token == eos_id\n",
        put="                ended = ended | (token == eos_id)\n",
        says="A row that has drawn eos_id goes on with other tokens. Keep one flag for each row, and replace the token of ended rows by eos_id.",
    ),
    Mistake(
        name="a row's end is forgotten",
        find="                token = token.masked_fill(ended, eos_id)\n                ended = token == eos_id\n",
        put="                drawn = token\n                token = token.masked_fill(ended, eos_id)\n                ended = drawn == eos_id\n",
        says="A row that has ended comes back to life a step later: its flag is made anew from what was drawn. Once True it stays True: ended = ended | (token == eos_id).",
    ),
    Mistake(
        name="ended rows are filled with 0",
        find="token.masked_fill(ended, eos_id)\n                ended = token == eos_id",
        put="token.masked_fill(ended, 0)\n                ended = ended | (token == eos_id)",
        says="A row that has ended is filled with token 0, which is a word like any other. Fill it with eos_id.",
    ),
    Mistake(
        name="generation stops with the first row that ends",
        find=_STOP,
        put="            if ended.any():\n                break\n",
        says="Generation stops as soon as one row has ended, and cuts the others short. It ends when all rows have: ended.all().",
    ),
    Mistake(
        name="generation never stops early",
        find=_STOP,
        put="",
        says="All rows have ended, and the model is called on until n_tokens are made. Leave the loop as soon as ended.all().",
    ),
    Mistake(
        name="all rows have to end at once",
        find=_EOS + _APPEND + _STOP,
        put=_APPEND
        + "            if eos_id is not None and (token == eos_id).all():\n                break\n",
        says="Generation ends only if all rows draw eos_id in the same step, and a row goes on after its own end. Remember for each row whether it has ended.",
    ),
    Mistake(
        name="the end token is not part of the result",
        find=_APPEND + _STOP,
        put=_STOP + _APPEND,
        says="The last end token is missing: you leave the loop before it is appended. It is a new token like the others: append first, then stop.",
    ),
    Mistake(
        name="eos_id 0 is taken for no eos_id",
        find="if eos_id is not None:",
        put="if eos_id:",
        says="eos_id=0 has no effect, since 0 counts as false. Ask `eos_id is not None`.",
    ),
    Mistake(
        name="eos_id is ignored",
        find=_EOS,
        put="",
        says="eos_id has no effect: a row goes on after the end token, and generation never stops early.",
    ),
    Mistake(
        name="an end token in the prompt counts",
        find=_ENDED,
        put="    ended = (batch == eos_id).any(dim=1, keepdim=True) if eos_id is not None else torch.zeros_like(batch[:, :1], dtype=torch.bool)\n",
        says="A prompt that holds eos_id counts as ended, and gets nothing but eos_id. GPT-2's texts begin with that token: only a new one ends a row.",
    ),
    Mistake(
        name="the flags are made on the CPU",
        find=_ENDED,
        put="    ended = torch.zeros(batch.size(0), 1, dtype=torch.bool)\n",
        says="The flags of ended rows are made on the CPU, and on a GPU masked_fill would fail. Make them with device=batch.device, or with zeros_like.",
    ),
    # --- stubs -----------------------------------------------------------------------------------
    Mistake(
        name="the last token of the prompt again and again",
        find=_SIMPLE,
        put="            text = torch.cat([text, text[:, -1:]], dim=1)\n",
        says="generate_text_simple repeats the last token of the prompt: the model is never asked.",
    ),
    Mistake(
        name="the filter does nothing",
        find=_FILTERED,
        put=_FILTERED.replace("return logits", "return logits + 0 * temperature"),
        also=(
            (_TOP_K, ""),
            (_DIVIDE, "pass\n"),
            (
                "    if top_p is not None and top_p < 1:  # at 1",
                "    if top_p is not None and top_p < 0:  # at 1",
            ),
        ),
        says="filter_logits returns the logits as they came: neither temperature nor top_k nor top_p has an effect.",
    ),
    Mistake(
        name="the filter ends without a return",
        find=_FILTERED,
        put=_FILTERED.replace("return logits", "logits = logits"),
        says="filter_logits returns None: what you computed is lost at its end. Finish it with `return logits`.",
    ),
]
