"""Learns from recorded takeovers and failures when a policy needs help: `apo help`.

Begin with `calibration`, which turns episodes into a calibration and its figures. `drives` is what an episode shows
of the policy, `replay` computes it with the policy itself, `logistic` and `conformal` are the statistics of the
score and its threshold, `measures` those of the figures. No training of the policy, and nothing else of this package.
"""
