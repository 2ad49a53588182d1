"""Takes a body off the wire within its limits, however little of it arrives or however much it unpacks to."""

import zlib

__all__ = ["Body", "BodyBroken", "BodyTooLarge"]

RATIO_FROM_BYTES = 1024 * 1024
"""Small bodies may be packed as tightly as they like: a page of equal rows is no bomb."""
STEP_BYTES = 64 * 1024
"""How much is unpacked before the limits are looked at again."""


class BodyTooLarge(Exception):
    """The body is past a limit; what that means depends on whether something was written."""


class BodyBroken(Exception):
    """The body is not in the encoding it says, or ends early."""


class Body:
    """One body while it arrives: `take` its chunks, then `whole`.

    Only gzip is unpacked, since only gzip is asked for: what a peer sends in another encoding was never
    agreed on, and would unpack outside these limits.
    """

    def __init__(self, encoding: str, *, max_bytes: int, max_ratio: int) -> None:
        """
        Args:
            encoding: The Content-Encoding header; empty where there is none.
            max_bytes: Of the body as it arrives, and of what it unpacks to.
            max_ratio: Unpacked to arrived bytes.

        Raises:
            BodyBroken: the encoding was not asked for.
        """
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._arrived = 0
        self._body = bytearray()
        spoken = encoding.strip().lower()
        if spoken not in ("", "identity", "gzip", "x-gzip"):
            raise BodyBroken(f"content-encoding {spoken[:40]!r} was not asked for")
        self._inflate = zlib.decompressobj(wbits=31) if "gzip" in spoken else None

    def take(self, chunk: bytes) -> None:
        """Add what arrived.

        Raises:
            BodyTooLarge: a limit is passed; what was taken is dropped.
            BodyBroken: this is no gzip, or something follows its end.
        """
        self._arrived += len(chunk)
        if self._inflate is None:
            self._body += chunk
            self._check()
            return
        while chunk:
            if self._inflate.eof:
                # Taking only the first of several parts would be a shorter answer without a word.
                raise BodyBroken("something follows the compressed body")
            try:
                self._body += self._inflate.decompress(chunk, STEP_BYTES)
            except zlib.error as error:
                raise BodyBroken(str(error)) from error
            chunk = self._inflate.unconsumed_tail or self._inflate.unused_data
            self._check()
        self._check()

    def whole(self) -> bytes:
        """The body, when no more arrives.

        Raises:
            BodyBroken: the compressed body ends early.
        """
        if self._inflate is not None and self._arrived and not self._inflate.eof:
            raise BodyBroken("the compressed body ends early")
        return bytes(self._body)

    def _check(self) -> None:
        size = len(self._body)
        if max(size, self._arrived) > self._max_bytes:
            raise BodyTooLarge(f"the answer is larger than {self._max_bytes} bytes")
        if size > RATIO_FROM_BYTES and size > self._max_ratio * self._arrived:
            raise BodyTooLarge(f"the answer inflates more than {self._max_ratio} times")
