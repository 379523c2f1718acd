"""TensorRT: plans built from exported graphs, and the engine that runs them."""
