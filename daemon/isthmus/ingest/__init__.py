"""Source to log: a page, what it refused and the source's new cursor, in one transaction."""
