"""The store of LoRA adapters: published whole, promoted and rolled back, read without trust. No torch, no ROS.

It imports `errors` and `system` of the core, numpy, safetensors and cryptography. Begin with `store.AdapterStore`, the
only class that other packages need. `manifest` is the schema of a version, `folder` reads and writes the folder of
one, `promotion` is the pointer to what policies serve, `signature` is optional trust by Ed25519 keys.
"""
