"""The paper's numbers that belong to no task (arXiv 2506.07127); the others stand in the table of tasks."""

from __future__ import annotations

SOURCE = "arXiv 2506.07127"
# success on the original tasks after training in a new setting, mean, %
ORIGINAL_MEANS = {"base": 39.3, "dagger": 30.7, "kto": 39.3, "apo": 45.3}
# share of the steps that the operator drove, by update, %
LIFELONG_SHARES = (17, 15, 9)
