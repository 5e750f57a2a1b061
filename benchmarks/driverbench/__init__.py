"""MongoDB's driver benchmark ("DriverBench", benchmarking specification), on wiredrv and its peers side by side.

``python -m benchmarks.driverbench``; ``benchmarks/README.md`` says how it measures.
"""
