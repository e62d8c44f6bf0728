"""The thread that predicts: when to predict anew, how chunks follow each other, how uncertain they are.

Imports apo_core alone. Begin with `runner`, the decision for one observation; `worker` is the thread around it.
"""
