"""Which model is good enough: cases with a known answer, the real pipeline over them, and honest figures."""
