"""wiredrv: a MongoDB driver focused on sessions, for asyncio and trio."""

__version__ = "0.1.0"
