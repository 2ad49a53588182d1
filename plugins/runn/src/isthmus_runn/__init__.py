"""Runn, the resource and revenue planner, as a connector of isthmus."""
