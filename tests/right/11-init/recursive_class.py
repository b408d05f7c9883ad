"""A recursive walk with a set of the tensors already done, so that a tied matrix is drawn once."""
import torch
import torch.nn as nn


class _Initialiser:
    def __init__(self, config):
        self.std = float(config.initializer_range)
        self.residual_std = self.std / float(2 * config.n_layer) ** 0.5
        self.done = set()

    def _draw(self, parameter, std):
        if id(parameter) not in self.done:
            self.done.add(id(parameter))
            parameter.data.normal_(0.0, std)

    def visit(self, module, name=""):
        weight = module._parameters.get("weight")
        bias = module._parameters.get("bias")
        if weight is not None:
            if weight.dim() == 1:
                torch.nn.init.constant_(weight, 1.0)
            else:
                self._draw(weight, self.residual_std if name == "c_proj" else self.std)
        if bias is not None:
            torch.nn.init.constant_(bias, 0.0)
        for child_name, child in module.named_children():
            self.visit(child, child_name)


def init_weights(model: nn.Module) -> None:
    try:
        config = model.config
    except AttributeError:
        raise TypeError(f"{type(model).__name__!r} object has no config, a GPT2Config is needed there") from None
    _Initialiser(config).visit(model)
