"""Sessions and transactions, pure: no sockets, no event loop, and nothing about connections or topologies."""
