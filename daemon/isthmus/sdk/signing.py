"""Signatures of webhooks, as Standard Webhooks (standardwebhooks.com) has them.

``webhook-signature`` has ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``, once per secret,
separated by spaces: while a secret is changed both are in the credential, and a receiver knows either.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256

from isthmus.sdk.secret import Secret

__all__ = ["keys_of", "signed"]

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
"""How long a key may be."""


def keys_of(secret: Secret) -> list[bytes]:
    """The keys in a credential: one or several ``whsec_`` words, the newest first.

    Raises:
        ValueError: one of them is no such word; the message does not quote it.
    """
    words = secret.reveal().split()
    if not words:
        raise ValueError(f"there is no secret in it; it begins with {PREFIX}")
    keys = []
    for word in words:
        if not word.startswith(PREFIX):
            raise ValueError(f"a secret must begin with {PREFIX}")
        try:
            key = b64decode(word.removeprefix(PREFIX), validate=True)
        except ValueError:
            raise ValueError(f"what follows {PREFIX} must be base64") from None
        if len(key) not in KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES[0]} to {KEY_BYTES[-1]} bytes; this one has {len(key)}")
        keys.append(key)
    return keys


def signed(notice_id: str, at: datetime, content: bytes, keys: Sequence[bytes]) -> Mapping[str, str]:
    """The three headers of one attempt; ``at`` is when it is made."""
    timestamp = str(int(at.timestamp()))
    base = b".".join((notice_id.encode(), timestamp.encode(), content))
    signatures = [b64encode(hmac.new(key, base, sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
