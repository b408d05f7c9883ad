"""The beam holds numbers of nodes in a growing tree, and a text is read back along its parents; heapq chooses."""

import heapq

import torch


class Nodes:
    def __init__(self, prompt):
        self.prompt, self.token, self.parent, self.total, self.depth = prompt, [None], [None], [0.0], [0]

    def add(self, parent, token, total):
        self.token.append(token)
        self.parent.append(parent)
        self.total.append(total)
        self.depth.append(self.depth[parent] + 1)
        return len(self.token) - 1

    def text(self, node):
        tail = []
        while self.parent[node] is not None:
            tail.append(self.token[node])
            node = self.parent[node]
        return self.prompt + tail[::-1]


def _ended(model, nodes, n_tokens, width, eos, device):
    beam = [0]
    for step in range(n_tokens):
        if not beam:
            return
        batch = torch.as_tensor([nodes.text(node) for node in beam], device=device)
        logs = model(batch).select(1, -1).to(torch.float64).log_softmax(-1).tolist()
        candidates = ((nodes.total[node] + log, -i, -t) for i, (node, row) in enumerate(zip(beam, logs)) for t, log in enumerate(row))
        grown = [nodes.add(beam[-i], -t, total) for total, i, t in heapq.nlargest(width, candidates)]
        beam = []
        for node in grown:
            if nodes.token[node] == eos or step == n_tokens - 1:
                yield node
            else:
                beam.append(node)


def beam_search(model, ids, n_tokens, beam_size, eos=None, alpha=0.0):
    if beam_size < 1 or n_tokens < 0 or alpha < 0:
        raise ValueError("beam_size=%s n_tokens=%s alpha=%s" % (beam_size, n_tokens, alpha))
    nodes = Nodes(ids.tolist())
    score, best = (0.0, 0) if n_tokens == 0 else (-float("inf"), None)
    with torch.no_grad():
        for width in (beam_size, 1):
            for node in _ended(model, nodes, n_tokens, width, eos, ids.device):
                own = nodes.total[node] / nodes.depth[node] ** alpha
                if own > score or best is None:
                    score, best = own, node
    return torch.tensor(nodes.text(best), dtype=torch.int64, device=ids.device), score
