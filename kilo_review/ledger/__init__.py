"""What is remembered of earlier reviews: verdicts, receipts, what is still unreviewed, speeds, and a tally."""
