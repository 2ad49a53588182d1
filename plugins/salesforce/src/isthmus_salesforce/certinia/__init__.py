"""Certinia PSA as a mapping pack: the same connector, other objects.

``settings`` is what an administrator says about it; ``translate`` and ``bodies`` are pure; ``source`` polls,
``sink`` writes.
"""
