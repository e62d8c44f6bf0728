"""How likely a policy makes actions: what preference learning compares, for every kind of action head.

It imports `actions`. Begin with types.py; `bins`, `fast`, `laplace` and `flow` are one kind each
(docs/explanation/likelihoods.md derives them).
"""
