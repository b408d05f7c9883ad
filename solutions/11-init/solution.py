"""How GPT-2's weights start.

Shapes: C n_embd, V vocab_size.
"""

import math

from torch import nn


def init_weights(model: nn.Module) -> None:
    """Give every parameter of a GPT-2 its starting value, in place.

    Linear and embedding weights are drawn from N(0, initializer_range), biases are 0, norms are 1 and 0;
    the layers that write to the residual stream (`*.c_proj`) start smaller by sqrt(2 * n_layer).

    Args:
        model: any module tree with GPT-2's names and a `config`.

    Source: "Language Models are Unsupervised Multitask Learners", section 2.3; openai/gpt-2,
    src/model.py.
    """
    # lesson: about 10 lines. Go through named_parameters() or modules(); four kinds of parameters
    std = model.config.initializer_range
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.ndim == 1:
            nn.init.ones_(parameter)  # the weight of a norm
        elif name.endswith("c_proj.weight"):
            # Each of 2 * n_layer sublayers adds to the stream: the sum keeps the size of one of them.
            nn.init.normal_(parameter, std=std / math.sqrt(2 * model.config.n_layer))
        else:
            nn.init.normal_(parameter, std=std)
