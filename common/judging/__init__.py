"""A file goes in, a verdict comes out: load it, run the checks, name the cause, write the report.

The one way to run a check is `runner.run`, in this process; `common.running` does the same in a child.
"""
