"""Shared library of apo: numpy and h5py only at the top level; torch in `vla`, rclpy in `ros`."""
