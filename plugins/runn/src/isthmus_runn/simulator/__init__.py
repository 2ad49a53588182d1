"""A fake of the Runn API v1: accounts, projects, people, bookings and hours, on loopback."""

from isthmus_runn.simulator.simulator import RunnSimulator

__all__ = ["RunnSimulator"]
