"""The proof that nothing leaves: a real review that is watched from inside the process and by the kernel."""
