"""What a connector may raise, named after what the daemon does about it.

::

    ConnectorError
     ├─ Retryable      try again later, delays doubling, until the lane's max_age
     │   ├─ Unsure     sent, but no answer: it may have happened; never repeated blindly
     │   └─ Unmet      something this fact builds on is not there yet; waits, counts no failure
     ├─ Throttled      the peer named (or implied) a pause: the whole connector rests
     ├─ Rejected       the peer understood and refused: dead letter, a person decides
     └─ Fatal          every call would fail the same way: the actor parks, readiness says so

Anything else that is raised is a bug: the supervisor reports it with its traceback and starts the actor
again.

What is said is scrubbed of credentials: it ends in logs, dead letters and on screens.
"""

from isthmus.sdk.scrub import scrub


class ConnectorError(Exception):
    """Base of all that a connector says on purpose; raise one of the subclasses."""

    def __init__(self, message: str, *, peer_words: str | None = None) -> None:
        super().__init__(scrub(message))
        self.peer_words = peer_words if peer_words is None else scrub(peer_words)
        """What the peer itself said, for the person who reads the dead letter."""


class Retryable(ConnectorError):
    """A passing fault: a refused connection, a 5xx, a locked ledger. Waiting helps."""


class Unsure(Retryable):
    """A write was sent and no answer came. Look the record up before anything is sent again."""


class Unmet(Retryable):
    """A record this fact refers to is not in the peer yet. It is tried again when that has arrived."""


class Throttled(ConnectorError):
    """The peer asks for less. ``retry_after_s`` is its own word; None lets the lane choose."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, peer_words: str | None = None
    ) -> None:
        super().__init__(message, peer_words=peer_words)
        self.retry_after_s = retry_after_s


class Rejected(ConnectorError):
    """The peer refused this record: a closed period, an unknown project. Correct the cause, then retry."""

    def __init__(self, message: str, *, reason: str = "other", peer_words: str | None = None) -> None:
        super().__init__(message, peer_words=peer_words)
        self.reason = reason
        """One word of a closed set: value missing mapping period cap permission duplicate other."""


class Fatal(ConnectorError):
    """Credentials, permissions or settings are wrong. Mend them; then resume the connector."""
