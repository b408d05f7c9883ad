"""What other code calls the things that this course calls by GPT-2's own names."""

from __future__ import annotations

_NAMES = {
    "n_positions": "block_size n_ctx context_length context_size context ctx_len max_seq_len max_len max_length "
    "seq_len max_position_embeddings max_positions",
    "n_embd": "n_embed d_model dim emb_dim embed_dim embd_dim embedding_dim hidden_size hidden_dim n_dim",
    "n_head": "n_heads num_heads heads nhead num_attention_heads",
    "n_layer": "n_layers num_layers layers n_blocks num_hidden_layers depth",
    "n_inner": "d_ff ffn_dim intermediate_size hidden mlp_dim d_inner",
    "vocab_size": "n_vocab vocab padded_vocab_size",
    "head_dim": "head_size d_head d_k",
    "layer_norm_epsilon": "eps epsilon layer_norm_eps norm_eps ln_eps",
    "initializer_range": "init_std std",
    "embd_pdrop, attn_pdrop or resid_pdrop": "dropout drop_rate p_drop pdrop dropout_rate drop",
    "attn_pdrop": "attn_dropout attention_dropout",
    "resid_pdrop": "resid_dropout residual_dropout",
    "embd_pdrop": "embd_dropout embed_dropout emb_dropout",
}
_HERE = {there: here for here, names in _NAMES.items() for there in names.split()}
# What the outputs of transformers' models hold.
OUTPUTS = ("logits", "loss", "last_hidden_state", "hidden_states", "attentions")


def name_here(name: str) -> str:
    """The config's field that another code base gives this name; empty where there is none."""
    return _HERE.get(name.lower(), "")
