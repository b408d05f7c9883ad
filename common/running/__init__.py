"""The same verdict from a process of its own, with a limit, at every save.

session (a problem under watch) -> judge (this side of the pipe) | worker (that side) -> judging.runner
"""
