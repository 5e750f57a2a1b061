"""The only code that touches sockets, TLS and DNS; every error of theirs is translated here, once."""
