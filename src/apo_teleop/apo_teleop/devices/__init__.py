"""Operator devices."""
