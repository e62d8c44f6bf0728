"""`apo episodes`: list, show, check, view, select, cut, relabel, export, import and recover episodes.

It imports every other part of the package; nothing imports it but the launcher `apo`. Begin with `cli.main`, the
parser. `commands` holds a function for each command, `exports` the table of formats, `imports` the way back, and
`options` the arguments that several share.
"""
