"""A policy as the policy node serves it: precision, cached features, CUDA graphs, exchange of adapters.

Imports `model`, `policy`, `devices`, `decoding` and `lora`; `settings`, its parameters, imports no torch. Begin with
`policy.ServingPolicy`, which implements `apo_core.served_policy.ServedPolicy`.
"""
