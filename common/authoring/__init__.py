"""For authors: a new problem's folders, and what one lacks or gets wrong, in one report.

rules (what can be read) | behaviour (what runs show) | mutants (how sharp the checks are) | new (the folders)
"""
