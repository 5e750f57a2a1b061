"""Tests of object mappers, in modules called ``cases_...``. They run in a process of their own.

``import wiredrv.compat.pymongo`` changes classes for a whole process, and must not change them for the other tests. So
pytest does not collect these modules with the others: ``tests/ecosystem/test_mappers.py`` runs each in another process,
and reports what came of each test. By hand, with a replica set at ``MONGODB_URI``::

    python -m pytest -p tests.ecosystem.mappers.environment tests/ecosystem/mappers/cases_odmantic.py
"""
