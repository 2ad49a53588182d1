"""Outbox to sink to receipt: lanes, and what becomes of a delivery that failed."""
