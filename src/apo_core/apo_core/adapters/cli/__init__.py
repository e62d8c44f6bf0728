"""`apo adapters`: list, show, check, sign, promote, roll back, prune and export adapters of a store, to and from a URL.

It imports the store and `system.command_line`, nothing of a model. Begin with `cli.main`, the parser; `commands` holds
a function for each command, `transfers` those of a URL.
"""
