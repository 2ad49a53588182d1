"""What the services get of the running daemon."""

from isthmus.app.daemon import Daemon
from isthmus.config import ServicesConfig
from isthmus.services.app import Surroundings
from isthmus.services.operations import OPERATIONS

__all__ = ["surroundings"]


def surroundings(daemon: Daemon, given: ServicesConfig) -> Surroundings:
    """The store, the clock and the bells of a daemon, within the limits of ``[services]``."""
    daemon.metrics.serves(each.name for each in OPERATIONS)
    return Surroundings(
        store=daemon.store,
        now=daemon.now,
        announce=daemon.bells.ring_all,
        may_take=lambda: not daemon.full_lanes,
        answered=daemon.metrics.answered,
        hosts=given.hosts,
        rate_per_s=given.rate_per_s,
        burst=given.burst,
    )
