"""Known wrong answers to problem 01."""

from common.mistakes import Mistake

_RETURN = "return self.drop(self.wte(input_ids) + self.wpe(positions))"
_POSITIONS = "positions = torch.arange(T, device=input_ids.device)"
_WTE = "self.wte = nn.Embedding(config.vocab_size, config.n_embd)"
_WPE = "self.wpe = nn.Embedding(config.n_positions, config.n_embd)"
_DROP = "self.drop = nn.Dropout(config.embd_pdrop)"
_CHECK = 'raise ValueError(f"a text of {T} tokens is longer than n_positions ({limit})")'

MISTAKES = [
    Mistake(
        name="positions are never added",
        find=_RETURN,
        put="return self.drop(self.wte(input_ids))",
        says="Row t of the output should be wte[id] + wpe[t]; yours is wte[id] alone, so the position embedding is never added.",
    ),
    Mistake(
        name="positions start at 1",
        find=_POSITIONS,
        put="positions = torch.arange(1, T + 1, device=input_ids.device)",
        says="The first token must use position 0. Yours uses wpe[1], and a text of n_positions tokens runs off the table. "
        "torch.arange(T) counts from 0 to T-1.",
    ),
    Mistake(
        name="positions run backwards",
        find=_POSITIONS,
        put="positions = torch.arange(T, device=input_ids.device).flip(0)",
        says="The first token gets wpe[T-1]: your positions run backwards, so adding a token at the end moves all the others.",
    ),
    Mistake(
        name="positions are the token ids",
        find="self.wpe(positions)",
        put="self.wpe(input_ids % self.config.n_positions)",
        says="wpe is looked up with the token ids, so the position follows the token and not its place. Use 0, 1, ..., T-1.",
    ),
    Mistake(
        name="wpe looked up with the ids themselves",
        find="self.wpe(positions)",
        put="self.wpe(input_ids)",
        says="wpe is looked up with the token ids: an id above n_positions has no row there (IndexError). Use positions 0, 1, ..., T-1.",
    ),
    Mistake(
        name="one position for the whole text",
        find=_POSITIONS,
        put="positions = torch.zeros(T, dtype=torch.long, device=input_ids.device)",
        says="Every token gets wpe[0]: the positions are all 0. They must count up along the text, torch.arange(T).",
    ),
    Mistake(
        name="positions count the batch",
        find=_POSITIONS,
        put="positions = torch.arange(input_ids.size(0), device=input_ids.device)[:, None]",
        says="The position counts the rows of the batch, not the tokens of a text: every token of row b gets wpe[b]. T is input_ids.size(1).",
    ),
    Mistake(
        name="the last position for everyone",
        find="self.wpe(positions)",
        put="self.wpe(positions[-1:])",
        says="Every token gets the embedding of the last position. Look up all of 0, 1, ..., T-1, one for each token.",
    ),
    Mistake(
        name="embeddings are multiplied",
        find="self.wte(input_ids) + self.wpe(positions)",
        put="self.wte(input_ids) * self.wpe(positions)",
        says="The two embeddings are multiplied; they are added. With one of them at zero your output is zero.",
    ),
    Mistake(
        name="embeddings are scaled by sqrt(C)",
        find="self.wte(input_ids) + self.wpe(positions)",
        put="self.wte(input_ids) * self.config.n_embd**0.5 + self.wpe(positions)",
        says="The token embedding is multiplied by sqrt(n_embd). The first Transformer did that; GPT-2 adds the two as they are.",
    ),
    Mistake(
        name="the mean of the two",
        find="self.wte(input_ids) + self.wpe(positions)",
        put="(self.wte(input_ids) + self.wpe(positions)) / 2",
        says="Your output is half of the sum: token and position embedding are added, not averaged.",
    ),
    Mistake(
        name="sine positions",
        find="self.wpe(positions)",
        put="(torch.sin(positions[:, None] / 10000 ** (torch.arange(self.config.n_embd) / self.config.n_embd)) + 0 * self.wpe(positions))",
        says="The positions are fixed sine waves, and wpe has no say. GPT-2 learns its positions: add self.wpe(positions).",
    ),
    Mistake(
        name="no dropout",
        find=_RETURN,
        put="return self.wte(input_ids) + self.wpe(positions)",
        says="Dropout is never applied: in train mode nothing of the output is dropped. Put the sum through self.drop.",
    ),
    Mistake(
        name="dropout on the token embeddings only",
        find=_RETURN,
        put="return self.drop(self.wte(input_ids)) + self.wpe(positions)",
        says="Dropout belongs after the sum. A dropped value should be exactly 0; yours falls back to the position embedding.",
    ),
    Mistake(
        name="dropout on each of the two",
        find=_RETURN,
        put="return self.drop(self.wte(input_ids)) + self.drop(self.wpe(positions))",
        says="Dropout is applied to each embedding alone, so half-dropped values appear. Add first, then drop the sum once.",
    ),
    Mistake(
        name="dropout stays on in eval mode",
        find=_RETURN,
        put="return nn.functional.dropout(self.wte(input_ids) + self.wpe(positions), self.config.embd_pdrop)",
        says="Dropout is still on after .eval(): F.dropout drops unless told otherwise. Use self.drop, or pass training=self.training.",
    ),
    Mistake(
        name="dropout has another field's rate",
        find=_DROP,
        put="self.drop = nn.Dropout(config.resid_pdrop)",
        says="The dropout after the embeddings has the rate embd_pdrop; yours has resid_pdrop's.",
    ),
    Mistake(
        name="the rate is hard-coded",
        find=_DROP,
        put="self.drop = nn.Dropout(0.1)",
        says="The dropout rate is always 0.1, whatever config.embd_pdrop says.",
    ),
    Mistake(
        name="wpe has vocab_size rows",
        find=_WPE,
        put="self.wpe = nn.Embedding(config.vocab_size, config.n_embd)",
        says="wpe needs one row per position: its shape is (n_positions, n_embd), yours has vocab_size rows.",
    ),
    Mistake(
        name="the width is hard-coded",
        find=_WTE,
        put="self.wte = nn.Embedding(config.vocab_size, 768)",
        also=((_WPE, "self.wpe = nn.Embedding(config.n_positions, 768)"),),
        says="The tables are 768 wide whatever the config says: the width is config.n_embd.",
    ),
    Mistake(
        name="the positions are frozen",
        find=_WPE,
        put=_WPE + "\n        self.wpe.weight.requires_grad = False",
        says="GPT-2 learns its position embeddings: wpe.weight must require grad, and yours is frozen.",
    ),
    Mistake(
        name="a padding index",
        find=_WTE,
        put="self.wte = nn.Embedding(config.vocab_size, config.n_embd, padding_idx=0)",
        also=((_RETURN, "return self.drop(self.wte(input_ids) * (input_ids != 0).unsqueeze(-1) + self.wpe(positions))"),),
        says="Token 0 is treated as padding and gets a zero vector. In GPT-2 id 0 is a token like any other: no padding_idx, no mask.",
    ),
    Mistake(
        name="a long text is cut",
        find=_CHECK,
        put="input_ids, T = input_ids[:, :limit], limit",
        says="A text longer than n_positions is cut without a word. Refuse it with a ValueError that names both numbers.",
    ),
    Mistake(
        name="a long text is not checked",
        find=_CHECK,
        put="pass",
        says="A text longer than n_positions ends in an IndexError from inside PyTorch. Check T first and raise ValueError.",
    ),
    Mistake(
        name="the check is off by one",
        find="if T > limit:",
        put="if T >= limit:",
        says="A text of exactly n_positions tokens is refused, but it fits: refuse T > n_positions, not T >= n_positions.",
    ),
    Mistake(
        name="assert instead of an exception",
        find="        if T > limit:\n            " + _CHECK,
        put='        assert T <= limit, f"{T} > {limit}"',
        says="A text that is too long raises AssertionError. assert is for what cannot happen, and python -O removes it: raise ValueError.",
    ),
    Mistake(
        name="the positions stay on the CPU",
        find=_POSITIONS,
        put="positions = torch.arange(T)",
        says="The positions are made on the CPU whatever device the ids are on: pass device=input_ids.device to torch.arange.",
    ),
    Mistake(
        name="zeros",
        find=_RETURN,
        put="return torch.zeros(*input_ids.shape, self.config.n_embd)",
        says="The output is all zeros: neither table is looked up.",
    ),
]
