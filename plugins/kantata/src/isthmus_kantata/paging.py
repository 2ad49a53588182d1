"""Where a listing stands, counted in records; pure, so that every way it can move has a test.

Kantata has no cursors: a page is so many records from a place on. Records that are deleted, or that move to
the end because somebody edits them, pull the rest to the front, and what stood on the page border is never
shown. So each page begins with the last record of the page before. Is it not there, something moved away:
then we step back until a page begins with a record we know. What is met twice dies at intake.
"""

from collections.abc import Sequence

import msgspec

from isthmus.sdk import Retryable

KNOWN_MIN = 50
"""So many ids are remembered at least: records that come in behind us push known ones forward."""
RESTARTS_MAX = 3


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The next page begins with record number ``skip``, from 0; ``tail`` are the ids read last, in order."""

    skip: int = 0
    tail: tuple[str, ...] = ()
    restarts: int = 0

    def whole(self, ids: Sequence[str]) -> bool:
        """Whether nothing was left out between the page before and this one."""
        return self.skip == 0 or (bool(ids) and ids[0] in self.tail)

    def following(self, ids: Sequence[str], *, size: int, more: bool) -> "Place | None":
        """The place of the next page; None when the listing has been read to its end.

        Args:
            ids: the records of the page that was read from here, in order.
            size: how many were asked for, at least 2.
            more: whether the peer has records behind this page.

        Raises:
            Retryable: the peer claims to have more and does not show it.
        """
        if not self.whole(ids):
            return Place(skip=max(0, self.skip - (size - 1)), tail=self.tail, restarts=self.restarts)
        if not more:
            return None
        if len(ids) < 2:
            raise Retryable(f"the peer has records behind number {self.skip} and shows {len(ids)} of them")
        if self.skip > 0 and tuple(ids) == self.tail[-len(ids) :]:
            # The same page again: the offset was ignored, or a stale page was served.
            if self.restarts == RESTARTS_MAX:
                raise Retryable(f"the peer gives the same page again and again, behind record {self.skip}")
            return Place(restarts=self.restarts + 1)
        return Place(
            skip=self.skip + len(ids) - 1,
            tail=(*self.tail, *ids)[-max(KNOWN_MIN, size) :],
            restarts=0 if self.skip > 0 else self.restarts,
        )
