"""wpe.weight[:T] instead of a lookup; range check on the ids as well; in-place add on a fresh tensor."""

from torch import nn


class TooLong(ValueError):
    pass


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(num_embeddings=config.vocab_size, embedding_dim=config.n_embd)
        self.wpe = nn.Embedding(num_embeddings=config.n_positions, embedding_dim=config.n_embd)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.01)
        self.drop = nn.Dropout(p=config.embd_pdrop)

    def forward(self, input_ids):
        T = input_ids.shape[-1]
        if T > self.config.n_positions:
            raise TooLong(f"got {T} tokens; n_positions is {self.config.n_positions}")
        if input_ids.max() >= self.config.vocab_size or input_ids.min() < 0:
            raise ValueError("id outside of the vocabulary")
        x = self.wte(input_ids)
        x = x + self.wpe.weight[:T]
        return self.drop(x)
