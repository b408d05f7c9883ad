"""Known wrong answers to problem 06."""

from common.mistakes import Mistake

_GELU = "return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))"
_RETURN = "return self.dropout(self.c_proj(gelu(self.c_fc(x))))"
_FC = "self.c_fc = nn.Linear(config.n_embd, config.n_inner)"
_PROJ = "self.c_proj = nn.Linear(config.n_inner, config.n_embd)"
_DROP = "self.dropout = nn.Dropout(config.resid_pdrop)"

MISTAKES = [
    Mistake(
        name="the exact GELU",
        find=_GELU,
        put="return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))",
        says="This is the exact GELU, with erf. GPT-2 uses the tanh approximation: gelu(-2) should be -0.04540, and yours is -0.04550. Real weights notice the difference.",
    ),
    Mistake(
        name="the sigmoid approximation",
        find=_GELU,
        put="return x * torch.sigmoid(1.702 * x)",
        says="This is x * sigmoid(1.702 x), another and coarser approximation of GELU. GPT-2's is the one with tanh and x cubed.",
    ),
    Mistake(
        name="SiLU",
        find=_GELU,
        put="return x * torch.sigmoid(x)",
        says="This is SiLU (swish), x * sigmoid(x), which dips to -0.28. GPT-2 uses GELU in its tanh form.",
    ),
    Mistake(
        name="ReLU",
        find=_GELU,
        put="return torch.relu(x)",
        says="This is ReLU: it cuts off everything below 0. GELU dips to -0.17 and comes back smoothly.",
    ),
    Mistake(
        name="a typo in the constant",
        find="0.044715",
        put="0.44715",
        says="Check the constant before x cubed: it is 0.044715, and yours is ten times that.",
    ),
    Mistake(
        name="another typo in the constant",
        find="0.044715",
        put="0.04715",
        says="Check the constant before x cubed: it is 0.044715; yours is 0.04715, a digit is missing.",
    ),
    Mistake(
        name="x squared",
        find="x**3",
        put="x**2",
        says="The term inside the tanh is x cubed, yours is x squared: negative numbers then come out wrong, as a square has no sign.",
    ),
    Mistake(
        name="the cubic term is missing",
        find="(x + 0.044715 * x**3)",
        put="x",
        says="The cubic term is missing: what goes into the tanh is sqrt(2/pi) * (x + 0.044715 * x**3).",
    ),
    Mistake(
        name="a minus before the cubic term",
        find="x + 0.044715",
        put="x - 0.044715",
        says="The cubic term is added, x + 0.044715 x**3; you subtract it, which turns large numbers around.",
    ),
    Mistake(
        name="the root is missing",
        find="math.sqrt(2 / math.pi)",
        put="(2 / math.pi)",
        says="The factor inside the tanh is sqrt(2/pi) = 0.7979; the square root is missing and yours is 0.6366.",
    ),
    Mistake(
        name="pi over two",
        find="math.sqrt(2 / math.pi)",
        put="math.sqrt(math.pi / 2)",
        says="The factor inside the tanh is sqrt(2/pi) = 0.7979; yours is turned over, sqrt(pi/2) = 1.2533.",
    ),
    Mistake(
        name="the parentheses are missing",
        find="math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)",
        put="math.sqrt(2 / math.pi) * x + 0.044715 * x**3",
        says="sqrt(2/pi) multiplies only x in your formula. It multiplies the whole of x + 0.044715 x**3: put that in parentheses.",
    ),
    Mistake(
        name="the half is missing",
        find="0.5 * x * (1",
        put="x * (1",
        says="The factor 0.5 is missing: gelu(10) should be 10, and yours is 20.",
    ),
    Mistake(
        name="the one inside the tanh",
        find="(1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))",
        put="torch.tanh(1 + math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))",
        says="It is 1 + tanh(...), with the 1 outside: yours is inside, so gelu(-10) is 5 instead of 0.",
    ),
    Mistake(
        name="the x in front is missing",
        find="0.5 * x * (1",
        put="0.5 * (1",
        says="The x in front is missing: your result stays between 0 and 1. It is 0.5 * x * (1 + tanh(...)).",
    ),
    Mistake(
        name="sigmoid instead of tanh",
        find="(1 + torch.tanh(",
        put="(1 + torch.sigmoid(",
        says="Your gelu has a sigmoid where the tanh belongs, so 1 + ... never gets down to 0 and negative numbers come through.",
    ),
    Mistake(
        name="gelu works in place",
        find=_GELU,
        put="return x.copy_(nn.functional.gelu(x, approximate='tanh'))",
        says="gelu overwrites its input: methods that end in _ work in place. Return a new tensor.",
    ),
    Mistake(
        name="no activation",
        find=_RETURN,
        put="return self.dropout(self.c_proj(self.c_fc(x)))",
        says="There is no activation: two linear layers in a row are no more than one. The GELU stands between c_fc and c_proj.",
    ),
    Mistake(
        name="the activation comes after c_proj",
        find=_RETURN,
        put="return self.dropout(gelu(self.c_proj(self.c_fc(x))))",
        says="The activation follows c_proj, so your output never falls below -0.17. It belongs between c_fc and c_proj.",
    ),
    Mistake(
        name="a second activation after c_proj",
        find=_RETURN,
        put="return self.dropout(gelu(self.c_proj(gelu(self.c_fc(x)))))",
        says="There is a second activation after c_proj, so your output never falls below -0.17. Only one belongs here, between the two layers.",
    ),
    Mistake(
        name="the activation comes first",
        find=_RETURN,
        put="return self.dropout(self.c_proj(self.c_fc(gelu(x))))",
        says="The activation is applied to the input, before c_fc. It stands between c_fc and c_proj.",
    ),
    Mistake(
        name="the module uses nn.GELU's default",
        find=_RETURN,
        put="return self.dropout(self.c_proj(nn.functional.gelu(self.c_fc(x))))",
        says="FeedForward uses PyTorch's GELU in its default form, the exact one with erf. Use your gelu, or pass approximate='tanh'.",
    ),
    Mistake(
        name="no dropout",
        find=_RETURN,
        put="return self.c_proj(gelu(self.c_fc(x)))",
        says="Dropout is never applied: in train mode nothing of the output is dropped. It is the last step.",
    ),
    Mistake(
        name="dropout before c_proj",
        find=_RETURN,
        put="return self.c_proj(self.dropout(gelu(self.c_fc(x))))",
        says="Dropout stands between the layers, so no value of the output is exactly 0. In GPT-2 it is the last step, after c_proj.",
    ),
    Mistake(
        name="dropout twice",
        find=_RETURN,
        put="return self.dropout(self.c_proj(self.dropout(gelu(self.c_fc(x)))))",
        says="Dropout is applied twice, between the layers and at the end. GPT-2 drops the output only.",
    ),
    Mistake(
        name="dropout stays on in eval mode",
        find=_RETURN,
        put="return nn.functional.dropout(self.c_proj(gelu(self.c_fc(x))), self.dropout.p)",
        says="Dropout is still on after .eval(): F.dropout drops unless told otherwise. Use self.dropout, or pass training=self.training.",
    ),
    Mistake(
        name="the rate is hard-coded",
        find=_DROP,
        put="self.dropout = nn.Dropout(0.1)",
        says="The dropout rate is always 0.1, whatever config.resid_pdrop says.",
    ),
    Mistake(
        name="another field's rate",
        find=_DROP,
        put="self.dropout = nn.Dropout(config.attn_pdrop)",
        says="The dropout of the feed-forward layer has the rate resid_pdrop; yours has attn_pdrop's.",
    ),
    Mistake(
        name="n_inner is ignored",
        find=_FC,
        put="self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)",
        also=((_PROJ, "self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)"),),
        says="The inner width is always 4 * n_embd in your layers. Take config.n_inner, which is 4 * n_embd only when nothing else was asked for.",
    ),
    Mistake(
        name="layers without bias",
        find=_FC,
        put="self.c_fc = nn.Linear(config.n_embd, config.n_inner, bias=False)",
        also=((_PROJ, "self.c_proj = nn.Linear(config.n_inner, config.n_embd, bias=False)"),),
        says="c_fc and c_proj are made with bias=False. Both have a bias in GPT-2.",
    ),
    Mistake(
        name="the residual is added here",
        find=_RETURN,
        put="return x + self.dropout(self.c_proj(gelu(self.c_fc(x))))",
        says="The input is added to the output. The residual connection is the block's business, in problem 08.",
    ),
    Mistake(
        name="the output is the input",
        find=_RETURN,
        put="return x",
        says="forward returns its input: neither layer is used.",
    ),
]
