"""What vendors see: this package and `isthmus.events` are the whole public interface."""

from isthmus.sdk.connector import (
    Census,
    CensusRow,
    Check,
    Connector,
    Delivery,
    DeliveryClass,
    Discover,
    Found,
    Link,
    Opened,
    Page,
    Probe,
    Receipt,
    Refused,
    Sink,
    Source,
)
from isthmus.sdk.context import Context, Crosswalk, Frozen, Sequences
from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Retryable, Throttled, Unmet, Unsure
from isthmus.sdk.hooks import hookimpl
from isthmus.sdk.http import Auth, Http, HttpLimits, Reply, TokenAuth, fate_of
from isthmus.sdk.secret import Secret

__all__ = [
    "Auth",
    "Census",
    "CensusRow",
    "Check",
    "Connector",
    "ConnectorError",
    "Context",
    "Crosswalk",
    "Delivery",
    "DeliveryClass",
    "Discover",
    "Fatal",
    "Found",
    "Frozen",
    "Http",
    "HttpLimits",
    "Link",
    "Opened",
    "Page",
    "Probe",
    "Receipt",
    "Refused",
    "Rejected",
    "Reply",
    "Retryable",
    "Secret",
    "Sequences",
    "Sink",
    "Source",
    "Throttled",
    "TokenAuth",
    "Unmet",
    "Unsure",
    "fate_of",
    "hookimpl",
]
