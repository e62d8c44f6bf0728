"""Staged promotion on trial itself: good and bad adapters go through its trials, replayed from recorded episodes."""
