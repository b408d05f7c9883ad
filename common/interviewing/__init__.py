"""An attempt at an interview: what is asked at a save and at the end, and what a candidate reads of it."""
