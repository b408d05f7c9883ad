"""A file that works but for its bugs: composed from the known mistakes, and judged bug by bug."""
