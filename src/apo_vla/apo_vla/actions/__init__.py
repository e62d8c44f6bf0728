"""Actions as tokens: bins, FAST tokens, and the classes of bins that decode to one value.

Imports apo_core alone. Begin with `codec`, which maps actions to bins and back; `classes` scores them, `nearness`
weighs neighbouring bins.
"""
