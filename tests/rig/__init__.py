"""Real servers and processes for the tests and benchmarks: started on free loopback ports, killed without mercy."""
