"""Model families, one folder each.

A family imports every layer up to `checkpoints` and no other family. Its folder has `family` (what `apo_vla.loading`
lists), `checkpoint` (reading the files), `model`, `processor` (inputs and outputs) and, for published checkpoints,
`deployment` and `statistics`. Begin with `small_vla` and copy it for a new family.
"""
