"""A NetSuite account on loopback: login, record service, SuiteQL, and what its users do.

``isthmus simulate netsuite`` serves it. Start reading at `app`; `schema` says which records there are.
"""

from isthmus_netsuite.simulator.app import NetSuiteSimulator

__all__ = ["NetSuiteSimulator"]
