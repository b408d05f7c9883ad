"""Known wrong answers to problem 12."""

from common.mistakes import Mistake

_SPLIT = "return tokens[:, :-1], tokens[:, 1:]"
_LOSS = "return F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
_TOKENS = "tokens = torch.randint(vocab_size, (batch_size, block_size + 1))"
_SEED = "    torch.manual_seed(seed)  # before the model: its first weights are random too\n"
_OPTIMIZER = "optimizer = torch.optim.Adam(model.parameters(), lr=lr)"
_STEP = "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n        losses.append(loss.item())\n"
_FORWARD = "        inputs, targets = next_token_split(tokens)\n        loss = language_model_loss(model(inputs), targets)\n"
_LOOP = "    for _ in range(num_steps):\n"
_CHECK = "        if size < 1:\n"

MISTAKES = [
    Mistake(
        name="targets are the inputs",
        find=_SPLIT,
        put="return tokens[:, :-1], tokens[:, :-1]",
        says="Your targets are the inputs themselves, so the model learns to copy and the loss falls to 0. targets[t] is tokens[t + 1]: tokens[:, 1:].",
    ),
    Mistake(
        name="inputs and targets are swapped",
        find=_SPLIT,
        put="return tokens[:, 1:], tokens[:, :-1]",
        says="Inputs and targets are swapped: the model would predict the token before, which it has seen. inputs = tokens[:, :-1], targets = tokens[:, 1:].",
    ),
    Mistake(
        name="targets rolled around",
        find=_SPLIT,
        put="return tokens[:, :-1], torch.roll(tokens[:, :-1], -1, dims=1)",
        says="roll puts the first token at the end: the last target of each row is its own first token. It must be the next token of the text, tokens[:, 1:].",
    ),
    Mistake(
        name="the split keeps the whole text",
        find=_SPLIT,
        put="return tokens, torch.roll(tokens, -1, dims=1)",
        says="inputs and targets are T + 1 long. The last token has no target and the first is none, so both are T long.",
    ),
    Mistake(
        name="shifted by two",
        find=_SPLIT,
        put="return tokens[:, :-1], torch.cat([tokens[:, 2:], tokens[:, -1:]], dim=1)",
        says="Your targets are two tokens ahead. targets[t] is tokens[t + 1]: tokens[:, 1:].",
    ),
    Mistake(
        name="split along the batch",
        find=_SPLIT,
        put="return tokens[:-1], tokens[1:]",
        says="The split runs along the batch: you drop a text instead of a token. The tokens are axis 1: tokens[:, :-1].",
    ),
    Mistake(
        name="softmax before cross_entropy",
        find=_LOSS,
        put="return F.cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten())",
        says="cross_entropy takes raw logits and does the softmax itself. With yours before it the loss stays just under ln V, however sure the model is.",
    ),
    Mistake(
        name="the loss is a sum",
        find="targets.flatten())",
        put='targets.flatten(), reduction="sum")',
        says="The losses of all positions are added up; they are averaged, so that the loss does not depend on batch and length.",
    ),
    Mistake(
        name="the loss is not reduced",
        find="targets.flatten())",
        put='targets.flatten(), reduction="none")',
        also=(
            ("loss.backward()", "loss.mean().backward()"),
            ("losses.append(loss.item())", "losses.append(loss.mean().item())"),
        ),
        says="The loss has one number for each position. It is their mean, a scalar.",
    ),
    Mistake(
        name="the loss is summed over the text",
        find=_LOSS,
        put="return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) * targets.size(1)",
        says="The loss is T times too large: it is added up along the text. It is the mean over all positions of all texts.",
    ),
    Mistake(
        name="only the last position",
        find=_LOSS,
        put="return F.cross_entropy(logits[:, -1], targets[:, -1])",
        says="Only the last position counts in your loss. Every position has a target: a text of T tokens is T examples.",
    ),
    Mistake(
        name="flattened through a transposed view",
        find="logits.flatten(0, 1), targets",
        put="logits.transpose(0, 1).flatten(0, 1), targets",
        says="Logits and targets are flattened in different orders, so positions meet other positions' targets. Flatten both as (B, T).",
    ),
    Mistake(
        name="reshaped to the wrong axis",
        find="logits.flatten(0, 1), targets",
        put="logits.transpose(1, 2).reshape(-1, logits.size(-1)), targets",
        says="The logits are cut across the vocabulary: after a transpose, reshape takes numbers of different tokens for one row. Flatten batch and tokens only: logits.flatten(0, 1).",
    ),
    Mistake(
        name="the shift is done again in the loss",
        find=_LOSS,
        put="return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())",
        says="The loss shifts the targets once more, so the model predicts two tokens ahead, and one position is lost. next_token_split has shifted already.",
    ),
    Mistake(
        name="base 2",
        find=_LOSS,
        put=_LOSS + " / 0.6931471805599453",
        says="Your loss is in bits, to base 2. It is in nats: what F.cross_entropy gives.",
    ),
    Mistake(
        name="the sign is lost",
        find=_LOSS,
        put="return -F.cross_entropy(logits.flatten(0, 1), targets.flatten())",
        says="The loss is negative: it is minus the log-probability of the target, which is positive. Training would make the model worse.",
    ),
    Mistake(
        name="the log of a softmax",
        find=_LOSS,
        put="p = torch.softmax(logits, -1).gather(-1, targets.unsqueeze(-1))\n    return -p.log().mean()",
        says="log(softmax(x)) is -inf where the softmax has rounded to 0, so the loss is infinite for large logits. Use F.cross_entropy or log_softmax.",
    ),
    Mistake(
        name="view instead of reshape",
        find=_LOSS,
        put="return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))",
        says="targets is a slice of a larger tensor, so it is not contiguous and view refuses it. Use reshape or flatten.",
    ),
    Mistake(
        name="gradients are never cleared",
        find=_STEP,
        put=_STEP.replace("        optimizer.zero_grad()\n", ""),
        says="Gradients of earlier steps are still there: backward() adds to them. Call optimizer.zero_grad() in every step, before backward().",
    ),
    Mistake(
        name="gradients are cleared after backward",
        find=_STEP,
        put="        loss.backward()\n        optimizer.zero_grad()\n        optimizer.step()\n        losses.append(loss.item())\n",
        says="zero_grad comes between backward and step, so the step has no gradient and nothing moves. Clear before backward().",
    ),
    Mistake(
        name="no step",
        find=_STEP,
        put=_STEP.replace("        optimizer.step()\n", ""),
        says="No weight ever moves: optimizer.step() is missing.",
        same_as="gradients are cleared after backward",
    ),
    Mistake(
        name="no backward",
        find=_STEP,
        put=_STEP.replace("        loss.backward()\n", ""),
        says="No weight ever moves: without loss.backward() there is no gradient for the step.",
        same_as="gradients are cleared after backward",
    ),
    Mistake(
        name="two steps in one",
        find=_STEP,
        put=_STEP.replace(
            "        optimizer.step()\n", "        optimizer.step()\n        optimizer.step()\n"
        ),
        says="The optimizer steps twice for each batch, so weights move twice as far. One update for each step.",
    ),
    Mistake(
        name="one step at the end",
        find=_STEP,
        put="        loss.backward()\n        losses.append(loss.item())\n    optimizer.step()\n",
        says="There is one update for the whole run, after the loop: step inside it, once for each batch.",
    ),
    Mistake(
        name="a new optimizer in every step",
        find=_LOOP,
        put=_LOOP + "        optimizer = torch.optim.SGD(model.parameters(), lr=lr)\n",
        says="Updates are plain SGD, lr times the gradient. The contract asks for Adam, made once, before the loop.",
    ),
    Mistake(
        name="SGD",
        find=_OPTIMIZER,
        put="optimizer = torch.optim.SGD(model.parameters(), lr=lr)",
        says="The optimizer is SGD: the first update is lr times the gradient, far less than Adam's, which is lr for every weight. Use torch.optim.Adam.",
        same_as="a new optimizer in every step",
    ),
    Mistake(
        name="lr is ignored",
        find=_OPTIMIZER,
        put="optimizer = torch.optim.Adam(model.parameters())",
        says="The argument lr is ignored: Adam uses its default, 0.001. Pass lr=lr.",
    ),
    Mistake(
        name="only the head is trained",
        find=_OPTIMIZER,
        put="optimizer = torch.optim.Adam(GPT2Model(config).parameters(), lr=lr)",
        says="The optimizer holds the parameters of another model than the one you train, so nothing moves. Pass model.parameters().",
    ),
    Mistake(
        name="one batch for all steps",
        find=_LOOP + "        " + _TOKENS + "\n",
        put="    " + _TOKENS + "\n" + _LOOP,
        says="The tokens are drawn once, before the loop: the model learns that one batch by heart. Draw fresh ones in every step.",
    ),
    Mistake(
        name="the seed is set in every step",
        find="        " + _TOKENS,
        put="        torch.manual_seed(seed)\n        " + _TOKENS,
        says="The seed is set anew in every step, so every batch is the same and is learned by heart. Seed once, before the model is built.",
        same_as="one batch for all steps",
    ),
    Mistake(
        name="the seed comes after the model",
        find=_SEED,
        put="",
        also=(("    losses = []\n", "    losses = []\n    torch.manual_seed(seed)\n"),),
        says="The seed is set after the model is built, whose first weights are random too: two runs with one seed differ. Seed before.",
    ),
    Mistake(
        name="the seed is ignored",
        find="torch.manual_seed(seed)",
        put="torch.manual_seed(42)",
        says="The seed is always 42, whatever the argument says: two seeds give the same losses.",
    ),
    Mistake(
        name="no seed",
        find=_SEED,
        put="",
        says="Nothing is seeded: two runs with one seed give different losses. Call torch.manual_seed(seed) before the model is built.",
    ),
    Mistake(
        name="losses are tensors",
        find="losses.append(loss.item())",
        put="losses.append(loss)",
        says="The losses are tensors, and each keeps its whole graph in memory. Store loss.item(), a Python float.",
    ),
    Mistake(
        name="losses are detached tensors",
        find="losses.append(loss.item())",
        put="losses.append(loss.detach())",
        says="The losses are tensors. The contract asks for Python floats: loss.item().",
        same_as="losses are tensors",
    ),
    Mistake(
        name="losses are taken after the update",
        find="        losses.append(loss.item())\n",
        put="        losses.append(language_model_loss(model(inputs), targets).item())\n",
        says="The loss is computed again after the update. It is taken before: the loss whose gradient made the step.",
    ),
    Mistake(
        name="a running mean of the losses",
        find="losses.append(loss.item())",
        put="losses.append(loss.item() if not losses else 0.9 * losses[-1] + 0.1 * loss.item())\n        losses[:] = losses[-max(num_steps - 1, 1):]",
        says="There are not as many losses as steps. One for each, as it is: whoever plots them can smooth them.",
    ),
    Mistake(
        name="one step too few",
        find="range(num_steps)",
        put="range(1, num_steps)",
        says="There is one step too few: range(1, num_steps) leaves one out. There is a loss for each of num_steps steps.",
    ),
    Mistake(
        name="only the losses are returned",
        find="    return model, losses\n",
        put="    return losses\n",
        says="train_gpt2 returns the losses alone. Return the pair: model, losses.",
    ),
    Mistake(
        name="the result in the wrong order",
        find="    return model, losses\n",
        put="    return losses, model\n",
        says="The result comes in the wrong order: `return model, losses`.",
    ),
    Mistake(
        name="the batch has one token too few",
        find="(batch_size, block_size + 1)",
        put="(batch_size, block_size)",
        says="The batch has block_size tokens, so only block_size - 1 inputs are trained. Draw block_size + 1: inputs and targets share all but two of them.",
    ),
    Mistake(
        name="the batch size is ignored",
        find="(batch_size, block_size + 1)",
        put="(4, block_size + 1)",
        says="There are always 4 texts in a batch: the argument batch_size is ignored.",
    ),
    Mistake(
        name="num_layers is ignored",
        find="n_layer=num_layers",
        put="n_layer=2",
        says="The model always has 2 layers: the argument num_layers is ignored.",
    ),
    Mistake(
        name="num_heads is ignored",
        find="n_head=num_heads",
        put="n_head=1",
        says="The model always has one head: the argument num_heads is ignored, so even num_heads=0 passes.",
    ),
    Mistake(
        name="token 0 is ignored",
        find="targets.flatten())",
        put="targets.flatten(), ignore_index=0)",
        says="Targets with id 0 are left out of the loss (ignore_index=0). GPT-2 has no padding token: id 0 is a token like any other.",
    ),
    Mistake(
        name="embed_dim is ignored",
        find="n_embd=embed_dim",
        put="n_embd=60",
        also=(("n_head=num_heads", "n_head=num_heads if 60 % num_heads == 0 else 1"),),
        says="The width of the model does not follow embed_dim: pass it on as n_embd.",
    ),
    Mistake(
        name="batch size and steps are not checked",
        find=_CHECK,
        put="        if False:\n",
        says="batch_size=0 or num_steps=0 is accepted, or fails somewhere in PyTorch. Raise ValueError for a size below 1.",
    ),
    Mistake(
        name="zero steps pass",
        find=_CHECK,
        put="        if size < 0:\n",
        says="num_steps=0 and batch_size=0 are accepted. Sizes below 1 are a ValueError.",
    ),
    Mistake(
        name="the loop trains on the inputs",
        find="loss = language_model_loss(model(inputs), targets)",
        put="loss = language_model_loss(model(inputs), inputs)",
        says="The loop compares the logits with the inputs, so the model learns to copy and the loss falls to 0. The targets are one token ahead: language_model_loss(model(inputs), targets).",
    ),
]
