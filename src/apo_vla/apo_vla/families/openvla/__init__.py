"""OpenVLA (arXiv 2406.09246) and OpenVLA-OFT (arXiv 2502.19645), from their published files.

`prismatic` is the common part of `model` (OpenVLA) and `oft`; `vit` and `images` are its vision. Begin with
`checkpoint`.
"""
