"""Known wrong answers to problem 07."""

from common.mistakes import Mistake

_CENTRED = "centred = x - x.mean(dim=-1, keepdim=True)"
_VARIANCE = "variance = centred.square().mean(dim=-1, keepdim=True)"
_RETURN = "return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias"
_RESIDUAL = "return x + sublayer(norm(x))"
_WEIGHT = "self.weight = nn.Parameter(torch.ones(n_embd))"
_BIAS = "self.bias = nn.Parameter(torch.zeros(n_embd))"

MISTAKES = [
    Mistake(
        name="unbiased variance",
        find=_VARIANCE,
        put="variance = x.var(dim=-1, keepdim=True)",
        says="You divide by C - 1: torch.var is unbiased unless told otherwise. LayerNorm uses the biased variance: unbiased=False, or correction=0.",
    ),
    Mistake(
        name="unbiased standard deviation",
        find="torch.sqrt(variance + self.eps)",
        put="(x.std(dim=-1, keepdim=True) + self.eps)",
        says="torch.std is unbiased (it divides by C - 1), and your eps is added after the root. It is sqrt(variance + eps) with unbiased=False.",
    ),
    Mistake(
        name="eps after the root",
        find="torch.sqrt(variance + self.eps)",
        put="(torch.sqrt(variance) + self.eps)",
        says="eps is added to the standard deviation. It belongs inside the root, sqrt(variance + eps); for small vectors that makes a great difference.",
    ),
    Mistake(
        name="no eps",
        find="torch.sqrt(variance + self.eps)",
        put="torch.sqrt(variance)",
        says="eps is never used: a vector whose channels are all equal has variance 0, and 0 / 0 is NaN. It is sqrt(variance + eps).",
    ),
    Mistake(
        name="eps is hard-coded",
        find="variance + self.eps",
        put="variance + 1e-5",
        says="eps is always 1e-5, whatever the constructor is given. Keep it as self.eps and use that.",
    ),
    Mistake(
        name="the default eps is 1e-6",
        find="eps: float = 1e-5",
        put="eps: float = 1e-6",
        says="The default of eps is 1e-6 in your constructor. GPT-2 uses 1e-5, and for small vectors it shows.",
    ),
    Mistake(
        name="eps is squared",
        find="variance + self.eps",
        put="variance + self.eps**2",
        says="You add the square of eps to the variance. eps itself goes there: sqrt(variance + eps).",
    ),
    Mistake(
        name="divided by the variance",
        find="torch.sqrt(variance + self.eps)",
        put="(variance + self.eps)",
        says="You divide by the variance; the square root is missing. Dividing by the standard deviation is what brings the variance to 1.",
    ),
    Mistake(
        name="not divided at all",
        find="centred / torch.sqrt(variance + self.eps)",
        put="centred",
        says="The vectors are centred but not divided by their standard deviation: their size still varies from token to token.",
    ),
    Mistake(
        name="divided by the norm of the vector",
        find="torch.sqrt(variance + self.eps)",
        put="torch.sqrt(centred.square().sum(dim=-1, keepdim=True) + self.eps)",
        says="You divide by the length of the vector, so its variance becomes 1/C. Average the squares over the channels (mean), do not sum them.",
    ),
    Mistake(
        name="RMSNorm",
        find=_CENTRED,
        put="centred = x",
        says="The mean is never subtracted: this is RMSNorm. GPT-2 uses LayerNorm, which centres each vector first.",
    ),
    Mistake(
        name="divided before centring is kept",
        find="return centred / torch",
        put="return x / torch",
        says="You compute the variance around the mean but divide the raw x: the mean is still in the output. Divide x minus its mean.",
    ),
    Mistake(
        name="the variance is taken around zero",
        find=_VARIANCE,
        put="variance = x.square().mean(dim=-1, keepdim=True)",
        says="Your variance is the mean of x squared, without subtracting the mean: too large whenever the mean is not 0.",
    ),
    Mistake(
        name="mean of squares minus square of mean",
        find=_VARIANCE,
        put="variance = (x.square().mean(dim=-1, keepdim=True) - x.mean(dim=-1, keepdim=True).square()).clamp(min=0)",
        says="The mean of the squares minus the square of the mean is right on paper, but float32 loses it when the mean is large. Average the squares of x minus its mean.",
    ),
    Mistake(
        name="over the tokens",
        find=_CENTRED,
        put="centred = x - x.mean(dim=-2 if x.ndim > 1 else -1, keepdim=True)",
        also=(
            (
                _VARIANCE,
                "variance = centred.square().mean(dim=-2 if x.ndim > 1 else -1, keepdim=True)",
            ),
        ),
        says="Mean and variance run over the tokens of the text (dim=-2) instead of the channels, so each token changes with the others. Use dim=-1.",
    ),
    Mistake(
        name="over the batch",
        find=_CENTRED,
        put="centred = x - x.mean(dim=0, keepdim=True)",
        also=((_VARIANCE, "variance = centred.square().mean(dim=0, keepdim=True)"),),
        says="Mean and variance run over the first axis: that is batch norm. LayerNorm takes each token's own channels, dim=-1.",
    ),
    Mistake(
        name="over tokens and channels together",
        find=_CENTRED,
        put="axes = (-2, -1) if x.ndim > 1 else (-1,)\n        centred = x - x.mean(dim=axes, keepdim=True)",
        also=((_VARIANCE, "variance = centred.square().mean(dim=axes, keepdim=True)"),),
        says="You normalise a whole text at once: a change of one token moves all the others, the earlier ones too. Each token has its own mean and variance, dim=-1.",
    ),
    Mistake(
        name="weight starts at zero",
        find=_WEIGHT,
        put="self.weight = nn.Parameter(torch.zeros(n_embd))",
        says="weight starts at zero, so the norm gives zeros at the start. It starts at ones, the bias at zeros.",
    ),
    Mistake(
        name="weight starts random",
        find=_WEIGHT,
        put="self.weight = nn.Parameter(torch.randn(n_embd))",
        says="weight starts random. The norm should begin without an effect of its own: ones for weight, zeros for bias.",
    ),
    Mistake(
        name="bias starts at one",
        find=_BIAS,
        put="self.bias = nn.Parameter(torch.ones(n_embd))",
        says="bias starts at one, which shifts every vector. It starts at zeros, and weight at ones.",
    ),
    Mistake(
        name="weight is not a parameter",
        find=_WEIGHT,
        put="self.weight = torch.ones(n_embd)",
        says="weight is a plain tensor: it is neither learned nor saved, and stays behind when the model moves. Wrap it in nn.Parameter.",
    ),
    Mistake(
        name="no bias",
        find=_BIAS,
        put="",
        also=((" + self.bias", ""),),
        says="There is no bias. GPT-2's norms have both, a weight to multiply with and a bias to add.",
    ),
    Mistake(
        name="the weight is not applied",
        find=" * self.weight + self.bias",
        put=" + self.bias",
        says="weight is never used: each normalised channel is multiplied by its weight before the bias is added.",
    ),
    Mistake(
        name="the bias is not applied",
        find=" * self.weight + self.bias",
        put=" * self.weight",
        says="bias is never used: it is added last, after the weight has been multiplied.",
    ),
    Mistake(
        name="the bias is scaled too",
        find=_RETURN,
        put="return (centred / torch.sqrt(variance + self.eps) + self.bias) * self.weight",
        says="The bias is added before the weight multiplies, so it is scaled with it. Multiply first, add last.",
    ),
    Mistake(
        name="weight and bias are swapped",
        find="* self.weight + self.bias",
        put="* self.bias + self.weight",
        says="weight and bias are swapped: weight multiplies, bias is added.",
    ),
    Mistake(
        name="the weight is one plus",
        find="* self.weight",
        put="* (1 + self.weight)",
        says="You multiply by 1 + weight. Some models store it that way; GPT-2's weight starts at one and multiplies as it is.",
    ),
    Mistake(
        name="x is centred in place",
        find=_CENTRED,
        put="centred = x.sub_(x.mean(dim=-1, keepdim=True))",
        says="LayerNorm overwrites its input, and x is still needed for the residual sum. sub_ works in place: write x - mean.",
    ),
    Mistake(
        name="mean and variance are detached",
        find="torch.sqrt(variance + self.eps)",
        put="torch.sqrt(variance.detach() + self.eps)",
        says="The variance is detached, so the gradient of x is wrong: it depends on x as well, and the gradient has to go through it.",
    ),
    Mistake(
        name="post-norm",
        find=_RESIDUAL,
        put="return norm(x + sublayer(x))",
        says="This is post-norm, as in GPT-1: the norm stands around the sum. GPT-2 normalises what goes into the sublayer: x + sublayer(norm(x)).",
    ),
    Mistake(
        name="the norm comes after the sublayer",
        find=_RESIDUAL,
        put="return x + norm(sublayer(x))",
        says="The sublayer gets the raw x and its output is normalised. It is the other way round: x + sublayer(norm(x)).",
    ),
    Mistake(
        name="no residual",
        find=_RESIDUAL,
        put="return sublayer(norm(x))",
        says="x is never added back: with a sublayer of zeros the output is 0. It is x + sublayer(norm(x)).",
    ),
    Mistake(
        name="no norm",
        find=_RESIDUAL,
        put="return x + sublayer(x)",
        says="norm is never called: the sublayer gets the raw x. It is x + sublayer(norm(x)).",
    ),
    Mistake(
        name="the normalised x is the residual",
        find=_RESIDUAL,
        put="h = norm(x)\n    return h + sublayer(h)",
        says="You add the sublayer's output to norm(x). The residual path keeps the raw x: x + sublayer(norm(x)).",
    ),
    Mistake(
        name="the sum is normalised too",
        find=_RESIDUAL,
        put="return norm(x + sublayer(norm(x)))",
        says="norm is applied to the sum as well. Nothing stands on the residual path: x + sublayer(norm(x)).",
    ),
    Mistake(
        name="in-place sum",
        find=_RESIDUAL,
        put="x += sublayer(norm(x))\n    return x",
        says="x += ... overwrites the caller's tensor: write x + ... and return that.",
    ),
    Mistake(
        name="the sublayer is called twice",
        find=_RESIDUAL,
        put="sublayer(norm(x))\n    return x + sublayer(norm(x))",
        says="The sublayer is called twice. Call it once and keep the result: with dropout inside, two calls give two results.",
    ),
    Mistake(
        name="x is subtracted",
        find=_RESIDUAL,
        put="return sublayer(norm(x)) - x",
        says="x is subtracted from the sublayer's output. It is added: x + sublayer(norm(x)).",
    ),
]
