"""Known wrong answers to problem 01."""

from common.mistakes import Mistake

_RETURN = "return self.drop(self.wte(input_ids) + self.wpe(positions))"
_POSITIONS = "positions = torch.arange(T, device=input_ids.device)"
_WTE = "self.wte = nn.Embedding(config.vocab_size, config.n_embd)"
_WPE = "self.wpe = nn.Embedding(config.n_positions, config.n_embd)"
_DROP = "self.drop = nn.Dropout(config.embd_pdrop)"
_CHECK = 'raise ValueError(f"a text of {T} tokens is longer than n_positions ({limit})")'

_LOOKUPS = "self.wte(input_ids) + self.wpe(positions)"

MISTAKES = [
    # --- the tables
    Mistake(
        name="wpe has vocab_size rows",
        find=_WPE,
        put="self.wpe = nn.Embedding(config.vocab_size, config.n_embd)",
        says="wpe needs one row per position: its shape is (n_positions, n_embd), yours has vocab_size rows.",
    ),
    Mistake(
        name="the sizes of the two tables are swapped",
        find=_WTE,
        put="self.wte = nn.Embedding(config.n_positions, config.n_embd)",
        also=((_WPE, "self.wpe = nn.Embedding(config.vocab_size, config.n_embd)"),),
        says="The two tables have each other's size: wte (tokens) needs vocab_size rows and wpe (positions) n_positions rows.",
    ),
    Mistake(
        name="rows and width are swapped",
        find=_WTE,
        put="self.wte = nn.Embedding(config.n_embd, config.vocab_size)",
        also=((_WPE, "self.wpe = nn.Embedding(config.n_embd, config.n_positions)"),),
        says="The arguments of nn.Embedding are swapped: first how many rows the table has, then how wide a row is, as in "
        "nn.Embedding(vocab_size, n_embd).",
    ),
    Mistake(
        name="one table for both",
        find=_WPE,
        put="self.wpe = self.wte",
        says="wpe and wte are one and the same table. A token's vector and a position's vector are different things to learn: "
        "make a second nn.Embedding, with n_positions rows.",
    ),
    Mistake(
        name="the width is hard-coded",
        find=_WTE,
        put="self.wte = nn.Embedding(config.vocab_size, 768)",
        also=((_WPE, "self.wpe = nn.Embedding(config.n_positions, 768)"),),
        says="The tables are 768 wide whatever the config says: the width is config.n_embd.",
    ),
    Mistake(
        name="the tables have other names",
        find=_WTE,
        put=_WTE.replace("wte", "token_embedding"),
        also=(
            (_WPE, _WPE.replace("wpe", "position_embedding")),
            (_LOOKUPS, "self.token_embedding(input_ids) + self.position_embedding(positions)"),
        ),
        says="The tables must be called wte and wpe, as OpenAI called them: under these names the published weights are stored.",
    ),
    Mistake(
        name="wpe is a bare parameter",
        find=_WPE,
        put="self.wpe = nn.Parameter(torch.zeros(config.n_positions, config.n_embd))",
        also=(("self.wpe(positions)", "self.wpe[:T]"),),
        says="wpe is a plain nn.Parameter, so its weights are stored as `wpe`; GPT-2's are stored as `wpe.weight`. Make it an "
        "nn.Embedding(n_positions, n_embd).",
    ),
    Mistake(
        name="the positions are frozen",
        find=_WPE,
        put=_WPE + "\n        self.wpe.weight.requires_grad = False",
        says="GPT-2 learns its position embeddings: wpe.weight must require grad, and yours is frozen.",
    ),
    Mistake(
        name="super().__init__() is missing",
        find="        super().__init__()\n",
        put="",
        says="nn.Module was never set up, so it cannot hold layers: call super().__init__() in the first line of __init__.",
    ),
    # --- the tokens
    Mistake(
        name="zeros",
        find=_RETURN,
        put="return torch.zeros(*input_ids.shape, self.config.n_embd)",
        says="The output is all zeros: neither table is looked up.",
    ),
    Mistake(
        name="nothing is returned",
        find=_RETURN,
        put=_RETURN.removeprefix("return "),
        says="forward computes the sum and gives nothing back (None): the last line needs a `return`.",
    ),
    Mistake(
        name="the two embeddings are returned as a pair",
        find=_RETURN,
        put="return self.wte(input_ids), self.wpe(positions)",
        says="forward returns the two embeddings side by side, as a tuple. Add them and return one tensor of shape (B, T, C).",
    ),
    Mistake(
        name="the embeddings are laid end to end",
        find=_LOOKUPS,
        put="torch.cat([self.wte(input_ids), self.wpe(positions).expand(*input_ids.shape, -1)], dim=-1)",
        says="The two vectors are concatenated, so each is 2 * n_embd wide. GPT-2 adds them, number by number.",
    ),
    Mistake(
        name="tokens are never added",
        find=_LOOKUPS,
        put="self.wpe(positions).expand(*input_ids.shape, -1)",
        says="The output holds only the positions: every text gives the same vectors. Add self.wte(input_ids).",
    ),
    Mistake(
        name="the ids are flattened",
        find="self.wte(input_ids)",
        put="self.wte(input_ids.view(-1))",
        says="The ids are flattened before the lookup, so the batch axis is lost. nn.Embedding takes ids of any shape: (B, T) gives (B, T, C).",
    ),
    Mistake(
        name="embeddings are scaled by sqrt(C)",
        find=_LOOKUPS,
        put="self.wte(input_ids) * self.config.n_embd**0.5 + self.wpe(positions)",
        says="The token embedding is multiplied by sqrt(n_embd). The first Transformer did that; GPT-2 adds the two as they are.",
    ),
    Mistake(
        name="the sum is scaled by sqrt(C)",
        find=_LOOKUPS,
        put="(self.wte(input_ids) + self.wpe(positions)) * self.config.n_embd**0.5",
        says="The sum is multiplied by sqrt(n_embd). The first Transformer scaled its embeddings; GPT-2 adds the two as they are.",
    ),
    Mistake(
        name="the mean of the two",
        find=_LOOKUPS,
        put="(self.wte(input_ids) + self.wpe(positions)) / 2",
        says="Your output is half of the sum: token and position embedding are added, not averaged.",
    ),
    Mistake(
        name="a layer norm follows",
        find=_RETURN,
        put="return self.drop(nn.functional.layer_norm(" + _LOOKUPS + ", (self.config.n_embd,)))",
        says="Your output is normalised: each vector has mean 0 and standard deviation 1. BERT does that here; GPT-2 passes the "
        "sum on as it is, and its first layer norm sits inside the first block.",
    ),
    Mistake(
        name="token 0 is masked as padding",
        find=_WTE,
        put="self.wte = nn.Embedding(config.vocab_size, config.n_embd, padding_idx=0)",
        also=(
            (
                _RETURN,
                "return self.drop(self.wte(input_ids) * (input_ids != 0).unsqueeze(-1) + self.wpe(positions))",
            ),
        ),
        says="Token 0 is treated as padding and gets a zero vector. In GPT-2 id 0 is a token like any other: no padding_idx, no mask.",
    ),
    Mistake(
        name="a padding index",
        find=_WTE,
        put="self.wte = nn.Embedding(config.vocab_size, config.n_embd, padding_idx=0)",
        says="Token 0 never learns, as padding_idx=0 keeps its gradient at zero. GPT-2 has no padding token, and id 0 is a token "
        "like any other: leave padding_idx out.",
    ),
    Mistake(
        name="the tables have a maximal norm",
        find=_WTE,
        put="self.wte = nn.Embedding(config.vocab_size, config.n_embd, max_norm=1.0)",
        says="max_norm=1.0 shrinks the rows of wte in place each time they are looked up. The weights are to be changed by training "
        "only: leave max_norm out.",
    ),
    # --- the positions
    Mistake(
        name="positions are never added",
        find=_RETURN,
        put="return self.drop(self.wte(input_ids))",
        says="Row t of the output should be wte[id] + wpe[t]; yours is wte[id] alone, so the position embedding is never added.",
    ),
    Mistake(
        name="embeddings are multiplied",
        find=_LOOKUPS,
        put="self.wte(input_ids) * self.wpe(positions)",
        says="The two embeddings are multiplied; they are added. With one of them at zero your output is zero.",
    ),
    Mistake(
        name="the positions are subtracted",
        find=_LOOKUPS,
        put="self.wte(input_ids) - self.wpe(positions)",
        says="The position embedding is subtracted: with wte at zero your output is -wpe. Published weights expect a sum.",
    ),
    Mistake(
        name="positions are looked up in wte",
        find="self.wpe(positions)",
        put="self.wte(positions)",
        says="The positions are looked up in wte, the tokens' table: wpe is never used. Add self.wpe(positions).",
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
        name="positions are counted from the end of the table",
        find="self.wpe(positions)",
        put="self.wpe.weight[-T:]",
        says="Your text gets the last T rows of wpe (weight[-T:]). It stands at the beginning: the first T rows, weight[:T].",
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
        name="the last position for everyone",
        find="self.wpe(positions)",
        put="self.wpe(positions[-1:])",
        says="Every token gets the embedding of the last position. Look up all of 0, 1, ..., T-1, one for each token.",
    ),
    Mistake(
        name="wpe looked up with the number T",
        find=_POSITIONS,
        put="positions = torch.tensor(T - 1, device=input_ids.device)",
        says="Every token gets the embedding of the last position: you look up one number, where a row for each of 0, 1, ..., T-1 "
        "is needed. torch.arange(T) makes them.",
        same_as="the last position for everyone",
    ),
    Mistake(
        name="positions count the texts",
        find=_POSITIONS,
        put="positions = torch.arange(input_ids.size(0), device=input_ids.device)[:, None]",
        says="The position counts the rows of the batch, not the tokens of a text: every token of row b gets wpe[b]. T is input_ids.size(1).",
    ),
    Mistake(
        name="as many positions as texts",
        find=_POSITIONS,
        put="positions = torch.arange(input_ids.size(0), device=input_ids.device)",
        says="You make one position for each text of the batch: input_ids.size(0) is B. The tokens lie along the second axis, "
        "so T is input_ids.size(1).",
    ),
    Mistake(
        name="positions run on through the batch",
        find=_POSITIONS,
        put="positions = torch.arange(input_ids.numel(), device=input_ids.device).view(input_ids.shape)",
        says="The positions run on from one text of the batch to the next: the second text starts at T instead of 0. Every text "
        "starts at position 0.",
    ),
    Mistake(
        name="all n_positions rows at once",
        find=_POSITIONS,
        put="positions = torch.arange(limit, device=input_ids.device)",
        says="All n_positions rows of wpe are added, so only a text of exactly that length fits. Take as many as there are tokens: "
        "torch.arange(T).",
    ),
    Mistake(
        name="positions on the wrong axis",
        find="self.wpe(positions)",
        put="self.wpe(positions).unsqueeze(1)",
        says="The position embeddings have shape (T, 1, C), which lines positions up with the batch. They need (T, C) or (1, T, C): "
        "leave them as they are, or use unsqueeze(0).",
    ),
    Mistake(
        name="positions are floats",
        find=_POSITIONS,
        put="positions = torch.arange(T, dtype=torch.float, device=input_ids.device)",
        says="The positions are floats, and a table is looked up with whole numbers: torch.arange(T) gives int64 by itself.",
    ),
    Mistake(
        name="sine positions",
        find="self.wpe(positions)",
        put="(torch.sin(positions[:, None] / 10000 ** (torch.arange(self.config.n_embd) / self.config.n_embd)) + 0 * self.wpe(positions))",
        says="The positions are fixed sine waves, and wpe has no say. GPT-2 learns its positions: add self.wpe(positions).",
    ),
    Mistake(
        name="wpe is cut off from learning",
        find="self.wpe(positions)",
        put="self.wpe(positions).detach()",
        says="The output is right, but wpe can never learn: detach() (or .data, or torch.no_grad()) cuts its rows off from the gradient.",
    ),
    Mistake(
        name="everything under no_grad",
        find=_RETURN,
        put="with torch.no_grad():\n            " + _RETURN,
        says="The output is right, but computed under torch.no_grad(), so nothing can be learned from it. no_grad is for evaluation; "
        "it has no place in forward.",
    ),
    # --- texts that are too long
    Mistake(
        name="a long text is not checked",
        find=_CHECK,
        put="pass",
        says="A text longer than n_positions ends in an IndexError from inside PyTorch: T is not compared with config.n_positions, "
        "or too late, or with another number. Do it first, before the lookup, and raise ValueError.",
    ),
    Mistake(
        name="the check looks at the batch",
        find="input_ids.size(1), self",
        put="input_ids.size(0), self",
        also=(
            (_POSITIONS, "positions = torch.arange(input_ids.size(1), device=input_ids.device)"),
        ),
        says="You compare the number of texts, input_ids.size(0), with n_positions. The length of a text is input_ids.size(1).",
    ),
    Mistake(
        name="a long text is cut",
        find=_CHECK,
        put="input_ids, T = input_ids[:, :limit], limit",
        says="A text longer than n_positions is cut without a word. Refuse it with a ValueError that names both numbers.",
    ),
    Mistake(
        name="positions beyond the last are clamped",
        find=_CHECK,
        put="pass",
        also=(
            (
                _POSITIONS,
                "positions = torch.arange(T, device=input_ids.device).clamp(max=limit - 1)",
            ),
        ),
        says="In a text longer than n_positions all further tokens share the last position, and nobody is told. Refuse such a text "
        "with a ValueError that names both numbers.",
    ),
    Mistake(
        name="positions start over when they run out",
        find=_CHECK,
        put="pass",
        also=((_POSITIONS, "positions = torch.arange(T, device=input_ids.device) % limit"),),
        says="In a text longer than n_positions the positions start over at 0, and nobody is told. Refuse such a text with a "
        "ValueError that names both numbers.",
        same_as="positions beyond the last are clamped",
    ),
    Mistake(
        name="the check is off by one",
        find="if T > limit:",
        put="if T >= limit:",
        says="A text of exactly n_positions tokens is refused, but it fits: refuse T > n_positions, not T >= n_positions.",
    ),
    Mistake(
        name="the check allows one token too many",
        find="if T > limit:",
        put="if T > limit + 1:",
        says="A text of n_positions + 1 tokens gets past your check and then runs off the table: refuse every T > n_positions.",
    ),
    Mistake(
        name="the check is the wrong way round",
        find="if T > limit:",
        put="if T < limit:",
        says="You refuse the texts that fit and let the long ones through: the condition is the wrong way round. Refuse T > n_positions.",
    ),
    Mistake(
        name="assert instead of an exception",
        find="        if T > limit:\n            " + _CHECK,
        put='        assert T <= limit, f"{T} > {limit}"',
        says="A text that is too long raises AssertionError. assert is for what cannot happen, and python -O removes it: raise ValueError.",
    ),
    Mistake(
        name="the message has no numbers",
        find=_CHECK,
        put='raise ValueError("the text is too long")',
        says="Your ValueError does not say what is too long for what. Put both numbers into the message, T and n_positions: "
        "whoever reads it then knows at once what to change.",
    ),
    # --- dropout
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
        name="dropout on the position embeddings only",
        find=_RETURN,
        put="return self.wte(input_ids) + self.drop(self.wpe(positions))",
        says="Dropout belongs after the sum. A dropped value should be exactly 0; yours falls back to the token embedding.",
    ),
    Mistake(
        name="dropout on each of the two",
        find=_RETURN,
        put="return self.drop(self.wte(input_ids)) + self.drop(self.wpe(positions))",
        says="Dropout is applied to each embedding alone, so half-dropped values appear. Add first, then drop the sum once.",
    ),
    Mistake(
        name="dropout twice",
        find=_RETURN,
        put="return self.drop(self.drop(" + _LOOKUPS + "))",
        says="Dropout is applied twice, so more is dropped than embd_pdrop says and the rest is scaled up twice. Once, on the sum.",
    ),
    Mistake(
        name="dropout stays on in eval mode",
        find=_RETURN,
        put="return nn.functional.dropout(self.wte(input_ids) + self.wpe(positions), self.config.embd_pdrop)",
        says="Dropout is still on after .eval(): F.dropout drops unless told otherwise. Use self.drop, or pass training=self.training.",
    ),
    Mistake(
        name="dropout drops in eval mode only",
        find=_RETURN,
        put="return nn.functional.dropout("
        + _LOOKUPS
        + ", self.config.embd_pdrop, not self.training)",
        says="Dropout is on in eval mode and off in train mode, the wrong way round. Use self.drop, or training=self.training.",
    ),
    Mistake(
        name="dropped without scaling the rest up",
        find=_RETURN,
        put="x = "
        + _LOOKUPS
        + "\n        return x * (torch.rand_like(x) >= self.config.embd_pdrop) if self.training else x",
        says="The numbers that are not dropped stay as they are. They must be divided by 1 - embd_pdrop, so that on average the sum "
        "stays what it is in eval mode; nn.Dropout does that.",
    ),
    Mistake(
        name="dropout takes whole tokens",
        find=_RETURN,
        put="x = " + _LOOKUPS + "\n        return x * self.drop(torch.ones_like(x[..., :1]))",
        says="Whole tokens are dropped, all n_embd numbers at once. GPT-2 drops single numbers: self.drop of the whole sum.",
    ),
    Mistake(
        name="dropout has another field's rate",
        find=_DROP,
        put="self.drop = nn.Dropout(config.resid_pdrop)",
        says="The dropout after the embeddings has the rate embd_pdrop; yours has resid_pdrop's.",
    ),
    Mistake(
        name="dropout has attention's rate",
        find=_DROP,
        put="self.drop = nn.Dropout(config.attn_pdrop)",
        says="The dropout after the embeddings has the rate embd_pdrop; yours has attn_pdrop's.",
    ),
    Mistake(
        name="the rate is hard-coded",
        find=_DROP,
        put="self.drop = nn.Dropout(0.1)",
        says="The dropout rate is always 0.1, whatever config.embd_pdrop says.",
    ),
    Mistake(
        name="nn.Dropout without a rate",
        find=_DROP,
        put="self.drop = nn.Dropout()",
        says="nn.Dropout() without an argument drops half of everything: its default is 0.5. Pass config.embd_pdrop.",
    ),
    Mistake(
        name="the rate is the share that is kept",
        find=_DROP,
        put="self.drop = nn.Dropout(1 - config.embd_pdrop)",
        says="You drop 1 - embd_pdrop of the values: nn.Dropout's argument is the share that is dropped, not the share that is kept.",
    ),
    # --- type and device
    Mistake(
        name="the output is cast to float32",
        find=_RETURN,
        put=_RETURN.removesuffix(")") + ").float()",
        says="The output is always float32, whatever the tables are: .float() undoes .double() and .half(). Leave the type alone.",
    ),
    Mistake(
        name="the positions stay on the CPU",
        find=_POSITIONS,
        put="positions = torch.arange(T)",
        says="The positions stay on the CPU when the model moves to another device: pass device=input_ids.device to torch.arange, or "
        "keep them in the module with register_buffer.",
    ),
]
