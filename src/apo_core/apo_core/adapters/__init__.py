"""The store of LoRA adapters: published whole, promoted and rolled back, read without trust. No torch, no ROS.

It imports `errors`, `config`, `help`, `remote` and `system` of the core, numpy, safetensors and cryptography. Begin
with `store.AdapterStore`, the only class that most other packages need. `manifest` is the schema of a version, `folder`
reads and writes the folder of one, `promotion` is the pointer to what policies serve, `trial` how one proves itself,
`calibration` when one requests help, `signature` is optional trust by Ed25519 keys.
"""
