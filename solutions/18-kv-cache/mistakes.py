"""Known wrong answers to problem 18."""

from common.mistakes import Mistake

_INIT = "        self.keys: Tensor | None = None\n        self.values: Tensor | None = None\n"
_LEN = "return 0 if self.keys is None else self.keys.size(2)"
_JOIN_KEYS = "key = torch.cat([self.keys, key], dim=2)"
_JOIN_VALUES = "value = torch.cat([self.values, value], dim=2)"
_JOIN = f"        if self.keys is not None:\n            {_JOIN_KEYS}\n            {_JOIN_VALUES}\n"
_KEEP = "        self.keys, self.values = key, value\n        return key, value\n"
_HEADS = "q, k, v = (split_heads(part, n_head) for part in attn.c_attn(x).chunk(3, dim=-1))"
_IF_CACHE = "    if cache is not None:  # an empty cache is false, too\n"
_APPEND = "        k, v = cache.append(k, v)\n"
_SCALE = "scores = q @ k.mT / math.sqrt(q.size(-1))  # (B, H, T, S)"
_MASK = "scores = scores.masked_fill(~causal_mask(S, x.device)[S - T :], -torch.inf)"
_OUT = "return attn.resid_dropout(attn.c_proj(merge_heads(weights @ v)))"
_FORWARD = "return _attend(self, self.n_head, x, cache)"
_TRAINING = "        self.training = model.training  # what generate finds, and leaves\n"
_CACHES = "        self.caches = [KVCache() for _ in model.h]\n"
_SLID = "        if window.size(1) <= len(self.caches[0]):\n"
_RESET = "            self.caches = [KVCache() for _ in gpt2.h]\n"
_PAST = "        past = len(self.caches[0])\n"
_POSITIONS = "positions = torch.arange(past, window.size(1), device=window.device)"
_EMBED = "x = gpt2.drop(gpt2.wte(window[:, past:]) + gpt2.wpe(positions))  # (B, T, C)"
_LOOP = "for block, cache in zip(gpt2.h, self.caches, strict=True):"
_ATTEND = "x = x + _attend(block.attn, gpt2.config.n_head, block.ln_1(x), cache)"
_MLP = "x = x + block.mlp(block.ln_2(x))"
_LOGITS = "return gpt2.lm_head(gpt2.ln_f(x[:, -1:]))"
_READER = "    reader = _Reader(model)\n"
_CALL = "    return generate(\n        reader, batch, n_tokens, max_context, temperature, top_k, top_p, eos_id, generator\n    )\n"

MISTAKES = [
    # --- CachedCausalSelfAttention ---------------------------------------------------------------
    Mistake(
        name="an empty cache is taken for none",
        find=_IF_CACHE,
        put="    if cache:\n",
        says="Nothing is ever put into an empty cache: `if cache:` is False for one, as its length is 0. Ask `cache is not None`.",
    ),
    Mistake(
        name="the cache is not used",
        find=_IF_CACHE + _APPEND,
        put="",
        says="forward takes a cache and does nothing with it: a new token sees itself alone. Append its key and value, and attend over all that come back.",
    ),
    Mistake(
        name="what append returns is not used",
        find=_APPEND,
        put="        cache.append(k, v)\n",
        says="The new tokens are put into the cache, but attention goes on with their keys and values alone. Use what append returns: k, v = cache.append(k, v).",
    ),
    Mistake(
        name="appended twice",
        find=_APPEND,
        put="        cache.append(k, v)\n" + _APPEND,
        says="Each token is in the cache twice: append is called twice in one forward, or once more by its caller.",
    ),
    Mistake(
        name="appended before the heads are cut",
        find=_HEADS,
        put="q, k, v = attn.c_attn(x).chunk(3, dim=-1)",
        also=(
            (
                _APPEND,
                "        k, v = (part.squeeze(1) for part in cache.append(k.unsqueeze(1), v.unsqueeze(1)))\n",
            ),
            (_SCALE, "q, k, v = (split_heads(part, n_head) for part in (q, v, k))\n    " + _SCALE),
        ),
        says="Keys and values are swapped on their way through the cache: cut into query, key, value in that order, and append key before value.",
    ),
    Mistake(
        name="the mask starts at the first key",
        find="[S - T :]",
        put="[:T]",
        says="With a past your mask is that of the first tokens: a new one sees key 0 alone. Query t stands at position past + t: take the last T rows of the (S, S) triangle, not the first.",
    ),
    Mistake(
        name="the mask is as square as without a cache",
        find="~causal_mask(S, x.device)[S - T :]",
        put="~causal_mask(T, x.device)",
        says="The mask is (T, T), but with a past there are S keys: it broadcasts for one new token and fails for more. Build it for S, and take its last T rows.",
    ),
    Mistake(
        name="no mask with a cache",
        find=_MASK,
        put="if cache is None:\n        " + _MASK,
        says="With a cache nothing is masked, so the tokens of a prompt see each other's future. One new token needs no mask, but several do: the last T rows of the (S, S) triangle.",
    ),
    Mistake(
        name="no mask once there is a past",
        find=_MASK,
        put="if S == T:\n        " + _MASK,
        says="Several new tokens after a past see each other's future: you mask only if the cache was empty. The mask is the last T rows of the (S, S) triangle.",
    ),
    Mistake(
        name="no mask at all",
        find=_MASK,
        put="pass",
        says="The mask is gone: tokens see later ones, with a cache and without. Without one it is problem 05, and with one the last T rows of the (S, S) triangle.",
    ),
    Mistake(
        name="a new token does not see itself",
        find=_MASK,
        put="visible = causal_mask(S, x.device)[S - T :]\n    if S > T:\n        visible = visible.roll(-1, dims=-1)\n    scores = scores.masked_fill(~visible, -torch.inf)",
        says="With a past the mask is shifted by one: a new token sees the past but not itself. Its own key is the last of those that append returns.",
    ),
    Mistake(
        name="scores are scaled by the number of keys",
        find=_SCALE,
        put="scores = q @ k.mT / math.sqrt(k.size(-2))",
        says="You divide the scores by sqrt(S), which grows with the text. It is sqrt(D), the size of a head: q.size(-1).",
    ),
    Mistake(
        name="scores are not scaled",
        find=_SCALE,
        put="scores = q @ k.mT",
        says="The scores lack the division by sqrt(D). Without a cache this layer is problem 05's, scale and all.",
    ),
    Mistake(
        name="dropout on the weights is forgotten",
        find="weights = attn.attn_dropout(torch.softmax(scores, dim=-1))",
        put="weights = torch.softmax(scores, dim=-1)",
        says="attn_dropout is never applied. Without a cache this layer is problem 05's, also in training mode.",
    ),
    Mistake(
        name="dropout on the output is forgotten",
        find=_OUT,
        put="return attn.c_proj(merge_heads(weights @ v))",
        says="resid_dropout is never applied. Without a cache this layer is problem 05's, also in training mode.",
    ),
    Mistake(
        name="c_proj is forgotten",
        find=_OUT,
        put="return attn.resid_dropout(merge_heads(weights @ v))",
        says="c_proj is not applied: the heads are only glued side by side. The last steps are merge_heads, c_proj, resid_dropout.",
    ),
    Mistake(
        name="the layer keeps a cache of its own",
        find=_FORWARD,
        put='self.__dict__.setdefault("own", KVCache())\n        return _attend(self, self.n_head, x, self.own if cache is None else cache)',
        says="Without a cache the layer remembers the last call: it keeps a cache of its own. The past is in the cache that the caller passes, and nowhere else.",
    ),
    Mistake(
        name="the cache is part of the layer",
        find=_FORWARD,
        put=_FORWARD
        + '\n\n    def __init__(self, config) -> None:\n        super().__init__(config)\n        self.register_buffer("cached_keys", torch.zeros(1, config.n_head, config.n_positions, config.head_dim))',
        says="The state_dict holds a buffer for the cache. What a layer has read is not learned, and published weights have none: it belongs into KVCache.",
    ),
    # --- KVCache ---------------------------------------------------------------------------------
    Mistake(
        name="new tokens before the old ones",
        find=_JOIN_KEYS,
        put="key = torch.cat([key, self.keys], dim=2)",
        also=((_JOIN_VALUES, "value = torch.cat([value, self.values], dim=2)"),),
        says="Your cache puts the new tokens in front of the old ones, so keys no longer stand in the order of the text, which the mask relies on. torch.cat([old, new], dim=2).",
    ),
    Mistake(
        name="the keys in another order than the values",
        find=_JOIN_KEYS,
        put="key = torch.cat([key, self.keys], dim=2)",
        says="Your keys are joined new before old and your values old before new, so each weight meets another token's value. The oldest comes first in both.",
    ),
    Mistake(
        name="the values are not kept",
        find=f"            {_JOIN_VALUES}\n",
        put="",
        says="append joins the keys and forgets the values, so there are fewer values than keys. Both belong to the past: keep and join both.",
    ),
    Mistake(
        name="joined along the heads",
        find=_JOIN_KEYS,
        put=_JOIN_KEYS.replace("dim=2", "dim=1"),
        also=((_JOIN_VALUES, _JOIN_VALUES.replace("dim=2", "dim=1")),),
        says="You join along axis 1, the heads. In (B, H, T, D) the tokens are axis 2: torch.cat([old, new], dim=2).",
    ),
    Mistake(
        name="joined along the channels",
        find=_JOIN_KEYS,
        put=_JOIN_KEYS.replace("dim=2", "dim=-1"),
        also=((_JOIN_VALUES, _JOIN_VALUES.replace("dim=2", "dim=-1")),),
        says="You join along the last axis, the channels of a head. In (B, H, T, D) the tokens are axis 2, or -2: torch.cat([old, new], dim=2).",
    ),
    Mistake(
        name="append returns the new tokens only",
        find=_JOIN + _KEEP,
        put="        new = key, value\n"
        + _JOIN
        + "        self.keys, self.values = key, value\n        return new\n",
        says="append stores the past and returns the new tokens alone, so attention never sees it. It returns all keys and values so far.",
    ),
    Mistake(
        name="the cache holds the newest tokens only",
        find=_JOIN,
        put="",
        says="Each append replaces what was there: the past is lost. Join old and new, keep the result, and return it.",
    ),
    Mistake(
        name="only the first append is kept",
        find=_KEEP,
        put="        if self.keys is None:\n            self.keys, self.values = key, value\n        return key, value\n",
        says="The tokens of the second append come back once and are then forgotten: what you join has to be stored, too, in each append.",
    ),
    Mistake(
        name="keys and values are swapped",
        find="        return key, value\n",
        put="        return value, key\n",
        says="append returns (values, keys). The order is keys, then values, as in its arguments.",
    ),
    Mistake(
        name="append returns nothing",
        find="        return key, value\n",
        put="",
        says="append stores the tokens and returns None. Attention needs all keys and values so far: `return self.keys, self.values`.",
    ),
    Mistake(
        name="the length counts appends",
        find=_LEN,
        put="return self.appends",
        also=(
            (_INIT, _INIT + "        self.appends = 0\n"),
            (_JOIN, "        self.appends += 1\n" + _JOIN),
        ),
        says="len counts the calls of append. One call may bring a whole prompt: count the tokens, keys.size(2).",
    ),
    Mistake(
        name="the length is the size of the batch",
        find="self.keys.size(2)",
        put="len(self.keys)",
        says="len of a (B, H, S, D) tensor is B, the size of the batch. The tokens are axis 2: keys.size(2).",
    ),
    Mistake(
        name="the length is the number of heads",
        find="self.keys.size(2)",
        put="self.keys.size(1)",
        says="len gives the number of heads, axis 1 of (B, H, S, D). The tokens are axis 2.",
    ),
    Mistake(
        name="an empty cache has no length",
        find=_LEN,
        put="return self.keys.size(2)",
        says="len of a new cache fails, as there are no keys yet: it holds 0 tokens.",
    ),
    Mistake(
        name="all caches share one memory",
        find=_INIT,
        put="        KVCache.keys = KVCache.values = None\n",
        also=(
            (_KEEP, _KEEP.replace("self.keys, self.values = ", "KVCache.keys, KVCache.values = ")),
        ),
        says="Every KVCache holds the same tensors, since they belong to the class instead of the object. Keep them on self: self.keys, not KVCache.keys.",
    ),
    Mistake(
        name="the cache is kept in float32",
        find=_KEEP,
        put=_KEEP.replace("= key, value", "= key.float(), value.float()").replace(
            "return key, value", "return self.keys, self.values"
        ),
        says="Keys and values come back in float32, whatever they were. A cache keeps the type that it was given: no .float(), no buffer of a fixed type.",
    ),
    # --- generate_cached: the walk ---------------------------------------------------------------
    Mistake(
        name="positions start at 0 in every step",
        find=_POSITIONS,
        put="positions = torch.arange(window.size(1) - past, device=window.device)",
        says="Every new token gets position 0. With n tokens in the cache the next one has position n: torch.arange(past, past + T).",
    ),
    Mistake(
        name="positions are one too far",
        find=_POSITIONS,
        put="positions = (torch.arange(past, window.size(1), device=window.device) + (past > 0)).clamp(max=gpt2.config.n_positions - 1)",
        says="The new tokens' positions are one too large: with n tokens in the cache, at positions 0 to n - 1, the next one has position n.",
    ),
    Mistake(
        name="no positions for new tokens",
        find=_EMBED,
        put="x = gpt2.drop(gpt2.wte(window[:, past:]) + (gpt2.wpe(positions) if past == 0 else 0))",
        says="The prompt has position embeddings and the new tokens have none. Add wpe(past) to each, as model.forward would.",
    ),
    Mistake(
        name="all layers use one cache",
        find=_CACHES,
        put="        self.caches = [KVCache()] * len(model.h)\n",
        also=((_RESET, "            self.caches = [KVCache()] * len(gpt2.h)\n"),),
        says="[KVCache()] * n is n times the same cache, so each layer reads the others' keys. Each layer needs its own: [KVCache() for _ in model.h].",
    ),
    Mistake(
        name="the whole text is fed to the cache again",
        find=_EMBED,
        put="x = gpt2.drop(gpt2.wte(window) + gpt2.wpe(torch.arange(window.size(1), device=window.device)))",
        says="Each step feeds the whole text although the cache has most of it, so tokens are in the cache several times. Feed what is not in it yet: window[:, past:].",
    ),
    Mistake(
        name="only the last token of the prompt is fed",
        find=_PAST,
        put="        past = window.size(1) - 1\n",
        says="The caches never get the prompt: from the first step on only the last token is fed. Read the whole prompt first, then one token at a time.",
    ),
    Mistake(
        name="everything is read again in every step",
        find=_SLID,
        put="        if True:\n",
        says="The text is right and nothing is saved: the caches are emptied in every step. Keep them while the window only grows.",
    ),
    Mistake(
        name="generate_cached is generate",
        find=_CALL,
        put=_CALL.replace("reader,", "model,"),
        same_as="everything is read again in every step",
        says="The text is right and nothing is saved: the model reads the whole text in every step. Feed the newest token alone, with a cache for each layer.",
    ),
    Mistake(
        name="the caches slide with the window",
        find=_RESET,
        put="            for cache in self.caches:\n                if len(cache) == window.size(1):\n                    cache.keys, cache.values = cache.keys[:, :, 1:], cache.values[:, :, 1:]\n",
        says="When the window slides you drop the oldest keys and keep the others. But each token has moved to the position before, so every key and value has changed: empty the caches and read the window again.",
    ),
    Mistake(
        name="the caches are emptied and the window is not read again",
        find=_PAST,
        put=_PAST.replace(
            "len(self.caches[0])", "len(self.caches[0]) or (window.size(1) - 1 if self.slid else 0)"
        ),
        also=(
            (_CACHES, _CACHES + "        self.slid = False\n"),
            (_RESET, "            self.slid = len(self.caches[0]) > 0\n" + _RESET),
        ),
        says="When the window slides you empty the caches and feed the newest token alone, so the model has forgotten the text. Read the last max_context tokens again.",
    ),
    Mistake(
        name="the cache grows beyond the window",
        find=_SLID
        + "            # It did not grow, it slid: every token is at a new position, and no key is right any more.\n"
        + _RESET
        + _PAST,
        put="        past = min(len(self.caches[0]), window.size(1) - 1)\n",
        says="After the window has slid the caches hold more tokens than max_context: old ones are still looked at. Empty the caches and read the last max_context tokens.",
    ),
    Mistake(
        name="the window is n_positions wide",
        find="reader, batch, n_tokens, max_context,",
        put="reader, batch, n_tokens, model.config.n_positions,",
        says="max_context has no effect: your window is as wide as n_positions. The model sees at most the last max_context tokens.",
    ),
    Mistake(
        name="the final norm is forgotten",
        find=_LOGITS,
        put="return gpt2.lm_head(x[:, -1:])",
        says="ln_f is missing between the last block and lm_head, so already the first token is wrong. Walk the same way as problem 10's forward.",
    ),
    Mistake(
        name="no residual around attention",
        find=_ATTEND,
        put="x = _attend(block.attn, gpt2.config.n_head, block.ln_1(x), cache)",
        says="Attention's output replaces x instead of being added: x = x + attention(ln_1(x)), then x = x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="the first norm is forgotten",
        find=_ATTEND,
        put="x = x + _attend(block.attn, gpt2.config.n_head, x, cache)",
        says="Attention reads x without ln_1. Each block is pre-norm: x + attention(ln_1(x)), then x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="ln_1 twice",
        find=_MLP,
        put="x = x + block.mlp(block.ln_1(x))",
        says="The feed-forward layer reads ln_1(x), so ln_2 is never used: x = x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="only the first block is run",
        find=_LOOP,
        put="for block, cache in zip(gpt2.h[:1], self.caches[:1], strict=True):",
        says="Only the first block is run, so a model of one layer is right and a deeper one is not. Walk over all of model.h, each with its own cache.",
    ),
    Mistake(
        name="the logits of the first new position",
        find="x[:, -1:]",
        put="x[:, :1]",
        says="You take the logits of the first of the new positions. After a prompt the last one counts; it makes no difference later, when there is one only.",
    ),
    # --- generate_cached: manners ----------------------------------------------------------------
    Mistake(
        name="the caches of the last call are kept",
        find=_READER,
        put="    reader = generate_cached.__dict__.setdefault(model, _Reader(model))\n    reader.training = model.training\n",
        says="A second call finds the caches of the first and goes on with its text. Make new caches in each call.",
    ),
    Mistake(
        name="the model is left in another mode",
        find=_TRAINING,
        put="",
        says="After generate_cached the model is in training mode, whatever it was in before. A new module starts in training mode, and generate puts back what it finds there: hand model.training on.",
    ),
    Mistake(
        name="the model is left in eval mode",
        find=_TRAINING,
        put="        self.eval()\n",
        says="A model that was training is left in eval mode. Remember model.training before model.eval(), and put it back in a finally block.",
    ),
    Mistake(
        name="only the attribute of the mode is put back",
        find=_CALL,
        put="    try:\n    "
        + _CALL.replace("\n    ", "\n        ").rstrip(" ")
        + "    finally:\n        was = reader.training\n        model.eval().training = was\n",
        says="model.training says what it said before, but its parts are left in eval mode: call model.train(was_training), which reaches all of them.",
    ),
    Mistake(
        name="dropout disturbs the text",
        find=_READER,
        put=_READER + "    reader.eval = lambda: reader\n",
        says="The model stays in training mode while it writes, so dropout changes the text. Call model.eval() first, and put the mode back at the end.",
    ),
    Mistake(
        name="the model's attention is exchanged",
        find=_READER,
        put="    for block in model.h:\n        block.attn.__class__ = CachedCausalSelfAttention\n"
        + _READER,
        says="After the call the model's attention layers are yours: you exchanged them. The model belongs to the caller: let your own attention use its c_attn and c_proj instead.",
    ),
    Mistake(
        name="the cache is kept in the model",
        find=_CACHES,
        put=_CACHES
        + "        for block, cache in zip(model.h, self.caches, strict=True):\n            block.attn.cache = cache\n",
        says="After the call the model's attention layers hold your caches, and with them the memory. Keep the caches in a list of your own.",
    ),
    Mistake(
        name="a graph is kept",
        find="    def forward(self, window: Tensor) -> Tensor:",
        put="    @torch.enable_grad()\n    def forward(self, window: Tensor) -> Tensor:",
        says="A gradient graph is built in each step, and the cached keys and values hold on to all of them. Put torch.no_grad() around the loop, or decorate the function with it.",
    ),
    Mistake(
        name="the prompt is returned too",
        find=_CALL,
        put=_CALL.replace("return generate(", "new = generate(")
        + "    return torch.cat([batch, new], dim=1)\n",
        says="The result begins with the prompt. As in generate it holds the new tokens only, (B, n_tokens).",
    ),
    Mistake(
        name="the options are not handed on",
        find="temperature, top_k, top_p, eos_id, generator\n",
        put="temperature, eos_id=eos_id, generator=generator\n",
        says="top_k and top_p have no effect: they are not handed on to filter_logits.",
    ),
    Mistake(
        name="the temperature is not handed on",
        find="temperature, top_k, top_p, eos_id, generator\n",
        put="1.0 if temperature else 0, top_k, top_p, eos_id, generator\n",
        says="Any temperature but 0 is taken for 1: hand it on to filter_logits as it is.",
    ),
    Mistake(
        name="always greedy",
        find="temperature, top_k, top_p, eos_id, generator\n",
        put="0.0, top_k, top_p, eos_id, generator\n",
        says="generate_cached is greedy whatever its options are. Draw as generate does, with filter_logits and torch.multinomial.",
    ),
    Mistake(
        name="the generator is not handed on",
        find="eos_id, generator\n",
        put="eos_id\n",
        says="The generator has no effect, so the draws are not those of generate with the same seed: hand it on to torch.multinomial.",
    ),
    Mistake(
        name="eos_id is not handed on",
        find="eos_id, generator\n",
        put="None, generator\n",
        says="eos_id has no effect: a row goes on after its end. Once a row has drawn eos_id it is filled with it, as in generate.",
    ),
    Mistake(
        name="the positions are made on the CPU",
        find=_POSITIONS,
        put="positions = torch.arange(past, window.size(1))",
        says="The positions are made on the CPU, wherever the model is, and on a GPU wpe would fail: torch.arange(..., device=batch.device).",
    ),
    Mistake(
        name="the mask is made on the CPU",
        find="causal_mask(S, x.device)",
        put="causal_mask(S)",
        says="The mask is made on the CPU, wherever x is, and on a GPU masked_fill would fail: causal_mask(S, x.device).",
    ),
    # --- stubs -----------------------------------------------------------------------------------
    Mistake(
        name="the output is the input",
        find=_FORWARD,
        put="return x",
        says="forward returns its input: attention is not computed at all.",
    ),
    Mistake(
        name="the last token again and again",
        find=_CALL,
        put="    return batch[:, -1:].repeat(1, n_tokens)\n",
        says="generate_cached repeats the last token of the prompt: the model is never asked.",
    ),
]
