"""Training for real: a text, the parts of the problems, checkpoints that survive, pictures, and generation.

settings, runs, curve, pulse, pace, plot (no torch)
parts, data -> looking -> loop -> checkpoint | fused -> fast_loss, decode
"""
