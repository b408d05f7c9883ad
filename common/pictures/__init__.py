"""Pictures: an idea drawn from the learner's own code, a mistake beside what was expected, a trained model inside.

panels (what is in a picture, plain records) -> letters, drawing (for a terminal; as SVG and PNG) -> picture -> ideas,
wrong, inside. What a problem's idea looks like stands beside its reference, in solutions/NN-slug/picture.py.
"""
