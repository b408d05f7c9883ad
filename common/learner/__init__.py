"""What the course remembers of its learner: what passes, which hints are open, what was reset, interviews."""
