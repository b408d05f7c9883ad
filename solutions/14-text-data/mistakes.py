"""Known wrong answers to problem 14."""

from common.mistakes import Mistake

_ENCODE = 'ids = gpt2_tokenizer().encode(text, allowed_special={"<|endoftext|>"})'
_OWN = "ids = tokenizer.encode(text)"
_TENSOR = (
    "token_ids = torch.tensor(ids, dtype=torch.int64)  # without the dtype no ids at all are floats"
)
_BATCH = "return token_ids.unsqueeze(0) if add_batch_dim else token_ids"
_DECODE = "return tokenizer.decode(token_ids.flatten().tolist())"
_FRACTION = "if not 0 < train_fraction < 1:"
_CUT = "cut = int(len(text) * train_fraction)"
_PARTS = "return text[:cut], text[cut:]"
_SHORT = "if len(token_ids) < context_length + 1:"
_KEEP = "self.token_ids = torch.as_tensor(token_ids, dtype=torch.int64)"
_LAST = "last_start = len(self.token_ids) - self.context_length - 1"
_COUNT = "return last_start // self.stride + 1"
_INDEX = "if not 0 <= index < len(self):"
_START = "start = index * self.stride"
_WINDOW = "window = self.token_ids[start : start + self.context_length + 1]"
_ITEM = "return window[:-1], window[1:]"
_TOO_FEW = (
    '                f"{len(token_ids)} tokens are too few for context_length {context_length}: "\n'
    '                "a window and the target of its last token take one more than that"\n'
)

MISTAKES = [
    # --- text_to_token_ids, token_ids_to_text
    Mistake(
        name="add_batch_dim is ignored",
        find=_BATCH,
        put="return token_ids.unsqueeze(0)",
        says="The ids have a batch axis even with add_batch_dim=False. They are (1, T) with it, and (T,) without.",
    ),
    Mistake(
        name="no batch axis",
        find=_BATCH,
        put="return token_ids",
        says="The ids are (T,) whatever add_batch_dim says. It is True by default, and a model takes a batch: (1, T) by unsqueeze(0).",
    ),
    Mistake(
        name="the batch axis is the last",
        find=_BATCH,
        put=_BATCH.replace("unsqueeze(0)", "unsqueeze(-1)"),
        says="The ids are (T, 1): T texts of one token each. The batch is the first axis: unsqueeze(0).",
    ),
    Mistake(
        name="a list of ids instead of a tensor",
        find=_TENSOR,
        put="token_ids = ids",
        also=((_BATCH, "return [token_ids] if add_batch_dim else token_ids"),),
        says="text_to_token_ids returns a list. A model takes a tensor: torch.tensor(ids, dtype=torch.int64).",
    ),
    Mistake(
        name="ids in int32",
        find=_TENSOR,
        put="token_ids = torch.tensor(ids, dtype=torch.int32)",
        says="The ids are int32. nn.Embedding takes them, but cross_entropy refuses them as targets: dtype=torch.int64, also called torch.long.",
    ),
    Mistake(
        name="ids as floats",
        find=_TENSOR,
        put="token_ids = torch.Tensor(ids)",
        says="The ids are floats: torch.Tensor(...) with a capital T always makes float32. Use torch.tensor(ids, dtype=torch.int64).",
    ),
    Mistake(
        name="the text is stripped",
        find="    if tokenizer is None:\n        # tiktoken",
        put="    text = text.strip()\n    if tokenizer is None:\n        # tiktoken",
        says="White space at the ends of the text is gone. Line ends and spaces are tokens that the model has to learn: encode the text as it is.",
    ),
    Mistake(
        name="encode ignores the given tokenizer",
        find=_OWN,
        put="ids = gpt2_tokenizer().encode(text)",
        says="Whatever tokenizer is given, the ids are GPT-2's. Use tokenizer.encode(text); only None stands for GPT-2's.",
    ),
    Mistake(
        name="None is no tokenizer",
        find=_ENCODE,
        put="ids = tokenizer.encode(text)",
        also=(
            (
                "def text_to_token_ids(text: str, tokenizer: Any = None",
                "def text_to_token_ids(text: str, tokenizer: Any = gpt2_tokenizer()",
            ),
        ),
        says="GPT-2's tokenizer stands as the default argument, so a None that is given stays None. Keep None as the default, and ask for gpt2_tokenizer() in the function.",
    ),
    Mistake(
        name="a long text is cut off",
        find=_OWN,
        put=_OWN + "[:1024]",
        says="The ids end after GPT-2's context of 1,024. The text is cut into windows later; here every id of it has to come out.",
    ),
    Mistake(
        name="decode is given an array",
        find=_DECODE,
        put=_DECODE.replace("tolist()", "numpy()"),
        says="decode is given a numpy array, which tiktoken refuses, as it is no list. tolist() makes a list of plain numbers, wherever the tensor lies.",
    ),
    Mistake(
        name="allowed_special goes to every tokenizer",
        find=_OWN,
        put='ids = tokenizer.encode(text, allowed_special={"<|endoftext|>"})',
        says="allowed_special is an argument of tiktoken's encode. Any other tokenizer takes the text alone: pass it only where you use the default.",
    ),
    Mistake(
        name="endoftext is not allowed",
        find=_ENCODE,
        put="ids = gpt2_tokenizer().encode(text)",
        says="tiktoken refuses a text with <|endoftext|> in it unless you allow it: encode(text, allowed_special={'<|endoftext|>'}).",
    ),
    Mistake(
        name="endoftext is spelled out",
        find=_ENCODE,
        put="ids = gpt2_tokenizer().encode_ordinary(text)",
        says="<|endoftext|> became seven tokens, as if it were ordinary text (encode_ordinary, or disallowed_special=()). "
        "It is the one token 50256: encode(text, allowed_special={'<|endoftext|>'}).",
    ),
    Mistake(
        name="endoftext is appended",
        find=_ENCODE,
        put=_ENCODE + " + [50256]",
        says="Your ids end with a 50256 that is not in the text. A prompt that ends so is over before it begins: encode only what is there.",
    ),
    Mistake(
        name="decode is given a tensor",
        find=_DECODE,
        put="return tokenizer.decode(token_ids.flatten())",
        says="decode is given a tensor. Tokenizers look plain numbers up, and tiktoken refuses a tensor: tolist() makes a list of them.",
    ),
    Mistake(
        name="decode is given a list of tensors",
        find=_DECODE,
        put="return tokenizer.decode(list(token_ids.flatten()))",
        says="list(tensor) is a list of little tensors, and a tokenizer with a dict finds none of them in it. tolist() makes plain numbers.",
    ),
    Mistake(
        name="the batch axis is not taken off",
        find=_DECODE,
        put="return tokenizer.decode(token_ids.tolist())",
        says="For (1, T) ids tolist() gives a list in a list, and decode wants one list. Take the batch axis off first: flatten().",
    ),
    Mistake(
        name="the first row of whatever comes",
        find=_DECODE,
        put="return tokenizer.decode(token_ids[0].tolist())",
        says="token_ids[0] of (T,) ids is the first id and not the first row. Both (T,) and (1, T) may come: flatten() works for both.",
    ),
    Mistake(
        name="squeeze takes away every axis",
        find=_DECODE,
        put="return tokenizer.decode(token_ids.squeeze().tolist())",
        says="squeeze() takes every axis of length 1 away, so of a single token no list is left, only a number. flatten() keeps one axis.",
    ),
    Mistake(
        name="squeeze(0) on a single token",
        find=_DECODE,
        put="return tokenizer.decode(token_ids.squeeze(0).tolist())",
        says="squeeze(0) is right for (1, T), but of (1,), a single token without batch axis, it leaves a number and no list. flatten() works for both.",
    ),
    Mistake(
        name="ids are decoded one by one",
        find=_DECODE,
        put='return "".join(tokenizer.decode([i]) for i in token_ids.flatten().tolist())',
        says="Ids are decoded one by one. A character of several bytes may lie in several tokens, and half a character decodes to U+FFFD: decode all ids in one call.",
    ),
    Mistake(
        name="the decoded text is stripped",
        find=_DECODE,
        put=_DECODE + ".strip()",
        says="The text loses the white space at its ends on the way back: return what decode gives, without strip().",
    ),
    Mistake(
        name="decode ignores the given tokenizer",
        find="    if tokenizer is None:\n        tokenizer = gpt2_tokenizer()\n",
        put="    tokenizer = gpt2_tokenizer()\n",
        says="token_ids_to_text always decodes with GPT-2's tokenizer. Use the one that is given; only None stands for GPT-2's.",
    ),
    # --- train_val_split
    Mistake(
        name="the parts are swapped",
        find=_PARTS,
        put="return text[cut:], text[:cut]",
        says="The two parts are returned in the wrong order: training first, then validation.",
    ),
    Mistake(
        name="validation from the start",
        find=_PARTS,
        put="return text[len(text) - cut :], text[: len(text) - cut]",
        says="The training part is the end of the text. It is the start, text[:cut], and validation is what follows.",
    ),
    Mistake(
        name="validation is the whole text",
        find=_PARTS,
        put="return text[:cut], text",
        says="The validation part is the whole text, so its loss is mostly measured on what the model was trained on. It is text[cut:].",
    ),
    Mistake(
        name="training is the whole text",
        find=_PARTS,
        put="return text, text[cut:]",
        says="The training part is the whole text, validation part included: the model would learn what it is going to be asked. It is text[:cut].",
    ),
    Mistake(
        name="one character in both parts",
        find=_PARTS,
        put="return text[:cut], text[cut - 1 :]",
        says="One character stands in both parts: text[:cut] ends before character cut, and text[cut:] starts with it.",
    ),
    Mistake(
        name="one character lost",
        find=_PARTS,
        put="return text[:cut], text[cut + 1 :]",
        says="The character at the cut is in neither part: text[:cut] ends before it, so validation is text[cut:].",
    ),
    Mistake(
        name="the fractions are swapped",
        find=_CUT,
        put="cut = int(len(text) * (1 - train_fraction))",
        says="train_fraction is taken for the share of the validation part: with 0.9 you would train on a tenth of the text.",
    ),
    Mistake(
        name="the fraction is ignored",
        find=_CUT,
        put="cut = int(len(text) * 0.9)",
        says="The cut is at nine tenths whatever train_fraction is: 0.9 is only its default.",
    ),
    Mistake(
        name="the cut is rounded to the nearest",
        find=_CUT,
        put="cut = round(len(text) * train_fraction)",
        says="The cut is rounded to the nearest character; the contract rounds down: int(len(text) * train_fraction).",
    ),
    Mistake(
        name="the cut is rounded up",
        find=_CUT,
        put="cut = -int(-len(text) * train_fraction // 1)",
        says="The cut is rounded up; the contract rounds down: int(len(text) * train_fraction).",
    ),
    Mistake(
        name="bytes are counted",
        find=_CUT,
        put="cut = int(len(text.encode()) * train_fraction)",
        says="The cut is counted in bytes, and é has two: count characters, len(text).",
    ),
    Mistake(
        name="the cut is moved to the end of a word",
        find="    " + _PARTS,
        put='    cut = text.rfind(" ", 0, cut) + 1 or cut\n    ' + _PARTS,
        says="The cut is moved to a space. The contract is simpler: at int(len(text) * train_fraction) characters, in the middle of a word or not.",
    ),
    Mistake(
        name="the fraction is made whole per cent",
        find=_CUT,
        put="cut = len(text) * int(train_fraction * 100) // 100",
        says="The fraction is rounded to whole per cent, so 0.125 becomes 0.12: int(len(text) * train_fraction).",
    ),
    Mistake(
        name="the text is cut between words",
        find=_CUT + "\n    " + _PARTS,
        put='words = text.split()\n    cut = int(len(words) * train_fraction)\n    return " ".join(words[:cut]), " ".join(words[cut:])',
        says="The text is cut into words and joined again: the cut lies elsewhere, and line ends and double spaces are lost. Slice the str: text[:cut], text[cut:].",
    ),
    Mistake(
        name="any fraction will do",
        find=_FRACTION,
        put="if False:",
        says="train_fraction is not checked. With 1.5 the validation part is silently empty, and with -0.1 the two change roles: raise ValueError outside of (0, 1).",
    ),
    Mistake(
        name="the fraction is checked by assert",
        find='        raise ValueError(f"train_fraction ({train_fraction}) must lie between 0 and 1")',
        put='        raise AssertionError("train_fraction must lie between 0 and 1")',
        says="A bad train_fraction gives an AssertionError. assert is for what cannot happen, and python -O leaves it out: raise ValueError.",
    ),
    # --- SlidingWindowDataset: an item
    Mistake(
        name="targets are the inputs",
        find=_ITEM,
        put="return window[:-1], window[:-1]",
        says="Your targets are the inputs themselves, so the model would learn to copy and the loss fall to 0. Targets are one token further on: window[1:].",
    ),
    Mistake(
        name="inputs and targets are swapped",
        find=_ITEM,
        put="return window[1:], window[:-1]",
        says="Inputs and targets are swapped: the model would be asked for the token before. Inputs are window[:-1], targets window[1:].",
    ),
    Mistake(
        name="a window of context_length tokens",
        find=_WINDOW,
        put="window = self.token_ids[start : start + self.context_length]",
        says="Inputs and targets are one token too short. A window takes context_length + 1 tokens, so that the last input has a target as well.",
    ),
    Mistake(
        name="targets are rolled around",
        find=_ITEM,
        put="return window[:-1], window[:-1].roll(-1)",
        says="roll puts the window's first token at its end. The last target is the next token of the text: take context_length + 1 tokens, and window[1:].",
    ),
    Mistake(
        name="targets are two tokens ahead",
        find=_ITEM,
        put="return window[:-1], self.token_ids[start + 2 : start + 2 + self.context_length]",
        says="Your targets are two tokens ahead, and those of the last window run out of text. They start at start + 1.",
    ),
    Mistake(
        name="targets are the next window",
        find=_ITEM,
        put="return window[:-1], self.token_ids[start + self.context_length : start + 2 * self.context_length]",
        says="Your targets start context_length tokens further on: they are the text after the window. Each input's target is the very next token, from start + 1 on.",
    ),
    Mistake(
        name="targets are a stride further on",
        find=_ITEM,
        put="return window[:-1], self.token_ids[start + self.stride : start + self.stride + self.context_length]",
        says="Your targets start a stride further on. stride says where windows start; targets are always one token after their inputs.",
    ),
    Mistake(
        name="the target is a single token",
        find=_ITEM,
        put="return window[:-1], window[-1]",
        says="There is one target for the whole window. Each of its inputs is a question of its own, so targets are (context_length,): window[1:].",
    ),
    Mistake(
        name="an item is a single tensor",
        find=_ITEM,
        put="return window",
        says="An item is the whole window of context_length + 1 tokens. Cut it in two: return window[:-1], window[1:].",
    ),
    Mistake(
        name="items have a batch axis",
        find=_ITEM,
        put="return window[None, :-1], window[None, 1:]",
        says="Items are (1, context_length). The DataLoader adds the batch axis when it stacks items: leave it out here.",
    ),
    Mistake(
        name="items are lists",
        find=_ITEM,
        put="return window[:-1].tolist(), window[1:].tolist()",
        says="Items are lists of ints, and a DataLoader would make context_length little tensors of them. An item is two tensors.",
    ),
    Mistake(
        name="items in int32",
        find=_ITEM,
        put="return window[:-1].int(), window[1:].int()",
        says="Items are int32, and cross_entropy refuses such targets: int64, also called torch.long.",
    ),
    # --- SlidingWindowDataset: all items
    Mistake(
        name="stride is ignored",
        find=_START,
        put="start = index",
        also=((_COUNT, "return last_start + 1"),),
        says="A window starts at every token: stride is not used. Item i starts at token i * stride.",
    ),
    Mistake(
        name="the index is taken for the start",
        find=_START,
        put="start = index",
        says="Item i starts at token i. The number of windows knows of the stride, but __getitem__ does not: item i starts at token i * stride.",
    ),
    Mistake(
        name="windows are context_length apart",
        find=_START,
        put="start = index * self.context_length",
        says="Item i starts at token i * context_length: windows would never overlap, whatever the stride. It starts at i * stride.",
    ),
    Mistake(
        name="stride is always context_length",
        find=_START,
        put="start = index * self.context_length",
        also=((_COUNT, "return last_start // self.context_length + 1"),),
        says="Windows are context_length apart, as if stride were the same. Item i starts at token i * stride, and len(dataset) counts with stride too.",
    ),
    Mistake(
        name="the last full window is dropped",
        find=_LAST,
        put=_LAST.replace("- 1", "- 2"),
        says="Where the text ends exactly with the last window's targets, that window is missing. range(0, T - context_length - 1, stride) does it: "
        "a window may start at T - context_length - 1, and range leaves its end out.",
    ),
    Mistake(
        name="the last window is moved back",
        find=_COUNT,
        put="return -(-last_start // self.stride) + 1",
        also=(
            (
                _START,
                "start = min(index * self.stride, len(self.token_ids) - self.context_length - 1)",
            ),
        ),
        says="Where tokens are left over, a last window is moved back to cover them. What is left over is left out: windows start at multiples of stride.",
    ),
    Mistake(
        name="the last window is filled up",
        find=_COUNT,
        put="return -(-last_start // self.stride) + 1",
        also=(
            (
                _ITEM,
                "window = torch.nn.functional.pad(window, (0, self.context_length + 1 - len(window)), value=50256)\n        "
                + _ITEM,
            ),
        ),
        says="Where tokens are left over, a last window is filled up with made-up tokens, and the model would learn to predict them. Only windows that are full count.",
    ),
    Mistake(
        name="one window too few",
        find=_COUNT,
        put="return last_start // self.stride",
        says="There is always one window too few: from start 0 to the last start there are last // stride steps, and one window more than steps.",
    ),
    Mistake(
        name="the target of the last token is forgotten",
        find=_LAST,
        put=_LAST.replace(" - 1", ""),
        says="A window that ends with the text is counted, though its last token has no target. A window takes context_length + 1 tokens: the last start is T - context_length - 1.",
    ),
    Mistake(
        name="windows that are not full count",
        find=_COUNT,
        put="return (len(self.token_ids) - 1) // self.stride + 1",
        says="Windows that run past the end of the text are counted, and come out shorter; a DataLoader cannot stack them. Only full ones count.",
    ),
    Mistake(
        name="len is the number of tokens",
        find=_COUNT,
        put="return len(self.token_ids)",
        says="len(dataset) is the number of tokens. It is the number of windows: a DataLoader asks for items 0 to len - 1.",
    ),
    Mistake(
        name="len counts whole strides",
        find=_COUNT,
        put="return len(self.token_ids) // self.stride",
        says="len(dataset) is T // stride, which leaves the length of a window out: the last window starts at T - context_length - 1 at the latest.",
    ),
    Mistake(
        name="len ignores stride",
        find=_COUNT,
        put="return last_start + 1",
        says="len(dataset) counts a window for every token, as if stride were 1; items past the last one are empty or cut short. Windows start every stride tokens.",
    ),
    # --- SlidingWindowDataset: what it refuses
    Mistake(
        name="a short text is let in",
        find=_SHORT,
        put="if False:",
        says="A text too short for one window is let in: the dataset is empty, and training on it ends at once without a word. Raise ValueError in __init__.",
    ),
    Mistake(
        name="a text without a last target is let in",
        find=_SHORT,
        put="if len(token_ids) < context_length:",
        says="A text of exactly context_length tokens is let in, but its last token has no target: it takes context_length + 1.",
    ),
    Mistake(
        name="a text of one window is refused",
        find=_SHORT,
        put="if len(token_ids) <= context_length + 1:",
        says="context_length + 1 tokens are refused, though they make one whole window, targets included: < instead of <=.",
    ),
    Mistake(
        name="the message leaves the numbers out",
        find=_TOO_FEW,
        put='                "the text is too short"\n',
        says="The message for a short text does not name the numbers: how many tokens there are, and how many a window takes.",
    ),
    Mistake(
        name="the message names one number only",
        find=_TOO_FEW,
        put='                f"the text is too short for context_length {context_length}"\n',
        says="The message for a short text names the context_length and not how many tokens there are: name both.",
    ),
    Mistake(
        name="sizes are not checked",
        find="            if size < 1:",
        put="            if False:",
        says="A context_length or stride below 1 is let in: windows without tokens, or the same window for ever. Raise ValueError in __init__.",
    ),
    Mistake(
        name="a size of 0 is let in",
        find="            if size < 1:",
        put="            if size < 0:",
        says="A context_length or stride of 0 is let in: both must be at least 1.",
    ),
    Mistake(
        name="stride is not checked",
        find='        for name, size in (("context_length", context_length), ("stride", stride)):',
        put='        for name, size in (("context_length", context_length),):',
        says="A stride below 1 is let in: with 0 every window is the first one, for ever. Raise ValueError in __init__.",
    ),
    Mistake(
        name="context_length is not checked",
        find='        for name, size in (("context_length", context_length), ("stride", stride)):',
        put='        for name, size in (("stride", stride),):',
        says="A context_length below 1 is let in, and gives windows without a token. Raise ValueError in __init__.",
    ),
    # --- stubs
    Mistake(
        name="the code points of the characters",
        find=_OWN,
        put="ids = [ord(c) for c in text]",
        says="The ids are the characters' code points. Ask the tokenizer that is given: tokenizer.encode(text).",
    ),
    Mistake(
        name="decode returns nothing",
        find=_DECODE,
        put=_DECODE.replace("return ", ""),
        says="token_ids_to_text returns None: the text is decoded and then dropped, as the return is missing.",
    ),
    Mistake(
        name="every item is the first window",
        find=_START,
        put="start = 0",
        says="Every item is the first window: the index is not used. Item i starts at token i * stride.",
    ),
]
