"""Makes a whole state of new tensors and lets load_state_dict copy it in; a tied matrix goes by one tensor."""

import torch
from torch import nn


def init_weights(model: nn.Module) -> None:
    wide = model.config.initializer_range
    narrow = wide * (2 * model.config.n_layer) ** -0.5
    new, made = {}, {}
    for name, old in model.named_parameters(remove_duplicate=False):
        if id(old) not in made:
            if old.dim() > 1:
                std = narrow if name.split(".")[-2] == "c_proj" else wide
                made[id(old)] = torch.empty_like(old).normal_(0.0, std)
            else:
                made[id(old)] = torch.full_like(old, float(not name.endswith("bias")))
        new[name] = made[id(old)].detach()
    model.load_state_dict(new, strict=False)
