"""Vision-language-action models: families, checkpoints, LoRA adapters, decoding and serving. No ROS.

Imports apo_core alone. The parts form layers, each of which imports only those before it: `inputs`, `actions` and
`lora`; `decoding`; `model`, the interfaces of a family; `checkpoints`; `families`, which do not import each other;
`loading`, which lists them; `policy`, a checkpoint that acts; `devices`; `serving`; `cli`. Begin with `model` for the
interfaces, and with `families/small_vla` for one that implements them. A new family is a folder in `families` and a
line in `loading`.
"""
