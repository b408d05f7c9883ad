"""Known wrong answers to interview 01."""

from common.mistakes import Mistake

_SCORES = "scores = q @ k.transpose(-2, -1) / (C // self.num_heads) ** 0.5  # (B, H, T, T)"
_MASK = "scores = scores.masked_fill(~self.causal[:T, :T], -torch.inf)"
_OUT = "out.transpose(1, 2).reshape(B, T, C)"
_HEADS = "part.view(B, T, self.num_heads, -1).transpose(1, 2) for part in self.qkv(x).split(C, -1)"
_BLOCK = "        x = x + self.attn(self.ln_1(x))\n        return x + self.mlp(self.ln_2(x))\n"
_EMBED = "x = self.drop(self.wte(idx) + self.wpe(torch.arange(T, device=idx.device)))"
_TOO_LONG = '        if T > self.block_size:\n            raise ValueError(f"{T} tokens are more than block_size={self.block_size}")\n'

MISTAKES = [
    Mistake(
        name="no mask",
        find=f"        {_MASK}\n",
        put="",
        says="No mask: every token sees the future, so the model copies the next token instead of predicting it. Fill the scores above the diagonal with -inf before the softmax.",
    ),
    Mistake(
        name="masked_fill thrown away",
        find=_MASK,
        put="scores.masked_fill(~self.causal[:T, :T], -torch.inf)",
        says="masked_fill returns a new tensor and yours is thrown away, so nothing is masked. Assign it: scores = scores.masked_fill(...).",
        same_as="no mask",
    ),
    Mistake(
        name="mask inverted",
        find="~self.causal[:T, :T]",
        put="self.causal[:T, :T]",
        says="The mask is inverted: what may be seen is filled with -inf, and the last row is all -inf, hence NaN. True in tril() means allowed, so fill where it is False.",
    ),
    Mistake(
        name="one token too many",
        find="dtype=torch.bool).tril()",
        put="dtype=torch.bool).tril(1)",
        says="Each token sees the one after it, the very token that it should predict. tril() without an argument keeps the diagonal and what is below.",
    ),
    Mistake(
        name="a token does not see itself",
        find="dtype=torch.bool).tril()",
        put="dtype=torch.bool).tril(-1)",
        says="A token does not see itself, and the first one sees nothing at all, so its softmax is NaN. The diagonal belongs to what is allowed: tril().",
    ),
    Mistake(
        name="mask after the softmax",
        find=f"        {_MASK}\n        out = self.attn_dropout(scores.softmax(-1)) @ v",
        put="        weights = scores.softmax(-1).masked_fill(~self.causal[:T, :T], 0)\n        out = self.attn_dropout(weights) @ v",
        says="The mask comes after the softmax: the weights that are left do not sum to 1, and they still depend on the future through the denominator. Mask the scores, then take the softmax.",
    ),
    Mistake(
        name="no scale",
        find=" / (C // self.num_heads) ** 0.5",
        put="",
        says="The scores are not divided by sqrt(D). Their variance grows with D, the softmax becomes nearly one-hot and its gradient vanishes.",
    ),
    Mistake(
        name="scale by the whole width",
        find="(C // self.num_heads) ** 0.5",
        put="C**0.5",
        says="The scores are divided by sqrt(C). Each head's dot product has D = C // H terms, so it is sqrt(D).",
    ),
    Mistake(
        name="scale without the root",
        find="(C // self.num_heads) ** 0.5",
        put="(C // self.num_heads)",
        says="The scores are divided by D instead of its square root, which makes attention nearly uniform.",
    ),
    Mistake(
        name="softmax over the queries",
        find="scores.softmax(-1)",
        put="scores.softmax(-2)",
        says="The softmax runs over the queries (dim=-2), so each key shares itself out among all queries, later ones too. Each query's weights over the keys sum to 1: dim=-1.",
    ),
    Mistake(
        name="heads not split",
        find="part.view(B, T, self.num_heads, -1).transpose(1, 2)",
        put="part.view(B, self.num_heads, T, -1)",
        says="view(B, H, T, D) cuts the numbers of other tokens into a head, so tokens mix before attention and the future leaks in. First view(B, T, H, D), then transpose(1, 2).",
    ),
    Mistake(
        name="heads merged without the transpose",
        find=_OUT,
        put="out.reshape(B, T, C)",
        says="The heads are merged without swapping back: reshape(B, T, C) on (B, H, T, D) mixes tokens. transpose(1, 2) first.",
    ),
    Mistake(
        name="one head",
        find=_HEADS,
        put="part.view(B, T, 1, -1).transpose(1, 2) for part in self.qkv(x).split(C, -1)",
        also=((" / (C // self.num_heads) ** 0.5", " / C**0.5"),),
        says="There is one head of size C whatever num_heads says. Split C into num_heads parts of D = C // H, each with its own softmax.",
    ),
    Mistake(
        name="no output projection",
        find=f"self.proj({_OUT})",
        put=_OUT,
        also=(("        self.proj = nn.Linear(embed_dim, embed_dim)\n", ""),),
        says="The output projection is missing: the heads stand side by side and never mix. A linear layer from C to C follows.",
    ),
    Mistake(
        name="attention never drops",
        find="        self.attn_dropout = nn.Dropout(dropout_p)\n        self.resid_dropout = nn.Dropout(dropout_p)\n",
        put="",
        also=(
            ("self.attn_dropout(scores.softmax(-1))", "scores.softmax(-1)"),
            (
                "self.resid_dropout(self.proj(out.transpose(1, 2).reshape(B, T, C)))",
                "self.proj(out.transpose(1, 2).reshape(B, T, C))",
            ),
        ),
        says="Attention takes dropout_p and does nothing with it. Dropout acts on the weights and on the output.",
    ),
    Mistake(
        name="dropout in eval mode",
        find="return self.dropout(self.down(",
        put="return F.dropout(self.down(",
        also=(
            (
                "        self.dropout = nn.Dropout(dropout_p)\n",
                "        self.dropout_p = dropout_p\n",
            ),
            ('approximate="tanh")))', 'approximate="tanh")), self.dropout_p)'),
        ),
        says="F.dropout drops in eval mode too unless it is given training=self.training. nn.Dropout takes care of that.",
    ),
    Mistake(
        name="the width need not be divisible",
        find='        if embed_dim % num_heads != 0:\n            raise ValueError(f"num_heads={num_heads} does not divide embed_dim={embed_dim}")\n',
        put="        embed_dim = embed_dim // num_heads * num_heads\n",
        also=(
            ("B, T, C = x.shape", "x = x[..., : self.proj.in_features]\n        B, T, C = x.shape"),
        ),
        says="A width that the heads cannot share is cut to fit in silence. Refuse it with a ValueError that names both numbers.",
    ),
    Mistake(
        name="ReLU",
        find='F.gelu(self.up(x), approximate="tanh")',
        put="F.relu(self.up(x))",
        says="The activation is ReLU, and GPT-2 uses GELU, the exact one or its tanh form.",
    ),
    Mistake(
        name="no activation",
        find='F.gelu(self.up(x), approximate="tanh")',
        put="self.up(x)",
        says="There is no activation between the two layers, and two linear layers in a row are no more than one. GELU stands between them.",
    ),
    Mistake(
        name="activation at the end",
        find='self.down(F.gelu(self.up(x), approximate="tanh"))',
        put='F.gelu(self.down(F.gelu(self.up(x), approximate="tanh")), approximate="tanh")',
        says="GELU comes once more after the second layer, so the MLP can hardly ever lower a number of x. Only dropout follows.",
    ),
    Mistake(
        name="twice as wide",
        find="self.up = nn.Linear(embed_dim, 4 * embed_dim)\n        self.down = nn.Linear(4 * embed_dim, embed_dim)",
        put="self.up = nn.Linear(embed_dim, 2 * embed_dim)\n        self.down = nn.Linear(2 * embed_dim, embed_dim)",
        says="The MLP is twice as wide inside. GPT-2's is four times as wide: C to 4 C and back.",
    ),
    Mistake(
        name="post-norm",
        find=_BLOCK,
        put="        x = self.ln_1(x + self.attn(x))\n        return self.ln_2(x + self.mlp(x))\n",
        says="This is post-norm: the norm stands behind the addition, on the residual path. GPT-2 is pre-norm: x + attn(ln_1(x)), then x + mlp(ln_2(x)).",
    ),
    Mistake(
        name="no residuals",
        find=_BLOCK,
        put="        x = self.attn(self.ln_1(x))\n        return self.mlp(self.ln_2(x))\n",
        says="The block has no residual connections: what a layer does not pass on is lost. x + attn(...), then x + mlp(...).",
    ),
    Mistake(
        name="the MLP without a residual",
        find="return x + self.mlp(self.ln_2(x))",
        put="return self.mlp(self.ln_2(x))",
        says="The MLP's output replaces x instead of being added: return x + self.mlp(self.ln_2(x)).",
    ),
    Mistake(
        name="attention without a residual",
        find="x = x + self.attn(self.ln_1(x))",
        put="x = self.attn(self.ln_1(x))",
        says="Attention's output replaces x instead of being added: x = x + self.attn(self.ln_1(x)).",
    ),
    Mistake(
        name="the residual is the normalised x",
        find=_BLOCK,
        put="        x = self.ln_1(x)\n        x = x + self.attn(x)\n        x = self.ln_2(x)\n        return x + self.mlp(x)\n",
        says="The norm overwrites x, so the residual path carries the normalised copy. Keep x: x = x + self.attn(self.ln_1(x)).",
    ),
    Mistake(
        name="no norm before the MLP",
        find="self.mlp(self.ln_2(x))",
        put="self.mlp(x)",
        says="The MLP reads x as it is, and what it adds grows with x from block to block. It reads ln_2(x).",
    ),
    Mistake(
        name="side by side",
        find=_BLOCK,
        put="        return x + self.attn(self.ln_1(x)) + self.mlp(self.ln_2(x))\n",
        says="Attention and MLP run side by side on the same x. In GPT-2 the MLP reads what attention has added: two steps, x = x + attn(...), then x + mlp(...).",
    ),
    Mistake(
        name="the MLP first",
        find=_BLOCK,
        put="        x = x + self.mlp(self.ln_2(x))\n        return x + self.attn(self.ln_1(x))\n",
        says="The MLP comes before attention. In GPT-2 attention is first, and the MLP works on what it has gathered.",
    ),
    Mistake(
        name="no positions",
        find=_EMBED,
        put="x = self.drop(self.wte(idx))",
        says="Positions are missing: a text of equal tokens gives equal logits everywhere. Add wpe(arange(T)) to wte(idx).",
    ),
    Mistake(
        name="positions from the end",
        find="torch.arange(T, device=idx.device)",
        put="torch.arange(self.block_size - T, self.block_size, device=idx.device)",
        also=(
            (
                _TOO_LONG,
                '        if T > self.block_size:\n            raise ValueError("too long")\n',
            ),
        ),
        says="Positions are counted from the end of the block, so a prefix gets other logits when it stands alone. They start at 0: arange(T).",
    ),
    Mistake(
        name="too long is cut",
        find=_TOO_LONG,
        put="        idx = idx[:, -self.block_size :]\n        T = idx.size(1)\n",
        says="A text longer than block_size is cut in silence, and the output is shorter than the input. Refuse it with a ValueError.",
    ),
    Mistake(
        name="one block, used again",
        find="        self.blocks = nn.ModuleList(\n            TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers)\n        )\n",
        put="        self.blocks = nn.ModuleList(\n            [TransformerBlock(embed_dim, num_heads, block_size, dropout_p)] * num_layers\n        )\n",
        says="[block] * num_layers repeats one block: all layers share its weights. Build a new one in each pass of a comprehension.",
    ),
    Mistake(
        name="no last norm",
        find="self.head(self.ln_f(x))",
        put="self.head(x)",
        says="The last LayerNorm is missing or unused: pre-norm blocks leave x unnormalised, so the head reads head(ln_f(x)).",
    ),
    Mistake(
        name="softmax at the end",
        find="return self.head(self.ln_f(x))",
        put="return self.head(self.ln_f(x)).softmax(-1)",
        says="GPT2 returns probabilities, and F.cross_entropy would take a softmax of them once more. Return raw logits.",
    ),
    Mistake(
        name="only the last position",
        find="return self.head(self.ln_f(x))",
        put="return self.head(self.ln_f(x[:, -1]))",
        says="Only the last position gets logits. Training needs the scores at every position: (B, T, V).",
    ),
    Mistake(
        name="positions stay on the CPU",
        find="torch.arange(T, device=idx.device)",
        put="torch.arange(T)",
        says="The positions are made on the CPU wherever the model is. torch.arange(T, device=idx.device).",
    ),
    Mistake(
        name="dropout is not passed to the blocks",
        find="TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for",
        put="TransformerBlock(embed_dim, num_heads, block_size) for",
        says="GPT2 builds its blocks without dropout_p, so only the embeddings drop. Pass it on to TransformerBlock.",
    ),
    Mistake(
        name="dropout is not passed to the attention",
        find="CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)\n",
        put="CausalSelfAttention(embed_dim, num_heads, block_size)\n",
        says="The block builds its attention without dropout_p, so only its MLP drops. Pass it on to both.",
    ),
    Mistake(
        name="dropout is not passed to the MLP",
        find="MLP(embed_dim, dropout_p)",
        put="MLP(embed_dim)",
        says="The block builds its MLP without dropout_p, so only its attention drops. Pass it on to both.",
    ),
]
