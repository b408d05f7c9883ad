"""An attempt at an interview: its clock and its saves, what is asked at each and at the end, and what is read of it."""
