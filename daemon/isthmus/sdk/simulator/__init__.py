"""What a vendor's fake is made of: a ledger of every write, planned faults, acts of users, and a server.

A simulator is a Starlette app that speaks the vendor's protocol on loopback. Around the vendor's paths the
kit serves ``/_sim`` (vocabulary and credentials), ``/_sim/ledger``, ``/_sim/faults`` and ``/_sim/do``.
"""

from isthmus.sdk.simulator.faults import Fault, Match
from isthmus.sdk.simulator.ledger import Ledger, Record, Write
from isthmus.sdk.simulator.server import serve, started
from isthmus.sdk.simulator.simulator import ActRefused, Simulator

__all__ = ["ActRefused", "Fault", "Ledger", "Match", "Record", "Simulator", "Write", "serve", "started"]
