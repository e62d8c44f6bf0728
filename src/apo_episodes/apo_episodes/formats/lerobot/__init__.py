"""Export to LeRobot datasets (v3.0): Parquet tables, videos and their statistics.

It imports the root of the package, `inspection` and `formats.unit_actions`; pyarrow and OpenCV inside functions.
Begin with `export`, which writes a dataset with the help of the other modules.
"""
