"""Comparison of training methods: each trains from the same episodes and is measured on the same seeds.

It may import `config` and `rollouts`. Begin with compare.py; result.py is pure, table.py writes the figure besides.
"""
