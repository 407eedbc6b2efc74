"""Where a change comes from: git, or a patch on standard input."""
