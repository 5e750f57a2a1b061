"""Which servers there are, how they are, and which one to ask.

Pure: ``update`` (what a reply changes), ``selection`` (who is suitable). Shell: ``monitor`` (asks one server again and
again) and ``topology`` (holds the present description, the pools, and those who wait for a server).
"""
