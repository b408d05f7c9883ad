"""Known wrong answers to problem 16."""

from common.mistakes import Mistake

_TRAINABLE = (
    "trainable = [p for p in model.parameters() if p.requires_grad]  # a tied matrix comes once"
)
_DECAY = '{"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},'
_NO_DECAY = '{"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},'
_GROUPS = f"    {_TRAINABLE}\n    return [\n        {_DECAY}\n        {_NO_DECAY}\n    ]\n"

_WARM = "    if step < warmup_steps:\n        return max_lr * step / warmup_steps\n"
_END = "    if step >= total_steps:\n        return min_lr\n"
_SHARE = "progress = (step - warmup_steps) / (total_steps - warmup_steps)"
_COSINE = "return min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (max_lr - min_lr)"

_EVAL = "    model.eval()\n"
_NO_GRAD = (
    "    with torch.no_grad():\n        for inputs, targets in islice(loader, max_batches):\n"
)
_BATCHES = "islice(loader, max_batches)"
_MOVE = "inputs, targets = inputs.to(device), targets.to(device)"
_TOTAL = "total += language_model_loss(model(inputs), targets).item() * targets.numel()"
_TOKENS = "            tokens += targets.numel()\n"
_RESTORE = "    model.train(was_training)\n"
_EMPTY = '    if not tokens:\n        raise ValueError(f"no batch to evaluate on (max_batches is {max_batches})")\n'
_MEAN = "return total / tokens"

_CHECKS = (
    '    for name, value in {"epochs": epochs, "eval_every": eval_every}.items():\n        if value < 1:\n'
    '            raise ValueError(f"{name} must be at least 1, not {value}")\n'
)
_NO_BATCH = '    if len(train_loader) == 0:\n        raise ValueError("train_loader has 0 batches, at least 1 is needed")\n'
_OPTIMIZER = "optimizer = torch.optim.AdamW(groups, lr=max_lr, betas=(0.9, 0.95))"
_STEPS = "total_steps = epochs * len(train_loader)"
_START = "    history, step, tokens_seen = [], 0, 0\n"
_TRAIN = "    model.train()\n    for epoch in range(1, epochs + 1):\n"
_EPOCHS = "    for epoch in range(1, epochs + 1):\n"
_BATCH = "        for inputs, targets in train_loader:\n            step += 1\n"
_RATE = (
    "            for group in optimizer.param_groups:\n"
    '                group["lr"] = learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)\n'
)
_LOSS = "loss = language_model_loss(model(inputs), targets)"
_UPDATE = (
    "            optimizer.zero_grad()\n            loss.backward()\n            if grad_clip is not None:\n"
    "                nn.utils.clip_grad_norm_(model.parameters(), grad_clip)\n            optimizer.step()\n"
)
_ZERO = "            optimizer.zero_grad()\n"
_CLIP = "            if grad_clip is not None:\n                nn.utils.clip_grad_norm_(model.parameters(), grad_clip)\n"
_CALL_CLIP = "nn.utils.clip_grad_norm_(model.parameters(), grad_clip)"
_SEEN = "            tokens_seen += targets.numel()\n"
_DUE = "if step % eval_every == 0:"
_TRAIN_LOSS = '"train_loss": evaluate(model, train_loader, eval_batches),'
_VAL_LOSS = '"val_loss": evaluate(model, val_loader, eval_batches),'
_APPEND = "                history.append(record)\n"
_ON_EVAL = "                if on_eval is not None:\n                    on_eval(record)\n"
_RECORD = (
    '                record = {\n                    "epoch": epoch,\n                    "step": step,\n'
    '                    "tokens_seen": tokens_seen,\n'
    f"                    {_TRAIN_LOSS}\n                    {_VAL_LOSS}\n                }}\n"
)

MISTAKES = [
    # --- learning_rate
    Mistake(
        name="the warm-up is a step ahead",
        find="return max_lr * step / warmup_steps",
        put="return max_lr * (step + 1) / warmup_steps",
        says="Your warm-up is (step + 1) / warmup_steps: above 0 at step 0, and at max_lr a step early. Here it is step / warmup_steps.",
    ),
    Mistake(
        name="the warm-up is divided by one more",
        find="return max_lr * step / warmup_steps",
        put="return max_lr * (step + 1) / (warmup_steps + 1)",
        says="Your warm-up is (step + 1) / (warmup_steps + 1). Here it is step / warmup_steps: 0 at step 0 and max_lr at warmup_steps.",
    ),
    Mistake(
        name="no warm-up",
        find=_WARM,
        put="    if step < warmup_steps:\n        return max_lr\n",
        says="There is no warm-up: the rate is max_lr from the start. While step < warmup_steps it is max_lr * step / warmup_steps.",
    ),
    Mistake(
        name="the warm-up starts at min_lr",
        find="return max_lr * step / warmup_steps",
        put="return min_lr + (max_lr - min_lr) * step / warmup_steps",
        says="Your warm-up starts at min_lr. It is a line from 0 to max_lr; min_lr is where the cosine ends.",
    ),
    Mistake(
        name="no warm-up divides by zero",
        find=_WARM,
        put="    if step <= warmup_steps:\n        return max_lr * step / warmup_steps\n",
        says="With warmup_steps=0 you divide by zero at step 0. The line holds while step < warmup_steps; at warmup_steps the cosine begins, with max_lr.",
    ),
    Mistake(
        name="the warm-up is stretched",
        find="return max_lr * step / warmup_steps",
        put="return max_lr * step / total_steps",
        says="The warm-up is divided by total_steps, so it stays low and then jumps to max_lr: divide by warmup_steps.",
    ),
    Mistake(
        name="the cosine falls to 0",
        find=_COSINE,
        put="return 0.5 * (1 + math.cos(math.pi * progress)) * max_lr",
        says="Your cosine falls to 0 and the rate then jumps up to min_lr. It ends at min_lr: min_lr + 0.5 * (1 + cos) * (max_lr - min_lr).",
    ),
    Mistake(
        name="the cosine is cut off at min_lr",
        find=_COSINE,
        put="return max(min_lr, 0.5 * (1 + math.cos(math.pi * progress)) * max_lr)",
        says="Your cosine falls towards 0 and is cut off at min_lr by max(). It should reach min_lr at the very end: min_lr + 0.5 * (1 + cos) * (max_lr - min_lr).",
    ),
    Mistake(
        name="min_lr is added to the whole cosine",
        find="* (max_lr - min_lr)",
        put="* max_lr",
        says="min_lr is added to a cosine of height max_lr, so the rate starts at max_lr + min_lr. The height is max_lr - min_lr.",
    ),
    Mistake(
        name="min_lr is not added",
        find="return min_lr + 0.5 * (1",
        put="return 0.5 * (1",
        says="The cosine goes from max_lr - min_lr to 0: min_lr is not added to it.",
    ),
    Mistake(
        name="the factor one half is missing",
        find="min_lr + 0.5 * (1",
        put="min_lr + (1",
        says="1 + cos goes from 2 to 0, and yours is not halved: the rate starts at nearly twice max_lr. 0.5 * (1 + cos).",
    ),
    Mistake(
        name="pi is missing",
        find="math.cos(math.pi * progress)",
        put="math.cos(progress)",
        says="The cosine runs from angle 0 to angle 1, not to pi: the rate barely falls, and then jumps to min_lr. math.cos(math.pi * progress).",
    ),
    Mistake(
        name="the angle is in degrees",
        find="math.cos(math.pi * progress)",
        put="math.cos(180 * progress)",
        says="The angle is in degrees, and math.cos takes radians, so the rate jumps about. Half a turn is math.pi.",
    ),
    Mistake(
        name="a whole turn",
        find="math.cos(math.pi * progress)",
        put="math.cos(2 * math.pi * progress)",
        says="The cosine makes a whole turn: the rate is at min_lr halfway, and climbs again. Half a turn is math.pi * progress.",
    ),
    Mistake(
        name="the cosine rises",
        find="(1 + math.cos",
        put="(1 - math.cos",
        says="1 - cos rises from 0 to 2: the rate starts at min_lr after the warm-up and ends at max_lr. 1 + cos.",
    ),
    Mistake(
        name="a straight line down",
        find=_COSINE,
        put="return max_lr - (max_lr - min_lr) * progress",
        says="The rate falls in a straight line. It falls as half a cosine, flat at both ends: 0.5 * (1 + cos(pi * progress)).",
    ),
    Mistake(
        name="the cosine counts the warm-up",
        find=_SHARE,
        put="progress = step / total_steps",
        says="The cosine is counted from step 0, so at the end of the warm-up the rate drops below max_lr. The share is (step - warmup_steps) / (total_steps - warmup_steps).",
    ),
    Mistake(
        name="the cosine is as long as the whole training",
        find=_SHARE,
        put="progress = (step - warmup_steps) / total_steps",
        says="You divide by total_steps, so the cosine is not at its end when training is. It has total_steps - warmup_steps steps.",
    ),
    Mistake(
        name="the rate climbs again",
        find=_END,
        put="",
        says="After total_steps your cosine climbs again, up to max_lr. From total_steps on the rate is min_lr.",
    ),
    Mistake(
        name="zero after the end",
        find=_END,
        put="    if step > total_steps:\n        return 0.0\n",
        says="After total_steps the rate is 0, so nothing moves any more. From total_steps on it is min_lr.",
    ),
    Mistake(
        name="the end is asked for too late",
        find=_END,
        put="",
        also=(
            (_SHARE, "progress = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))"),
        ),
        says="With warmup_steps = total_steps you divide by zero. Return min_lr where step >= total_steps before you compute the share.",
    ),
    # --- optimizer_groups
    Mistake(
        name="biases and norms decay",
        find=_GROUPS,
        put=f'    {_TRAINABLE}\n    return [{{"params": trainable, "weight_decay": weight_decay}}]\n',
        says="All parameters are in one group that decays. Biases and norms would be pulled to 0, and a norm's weight belongs near 1: everything with fewer than two axes goes into a group with weight_decay 0.",
    ),
    Mistake(
        name="nothing decays",
        find=_DECAY,
        put=_DECAY.replace("weight_decay}", "0.0}"),
        says="Nothing decays: both groups have weight_decay 0. The group of the matrices has the weight_decay that was given.",
    ),
    Mistake(
        name="the groups are swapped",
        find=_DECAY,
        put=_DECAY.replace(">= 2", "< 2"),
        also=((_NO_DECAY, _NO_DECAY.replace("< 2", ">= 2")),),
        says="The groups are swapped: biases and norms decay and matrices do not. p.ndim >= 2 is what decays.",
    ),
    Mistake(
        name="norms decay",
        find=_GROUPS,
        put="    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]\n    return [\n"
        '        {"params": [p for n, p in trainable if not n.endswith("bias")], "weight_decay": weight_decay},\n'
        '        {"params": [p for n, p in trainable if n.endswith("bias")], "weight_decay": 0.0},\n    ]\n',
        says="Only biases are spared: the weights of norms decay, as their names do not end in bias. Go by the number of axes, p.ndim < 2.",
    ),
    Mistake(
        name="norms of one's own decay",
        find=_GROUPS,
        put="    spared = {id(p) for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}\n"
        '    spared |= {id(p) for n, p in model.named_parameters() if n.endswith("bias")}\n'
        "    trainable = [p for p in model.parameters() if p.requires_grad]\n    return [\n"
        '        {"params": [p for p in trainable if id(p) not in spared], "weight_decay": weight_decay},\n'
        '        {"params": [p for p in trainable if id(p) in spared], "weight_decay": 0.0},\n    ]\n',
        says="Norms are found by isinstance(m, nn.LayerNorm), and this model has norms of its own, problem 07's, whose weights then decay. Go by the number of axes, p.ndim < 2.",
    ),
    Mistake(
        name="embeddings do not decay",
        find=_GROUPS,
        put="    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]\n    return [\n"
        '        {"params": [p for n, p in trainable if p.ndim >= 2 and "wte" not in n and "wpe" not in n], "weight_decay": weight_decay},\n'
        '        {"params": [p for n, p in trainable if p.ndim < 2 or "wte" in n or "wpe" in n], "weight_decay": 0.0},\n    ]\n',
        says="wte and wpe are among those that do not decay. Here embeddings are matrices like the others.",
    ),
    Mistake(
        name="embeddings are left out",
        find=_GROUPS,
        put="    trainable = [p for m in model.modules() if not isinstance(m, nn.Embedding) and m is not getattr(model, 'lm_head', None)\n"
        "                 for p in m.parameters(recurse=False) if p.requires_grad]\n"
        f"    return [\n        {_DECAY}\n        {_NO_DECAY}\n    ]\n",
        says="The embeddings are in no group, so they are never trained. They are matrices and decay with the others.",
    ),
    Mistake(
        name="the tied matrix is given twice",
        find=_TRAINABLE,
        put="trainable = [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]",
        says="wte.weight and lm_head.weight are one Parameter under two names, and it is in your group twice: AdamW would move it twice. model.parameters() gives it once.",
    ),
    Mistake(
        name="collected module by module",
        find=_TRAINABLE,
        put="trainable = [p for m in model.modules() for p in m.parameters(recurse=False) if p.requires_grad]",
        says="Going through the modules one by one finds the tied matrix twice, in wte and in lm_head. model.parameters() gives each parameter once.",
        same_as="the tied matrix is given twice",
    ),
    Mistake(
        name="biases and norms are left out",
        find=f"        {_NO_DECAY}\n",
        put="",
        says="Biases and norms are in no group, so they are never trained. They go into a second group with weight_decay 0.",
    ),
    Mistake(
        name="the second group has no weight_decay",
        find=_NO_DECAY,
        put='{"params": [p for p in trainable if p.ndim < 2]},',
        says="The second group says nothing of weight_decay, so AdamW gives it its default, 0.01. Write weight_decay 0 into it.",
    ),
    Mistake(
        name="only three axes and more decay",
        find=_DECAY,
        put=_DECAY.replace(">= 2", "> 2"),
        also=((_NO_DECAY, _NO_DECAY.replace("< 2", "<= 2")),),
        says="A matrix has two axes, and p.ndim > 2 leaves it out, so nothing decays: p.ndim >= 2.",
        same_as="nothing decays",
    ),
    Mistake(
        name="the weight decay is fixed",
        find=_DECAY,
        put=_DECAY.replace("weight_decay}", "0.1}"),
        says="The matrices decay by a fixed number, whatever weight_decay was given: pass the argument on.",
    ),
    Mistake(
        name="copies are given",
        find=_TRAINABLE,
        put="trainable = [p.detach() for p in model.parameters() if p.requires_grad]",
        says="The groups hold detached copies of the parameters: AdamW would never see a gradient. Give it the Parameters themselves.",
    ),
    Mistake(
        name="the lists alone",
        find=_GROUPS,
        put=f"    {_TRAINABLE}\n    return [p for p in trainable if p.ndim >= 2], [p for p in trainable if p.ndim < 2]\n",
        says="You return two lists of parameters. AdamW wants dicts, each with the keys params and weight_decay.",
    ),
    # --- evaluate
    Mistake(
        name="the mean of the batches' means",
        find=_TOTAL,
        put="total += language_model_loss(model(inputs), targets).item()",
        also=((_TOKENS, "            tokens += 1\n"),),
        says="This is the mean of the batches' means, in which a token of a small batch counts more than others. Multiply each mean by targets.numel(), and divide by all tokens.",
    ),
    Mistake(
        name="weighed by rows",
        find=_TOTAL,
        put="total += language_model_loss(model(inputs), targets).item() * len(targets)",
        also=((_TOKENS, "            tokens += len(targets)\n"),),
        says="Batches are weighed by their number of rows, but rows may differ in length: weigh by tokens, targets.numel().",
    ),
    Mistake(
        name="means divided by tokens",
        find=".item() * targets.numel()",
        put=".item()",
        says="Means of batches are added up, and the sum is divided by the number of tokens: far too small. Multiply each mean by targets.numel() first.",
    ),
    Mistake(
        name="the losses are only added up",
        find=_MEAN,
        put="return total",
        says="The losses of all tokens are added up and never divided, so the result grows with the data. Divide by the number of tokens.",
    ),
    Mistake(
        name="the return stands in the loop",
        find=_TOKENS,
        put=_TOKENS + "            break\n",
        says="Only the first batch counts: something ends the loop after it, such as a return that stands inside.",
    ),
    Mistake(
        name="perplexity",
        find=_MEAN,
        put="return math.exp(total / tokens)",
        says="This is the perplexity, exp(loss). evaluate returns the loss itself, in nats.",
    ),
    Mistake(
        name="bits",
        find=_MEAN,
        put="return total / tokens / math.log(2)",
        says="The loss is in bits, to base 2. It is in nats, as the cross-entropy gives it.",
    ),
    Mistake(
        name="the loss is a tensor",
        find="targets).item() * targets",
        put="targets) * targets",
        says="evaluate returns a tensor, and the history would be full of them. Take the number out with .item().",
    ),
    Mistake(
        name="max_batches is ignored",
        find=_BATCHES,
        put="loader",
        says="max_batches has no effect: the whole loader is evaluated. Stop after so many batches, e.g. with itertools.islice(loader, max_batches).",
    ),
    Mistake(
        name="one batch too many",
        find=_NO_GRAD,
        put="    with torch.no_grad():\n        for number, (inputs, targets) in enumerate(loader):\n            if max_batches is not None and number > max_batches:\n                break\n",
        says="One batch too many is evaluated: the first has number 0, so stop where number >= max_batches.",
    ),
    Mistake(
        name="max_batches of 0 is taken for None",
        find=_BATCHES,
        put="islice(loader, max_batches or None)",
        says="max_batches=0 evaluates everything, as 0 counts as False in `if max_batches`. Compare with None; no batch at all is a ValueError.",
    ),
    Mistake(
        name="dropout stays on",
        find=_EVAL,
        put="",
        says="The model is evaluated in the mode it happens to be in: in train mode dropout disturbs the loss. Call model.eval() before the loop.",
    ),
    Mistake(
        name="the model is left in eval mode",
        find=_RESTORE,
        put="",
        says="evaluate leaves the model in eval mode, so training would go on without dropout. Remember model.training before, and put it back at the end.",
    ),
    Mistake(
        name="the model is always put into train mode",
        find=_RESTORE,
        put="    model.train()\n",
        says="evaluate ends with model.train(), whatever mode the model was in. Remember model.training before, and put it back: model.train(was_training).",
    ),
    Mistake(
        name="the mode is remembered too late",
        find="    was_training = model.training\n",
        put="",
        also=((_EVAL, _EVAL + "    was_training = model.training\n"),),
        says="The mode is read after model.eval(), so what is put back is always eval mode. Remember model.training before.",
        same_as="the model is left in eval mode",
    ),
    Mistake(
        name="a graph is built",
        find="    with torch.no_grad():\n",
        put="    if True:\n",
        says="Every batch of the evaluation builds a graph that nobody calls backward() on: memory and time for nothing. Run the model under `with torch.no_grad():`.",
    ),
    Mistake(
        name="gradients stay switched off",
        find="    with torch.no_grad():\n",
        put="    torch.set_grad_enabled(False)\n    if True:\n",
        says="evaluate switches gradients off and never on again, so the next backward() fails. Use `with torch.no_grad():`, which ends by itself.",
    ),
    Mistake(
        name="nothing is no error",
        find=_EMPTY,
        put="    if not tokens:\n        return float('nan')\n",
        says="An empty loader, or max_batches=0, gives NaN. The mean of nothing is no number: raise a ValueError that says why.",
    ),
    Mistake(
        name="division by no tokens",
        find=_EMPTY,
        put="",
        says="An empty loader, or max_batches=0, ends in a ZeroDivisionError, which says nothing about the loader. Raise a ValueError that does.",
    ),
    Mistake(
        name="no batch costs nothing",
        find=_EMPTY,
        put="    if not tokens:\n        return 0.0\n",
        says="An empty loader, or max_batches=0, gives a loss of 0, the best there is. Raise a ValueError instead.",
        same_as="nothing is no error",
    ),
    Mistake(
        name="evaluate leaves the data where it is",
        find="            " + _MOVE + "\n            # Batches",
        put="            # Batches",
        says="evaluate leaves the batches on the CPU, where a loader makes them: with a model on a GPU it fails. Move inputs and targets to the model's device.",
    ),
    Mistake(
        name="evaluate moves the inputs only",
        find=_MOVE + "\n            # Batches",
        put="inputs = inputs.to(device)\n            # Batches",
        says="evaluate moves the inputs to the model's device and leaves the targets behind: move both.",
    ),
    # --- pretrain
    Mistake(
        name="gradients are never cleared",
        find=_UPDATE,
        put=_UPDATE.replace(_ZERO, ""),
        says="Gradients of earlier batches are still there: backward() adds to them. Call optimizer.zero_grad() in every step, before backward().",
    ),
    Mistake(
        name="gradients are cleared once an epoch",
        find=_UPDATE,
        put=_UPDATE.replace(_ZERO, ""),
        also=((_EPOCHS, _EPOCHS + "        optimizer.zero_grad()\n"),),
        says="Gradients are cleared at the start of each epoch only, and pile up inside of it. Call optimizer.zero_grad() in every step.",
        same_as="gradients are never cleared",
    ),
    Mistake(
        name="gradients are cleared after backward",
        find=_UPDATE,
        put=_UPDATE.replace(_ZERO, "").replace("loss.backward()\n", "loss.backward()\n" + _ZERO),
        says="zero_grad() comes between backward() and step(), so the step finds no gradient and nothing moves. Clear before backward().",
    ),
    Mistake(
        name="no step",
        find=_UPDATE,
        put=_UPDATE.replace("            optimizer.step()\n", ""),
        says="No weight ever moves: optimizer.step() is missing.",
        same_as="gradients are cleared after backward",
    ),
    Mistake(
        name="no clipping",
        find=_CLIP,
        put="",
        says="grad_clip has no effect: gradients are never clipped. Call nn.utils.clip_grad_norm_ between backward() and optimizer.step().",
    ),
    Mistake(
        name="clipped after the step",
        find=_UPDATE,
        put=_UPDATE.replace(_CLIP, "") + _CLIP,
        says="Gradients are clipped after optimizer.step(), when the update has been made. clip_grad_norm_ belongs between backward() and step().",
        same_as="no clipping",
    ),
    Mistake(
        name="clipped before backward",
        find=_UPDATE,
        put=_CLIP + _UPDATE.replace(_CLIP, ""),
        says="Gradients are clipped before backward(), when there are none yet. clip_grad_norm_ belongs between backward() and step().",
        same_as="no clipping",
    ),
    Mistake(
        name="clipped by value",
        find=_CALL_CLIP,
        put="nn.utils.clip_grad_value_(model.parameters(), grad_clip)",
        says="clip_grad_value_ cuts each number by itself, which turns the direction of the gradient. clip_grad_norm_ shortens all of it.",
    ),
    Mistake(
        name="each parameter is clipped by itself",
        find=_CALL_CLIP,
        put="[nn.utils.clip_grad_norm_([p], grad_clip) for p in model.parameters()]",
        says="Each parameter is clipped by itself, which changes how they compare. Clip the norm of all gradients together: one call with model.parameters().",
    ),
    Mistake(
        name="always clipped to 1",
        find=_CALL_CLIP,
        put="nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        says="Gradients are clipped to norm 1, whatever grad_clip says: pass the argument on.",
    ),
    Mistake(
        name="None clips to 1",
        find=_CLIP,
        put="            nn.utils.clip_grad_norm_(model.parameters(), 1.0 if grad_clip is None else grad_clip)\n",
        says="With grad_clip=None gradients are clipped to norm 1. None means that they are left alone.",
    ),
    Mistake(
        name="small gradients are lengthened",
        find=_CLIP,
        put="            if grad_clip is not None:\n                norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()\n"
        "                for p in model.parameters():\n                    if p.grad is not None:\n                        p.grad.mul_(grad_clip / norm)\n",
        says="Every gradient is brought to norm grad_clip, the small ones too, which are blown up. Clipping only shortens.",
    ),
    Mistake(
        name="the schedule is never set",
        find=_RATE,
        put="            learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)\n",
        says='The rate is computed and never set: every update is made with max_lr. In each step, group["lr"] = learning_rate(...) for each group of optimizer.param_groups.',
    ),
    Mistake(
        name="no rate at all",
        find=_RATE,
        put="",
        also=(("groups, lr=max_lr, ", "groups, "),),
        says="AdamW runs with its default rate, 0.001: neither max_lr nor the schedule reaches it.",
    ),
    Mistake(
        name="the rate of the first group only",
        find=_RATE,
        put='            optimizer.param_groups[0]["lr"] = learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)\n',
        says="Only the first group gets the schedule's rate: biases and norms stay at max_lr. Set it for every group in optimizer.param_groups.",
    ),
    Mistake(
        name="the rate is set on the optimizer",
        find=_RATE,
        put="            optimizer.lr = learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)\n",
        says='optimizer.lr is a name that AdamW never reads, so the rate stays at max_lr. Each group has its own: group["lr"] = ...',
        same_as="the schedule is never set",
    ),
    Mistake(
        name="the schedule ends with the first epoch",
        find=_STEPS,
        put="total_steps = len(train_loader)",
        says="total_steps is the length of one epoch, so from the second on the rate is min_lr. It is epochs * len(train_loader).",
    ),
    Mistake(
        name="total_steps counts epochs",
        find=_STEPS,
        put="total_steps = epochs",
        says="total_steps is the number of epochs, so the rate is at min_lr almost at once. Updates are counted: epochs * len(train_loader).",
    ),
    Mistake(
        name="the rate follows the epoch",
        find="learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)\n            inputs",
        put="learning_rate(epoch, max_lr, min_lr, warmup_steps, total_steps)\n            inputs",
        says="The schedule gets the epoch for its step, so the rate hardly changes. Give it the number of updates, over all epochs.",
    ),
    Mistake(
        name="the schedule starts anew in each epoch",
        find="learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)\n            inputs",
        put="learning_rate((step - 1) % len(train_loader) + 1, max_lr, min_lr, warmup_steps, total_steps)\n            inputs",
        says="The schedule gets the step within the epoch: each epoch warms up again, and none ends at min_lr. Count the updates over all epochs.",
    ),
    Mistake(
        name="the two rates are swapped",
        find="learning_rate(step, max_lr, min_lr, warmup_steps, total_steps)\n            inputs",
        put="learning_rate(step, min_lr, max_lr, warmup_steps, total_steps)\n            inputs",
        says="max_lr and min_lr are swapped in the call of learning_rate, so the rate grows from min_lr to max_lr. The order is step, max_lr, min_lr.",
    ),
    Mistake(
        name="the groups are not used",
        find=_OPTIMIZER,
        put="optimizer = torch.optim.AdamW(model.parameters(), lr=max_lr, betas=(0.9, 0.95))",
        says="AdamW is made from model.parameters(), so everything decays by its default, 0.01. Pass optimizer_groups(model, weight_decay).",
    ),
    Mistake(
        name="everything decays",
        find=_OPTIMIZER,
        put="optimizer = torch.optim.AdamW(model.parameters(), lr=max_lr, betas=(0.9, 0.95), weight_decay=weight_decay)",
        says="AdamW is made from model.parameters() with one weight_decay, so norms and biases decay too. Pass optimizer_groups(model, weight_decay).",
    ),
    Mistake(
        name="Adam instead of AdamW",
        find="torch.optim.AdamW(",
        put="torch.optim.Adam(",
        says="This is Adam: its weight_decay goes into the gradient, and the moments divide it away again. AdamW takes the decay off the weights.",
    ),
    Mistake(
        name="SGD",
        find=_OPTIMIZER,
        put="optimizer = torch.optim.SGD(groups, lr=max_lr)",
        says="The optimizer is SGD, whose update is the rate times the gradient. AdamW moves each weight by about the rate.",
    ),
    Mistake(
        name="a new optimizer in each epoch",
        find=_EPOCHS,
        put=_EPOCHS
        + "        optimizer = torch.optim.AdamW(groups, lr=max_lr, betas=(0.9, 0.95))\n",
        says="Each epoch makes a new optimizer, which has forgotten AdamW's averages of past gradients. Make one, before the loop over the epochs.",
    ),
    Mistake(
        name="train mode is never set",
        find=_TRAIN,
        put=_EPOCHS,
        says="A model that comes in eval mode is trained in eval mode, without dropout. Call model.train() before the loop.",
    ),
    Mistake(
        name="train mode is set before the model is evaluated for good",
        find=_RECORD,
        put="                model.eval()\n" + _RECORD,
        says="pretrain calls model.eval() for a record and goes on training in that mode, without dropout. evaluate does this by itself and puts the mode back.",
    ),
    Mistake(
        name="one epoch whatever epochs says",
        find=_EPOCHS,
        put="    for epoch in range(1, 2):\n",
        says="There is one epoch, whatever epochs says: go through train_loader epochs times.",
    ),
    Mistake(
        name="an epoch too few",
        find=_EPOCHS,
        put="    for epoch in range(1, epochs):\n",
        says="There is one epoch too few: range(1, epochs) stops before epochs. range(1, epochs + 1).",
    ),
    Mistake(
        name="training on the validation loader",
        find="        for inputs, targets in train_loader:\n",
        put="        for inputs, targets in val_loader:\n",
        says="The model is trained on val_loader. It learns from train_loader; validation batches are those it has never learned from.",
    ),
    Mistake(
        name="training on eval_batches only",
        find="        for inputs, targets in train_loader:\n",
        put="        for inputs, targets in islice(train_loader, eval_batches):\n",
        says="Each epoch stops after eval_batches batches. That number is for evaluate; training goes through the whole loader.",
    ),
    Mistake(
        name="the targets are shifted again",
        find="            " + _LOSS,
        put="            loss = language_model_loss(model(inputs)[:, :-1], targets[:, 1:])",
        says="The targets are shifted once more in training. The loader has done it: targets[t] is the token after inputs[t].",
    ),
    Mistake(
        name="the model learns to copy",
        find="            " + _LOSS,
        put="            loss = language_model_loss(model(inputs), inputs)",
        says="The training loss compares with the inputs, so the model learns to copy. Compare with the targets that the loader gives.",
    ),
    Mistake(
        name="a record before the first update",
        find=_BATCH,
        put="        for inputs, targets in train_loader:\n",
        also=(
            (_RATE, _RATE.replace("rate(step,", "rate(step + 1,")),
            (_ON_EVAL, _ON_EVAL + "            step += 1\n"),
        ),
        says="The step is counted from 0 and counted up after the record, so there is a record of step 0 after the first update. step says how many updates were made.",
    ),
    Mistake(
        name="a record for each epoch",
        find=_DUE,
        put="if step % len(train_loader) == 0:",
        says="There is one record for each epoch. eval_every counts updates: step % eval_every == 0.",
    ),
    Mistake(
        name="records are counted within the epoch",
        find=_DUE,
        put="if ((step - 1) % len(train_loader) + 1) % eval_every == 0:",
        says="eval_every is counted from the start of each epoch. It counts updates over the whole training: step % eval_every == 0.",
    ),
    Mistake(
        name="a record after every update",
        find=_DUE,
        put="if True:",
        says="There is a record after every update: evaluate only where step % eval_every == 0.",
    ),
    Mistake(
        name="the epoch after",
        find='"epoch": epoch,',
        put='"epoch": 1 + step // len(train_loader),',
        says="The last update of an epoch is counted to the next one. With 4 batches, updates 1 to 4 are epoch 1: take the loop's own number.",
    ),
    Mistake(
        name="tokens of the last batch only",
        find=_SEEN,
        put="            tokens_seen = targets.numel()\n",
        says="tokens_seen is the size of the last batch. Add up: tokens_seen += targets.numel().",
    ),
    Mistake(
        name="rows instead of tokens",
        find=_SEEN,
        put="            tokens_seen += len(targets)\n",
        says="tokens_seen counts rows. A batch has B * T tokens: targets.numel().",
    ),
    Mistake(
        name="every batch is as large as the first",
        find=_SEEN,
        put="            first = next(iter(train_loader))[0].numel()\n            tokens_seen = step * first\n",
        says="tokens_seen is the number of steps times the size of the first batch, but the last batch of an epoch may be smaller. Add up targets.numel().",
    ),
    Mistake(
        name="tokens are counted after the record",
        find=_SEEN,
        put="",
        also=((_ON_EVAL, _ON_EVAL + _SEEN),),
        says="A record leaves out the tokens of the batch it comes after: count before the record is made.",
    ),
    Mistake(
        name="tokens are counted anew in each epoch",
        find=_EPOCHS,
        put=_EPOCHS + "        tokens_seen = 0\n",
        says="tokens_seen starts at 0 in each epoch. It covers the whole training: set it to 0 once, before the loops.",
    ),
    Mistake(
        name="the validation loss is the training loss",
        find=_VAL_LOSS,
        put='"val_loss": evaluate(model, train_loader, eval_batches),',
        says="val_loss is evaluated on train_loader, so it says nothing about text that the model has not seen. Use val_loader.",
    ),
    Mistake(
        name="the training loss is a tensor",
        find=_TRAIN_LOSS,
        put='"train_loss": loss,',
        says="train_loss is the loss tensor of the last batch: each record keeps a graph in memory. Store evaluate(model, train_loader, eval_batches), a float.",
    ),
    Mistake(
        name="eval_batches is ignored",
        find=_TRAIN_LOSS,
        put=_TRAIN_LOSS.replace(", eval_batches", ""),
        also=((_VAL_LOSS, _VAL_LOSS.replace(", eval_batches", "")),),
        says="eval_batches has no effect: both losses are over the whole loaders, which takes long. Pass it on to evaluate.",
    ),
    Mistake(
        name="evaluated before the update",
        find="            optimizer.step()\n            tokens_seen",
        put="            tokens_seen",
        also=((_ON_EVAL, _ON_EVAL + "            optimizer.step()\n"),),
        says="A record is made before optimizer.step(), so its losses are those of one update less than step says. First the update, then the record.",
    ),
    Mistake(
        name="on_eval is never called",
        find=_ON_EVAL,
        put="",
        says="on_eval is never called. A caller prints, samples and saves with it: on_eval(record) after each record.",
    ),
    Mistake(
        name="on_eval gets its records at the end",
        find=_ON_EVAL,
        put="",
        also=(
            (
                "    return history",
                "    for record in history:\n        if on_eval is not None:\n            on_eval(record)\n    return history",
            ),
        ),
        says="on_eval is called for all records after training has ended. It is called with each record at once, so that a caller can print and save on the way.",
    ),
    Mistake(
        name="on_eval must be given",
        find="                if on_eval is not None:\n                    on_eval(record)\n",
        put="                on_eval(record)\n",
        says="on_eval is called even where it is None, its default. Ask first: if on_eval is not None.",
    ),
    Mistake(
        name="on_eval gets two numbers",
        find="                    on_eval(record)\n",
        put='                    on_eval(step, record["val_loss"])\n',
        says="on_eval is called with other arguments than the record. It takes one, the record: on_eval(record).",
    ),
    Mistake(
        name="only improvements are recorded",
        find=_APPEND,
        put='                if history and record["val_loss"] >= history[-1]["val_loss"]:\n                    continue\n'
        + _APPEND,
        says="A record is kept only where the validation loss got better. Every one is kept: the history should show when it got worse.",
    ),
    Mistake(
        name="records are not kept",
        find=_APPEND,
        put="",
        says="The history stays empty: append each record to it.",
    ),
    Mistake(
        name="one dict for all records",
        find=_RECORD,
        put="                record = history[0] if history else {}\n"
        + _RECORD.replace("record = {", "record.update({").replace(
            "                }\n", "                })\n"
        ),
        says="All records of the history are one dict, changed again and again, so all show the last state. Make a new dict each time.",
    ),
    Mistake(
        name="the records are tuples",
        find=_APPEND,
        put="                history.append(tuple(record.values()))\n",
        says="The history holds tuples. Each record is a dict with the keys epoch, step, tokens_seen, train_loss and val_loss.",
    ),
    Mistake(
        name="the history is not returned",
        find="    return history",
        put="    model.eval()",
        says="pretrain ends without a return, so it gives None. Return the history.",
    ),
    Mistake(
        name="bad counts are not refused",
        find=_CHECKS,
        put="",
        says="epochs=0 or eval_every=0 is not refused: the one trains nothing, the other divides by zero in the middle. Raise a ValueError at the start.",
    ),
    Mistake(
        name="counts of 0 pass",
        find=_CHECKS,
        put=_CHECKS.replace("value < 1", "value < 0"),
        says="epochs=0 and eval_every=0 are not refused with a ValueError: they have to be at least 1.",
    ),
    Mistake(
        name="eval_every is not checked",
        find=_CHECKS,
        put=_CHECKS.replace('"epochs": epochs, "eval_every": eval_every', '"epochs": epochs'),
        says="eval_every below 1 is not refused: 0 divides by zero in the middle of training. Raise a ValueError at the start.",
    ),
    Mistake(
        name="an empty loader trains nothing",
        find=_NO_BATCH,
        put="",
        says="With an empty train_loader nothing is trained, and nothing is said. Raise a ValueError: the text is too short for its windows.",
    ),
    Mistake(
        name="training leaves the data where it is",
        find="            " + _MOVE + "\n            loss",
        put="            loss",
        says="Training batches stay on the CPU, where a loader makes them: with a model on a GPU it fails. Move inputs and targets to the model's device.",
    ),
    Mistake(
        name="training moves the inputs only",
        find="            " + _MOVE + "\n            loss",
        put="            inputs = inputs.to(device)\n            loss",
        says="In training the inputs move to the model's device and the targets stay behind: move both.",
    ),
]
