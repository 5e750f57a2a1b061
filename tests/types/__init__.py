"""How type checkers see the public API. Nothing here is run: ``make lint`` has mypy and pyright read it.

``documents`` states the type of each expression. ``mistakes`` contains errors that both checkers must find: an unused
ignore comment is itself an error. ``moved`` is annotated code for PyMongo in which only the imports changed.
"""
