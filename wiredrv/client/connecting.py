"""What a client does with a connection string before it connects, for ``wiredrv ping``, which connects step by step.

A client reads its settings, and those that DNS adds, with these functions; so what is shown is what a client does.
"""

from wiredrv.options.settings import ClientSettings
from wiredrv.options.uri import parse_client_settings, settings_with_srv

__all__ = ["ClientSettings", "parse_client_settings", "settings_with_srv"]
