"""The whole loop in one process and in simulated time, to collect episodes that only seeds and settings decide."""
