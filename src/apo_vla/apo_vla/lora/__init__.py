"""LoRA adapters: attaching, saving, verifying and exchanging them.

Imports apo_core alone. Begin with `adapter`; `linear` is the fast layer of training, `merged` reads an adapter that
belongs to a base policy.
"""
