"""A policy as the policy node serves it: precision, cached features, CUDA graphs, exchange of adapters.

Imports `policy`, `decoding` and `lora`. Begin with `policy.ServingPolicy`, which implements
`apo_core.served_policy.ServedPolicy`.
"""
