"""What every other part is made of: errors, findings, outcomes, the clock, and files read and written safely."""
