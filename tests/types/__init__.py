"""What type checkers make of the public API. Nothing here is run: ``make lint`` has mypy and pyright read it.

``documents`` says what type each expression has. ``mistakes`` holds errors that both checkers must find: a comment that
silences nothing is an error itself. ``moved`` is annotated code for PyMongo in which nothing but the imports changed.
"""
