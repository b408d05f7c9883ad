"""Grading a class: many folders of untrusted Python, one report. GRADING.md says what is promised.

    run (the class, resumable) -> worker -> server (sandboxed) -> zygote (one problem) -> child (one file)
                                         -> examiner (trusted; sees data only)

Only the child executes a student's code.
"""
