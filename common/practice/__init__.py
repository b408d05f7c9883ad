"""What to practise next: what is weak, a plan over the days that are left, a mock interview."""
