"""The session timeline: what the clients of a process did, recorded in memory, kept as JSON lines, and shown.

``records`` has the records and the format of the file.
"""
