"""Exchange with other formats, a module or a folder each. None of them changes an episode file.

A format imports the root of the package and `inspection`, and its third-party library inside functions, so that it
stays optional. Begin with `lerobot.export`. To add a format, copy the one that is closest and add its command to
`cli.exchange`.
"""
