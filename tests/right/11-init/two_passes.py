import math

from torch import nn

from common import problem  # noqa: F401


def is_layer_norm(name):
    return name.split(".")[-1] in ("ln_1", "ln_2", "ln_f")


def init_weights(model):
    config = getattr(model, "config", None)
    if config is None:
        raise TypeError(f"model of type {type(model).__name__} has no config attribute")
    std = config.initializer_range
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=std)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif is_layer_norm(name):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith("c_proj.weight"):
            nn.init.normal_(parameter, mean=0.0, std=std / math.sqrt(2 * config.n_layer))
