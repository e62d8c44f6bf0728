"""Operator devices: from what a device reports to samples in contract units. No ROS.

It imports apo_core alone. Begin with `device.Device`, the interface, and `reader.DeviceReader`, the thread that polls
one; `mapping` turns deflection into motion, `publication` decides when a sample is due, `config` has every parameter.
A new device is a module beside `keyboard`. The scripted operator answers ticks of the simulation and needs no reader.
"""
