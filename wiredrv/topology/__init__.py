"""The servers of the deployment: discovery, monitoring and selection.

Pure: ``update`` (what a reply changes), ``selection`` (which servers are suitable). Shell: ``monitor`` (checks one
server periodically) and ``topology`` (holds the current description, the pools, and the operations that wait for a
server).
"""
