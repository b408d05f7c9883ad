"""Texts to train on, and GPT-2's own tokenizer, without a network."""
