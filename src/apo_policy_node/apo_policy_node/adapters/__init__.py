"""The thread that loads adapters: verification, a trial beside the policy that serves, the swap, the way back.

Imports apo_core alone. Begin with `reloader`; `worker` is the thread around it.
"""
