"""Wire-faithful doubles of the model servers: real HTTP on a loopback port, faults included."""
