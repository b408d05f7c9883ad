"""Known wrong answers to problem 11."""

from common.mistakes import Mistake

_STD = "std = model.config.initializer_range"
_BIAS = "            nn.init.zeros_(parameter)"
_NORM = "            nn.init.ones_(parameter)  # the weight of a norm"
_PROJ = "nn.init.normal_(parameter, std=std / math.sqrt(2 * model.config.n_layer))"
_REST = "            nn.init.normal_(parameter, std=std)\n"
_IF_PROJ = 'elif name.endswith("c_proj.weight"):'
_LOOP = "    for name, parameter in model.named_parameters():\n"

MISTAKES = [
    Mistake(
        name="initializer_range taken for a variance",
        find=_STD,
        put="std = math.sqrt(model.config.initializer_range)",
        says="initializer_range is the standard deviation, not the variance: you take its root, and 0.02 becomes 0.14. Pass it to nn.init.normal_ as std.",
    ),
    Mistake(
        name="initializer_range squared",
        find=_STD,
        put="std = model.config.initializer_range ** 2",
        says="You square initializer_range. nn.init.normal_ takes the standard deviation, and that is what initializer_range is.",
    ),
    Mistake(
        name="0.02 is hard-coded",
        find=_STD,
        put="std = 0.02",
        says="The standard deviation is always 0.02. Take it from model.config.initializer_range.",
    ),
    Mistake(
        name="the residual scale is missing",
        find=_PROJ,
        put="nn.init.normal_(parameter, std=std)",
        says="The c_proj layers start as large as the others. They write to the residual stream, 2 * n_layer of them, so they start smaller: std / sqrt(2 * n_layer).",
    ),
    Mistake(
        name="the residual scale without the 2",
        find="math.sqrt(2 * model.config.n_layer)",
        put="math.sqrt(model.config.n_layer)",
        says="The 2 is missing: each layer adds to the residual stream twice, by attention and by feed-forward, so the scale is 1 / sqrt(2 * n_layer).",
    ),
    Mistake(
        name="the root is missing",
        find="math.sqrt(2 * model.config.n_layer)",
        put="(2 * model.config.n_layer)",
        says="You divide by 2 * n_layer; the square root is missing. Variances add up, so deviations shrink with the root.",
    ),
    Mistake(
        name="multiplied instead of divided",
        find="std / math.sqrt(2",
        put="std * math.sqrt(2",
        says="You multiply c_proj's deviation by sqrt(2 * n_layer); it has to shrink: divide.",
    ),
    Mistake(
        name="residual scaling only in attention",
        find=_IF_PROJ,
        put='elif name.endswith("attn.c_proj.weight"):',
        says="mlp.c_proj is not scaled. Both c_proj layers write to the residual stream: attn's and mlp's.",
    ),
    Mistake(
        name="residual scaling only in the feed-forward layer",
        find=_IF_PROJ,
        put='elif name.endswith("mlp.c_proj.weight"):',
        says="attn.c_proj is not scaled. Both c_proj layers write to the residual stream: attn's and mlp's.",
    ),
    Mistake(
        name="the scale is applied twice",
        find=_PROJ,
        put=_PROJ + "\n            parameter.data.div_(math.sqrt(2 * model.config.n_layer))",
        says="The residual scale is applied twice: c_proj starts with std / (2 * n_layer). Once, by std / sqrt(2 * n_layer).",
        same_as="the root is missing",
    ),
    Mistake(
        name="all matrices are scaled down",
        find=_REST,
        put="            nn.init.normal_(parameter, std=std / math.sqrt(2 * model.config.n_layer))\n",
        says="All matrices are scaled by 1 / sqrt(2 * n_layer). Only the c_proj layers are; the others have initializer_range.",
    ),
    Mistake(
        name="c_fc is scaled too",
        find=_IF_PROJ,
        put='elif name.endswith(("c_proj.weight", "c_fc.weight")):',
        says="c_fc is scaled like c_proj. It does not write to the residual stream, so it has initializer_range.",
    ),
    Mistake(
        name="c_attn is scaled too",
        find=_IF_PROJ,
        put='elif name.endswith(("c_proj.weight", "c_attn.weight")):',
        says="c_attn is scaled like c_proj. It does not write to the residual stream, so it has initializer_range.",
    ),
    Mistake(
        name="the number of layers is hard-coded",
        find="2 * model.config.n_layer",
        put="2 * 12",
        says="The residual scale assumes 12 layers. Take n_layer from model.config.",
    ),
    Mistake(
        name="embeddings are skipped",
        find=_LOOP,
        put=_LOOP + '        if name.startswith(("wte", "wpe")):\n            continue\n',
        says="wte and wpe are left as they were: nn.Embedding starts with a deviation of 1, fifty times too large. They get initializer_range too.",
    ),
    Mistake(
        name="positions are skipped",
        find=_LOOP,
        put=_LOOP + '        if name.startswith("wpe"):\n            continue\n',
        says="wpe is left as it was: nn.Embedding starts with a deviation of 1, fifty times too large. It gets initializer_range too.",
    ),
    Mistake(
        name="positions start at zero",
        find=_LOOP,
        put=_LOOP
        + '        if name.startswith("wpe"):\n            nn.init.zeros_(parameter)\n            continue\n',
        says="wpe starts at all zeros. It is a matrix like the others: N(0, initializer_range).",
    ),
    Mistake(
        name="wpe has 0.01",
        find=_LOOP,
        put=_LOOP
        + '        if name.startswith("wpe"):\n            nn.init.normal_(parameter, std=std / 2)\n            continue\n',
        says="wpe starts with half the deviation. OpenAI's first code did that, but the contract here is initializer_range for every embedding.",
    ),
    Mistake(
        name="uniform instead of normal",
        find=_REST,
        put="            nn.init.uniform_(parameter, -std * math.sqrt(3), std * math.sqrt(3))\n",
        says="The numbers are uniform: the deviation is right, but none lies beyond 1.73 deviations, where a normal distribution has 8 %. Use nn.init.normal_.",
    ),
    Mistake(
        name="uniform between plus and minus std",
        find=_REST,
        put="            nn.init.uniform_(parameter, -std, std)\n",
        says="The numbers are uniform between -std and std, a deviation of std / sqrt(3). Use nn.init.normal_ with std.",
    ),
    Mistake(
        name="truncated normal",
        find=_REST,
        put="            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)\n",
        says="The normal distribution is cut off at two deviations, which also narrows it to 0.88 of initializer_range. Use nn.init.normal_.",
    ),
    Mistake(
        name="Xavier",
        find=_REST,
        put="            nn.init.xavier_normal_(parameter)\n",
        says="This is Xavier's initialisation, whose deviation follows the shape of the matrix. GPT-2 uses one for all: initializer_range.",
    ),
    Mistake(
        name="Kaiming",
        find=_REST,
        put="            nn.init.kaiming_normal_(parameter)\n",
        says="This is Kaiming's initialisation, whose deviation follows the shape of the matrix. GPT-2 uses one for all: initializer_range.",
    ),
    Mistake(
        name="the mean is std",
        find=_REST,
        put="            nn.init.normal_(parameter, std, std)\n",
        says="The weights have a mean of initializer_range: nn.init.normal_ takes the mean first. Pass std by its name, std=...",
    ),
    Mistake(
        name="mean and deviation in the wrong places",
        find=_REST,
        put="            nn.init.normal_(parameter, std)\n",
        says="nn.init.normal_(tensor, x) takes x as the mean and leaves the deviation at 1. Pass it by its name: std=...",
    ),
    Mistake(
        name="biases are drawn as well",
        find=_BIAS,
        put="            nn.init.normal_(parameter, std=std)",
        says="Biases start random, drawn like the matrices. They all start at 0.",
    ),
    Mistake(
        name="biases are left alone",
        find=_BIAS,
        put="            pass",
        says="Biases are left as they were; nn.Linear draws them at random. They all start at 0.",
    ),
    Mistake(
        name="the biases of norms are one",
        find=_BIAS,
        put='            (nn.init.ones_ if "ln_" in name else nn.init.zeros_)(parameter)',
        says="The biases of the norms start at 1, which shifts every vector. Weight 1, bias 0.",
    ),
    Mistake(
        name="norms are drawn as well",
        find=_NORM,
        put="            nn.init.normal_(parameter, std=std)",
        says="The weights of the norms start random and near 0, so every norm almost erases its input. They start at 1.",
    ),
    Mistake(
        name="norms are zero",
        find=_NORM,
        put="            nn.init.zeros_(parameter)",
        says="The weights of the norms start at 0: every norm erases its input. They start at 1.",
    ),
    Mistake(
        name="norms are found by class",
        find="elif parameter.ndim == 1:\n" + _NORM,
        put="elif parameter.ndim == 1:\n            if isinstance(model.get_submodule(name.rpartition('.')[0]), nn.LayerNorm):\n                nn.init.ones_(parameter)",
        says="Norms that are no nn.LayerNorm are left out, such as the LayerNorm of problem 07. Go by name (ln_) or by shape: the weight of a norm has one axis.",
    ),
    Mistake(
        name="a new Parameter",
        find=_REST,
        put="            owner, _, field = name.rpartition('.')\n            setattr(model.get_submodule(owner), field, nn.Parameter(torch.randn_like(parameter) * std))\n",
        also=(("import math\n", "import math\n\nimport torch\n"),),
        says="Parameters are replaced by new ones, which breaks the tie of lm_head and wte, and an optimizer would hold on to the old ones. Initialise in place.",
    ),
    Mistake(
        name="one seed for every matrix",
        find=_LOOP,
        put="    import torch\n\n" + _LOOP + "        torch.manual_seed(42)\n",
        says="The seed is set anew for every parameter, so all layers start with the same numbers and learn alike. Seed once, outside.",
    ),
    Mistake(
        name="only the first level",
        find="model.named_parameters()",
        put="[(n, p) for n, p in model.named_parameters() if not n.startswith('h.')]",
        says="The blocks are left as they were: only the model's own layers were visited. named_parameters() and modules() go all the way down.",
    ),
    Mistake(
        name="nothing happens",
        find=_LOOP,
        put="    return\n" + _LOOP,
        says="No parameter was changed: init_weights does nothing.",
    ),
]
