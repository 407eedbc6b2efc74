"""What `kilo-review init` writes into a repository."""
