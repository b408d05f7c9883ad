"""A student's file in a process of its own, and a stand-in for it here that the checks run on.

The judge's side imports this package as common.grading.exchange. The student's side imports it as plain
`exchange`, from this folder's parent, and nothing else of this project (see agent.py).
"""
