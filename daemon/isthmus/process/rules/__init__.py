"""The rules: pure functions over events and state. No clock, no I/O, no system's name."""
