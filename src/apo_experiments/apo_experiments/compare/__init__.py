"""Comparison of training methods: each trains from the same episodes and is measured on the same seeds.

It may import `rollouts` and `progress_line`. Begin with compare.py; result.py and table.py are pure.
"""
