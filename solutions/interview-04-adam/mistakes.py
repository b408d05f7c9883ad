"""Known wrong answers to interview 04."""

from common.mistakes import Mistake

_LIST = "self.params = list(params)  # a generator can be walked through only once"
_NONE = "        if not self.params:\n"
_NEGATIVE = "            if value < 0:\n"
_BETAS = "            if not 0 <= beta < 1:\n"
_KEEP = "self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay"
_MEANS = "self.means = [torch.zeros_like(p) for p in self.params]"
_STEPS = "self.steps = [0 for _ in self.params]"
_NO_GRAD = "    @torch.no_grad()\n    def step"
_SKIP = "            if p.grad is None:\n                continue\n"
_COUNT = "            self.steps[i] += 1\n"
_MEAN = "mean.mul_(beta1).add_((1 - beta1) * grad)"
_SQUARE = "square.mul_(beta2).add_((1 - beta2) * grad**2)"
_MEAN_HAT = "mean_hat = mean / (1 - beta1 ** self.steps[i])"
_SQUARE_HAT = "square_hat = square / (1 - beta2 ** self.steps[i])"
_UPDATE = "p -= self.lr * mean_hat / (square_hat.sqrt() + self.eps)"
_L2 = "return p.grad + self.weight_decay * p"
_CLEAR = "        for p in self.params:\n            p.grad = None\n"
_SUPER = "super().__init__(params, lr, betas, eps, weight_decay)"
_DECOUPLED = "        p.mul_(1 - self.lr * self.weight_decay)\n        return p.grad"
_COUNTS = "if min(step, warmup_steps, total_steps) < 0:"
_ORDER = "    if warmup_steps > total_steps:\n"
_WARMUP = "    if step < warmup_steps:\n        return max_lr * step / warmup_steps\n"
_END = "    if step >= total_steps:\n        return min_lr\n"
_PROGRESS = "progress = (step - warmup_steps) / (total_steps - warmup_steps)"
_COSINE = "return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2"

MISTAKES = [
    Mistake(
        name="step does nothing",
        find=f"            {_UPDATE}\n",
        put="",
        says="The parameters do not move: after the two means step() has to subtract lr * m / (sqrt(v) + eps) from p, in place.",
    ),
    Mistake(
        name="the name is given to a new tensor",
        find="p -= self.lr",
        put="p = p - self.lr",
        says="`p = p - ...` makes a new tensor and calls that p; the caller's parameter stays as it was. Write into it: p -= ... or p.sub_(...).",
        same_as="step does nothing",
    ),
    Mistake(
        name="uphill",
        find="p -= self.lr",
        put="p += self.lr",
        says="The update goes with the gradient, and so uphill: subtract it.",
    ),
    Mistake(
        name="plain gradient descent",
        find=_UPDATE,
        put="p -= self.lr * grad",
        says="This is gradient descent: the step grows with the gradient. Adam divides the mean of the gradients by the root of the mean of their squares.",
    ),
    Mistake(
        name="momentum without the division",
        find=" / (square_hat.sqrt() + self.eps)",
        put="",
        says="The mean of the gradients is not divided by sqrt(v) + eps, so the step grows with the gradient's size, which should cancel.",
    ),
    Mistake(
        name="no momentum",
        find="self.lr * mean_hat",
        put="self.lr * grad",
        says="The update takes the gradient itself, as RMSProp does. Adam takes its running mean, so a step goes on in the old direction for a while.",
    ),
    Mistake(
        name="no bias correction",
        find=_MEAN_HAT,
        put="mean_hat = mean",
        also=((_SQUARE_HAT, "square_hat = square"),),
        says="Neither mean is corrected for its start at 0: with the usual betas the first step is 3 times too long. Divide by 1 - beta1^t and 1 - beta2^t.",
    ),
    Mistake(
        name="the mean is not corrected",
        find=_MEAN_HAT,
        put="mean_hat = mean",
        says="m starts at 0 and is a tenth of the gradient after the first step: divide it by 1 - beta1^t. You correct only v.",
    ),
    Mistake(
        name="the squares are not corrected",
        find=_SQUARE_HAT,
        put="square_hat = square",
        says="v starts at 0 and is a thousandth of the square after the first step, which makes that step 30 times too long: divide it by 1 - beta2^t. You correct only m.",
    ),
    Mistake(
        name="the correction does not know the time",
        find=_MEAN_HAT,
        put="mean_hat = mean / (1 - beta1)",
        also=((_SQUARE_HAT, "square_hat = square / (1 - beta2)"),),
        says="The correction is 1 - beta at every step. It is 1 - beta^t with t the number of steps, and fades away: the first step is right, the others are not.",
    ),
    Mistake(
        name="the correction multiplies",
        find="beta1 ** self.steps[i]",
        put="beta1 * self.steps[i]",
        also=(("beta2 ** self.steps[i]", "beta2 * self.steps[i]"),),
        says="The correction is 1 - beta * t in your code, which turns negative in the second step. It is a power: 1 - beta ** t.",
    ),
    Mistake(
        name="t starts at 0",
        find=_COUNT,
        put="",
        also=((_UPDATE, f"{_UPDATE}\n{_COUNT.rstrip()}"),),
        says="t is 0 in the first step, so 1 - beta^t is 0 and the division fails: add 1 to the count before you correct.",
    ),
    Mistake(
        name="t stays at 1",
        find="self.steps[i] += 1",
        put="self.steps[i] = 1",
        says="The count is 1 in every step, so the correction never fades: add 1 to it, self.steps[i] += 1.",
        same_as="the correction does not know the time",
    ),
    Mistake(
        name="betas exchanged",
        find="beta1, beta2 = self.betas",
        put="beta2, beta1 = self.betas",
        says="The betas are exchanged: betas[0] belongs to the mean of the gradients, betas[1] to that of their squares.",
    ),
    Mistake(
        name="old and new exchanged in the mean",
        find=_MEAN,
        put="mean.mul_(1 - beta1).add_(beta1 * grad)",
        says="Old and new are exchanged in m: it keeps beta1 of the old mean and takes (1 - beta1) of the gradient.",
    ),
    Mistake(
        name="the mean is a sum",
        find="add_((1 - beta1) * grad)",
        put="add_(grad)",
        says="m is beta1 * m + grad, a sum that is ten times too large. A running mean takes (1 - beta1) of the new gradient.",
    ),
    Mistake(
        name="the squares are a sum",
        find="add_((1 - beta2) * grad**2)",
        put="add_(grad**2)",
        says="v is beta2 * v + grad**2, a sum that is a thousand times too large. A running mean takes (1 - beta2) of the new square.",
    ),
    Mistake(
        name="the gradient is not squared",
        find="grad**2",
        put="grad.abs()",
        says="v is a running mean of the gradient's size, not of its square: with the root above it, the gradient's size does not cancel.",
    ),
    Mistake(
        name="one v for a whole parameter",
        find="grad**2)",
        put="(grad**2).mean())",
        says="v is one number for the whole parameter, so large entries drown small ones. Every entry has a v of its own: no mean() and no norm over the gradient.",
    ),
    Mistake(
        name="the mean is squared",
        find="grad**2)",
        put="mean**2)",
        says="v takes the square of the running mean m. It is the mean of the squared gradients: grad * grad.",
    ),
    Mistake(
        name="no root",
        find="square_hat.sqrt()",
        put="square_hat",
        says="m is divided by v itself: a small gradient makes a huge step. Divide by sqrt(v) + eps.",
    ),
    Mistake(
        name="eps under the root",
        find="(square_hat.sqrt() + self.eps)",
        put="(square_hat + self.eps).sqrt()",
        says="eps is added under the root, where 1e-8 counts as 1e-4. It is sqrt(v) + eps.",
    ),
    Mistake(
        name="eps before the correction",
        find=_UPDATE,
        put="p -= self.lr * mean_hat * math.sqrt(1 - beta2 ** self.steps[i]) / (square.sqrt() + self.eps)",
        says="eps meets the root of the uncorrected v, which the paper calls epsilon-hat: in the first steps it weighs up to 30 times as much. Correct v, then take the root, then add eps.",
    ),
    Mistake(
        name="eps is fixed",
        find=" + self.eps)",
        put=" + 1e-8)",
        says="eps is 1e-8 whatever was given: keep the argument and use self.eps.",
    ),
    Mistake(
        name="betas are fixed",
        find="beta1, beta2 = self.betas",
        put="beta1, beta2 = 0.9, 0.999",
        says="The betas are 0.9 and 0.999 whatever was given: take those of the constructor.",
    ),
    Mistake(
        name="lr is fixed when the object is made",
        find=_KEEP,
        put=f"{_KEEP}\n        self.rate = lr",
        also=(("p -= self.lr", "p -= self.rate"), ("p.mul_(1 - self.lr", "p.mul_(1 - self.rate")),
        says="step() uses a copy of lr that was made in the constructor, so assigning optimizer.lr changes nothing. Read self.lr in each step.",
    ),
    Mistake(
        name="lr is not an attribute",
        find=_KEEP,
        put="self._lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay",
        also=(("p -= self.lr", "p -= self._lr"), ("p.mul_(1 - self.lr", "p.mul_(1 - self._lr")),
        says="The learning rate is kept under another name: it has to be the attribute lr, which a schedule reads and assigns.",
    ),
    Mistake(
        name="the L2 decay is missing",
        find=_L2,
        put="return p.grad",
        says="weight_decay does nothing in Adam: it adds weight_decay * p to the gradient, before m and v see it.",
    ),
    Mistake(
        name="the L2 decay has the wrong sign",
        find="p.grad + self.weight_decay * p",
        put="p.grad - self.weight_decay * p",
        says="Adam's decay is subtracted from the gradient, and then the weights grow. The gradient of weight_decay / 2 * p**2 is + weight_decay * p.",
    ),
    Mistake(
        name="the L2 decay has lr",
        find="p.grad + self.weight_decay * p",
        put="p.grad + self.lr * self.weight_decay * p",
        says="Adam's decay is multiplied by lr before it joins the gradient. lr comes once, in the update: g = grad + weight_decay * p.",
    ),
    Mistake(
        name="the L2 decay is doubled",
        find="p.grad + self.weight_decay * p",
        put="p.grad + 2 * self.weight_decay * p",
        says="Adam's decay is twice as strong as it should be: the penalty is weight_decay / 2 * p**2, so its gradient is weight_decay * p, without the 2.",
    ),
    Mistake(
        name="the L2 decay is written into the gradient",
        find=_L2,
        put="return p.grad.add_(self.weight_decay * p)",
        says="The decay is added to p.grad itself. Whoever looks at the gradient after the step, or adds to it, finds the decay in it: make a new tensor.",
    ),
    Mistake(
        name="Adam decays like AdamW",
        find=_L2,
        put="p.mul_(1 - self.lr * self.weight_decay)\n        return p.grad",
        says="Adam shrinks the parameter past the means, which is AdamW's way. In Adam weight_decay * p is part of the gradient, and goes through m and v.",
    ),
    Mistake(
        name="AdamW decays like Adam",
        find=_DECOUPLED,
        put="        return p.grad + self.weight_decay * p ",
        says="AdamW adds its decay to the gradient, like Adam, and the division by sqrt(v) undoes most of it. Shrink p itself by lr * weight_decay, and leave the gradient alone.",
    ),
    Mistake(
        name="AdamW decays in both ways",
        find=_DECOUPLED,
        put="        p.mul_(1 - self.lr * self.weight_decay)\n        return super()._decay(p)",
        says="AdamW decays twice, once itself and once through the gradient as Adam does. Its gradient stays as it is.",
    ),
    Mistake(
        name="AdamW decays without lr",
        find="p.mul_(1 - self.lr * self.weight_decay)",
        put="p.mul_(1 - self.weight_decay)",
        says="AdamW shrinks the parameter by weight_decay of itself. In PyTorch it is lr * weight_decay, so that a schedule lowers both together.",
    ),
    Mistake(
        name="AdamW grows",
        find="p.mul_(1 - self.lr * self.weight_decay)",
        put="p.mul_(1 + self.lr * self.weight_decay)",
        says="AdamW's parameter grows with each step: it is multiplied by 1 - lr * weight_decay.",
    ),
    Mistake(
        name="AdamW does not decay",
        find="        p.mul_(1 - self.lr * self.weight_decay)\n",
        put="",
        says="weight_decay does nothing in AdamW: multiply p by 1 - lr * weight_decay before the update.",
    ),
    Mistake(
        name="AdamW decays after the update",
        find="        p.mul_(1 - self.lr * self.weight_decay)\n",
        put="",
        also=(
            (
                f"            {_UPDATE}\n",
                f"            {_UPDATE}\n            if isinstance(self, AdamW):\n                p.mul_(1 - self.lr * self.weight_decay)\n",
            ),
        ),
        says="AdamW's decay comes after the update and shrinks that too. It is taken of the parameter as it was before the step.",
    ),
    Mistake(
        name="AdamW has Adam's default",
        find="weight_decay: float = 0.01",
        put="weight_decay: float = 0.0",
        says="AdamW's weight decay is 0 unless given; its default is 0.01.",
    ),
    Mistake(
        name="Adam has AdamW's default",
        find="weight_decay: float = 0.0,",
        put="weight_decay: float = 0.01,",
        says="Adam's weight decay is 0.01 unless given; that is AdamW's default, and Adam's is 0.0.",
    ),
    Mistake(
        name="AdamW forgets its weight decay",
        find=_SUPER,
        put="super().__init__(params, lr, betas, eps)",
        says="AdamW does not hand weight_decay on to Adam's constructor, so that it is 0 whatever was given.",
    ),
    Mistake(
        name="None is an error",
        find=_SKIP,
        put="",
        says="A parameter that took no part in the loss has grad None, and step() fails on it: `if p.grad is None: continue`.",
    ),
    Mistake(
        name="a gradient of 0 is skipped",
        find=_SKIP,
        put="            if p.grad is None or not p.grad.any():\n                continue\n",
        says="A gradient of 0 is skipped as if it were None. It is a gradient: m and v shrink, the count advances, and momentum and decay still move the parameter.",
    ),
    Mistake(
        name="the first parameter without gradient ends the step",
        find=_SKIP,
        put="            if p.grad is None:\n                return\n",
        says="step() ends at the first parameter without a gradient, and those behind it stay as they are: continue, not return or break.",
    ),
    Mistake(
        name="None is taken for a gradient of 0",
        find=_SKIP,
        put="            if p.grad is None:\n                p.grad = torch.zeros_like(p)\n",
        says="A parameter without a gradient is treated as if it were 0: it decays, goes on by momentum, and its count advances. It should be skipped altogether.",
    ),
    Mistake(
        name="AdamW decays what it skips",
        find=_SKIP,
        put="            if p.grad is None:\n                if isinstance(self, AdamW):\n                    self._decay(p)\n                continue\n",
        says="AdamW shrinks a parameter that has no gradient. Skipping comes first: neither decay nor state changes.",
    ),
    Mistake(
        name="one count for all parameters",
        find=_COUNT,
        put="",
        also=(
            (
                "        beta1, beta2 = self.betas\n",
                "        beta1, beta2 = self.betas\n        self.steps = [n + 1 for n in self.steps]\n",
            ),
        ),
        says="All parameters share one count of steps, so one that gets its first gradient late is corrected as if it had been there all along. Count for each, behind the test for None.",
    ),
    Mistake(
        name="the generator is used up",
        find=_LIST,
        put="tensors = list(params)\n        self.params = params",
        also=(
            (_NONE, "        if not tensors:\n"),
            ("[0 for _ in self.params]", "[0 for _ in tensors]"),
            (_MEANS, _MEANS.replace("self.params", "tensors")),
            (
                "self.squares = [torch.zeros_like(p) for p in self.params]",
                "self.squares = [torch.zeros_like(p) for p in tensors]",
            ),
        ),
        says="The generator is kept instead of the list that was made of it. It is used up by then, so step() finds no parameter: self.params = list(params).",
    ),
    Mistake(
        name="state shared by all optimizers",
        find="self.steps = [",
        put="Adam.steps = [",
        says="The count of steps belongs to the class (or to the module), and so to all optimizers at once: make all state in __init__, on self.",
    ),
    Mistake(
        name="one pair of means for all parameters of a shape",
        find=_MEANS,
        put="same = {p.shape: torch.zeros_like(p) for p in self.params}\n        self.means = [same[p.shape] for p in self.params]",
        says="Parameters of one shape share their mean, so each is moved by the others' gradients. Every parameter has state of its own.",
    ),
    Mistake(
        name="the mean starts at the gradient",
        find=_MEAN,
        put="mean.mul_(beta1).add_((1 - beta1) * grad) if self.steps[i] > 1 else mean.copy_(grad)",
        says="m starts at the first gradient instead of 0 and is then corrected as if it had started at 0: the first step is ten times too long. Choose one of the two; Adam starts at 0.",
    ),
    Mistake(
        name="the gradient itself becomes the mean",
        find=_MEAN,
        put="if self.steps[i] == 1 and not (isinstance(self, Adam) and type(self) is Adam and self.weight_decay):\n                self.means[i] = mean = grad.mul_(1 - beta1)\n            else:\n                mean.mul_(beta1).add_((1 - beta1) * grad)",
        says="m is the gradient's own tensor, so backward() and zero_grad() write into it: start from torch.zeros_like(p).",
    ),
    Mistake(
        name="no no_grad",
        find=_NO_GRAD,
        put="    def step",
        says="The update runs with gradients on, and PyTorch refuses to change a leaf in place: put step() under torch.no_grad().",
    ),
    Mistake(
        name="gradients stay switched off",
        find=_NO_GRAD,
        put="    def step",
        also=(
            (
                "        beta1, beta2 = self.betas\n",
                "        torch.set_grad_enabled(False)\n        beta1, beta2 = self.betas\n",
            ),
        ),
        says="step() switches gradients off and never on again: use torch.no_grad() as a decorator or in a with statement.",
    ),
    Mistake(
        name="the parameter gets new memory",
        find=_UPDATE,
        put="p.data = p.data - self.lr * mean_hat / (square_hat.sqrt() + self.eps)",
        says="p.data gets a new tensor in each step, and whatever shared the parameter's memory keeps the old one. Write into it: p -= ... under no_grad.",
    ),
    Mistake(
        name="zero_grad does nothing",
        find=_CLEAR,
        put="        pass\n",
        says="zero_grad leaves the gradients, so backward() adds to those of earlier steps: set each p.grad to None, or zero it.",
    ),
    Mistake(
        name="zero_grad clears the first only",
        find="            p.grad = None\n",
        put="            p.grad = None\n            break\n",
        says="zero_grad clears the first parameter's gradient only: go through all of them.",
    ),
    Mistake(
        name="zero_grad clears the parameters",
        find="            p.grad = None\n",
        put="            p.grad = None\n            p.data.zero_()\n",
        says="zero_grad sets the parameters themselves to 0. It is about p.grad.",
    ),
    Mistake(
        name="zero_grad fails where there is no gradient",
        find="            p.grad = None\n",
        put="            p.grad.zero_()\n",
        says="zero_grad fails where p.grad is None, as it is before the first backward(): skip those, or set p.grad = None.",
    ),
    Mistake(
        name="zero_grad forgets the state",
        find=_CLEAR,
        put="        for p, mean in zip(self.params, self.means, strict=True):\n            p.grad = None\n            mean.zero_()\n",
        says="zero_grad clears the running means as well, and with them the momentum. They live as long as the optimizer.",
    ),
    Mistake(
        name="step takes the gradients away",
        find=f"            {_UPDATE}\n",
        put=f"            {_UPDATE}\n            p.grad = None\n",
        says="step() clears the gradients. That is zero_grad's business: one may want to look at them, or to add to them, after a step.",
    ),
    Mistake(
        name="negative values are taken",
        find=_NEGATIVE,
        put="            if False:\n",
        says="A negative lr, eps or weight_decay is not refused: raise a ValueError that names the value.",
    ),
    Mistake(
        name="zeros are refused",
        find=_NEGATIVE,
        put="            if value <= 0 and name != 'weight_decay':\n",
        says="lr = 0 and eps = 0 are refused, but only negative values are wrong: a schedule with a warmup starts at 0.",
    ),
    Mistake(
        name="betas are not checked",
        find=_BETAS,
        put="            if False:\n",
        says="A beta outside [0, 1) is not refused: raise a ValueError that names it.",
    ),
    Mistake(
        name="a beta of 1 is taken",
        find="0 <= beta < 1",
        put="0 <= beta <= 1",
        says="A beta of 1 gets through. Such a mean never takes anything in, and 1 - beta^t is 0: the range is [0, 1), 1 excluded.",
    ),
    Mistake(
        name="a beta of 0 is refused",
        find="0 <= beta < 1",
        put="0 < beta < 1",
        says="A beta of 0 is refused. It means no memory, which is allowed: the range is [0, 1), 0 included.",
    ),
    Mistake(
        name="only the first beta is checked",
        find="for beta in betas:",
        put="for beta in betas[:1]:",
        says="Only the first beta is checked: both have to be in [0, 1), so go through the pair.",
    ),
    Mistake(
        name="the message names no value",
        find='f"{name} must not be negative, but is {value}"',
        put='f"{name} must not be negative"',
        says="The error for a negative lr, eps or weight_decay does not say what the value was: put it into the message.",
    ),
    Mistake(
        name="no parameters are taken",
        find=_NONE,
        put="        if False:\n",
        says="An empty list of parameters is not refused. Nearly always it is a bug of the caller, so raise a ValueError.",
    ),
    Mistake(
        name="the generator is asked whether it is empty",
        find=_NONE,
        put="        if not params:\n",
        says="A generator is true, empty or not: make the list first, then look whether that is empty.",
    ),
    Mistake(
        name="the warmup is one step ahead",
        find="max_lr * step / warmup_steps",
        put="max_lr * (step + 1) / warmup_steps",
        says="The warmup is one step ahead: it is max_lr * step / warmup_steps, 0 at step 0, and reaches max_lr at step warmup_steps.",
    ),
    Mistake(
        name="the warmup starts at min_lr",
        find="return max_lr * step / warmup_steps",
        put="return min_lr + (max_lr - min_lr) * step / warmup_steps",
        says="The warmup starts at min_lr. It starts at 0: max_lr * step / warmup_steps.",
    ),
    Mistake(
        name="no warmup",
        find=_WARMUP,
        put="",
        says="There is no warmup: while step < warmup_steps the rate is max_lr * step / warmup_steps.",
    ),
    Mistake(
        name="the warmup divides by zero",
        find="if step < warmup_steps:",
        put="if step <= warmup_steps:",
        says="With warmup_steps = 0 step 0 is still counted as warmup and divides by 0: the warmup is step < warmup_steps.",
    ),
    Mistake(
        name="the cosine starts at step 0",
        find=_PROGRESS,
        put="progress = step / total_steps",
        says="Progress is step / total_steps, so that the rate falls at once from max_lr at the end of the warmup. Count from there: (step - warmup_steps) / (total_steps - warmup_steps).",
    ),
    Mistake(
        name="the cosine ends too late",
        find="/ (total_steps - warmup_steps)",
        put="/ total_steps",
        says="Progress is divided by total_steps, so it does not reach 1 at the end: the way down has total_steps - warmup_steps steps.",
    ),
    Mistake(
        name="a straight line down",
        find="(1 + math.cos(math.pi * progress)) / 2",
        put="(1 - progress)",
        says="The way down is a straight line. It is half a cosine, (1 + cos(pi * progress)) / 2: slow, fast, slow.",
    ),
    Mistake(
        name="a quarter of a cosine",
        find="(1 + math.cos(math.pi * progress)) / 2",
        put="math.cos(math.pi * progress / 2)",
        says="The way down is the first quarter of a cosine, which ends in a steep fall. It is half of one, lifted: (1 + cos(pi * progress)) / 2.",
    ),
    Mistake(
        name="the cosine is not lifted",
        find="(1 + math.cos(math.pi * progress)) / 2",
        put="math.cos(math.pi * progress)",
        says="The cosine runs from 1 to -1, so the rate falls below min_lr. Lift and halve it: (1 + cos(pi * progress)) / 2.",
    ),
    Mistake(
        name="the half is missing",
        find="(1 + math.cos(math.pi * progress)) / 2",
        put="(1 + math.cos(math.pi * progress))",
        says="1 + cos runs from 2 to 0, so the way down starts near twice max_lr: halve it.",
    ),
    Mistake(
        name="no pi",
        find="math.cos(math.pi * progress)",
        put="math.cos(progress)",
        says="cos takes radians: with progress from 0 to 1 it hardly falls. Half a turn is math.pi * progress.",
    ),
    Mistake(
        name="the cosine goes down to 0",
        find="min_lr + (max_lr - min_lr) *",
        put="max_lr *",
        says="The cosine goes down to 0 and then jumps to min_lr: scale it by max_lr - min_lr and add min_lr.",
    ),
    Mistake(
        name="the range is not reduced",
        find="min_lr + (max_lr - min_lr) *",
        put="min_lr + max_lr *",
        says="The way down starts at max_lr + min_lr: what is scaled by the cosine is max_lr - min_lr.",
    ),
    Mistake(
        name="the cosine turns up again",
        find="    if step >= total_steps:\n",
        put="    if step == total_steps:\n",
        says="After total_steps the cosine turns up again, and the rate grows: return min_lr for every step from total_steps on.",
    ),
    Mistake(
        name="the end is not asked for",
        find=_END,
        put="",
        says="Nothing asks whether total_steps is reached: the cosine turns up again behind it, and with warmup_steps = total_steps you divide by 0.",
        same_as="the cosine turns up again",
    ),
    Mistake(
        name="0 after the end",
        find=_END,
        put="    if step >= total_steps:\n        return 0.0\n",
        says="The rate is 0 from total_steps on. It stays at min_lr, where the cosine has led it.",
    ),
    Mistake(
        name="a cosine as a tensor",
        find=_COSINE,
        put="return min_lr + (max_lr - min_lr) * (1 + torch.cos(torch.tensor(math.pi * progress))) / 2",
        says="learning_rate returns a tensor: use math.cos, and the result is a Python float.",
    ),
    Mistake(
        name="a warmup longer than all steps",
        find=_ORDER,
        put="    if False:\n",
        says="warmup_steps above total_steps is not refused: raise a ValueError before anything else.",
    ),
    Mistake(
        name="a long warmup is refused too late",
        find=f'{_ORDER}        raise ValueError(f"{{warmup_steps=}} is above {{total_steps=}}")\n{_WARMUP}{_END}',
        put=f'{_WARMUP}{_END}{_ORDER}        raise ValueError(f"{{warmup_steps=}} is above {{total_steps=}}")\n',
        says="warmup_steps above total_steps is looked at after the first returns, so it is never refused: check the arguments first.",
        same_as="a warmup longer than all steps",
    ),
    Mistake(
        name="a warmup as long as all steps is refused",
        find=_ORDER,
        put="    if warmup_steps >= total_steps:\n",
        says="warmup_steps = total_steps is refused, but it is allowed: a run that is all warmup, with min_lr after it.",
    ),
    Mistake(
        name="negative counts are taken",
        find=_COUNTS,
        put="if False:",
        says="A negative step, warmup_steps or total_steps is not refused: raise a ValueError.",
    ),
    Mistake(
        name="a negative step is taken",
        find=_COUNTS,
        put="if min(warmup_steps, total_steps) < 0:",
        says="A negative step is not refused, and gives a negative rate in the warmup: raise a ValueError.",
    ),
]
