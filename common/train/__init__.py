"""Training for real: a text, the parts of the problems, checkpoints that survive, pictures, and generation.

settings, runs, pulse, plot (no torch) | parts, data -> loop -> checkpoint | fused -> fast_loss, decode
"""
