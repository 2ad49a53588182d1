"""The one place that wires: configuration, store, plugins, actors and listeners become a daemon."""
