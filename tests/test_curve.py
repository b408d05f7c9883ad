"""What a run's history says: over-fitting, how long it takes still, how often to look."""

from __future__ import annotations

from common.train.curve import best, looks_every, overfitting
from common.train.pace import Pace, duration


def look(step: int, train: float, val: float) -> dict[str, float]:
    return {"step": step, "train_loss": train, "val_loss": val}


def test_over_fitting_is_said_once_validation_has_risen_for_a_while():
    falls = [look(s, 10 - s / 20, 10 - s / 30) for s in range(0, 101, 5)]
    assert overfitting(falls) == ""
    turned = [*falls, *(look(s, 10 - s / 20, 6.7 + (s - 100) / 100) for s in range(105, 136, 5))]
    said = overfitting(turned)
    assert "since step 100 validation has risen from 6.67 to 7.05" in said
    assert "training fell from 5.00 to 3.25" in said
    assert "checkpoint of step 100 is kept" in said
    assert overfitting(turned[:-5]) == "", "not at the first rise"
    both = [*falls, *(look(s, 6, 6.7 + (s - 100) / 100) for s in range(105, 136, 5))]
    assert overfitting(both) == "", "what diverges learns nothing by heart"
    assert best([look(0, 1, 1), look(5, 2, 2)])["step"] == 5
    assert best([look(5, 2, 2) | {"kept": False}, look(10, 2, 3)])["step"] == 10


def test_how_long_a_run_takes_is_told_from_its_first_steps():
    pace = Pace(total=100, looks_every=10, samples_every=20)
    assert pace.left(0) is None
    pace.steps.extend([3.0, 1.0, 1.0, 1.0, 1.0])
    assert pace.left(5) == 95
    pace.looks.append(0.5)
    pace.samples.append(2.0)
    assert pace.left(5) == 95 + 10 * 0.5 + 5 * 2
    assert pace.left(100) == 0
    assert [duration(s) for s in (0.2, 40, 200, 7500)] == ["1 s", "40 s", "3 min", "2 h 5 min"]


def test_looks_are_frequent_where_they_are_cheap():
    assert looks_every(330, batches=2) == 5
    assert looks_every(33, batches=2) == 5
    assert looks_every(700, batches=4) == 10
    assert looks_every(330, batches=16) == 20
    assert looks_every(100_000, batches=2) == 20
