"""Episode files: recorded facts of one episode in HDF5, the labels derived from them, and tools for both.

It imports `apo_core` outside of its `ros/`; neither ROS nor torch. Begin with `episode.Episode`, then `writer` and
`reader`, the two ends of a file, and `labeling`, which turns facts into preference labels. `hdf5/` is the file format,
`recovery` completes what a crash leaves, `compaction` makes video of lossless images. `curate/`, `inspection/` and
`formats/` are what `cli/` offers as `apo episodes`.
"""
