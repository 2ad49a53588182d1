"""A fake Salesforce org: OAuth, SOQL, records, composite writes and limits, on loopback.

``soql`` parses and compiles queries, ``schema`` is the org's objects, ``org`` keeps records by the rules
of the schema, ``login`` answers for tokens, ``rest`` speaks the REST protocol, ``acts`` is what sales does.
"""

from isthmus_salesforce.simulator.rest import Salesforce

__all__ = ["Salesforce"]
