"""The one hook a plugin implements. pluggy never awaits, so a hook only registers."""

import pluggy

from isthmus.sdk.connector import Connector

hookspec = pluggy.HookspecMarker("isthmus")
hookimpl = pluggy.HookimplMarker("isthmus")


class Hooks:
    """What isthmus asks a plugin; entry point group ``isthmus``."""

    @hookspec
    def isthmus_connectors(self) -> list[type[Connector]]:  # type: ignore[empty-body]
        """The connector classes this distribution brings."""
