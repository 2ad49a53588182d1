"""A fake Salesforce org: OAuth, SOQL, records, composite writes and limits, on loopback.

``soql`` parses queries, ``conditions`` and ``query`` answer them; ``schema`` is the org's objects, ``org``
keeps records by its rules; ``login`` answers for tokens; ``rest``, ``composite`` and ``subrequests`` speak
the REST protocol; ``acts`` is what sales does. Certinia PSA is installed in it: ``certinia_schema``,
``certinia_triggers`` and ``certinia_acts``.
"""

from isthmus_salesforce.simulator.rest import Salesforce

__all__ = ["Salesforce"]
