"""Sockets, TLS and DNS; only this package uses them. Their errors are translated here, once."""
