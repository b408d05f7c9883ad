"""Known wrong answers to problem 09."""

from common.mistakes import Mistake

_FILL = 'object.__setattr__(self, "n_inner", 4 * self.n_embd)  # frozen forbids plain assignment'
_BELOW = "            if size < 1:\n"
_TYPE = "if not isinstance(size, int) or isinstance(size, bool):"
_DIVIDES = "        if self.n_embd % self.n_head:\n"
_RATE = "if not 0 <= rate < 1:"
_ABOVE = "if not value > 0:"
_RETURN = "return embeddings + self.n_layer * (attention + feed_forward + norms) + (C + C)"

MISTAKES = [
    Mistake(
        name="a vocabulary of 50256",
        find="vocab_size: int = 50257",
        put="vocab_size: int = 50256",
        says="vocab_size is one short: GPT-2 has 256 bytes + 50,000 merges + 1 end-of-text token = 50257. The end-of-text id, 50256, would be out of range.",
    ),
    Mistake(
        name="a context of 512",
        find="n_positions: int = 1024",
        put="n_positions: int = 512",
        says="n_positions is 512, GPT-1's. GPT-2's context is 1024 tokens, and its wpe has as many rows.",
    ),
    Mistake(
        name="epsilon 1e-6",
        find="layer_norm_epsilon: float = 1e-5",
        put="layer_norm_epsilon: float = 1e-6",
        says="layer_norm_epsilon is 1e-6; GPT-2's norms use 1e-5.",
    ),
    Mistake(
        name="initializer_range 0.2",
        find="initializer_range: float = 0.02",
        put="initializer_range: float = 0.2",
        says="initializer_range is 0.2; GPT-2's weights start with a standard deviation of 0.02.",
    ),
    Mistake(
        name="no dropout by default",
        find="embd_pdrop: float = 0.1",
        put="embd_pdrop: float = 0.0",
        says="embd_pdrop is 0 by default; GPT-2 was trained with a rate of 0.1 in all three places.",
    ),
    Mistake(
        name="n_inner stays None",
        find=_FILL,
        put="pass",
        also=(
            ('"n_head", "n_inner")', '"n_head")'),
            (
                "C, inner = self.n_embd, self.n_inner",
                "C, inner = self.n_embd, self.n_inner or 4 * self.n_embd",
            ),
        ),
        says="n_inner is still None after construction. It has to read 4 * n_embd when it was not given: fill it in in __post_init__ (with object.__setattr__, as the class is frozen).",
    ),
    Mistake(
        name="n_inner is a fixed number",
        find=_FILL,
        put='object.__setattr__(self, "n_inner", 4 * 768)',
        says="n_inner is always 3072 when it is not given. It depends on n_embd: 4 * self.n_embd.",
    ),
    Mistake(
        name="a given n_inner is overwritten",
        find="        if self.n_inner is None:\n            object",
        put="        if True:\n            object",
        says="An explicit n_inner is overwritten by 4 * n_embd. Only None means that; a number that is given is kept.",
    ),
    Mistake(
        name="n_inner twice the width",
        find="4 * self.n_embd)  #",
        put="2 * self.n_embd)  #",
        says="n_inner is filled in with 2 * n_embd. GPT-2's feed-forward layer is four times as wide as the model.",
    ),
    Mistake(
        name="head_dim is a float",
        find="return self.n_embd // self.n_head",
        put="return self.n_embd / self.n_head",
        says="head_dim is a float, as / always gives one, and view() refuses it as a size. Divide with //.",
    ),
    Mistake(
        name="head_dim is a method",
        find="    @property\n    def head_dim",
        put="    def head_dim",
        says="head_dim is a method: config.head_dim gives the function, not a number. Put @property above it.",
    ),
    Mistake(
        name="the class is not frozen",
        find="@dataclass(frozen=True)",
        put="@dataclass",
        says="Fields can be changed after construction, so two parts of a model could disagree on its shape. Use @dataclass(frozen=True).",
    ),
    Mistake(
        name="configs compare by identity",
        find="@dataclass(frozen=True)",
        put="@dataclass(frozen=True, eq=False)",
        says="Two configs with equal fields are not equal: eq=False (or a class without __eq__) compares by identity.",
    ),
    Mistake(
        name="sizes of zero pass",
        find=_BELOW,
        put="            if size < 0:\n",
        says="A size of 0 is accepted, and fails much later with an obscure error. Sizes below 1 are a ValueError.",
    ),
    Mistake(
        name="sizes of one are refused",
        find=_BELOW,
        put="            if size <= 1:\n",
        says="A size of 1 is refused, but one layer or one head makes a fine model: refuse size < 1.",
    ),
    Mistake(
        name="sizes are not checked",
        find=_BELOW,
        put="            if False:\n",
        says="Sizes are not checked: 0 and negative numbers are accepted. Raise ValueError for a size below 1, naming field and value.",
    ),
    Mistake(
        name="n_inner is not checked",
        find='"n_head", "n_inner")',
        put='"n_head")',
        says="n_inner is not checked like the other sizes: 0, a float or a string is accepted. Check it after None has been filled in.",
    ),
    Mistake(
        name="types are not checked",
        find=_TYPE,
        put="if False:",
        also=(
            (_BELOW, "            if isinstance(size, (int, float)) and size < 1:\n"),
            (
                _DIVIDES,
                "        if isinstance(self.n_embd, int) and isinstance(self.n_head, int) and self.n_embd % self.n_head:\n",
            ),
        ),
        says="A size that is no int, such as 2.0 or '12', is accepted. It fails later, far from the mistake: raise TypeError at construction.",
    ),
    Mistake(
        name="True passes for a size",
        find=_TYPE,
        put="if not isinstance(size, int):",
        says="True is accepted as a size: bool is a subclass of int in Python. Ask for isinstance(size, bool) as well.",
    ),
    Mistake(
        name="floats that are whole pass",
        find=_TYPE,
        put="if not isinstance(size, (int, float)) or isinstance(size, bool):",
        says="2.0 is accepted as a size, and fails later in view(). A size is an int: anything else is a TypeError.",
    ),
    Mistake(
        name="wrong types are a ValueError",
        find='raise TypeError(f"{name} must be an int',
        put='raise ValueError(f"{name} must be an int',
        says="A size of the wrong type raises ValueError. A wrong type is a TypeError; ValueError is for the right type with an impossible value.",
    ),
    Mistake(
        name="divisibility is not checked",
        find=_DIVIDES,
        put="        if False:\n",
        says="n_embd=770 with n_head=12 is accepted: 770 / 12 is no whole number of channels. Raise ValueError when n_embd % n_head is not 0.",
    ),
    Mistake(
        name="a bad pair is printed",
        find='            raise ValueError(\n                f"n_embd (',
        put='            print(\n                f"n_embd (',
        says="A width that the heads do not divide is only printed, and construction goes on. Refuse it with a ValueError.",
        same_as="divisibility is not checked",
    ),
    Mistake(
        name="a bad pair is asserted",
        find='            raise ValueError(\n                f"n_embd (',
        put='            raise AssertionError(\n                f"n_embd (',
        says="A width that the heads do not divide raises AssertionError. assert is for what cannot happen, and python -O removes it: raise ValueError.",
    ),
    Mistake(
        name="the division is turned around",
        find=_DIVIDES,
        put="        if self.n_head % self.n_embd:\n",
        says="You ask whether n_head is a multiple of n_embd. It is the other way round: n_embd % n_head must be 0.",
    ),
    Mistake(
        name="the message does not name the value",
        find='raise ValueError(f"{name} must be at least 1, not {size}")',
        put='raise ValueError(f"{name} must be at least 1")',
        says="The message for a size below 1 leaves out the value that was given. Name both, field and value: whoever reads it may not see the call.",
    ),
    Mistake(
        name="the message does not name the field",
        find='raise ValueError(f"{name} must be in [0, 1), not {rate}")',
        put='raise ValueError(f"dropout must be in [0, 1), not {rate}")',
        says="The message for a bad rate does not say which of the three fields it is. Name field and value.",
    ),
    Mistake(
        name="a rate of one passes",
        find=_RATE,
        put="if not 0 <= rate <= 1:",
        says="A dropout rate of 1 is accepted: everything would be dropped, and the rest scaled by 1/0. The range is 0 <= rate < 1.",
    ),
    Mistake(
        name="a rate of zero is refused",
        find=_RATE,
        put="if not 0 < rate < 1:",
        says="A dropout rate of 0 is refused, but that is how one turns dropout off. The range is 0 <= rate < 1.",
    ),
    Mistake(
        name="NaN passes",
        find=_RATE,
        put="if rate < 0 or rate >= 1:",
        says="A rate of NaN is accepted: NaN is neither below 0 nor above 1, as every comparison with it is False. Ask `not 0 <= rate < 1`.",
    ),
    Mistake(
        name="rates are not checked",
        find=_RATE,
        put="if False:",
        says="Dropout rates are not checked: -0.1 and 1.5 are accepted. Raise ValueError outside of 0 <= rate < 1.",
    ),
    Mistake(
        name="only one rate is checked",
        find='("embd_pdrop", "attn_pdrop", "resid_pdrop")',
        put='("embd_pdrop",)',
        says="Only embd_pdrop is checked. attn_pdrop and resid_pdrop have the same range.",
    ),
    Mistake(
        name="an epsilon of zero passes",
        find=_ABOVE,
        put="if value < 0:",
        says="layer_norm_epsilon=0 and initializer_range=0 are accepted. Both have to be above 0: without epsilon a constant vector is 0/0.",
    ),
    Mistake(
        name="medium with 12 heads",
        find="cls(n_layer=24, n_embd=1024, n_head=16)",
        put="cls(n_layer=24, n_embd=1024)",
        says="GPT-2 medium has 16 heads: 12, the default, does not divide 1024.",
    ),
    Mistake(
        name="XL with 20 heads",
        find="cls(n_layer=48, n_embd=1600, n_head=25)",
        put="cls(n_layer=48, n_embd=1600, n_head=20)",
        says="GPT-2 XL has 25 heads of 64 channels; yours has 20 of 80.",
    ),
    Mistake(
        name="large with 24 layers",
        find="cls(n_layer=36, n_embd=1280, n_head=20)",
        put="cls(n_layer=24, n_embd=1280, n_head=20)",
        says="GPT-2 large has 36 layers; yours has 24, which is medium's number.",
    ),
    Mistake(
        name="the head is counted",
        find=_RETURN,
        put="return 2 * self.vocab_size * C + self.n_positions * C + self.n_layer * (attention + feed_forward + norms) + (C + C)",
        says="The output layer is counted beside wte. The two are tied, one and the same matrix, so it counts once: 38,597,376 too many for the small model.",
    ),
    Mistake(
        name="biases are left out",
        find="attention = (C * 3 * C + 3 * C) + (C * C + C)\n        feed_forward = (C * inner + inner) + (inner * C + C)",
        put="attention = C * 3 * C + C * C\n        feed_forward = C * inner + inner * C",
        says="The biases of the linear layers are not counted: c_attn has 3C of them, c_fc n_inner, and each c_proj C.",
    ),
    Mistake(
        name="the final norm is left out",
        find=" + (C + C)\n\n    @classmethod\n    def gpt2_small",
        put="\n\n    @classmethod\n    def gpt2_small",
        says="The final norm, ln_f, is not counted: 2C parameters, once, after the blocks.",
    ),
    Mistake(
        name="positions are left out",
        find="(self.vocab_size + self.n_positions) * C",
        put="self.vocab_size * C",
        says="wpe is not counted: n_positions * n_embd parameters.",
    ),
    Mistake(
        name="one norm for each block",
        find="norms = 2 * (C + C)",
        put="norms = C + C",
        says="Only one norm is counted for each block. There are two, ln_1 and ln_2, with 2C parameters each.",
    ),
    Mistake(
        name="the parameter count assumes 4C",
        find="C, inner = self.n_embd, self.n_inner",
        put="C, inner = self.n_embd, 4 * self.n_embd",
        says="num_parameters counts the feed-forward layer with 4 * n_embd, whatever n_inner is.",
    ),
    Mistake(
        name="n_inner is 3072 by default",
        find="n_inner: int | None = None",
        put="n_inner: int = 3072",
        says="n_inner is 3072 unless given, which is 4 * n_embd for the small model alone. Default None, and fill in 4 * n_embd at construction.",
    ),
]
