"""The ``wiredrv`` command line. ``main`` dispatches; every other module here is one command.

A command module has ``add_parser(subparsers)``, which adds its arguments, and ``run(args)``, which does the work and
returns the exit status. What only some installations have (rich) is imported in ``run``, not with the module.
"""
