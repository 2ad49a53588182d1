"""Tells owners what waits for them: few messages, none lost, no payloads."""
