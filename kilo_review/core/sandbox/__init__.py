"""Libraries that read hostile text in native or backtracking code, each in a process of its own with limits."""
