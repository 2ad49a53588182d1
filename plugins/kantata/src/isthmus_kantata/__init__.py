"""Kantata OX, once Mavenlink: the PSA where time and expenses are approved and milestones completed."""
