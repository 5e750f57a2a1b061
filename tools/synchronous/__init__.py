"""``python -m tools.synchronous``: writes the modules of ``wiredrv.sync`` from the asynchronous classes.

For each asynchronous module that ``plan.py`` names it writes one in ``wiredrv/sync``: the same classes, signatures and
docstrings, with ``def`` for ``async def`` and ``for`` for ``async for``, whose methods drive those of the asynchronous
object (``wiredrv/sync/base.py``). A test compares the files with what this program writes.

``python -m tools.synchronous --check`` writes nothing, and fails if a file is out of date.

``plan.py`` lists the classes and the methods that need special care; ``extras.py`` has the code that is inserted as it
is, ``words.py`` how docstrings change. ``source.py`` reads an asynchronous module, and ``writer.py`` writes the
synchronous one with ``methods.py``, ``signatures.py`` and ``imports.py``.
"""
