"""Rules and their state: facts in, facts out. A process never addresses a system; routes do.

The rules under `isthmus.process.rules` are pure; only `isthmus.process.actor` waits and writes.
"""
