"""Known wrong answers to problem 17."""

from common.mistakes import Mistake

_PREFIX = (
    '    found = {key.removeprefix("transformer."): tensor for key, tensor in state_dict.items()}\n'
)
_MASK = "if not OLD_MASK.fullmatch(name)}"
_UNKNOWN = "    if unknown := sorted(found.keys() - expected.keys()):\n"
_MISSING = "    if missing := [name for name in expected if name not in found]:\n"
_HEAD = '    if head is not None and not torch.equal(head, found["wte.weight"]):\n'
_TRANSPOSE = "        name: found[name].T.contiguous() if name.endswith(CONV1D) else found[name]\n"
_RETURN = '    return state | {"lm_head.weight": state["wte.weight"]}\n'
_LAST = "for i in range(max(numbers, default=0) + 1):"
_FITS = "        fits = len(shape) == len(axes)\n"
_SIZE = "fits = fits and sizes.setdefault(letter, size) == size"
_BUILD = "    model = GPT2Model(config)\n"
_LOAD = "    model.load_state_dict(state)  # copies, so that float16 and bfloat16 become float32\n"
_SIZES = (
    "    _check_sizes(state, config)  # before the model is built: a wrong size may be a huge one\n"
)
_ONLY = "        if fields.get(name, only) != only:\n"
_CHOSEN = "    chosen = {name: fields.get(name) for name in (*SIZES, *RATES)}\n"
_INNER = '        chosen["n_inner"] = fields["n_inner"]\n'
_TYPE = "        if type(value) not in kinds:  # not isinstance, which takes True for an int\n"
_FILE = "        if not (folder / name).is_file():\n"

MISTAKES = [
    # --- convert_hf_state_dict: names
    Mistake(
        name="the prefix stays",
        find=_PREFIX,
        put="    found = dict(state_dict)\n",
        says='`transformer.` is still in front of the names. Files that transformers saves today have it, the hub\'s old gpt2 file has not: take it off where it is, key.removeprefix("transformer.").',
    ),
    Mistake(
        name="the first twelve characters are always cut off",
        find='key.removeprefix("transformer.")',
        put='key[len("transformer.") :]',
        says='You cut twelve characters off every name, prefix or not. Old files have no prefix: key.removeprefix("transformer.") takes off what is there and nothing else.',
    ),
    Mistake(
        name="only prefixed keys are read",
        find=_PREFIX,
        put='    found = {key.removeprefix("transformer."): tensor for key, tensor in state_dict.items() if key.startswith("transformer.")}\n',
        says="You read only keys that start with `transformer.`. The hub's old gpt2 file has none of these, and lm_head.weight never has: take the prefix off where it is, keep the rest.",
    ),
    Mistake(
        name="masks are kept",
        find=_MASK,
        put="}",
        also=(
            (
                _UNKNOWN,
                '    if unknown := [n for n in found if n not in expected and not n.endswith(("attn.bias", "masked_bias"))]:\n',
            ),
            ("for name in expected\n    }", "for name in found\n    }"),
        ),
        says="The old mask buffers `h.N.attn.bias` and `h.N.attn.masked_bias` are in your result. Nobody learned them, and GPT2Model has no place for them: leave them out.",
    ),
    Mistake(
        name="masks count as unknown",
        find=_MASK,
        put="}",
        says="You refuse `h.N.attn.bias`. Old files hold the causal mask under this name and `masked_bias`: leave the two out before you look for unknown keys.",
    ),
    Mistake(
        name="masked_bias is forgotten",
        find=r"(bias|masked_bias)",
        put=r"bias",
        says="You leave out `h.N.attn.bias` but not `h.N.attn.masked_bias`. Old files hold both, and neither was learned.",
    ),
    Mistake(
        name="c_attn.bias goes with the masks",
        find=_MASK,
        put='if not name.endswith(("attn.bias", "masked_bias"))}',
        says='"c_attn.bias" ends with "attn.bias" too, so you throw the learned biases out with the masks. Compare with ".attn.bias", dot included, or the whole name.',
    ),
    Mistake(
        name="lm_head.weight is not in the result",
        find=_RETURN,
        put="    return state\n",
        says='The result has no lm_head.weight. Files leave it out as the head is tied to wte; GPT2Model\'s state dict has it under both names: put state["wte.weight"] in a second time.',
    ),
    # --- convert_hf_state_dict: values
    Mistake(
        name="nothing is transposed",
        find=_TRANSPOSE,
        put="        name: found[name]\n",
        says="The Conv1D weights are as they were in the file, (in, out). nn.Linear keeps (out, in): transpose attn.c_attn, attn.c_proj, mlp.c_fc and mlp.c_proj.",
    ),
    Mistake(
        name="every matrix is transposed",
        find="if name.endswith(CONV1D) else",
        put="if found[name].ndim == 2 else",
        says="You transpose every matrix, wte and wpe too. Embeddings lie in the file as nn.Embedding keeps them; only the four Conv1D weights of a block are (in, out).",
    ),
    Mistake(
        name="the square weight is not transposed",
        find='CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")',
        put='CONV1D = ("c_attn.weight", "mlp.c_proj.weight", "c_fc.weight")',
        says="attn.c_proj.weight is (C, C), so no shape complains, but it lies in a Conv1D like the other three. Untransposed it makes every logit wrong.",
    ),
    Mistake(
        name="only attention is transposed",
        find='CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")',
        put='CONV1D = ("attn.c_attn.weight", "attn.c_proj.weight")',
        says="You transpose the weights of attn but not those of mlp. All four matrices of a block lie in Conv1D layers: mlp.c_fc and mlp.c_proj too.",
    ),
    Mistake(
        name="reshaped instead of transposed",
        find="found[name].T.contiguous()",
        put="found[name].reshape(found[name].shape[::-1])",
        says="reshape gives the right shape with the numbers in the wrong places: it cuts the memory anew, row by row. A transpose, .T, swaps rows and columns.",
    ),
    Mistake(
        name="layers in the order of their names as text",
        find="    state = {\n",
        put="    def _of(name):\n"
        '        if not name.startswith("h."):\n'
        "            return name\n"
        '        order = sorted({n.split(".")[1] for n in found if n.startswith("h.")})\n'
        '        _, i, rest = name.split(".", 2)\n'
        '        return f"h.{order[int(i)]}.{rest}"\n\n'
        "    state = {\n",
        also=(
            (
                _TRANSPOSE,
                "        name: found[_of(name)].T.contiguous() if name.endswith(CONV1D) else found[_of(name)]\n",
            ),
        ),
        says='As text "10" comes before "2", so from ten layers on yours are mixed up. Keep the number that is in the name, or sort by int.',
    ),
    Mistake(
        name="query and key change places",
        find=_RETURN,
        put='    for name in [n for n in state if n.endswith("c_attn.weight")]:\n        q, k, v = state[name].chunk(3)\n        state[name] = torch.cat([k, q, v])\n'
        + _RETURN,
        says="The first two thirds of c_attn.weight have changed places. In the file, as in your model, the order is query, key, value: transpose the whole, and nothing more.",
    ),
    Mistake(
        name="positions are cut to what the config says",
        find=_SIZES,
        put='    state["wpe.weight"] = state["wpe.weight"][: config.n_positions]\n' + _SIZES,
        says="You cut wpe.weight down to n_positions. A file with more positions than config.json says is not this config's file: compare the two, and raise a ValueError.",
    ),
    Mistake(
        name="n_positions is read from n_ctx",
        find=_CHOSEN,
        put=_CHOSEN + '    chosen["n_positions"] = fields.get("n_ctx", chosen["n_positions"])\n',
        says="n_positions is read from n_ctx, an old field that need not be there or agree. Read each field under GPT2Config's own name.",
    ),
    Mistake(
        name="embd_pdrop and resid_pdrop change places",
        find=_CHOSEN,
        put=_CHOSEN
        + '    chosen["embd_pdrop"], chosen["resid_pdrop"] = chosen["resid_pdrop"], chosen["embd_pdrop"]\n',
        says="embd_pdrop and resid_pdrop have changed places. Hand each field of config.json on to GPT2Config under its own name.",
    ),
    Mistake(
        name="layer numbers have one digit",
        find=r're.findall(r"^h\.(\d+)\.", name)',
        put=r're.findall(r"^h\.(\d)", name)',
        says="You read one digit of the layer's number, so layer 10 passes for another layer 1. Take all that stands between the dots.",
    ),
    Mistake(
        name="errors name nothing",
        find='raise ValueError(f"{unknown[0]} is no part of GPT-2: is this another model\'s checkpoint?")',
        put='raise ValueError("unknown keys")',
        also=(
            (
                'raise ValueError(f"{missing[0]} is missing ({len(missing)} in all): an incomplete file?")',
                'raise ValueError("missing keys")',
            ),
        ),
        says="Your errors do not say which key is unknown or missing. Whoever reads them has the file and wants to know where to look: put the name into the message.",
    ),
    Mistake(
        name="the two c_proj biases are mixed up",
        find=_RETURN,
        put='    for name in [n for n in state if n.endswith("attn.c_proj.bias")]:\n'
        '        other = name.replace("attn", "mlp")\n'
        "        state[name], state[other] = state[other], state[name]\n" + _RETURN,
        says="attn.c_proj.bias and mlp.c_proj.bias have changed places: both are (C,), so nothing complains. Go by the whole name.",
    ),
    Mistake(
        name="the two norms of a block are mixed up",
        find=_RETURN,
        put='    for name in [n for n in state if ".ln_1." in n]:\n'
        '        other = name.replace("ln_1", "ln_2")\n'
        "        state[name], state[other] = state[other], state[name]\n" + _RETURN,
        says="ln_1 and ln_2 have changed places: both are (C,), so nothing complains. ln_1 stands before attention, ln_2 before the feed-forward layer.",
    ),
    Mistake(
        name="the caller's dict is emptied",
        find=_PREFIX,
        put='    found = {key.removeprefix("transformer."): state_dict.pop(key) for key in list(state_dict)}\n',
        says="You pop the keys out of the caller's own dict, so it is empty afterwards and cannot be converted twice. Build a new dict and leave the given one alone.",
    ),
    Mistake(
        name="the head is popped from the caller's dict",
        find=_PREFIX,
        put='    state_dict.pop("lm_head.weight", None)\n' + _PREFIX,
        says="You pop lm_head.weight from the caller's own dict, and whether it equals wte is never asked. Work on a copy, and compare before you drop it.",
    ),
    Mistake(
        name="transposed in place",
        find="found[name].T.contiguous()",
        put="found[name].t_().contiguous()",
        says="t_() transposes the caller's own tensors, so converting twice gives nonsense. .T leaves the tensor alone and gives a view; .contiguous() makes a copy of that.",
    ),
    # --- convert_hf_state_dict: errors
    Mistake(
        name="unknown keys are dropped in silence",
        find=_UNKNOWN,
        put="    if unknown := []:\n",
        says="A key that GPT-2 does not have is dropped in silence. It means another model's file, whose answers would be nonsense: raise a ValueError that names it.",
    ),
    Mistake(
        name="missing keys are not noticed",
        find=_MISSING,
        put="    if missing := []:\n",
        also=(
            (
                "    for name, letters in expected.items():\n",
                "    for name, letters in expected.items():\n        if name not in found:\n            continue\n",
            ),
            ("for name in expected\n    }", "for name in found\n    }"),
        ),
        says="A key that is not in the file goes unnoticed. Its weight would keep its random value: compare with the list of all names, and raise a ValueError that names what is missing.",
    ),
    Mistake(
        name="a missing key is a KeyError",
        find=_MISSING,
        put="    if missing := []:\n",
        says="A missing key ends in a bare KeyError, somewhere on the way. Look for all the names first, and raise a ValueError that says which is missing.",
    ),
    Mistake(
        name="layers are counted, not numbered",
        find=_LAST,
        put="for i in sorted(set(numbers)):",
        says="You go along the layers that are there, so a file with layers 0 and 2 passes for one of two layers. The highest number says how many there must be.",
    ),
    Mistake(
        name="already transposed weights are guessed at",
        find=_PREFIX,
        put=_PREFIX + '    c = found["ln_f.weight"].size(-1) if "ln_f.weight" in found else 0\n'
        '    found = {n: t.T if n.endswith("c_attn.weight") and tuple(t.shape) == (3 * c, c) else t for n, t in found.items()}\n',
        says="You turn c_attn.weight the way it fits. The published one is (C, 3C), and a file with another is not Hugging Face's GPT-2; its square c_proj cannot be guessed at all: refuse it.",
    ),
    Mistake(
        name="any lm_head.weight is refused",
        find=_HEAD,
        put="    if head is not None:\n",
        says="A file may hold lm_head.weight: as a copy of wte.weight it is fine. Refuse it only if the two differ, torch.equal(head, wte).",
    ),
    # --- from_pretrained: the model
    Mistake(
        name="the model stays in train mode",
        find="    return model.eval()\n",
        put="    return model\n",
        says="The model comes back in train mode, where dropout makes every answer another one. Return model.eval().",
    ),
    Mistake(
        name="the weights are never loaded",
        find=_LOAD,
        put="",
        says="The model has its random first weights: what was read from the file never got into it. model.load_state_dict(...).",
    ),
    Mistake(
        name="loaded with assign=True",
        find=_LOAD,
        put="    model.load_state_dict(state, assign=True)\n",
        says="assign=True puts the file's tensors in place of the parameters: the tie between lm_head and wte is lost, and a float16 file makes a float16 model. Without it the numbers are copied.",
    ),
    Mistake(
        name="the model takes the file's dtype",
        find=_LOAD,
        put='    model = model.to(state["wte.weight"].dtype)\n    model.load_state_dict(state)\n',
        says="A float16 file makes a float16 model, whose sums are rounded to three digits. Leave the model in float32: load_state_dict converts as it copies.",
    ),
    Mistake(
        name="the head gets a copy of its own",
        find=_LOAD,
        put=_LOAD
        + '    model.lm_head.weight = torch.nn.Parameter(state["lm_head.weight"].float().clone())\n',
        says="lm_head.weight is a second parameter after loading. The tie of problem 10 already carries wte's numbers to the head: loading must not replace either.",
    ),
    Mistake(
        name="the sizes are GPT-2 small's heads",
        find=_BUILD,
        put='    model = GPT2Model(GPT2Config(**{**vars(config), "n_head": 12}))\n',
        says="n_head is 12 whatever config.json says. It fits every shape, as heads only cut what is there, and makes every logit wrong.",
    ),
    Mistake(
        name="epsilon stays at its default",
        find='RATES = ("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range")',
        put='RATES = ("embd_pdrop", "attn_pdrop", "resid_pdrop", "initializer_range")',
        says="layer_norm_epsilon is not read: the model has GPT2Config's 1e-5. Hand on every field of config.json that GPT2Config has.",
    ),
    Mistake(
        name="dropout rates stay at their defaults",
        find='RATES = ("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range")',
        put='RATES = ("layer_norm_epsilon", "initializer_range")',
        says="The three dropout rates are not read: the model has GPT2Config's 0.1. Whoever trains on needs them: hand on every field of config.json that GPT2Config has.",
    ),
    Mistake(
        name="n_inner is not read",
        find=_INNER,
        put="        pass\n",
        says="n_inner is not read, so it is 4 * n_embd whatever config.json says. Published files leave it out; where it is given, it counts.",
    ),
    Mistake(
        name="n_inner must be there",
        find='    if fields.get("n_inner") is not None:  # published files leave it out, or say null\n',
        put='    if "n_inner" not in fields:\n        raise ValueError(f"{path} has no n_inner")\n    if fields["n_inner"] is not None:\n',
        says="You refuse a config.json without n_inner, but OpenAI's own has none: absent, as null, means 4 * n_embd. GPT2Config's default says the same.",
    ),
    # --- from_pretrained: errors
    Mistake(
        name="numbers are made of text",
        find=_TYPE,
        put="        if isinstance(value, str):\n            value = chosen[name] = float(value) if name in RATES else int(value)\n"
        + _TYPE,
        says='You turn text into numbers. A config.json that says "3" was not written by transformers, and mending it hides that: refuse what is no number.',
    ),
    Mistake(
        name="loaded with strict=False",
        find=_SIZES,
        put="",
        also=((_LOAD, "    model.load_state_dict(state, strict=False)\n"),),
        says="strict=False lets a file with too many or too few layers pass, and the rest stays random. Compare the sizes with the config, and load with strict=True.",
    ),
    # --- from_pretrained: the hub
    Mistake(
        name="the hub is never asked",
        find="        return _fetch(str(name_or_path))\n",
        put='        raise ValueError(f"{name_or_path} is no folder: put config.json and model.safetensors into one")\n',
        says="A name that is no folder here is refused at once. It may be one on the hub: ask huggingface_hub.hf_hub_download for the two files.",
    ),
    Mistake(
        name="nothing is downloaded",
        find="            return [Path(hf_hub_download(name, file)) for file in (CONFIG, WEIGHTS)]\n",
        put="            return [Path(hf_hub_download(name, file, local_files_only=True)) for file in (CONFIG, WEIGHTS)]\n",
        says="With local_files_only=True the hub's cache is all you ever look at. When the files are not in it, ask a second time without.",
    ),
    Mistake(
        name="a whole repository is fetched",
        find="                for file in (CONFIG, WEIGHTS)\n            ]\n",
        put='                for file in (CONFIG, WEIGHTS, "tokenizer.json")\n            ][:2]\n',
        says="You ask the hub for more than config.json and model.safetensors. These two hold all that the model needs, and other files may not be there.",
    ),
    # --- stubs
    Mistake(
        name="the dict comes back as it is",
        find="    found = {name: tensor for name, tensor in found.items() if not OLD_MASK.fullmatch(name)}\n",
        put="    return dict(state_dict)\n",
        also=((_PREFIX, ""),),
        says="The state dict comes back as it went in: no prefix taken off, nothing transposed, no head. Those are the three things to do, beside refusing what does not fit.",
    ),
    Mistake(
        name="from_pretrained returns the state dict",
        find=_BUILD,
        put="    return state\n" + _BUILD,
        says="from_pretrained returns the weights. Build GPT2Model(config), load them into it, and return the model in eval mode.",
    ),
    Mistake(
        name="from_pretrained returns nothing",
        find="    return model.eval()\n",
        put="    model.eval()\n",
        says="from_pretrained ends without a return, so the caller gets None. model.eval() gives the model itself: return that.",
    ),
]
