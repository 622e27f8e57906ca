"""What the benchmark scripts share: the machine, the environments, the servers, the results."""
