"""Training for real: a text, the parts of the problems, checkpoints that survive, and a picture at the end."""
