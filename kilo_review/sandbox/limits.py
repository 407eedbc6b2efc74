"""The limits that both ends of a helper process agree on; both ends import this module, so it imports nothing."""

MEMORY_BYTES = 256 << 20
"""Address space of the process. Ordinary source files of the largest size that is parsed take 70 MiB."""
CPU_SECONDS = 1.0
"""Processor time for one request; such a file takes a tenth of it."""
WALL_SECONDS = 3.0
"""For one request, on a machine that is busy with other things as well."""
ALL_CPU_SECONDS = 600
"""Processor time of one process for all of its requests."""
LARGEST_FRAME = 8 << 20
"""Bytes of one request or one answer."""
PREFIX_BYTES = 4
"""Before each frame stands its length, with the most significant byte first."""
