"""How a notice reaches its owner: what every channel promises, and the two ways it can fail."""

from abc import ABC, abstractmethod
from datetime import datetime

from isthmus.ops.notices.deciding import Notice
from isthmus.sdk.scrub import scrub

__all__ = ["Channel", "Gone", "NotTaken"]


class NotTaken(Exception):
    """The message did not arrive, or nobody knows. The same one is sent again later."""

    def __init__(self, words: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(scrub(words))
        self.retry_after_s = retry_after_s


class Gone(NotTaken):
    """The peer wants no more messages at this address."""


class Channel(ABC):
    """One way to one owner."""

    name: str
    """``email`` or ``webhook``."""
    address: str
    """Words that change when the way leads elsewhere; not for people."""

    @abstractmethod
    async def send(self, notice: Notice, now: datetime) -> str:
        """Hand the message over; what the peer answered.

        Sent again, a message keeps its id, so that a peer can tell it from a new one.

        Raises:
            NotTaken: the peer did not take it.
            Gone: the peer wants no more.
        """
