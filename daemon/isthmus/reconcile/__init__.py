"""Do both sides still agree? What systems hold, read back, against what the log says they must hold."""
