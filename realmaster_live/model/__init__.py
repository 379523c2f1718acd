"""The only definition of the network; independent of simulators, chunks and engines."""
