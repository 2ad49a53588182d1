"""A fake Salesforce org: OAuth, SOQL, records, composite writes and limits, on loopback.

``soql`` parses queries, ``conditions`` and ``query`` answer them; ``schema`` is the org's objects, ``org``
keeps records by its rules; ``login`` answers for tokens, ``rest`` and ``composite`` speak the REST protocol;
``acts`` is what sales does.
"""

from isthmus_salesforce.simulator.rest import Salesforce

__all__ = ["Salesforce"]
