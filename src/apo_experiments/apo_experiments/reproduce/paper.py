"""The paper's tables (arXiv 2506.07127), success in %; what it leaves out is missing."""

from __future__ import annotations

SOURCE = "arXiv 2506.07127"
# method -> task -> success; OpenVLA, 50 interactions a task, 50 evaluation episodes
TABLE_1: dict[str, dict[str, float]] = {
    "base": {"Coffee": 44, "StackThree": 46, "ThreePieceAssembly": 44, "Square": 28},
    "dagger": {"Coffee": 42, "StackThree": 50, "ThreePieceAssembly": 36, "Square": 28},
    "dpo": {"Coffee": 52, "StackThree": 46, "ThreePieceAssembly": 28, "Square": 22},
    "kto": {"Coffee": 48, "StackThree": 52, "ThreePieceAssembly": 46, "Square": 32},
    "apo": {"Coffee": 60, "StackThree": 54, "ThreePieceAssembly": 46, "Square": 32},
}
TABLE_1_MEANS = {"base": 40.5, "dagger": 39.0, "sirius": 39.5, "dpo": 37.0, "tpo": 41.5, "kto": 43.5, "apo": 48.0}
# task that is perturbed -> method -> success in the new setting; 20 interactions and 20 demonstrations
PERTURBED: dict[str, dict[str, float]] = {
    "Square": {"base": 12, "kto": 20, "apo": 26},
    "StackThree": {"base": 42, "kto": 46, "apo": 46},
    "ThreePieceAssembly": {"base": 10, "kto": 6, "apo": 12},
}
# the same policies on the original tasks, mean
ORIGINAL_MEANS = {"base": 39.3, "dagger": 30.7, "kto": 39.3, "apo": 45.3}
# share of the steps that the operator drove, Coffee, by update
LIFELONG_SHARES = (17, 15, 9)
