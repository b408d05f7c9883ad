"""Grading a class: students' files run in processes of their own, the checks stay in the judge's.

The command reads submissions (submissions.py, reader.py), the engine starts judges (judging.py) and rooms for students'
processes (rooms.py), which talk by the exchange; classes.py puts results into the journal, summary.py into a report.
"""
