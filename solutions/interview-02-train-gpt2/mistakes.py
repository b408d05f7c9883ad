"""Known wrong answers to interview 02."""

from common.mistakes import Mistake

_TOKENS = "tokens = torch.randint(vocab_size, (batch_size, block_size + 1))"
_SPLIT = "inputs, targets = tokens[:, :-1], tokens[:, 1:]"
_LOSS = "loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())"
_SEED = "    torch.manual_seed(seed)  # before the model: its first weights are random too\n"
_MODEL = "    model = GPT2(vocab_size, embed_dim, num_heads, num_layers, block_size)\n"
_STEP = "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n"
_LOOP = "    for _ in range(num_steps):\n"

MISTAKES = [
    Mistake(
        name="attention is not causal",
        find="q, k, v, is_causal=True",
        put="q, k, v",
        says="Attention sees the future: the model reads the answers instead of predicting them. F.scaled_dot_product_attention needs is_causal=True.",
    ),
    Mistake(
        name="no positions",
        find="x = self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device))",
        put="x = self.wte(idx)",
        says="Positions are missing: a text of equal tokens gets equal logits everywhere. Add wpe(arange(T)).",
    ),
    Mistake(
        name="softmax before the loss",
        find="return self.head(self.ln_f(self.blocks(x)))",
        put="return self.head(self.ln_f(self.blocks(x))).softmax(-1)",
        says="The model ends with a softmax and cross_entropy takes another: the loss hardly moves from ln V. Return raw logits.",
    ),
    Mistake(
        name="targets are the inputs",
        find=_SPLIT,
        put="inputs, targets = tokens[:, :-1], tokens[:, :-1]",
        says="The targets are the inputs themselves, so the model learns to copy and the loss falls to 0. targets = tokens[:, 1:].",
    ),
    Mistake(
        name="one batch for all steps",
        find=_LOOP + "        " + _TOKENS + "\n",
        put="    " + _TOKENS + "\n" + _LOOP,
        says="The tokens are drawn once, before the loop: the model learns that one batch by heart. Draw fresh ones in every step.",
    ),
    Mistake(
        name="block_size tokens are drawn",
        find="block_size + 1))",
        put="block_size))",
        says="Only block_size tokens are drawn, so inputs and targets are one too short. T inputs and T targets need T + 1 tokens.",
    ),
    Mistake(
        name="gradients are never cleared",
        find="        optimizer.zero_grad()\n",
        put="",
        says="Gradients are never cleared: backward() adds to those of all earlier steps. optimizer.zero_grad() once in each step.",
    ),
    Mistake(
        name="gradients are cleared before the step",
        find=_STEP,
        put="        loss.backward()\n        optimizer.zero_grad()\n        optimizer.step()\n",
        says="zero_grad() stands between backward() and step(), so the optimizer finds no gradient and nothing moves.",
    ),
    Mistake(
        name="no step",
        find="        optimizer.step()\n",
        put="",
        says="optimizer.step() is missing: gradients are computed, and no weight ever moves.",
        same_as="gradients are cleared before the step",
    ),
    Mistake(
        name="the seed comes after the model",
        find=_SEED + _MODEL,
        put=_MODEL + _SEED,
        says="The seed is set after the model is built, so its first weights depend on what was drawn before the call.",
    ),
    Mistake(
        name="no seed",
        find=_SEED,
        put="",
        says="The seed is never used: two calls give different losses. torch.manual_seed(seed) before anything random.",
        same_as="the seed comes after the model",
    ),
    Mistake(
        name="a fixed seed",
        find="torch.manual_seed(seed)",
        put="torch.manual_seed(42)",
        says="The seed is 42 whatever the caller asks for: two seeds give the same losses.",
    ),
    Mistake(
        name="SGD",
        find="torch.optim.Adam(",
        put="torch.optim.SGD(",
        says="The optimizer is plain SGD, whose steps are lr times the gradient and far too small here. The task says Adam.",
    ),
    Mistake(
        name="the learning rate is forgotten",
        find=", lr=lr)",
        put=")",
        says="lr never reaches Adam, which then uses its default of 0.001.",
    ),
    Mistake(
        name="losses are tensors",
        find="loss.item()",
        put="loss",
        says="The losses are tensors, and each keeps its whole graph in memory. Store loss.item(), a Python float.",
    ),
    Mistake(
        name="the loss after the update",
        find="        losses.append(loss.item())\n",
        put="        after = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())\n        losses.append(after.item())\n",
        says="The losses are taken after the update, on the batch just learned from, which flatters them. Take each before its update.",
    ),
    Mistake(
        name="the loss is a sum",
        find="targets.flatten())",
        put='targets.flatten(), reduction="sum")',
        says="The losses of all positions are added up, not averaged: the first one is many times ln V.",
    ),
    Mistake(
        name="only the last position",
        find=_LOSS,
        put="loss = F.cross_entropy(model(inputs)[:, -1], targets[:, -1])",
        says="Only the last position counts in the loss, and the model is trained on one token of each text. All positions have a target.",
    ),
    Mistake(
        name="sizes are not checked",
        find='    if min(sizes) < 1:\n        raise ValueError(f"every size must be at least 1: {sizes}")\n',
        put="",
        says="A size of 0 or below is not refused: zero steps give an empty list, and a batch of zero a loss of NaN. Raise a ValueError.",
    ),
    Mistake(
        name="the list comes first",
        find="return model, losses",
        put="return losses, model",
        says="The pair is the wrong way round: return model, losses.",
    ),
    Mistake(
        name="one layer whatever is asked for",
        find="for _ in range(num_layers)])",
        put="for _ in range(1)])",
        says="There is one block whatever num_layers says: build a new one in each pass of range(num_layers).",
    ),
]
