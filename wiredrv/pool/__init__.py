"""The connections to one server: pure decisions in ``state``, the shell that acts on them in ``pool``."""
