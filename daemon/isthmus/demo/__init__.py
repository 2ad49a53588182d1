"""The demo: five simulated systems, one real daemon, faults, a kill -9 midway, and the ledgers compared."""
