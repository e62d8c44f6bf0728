"""Exchange with other formats, a module or a folder each. None of them changes an episode file.

A format imports the root of the package, `hdf5`, `inspection`, `curate` and `unit_actions`, which several formats
share, but no other format. Its third-party library is imported inside functions, so that it stays optional. Begin with
`lerobot.export`. To add a format, copy the one that is closest and add a row to
`cli.exports.FORMATS`.
"""
