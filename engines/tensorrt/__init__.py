"""TensorRT: builds plans from exported graphs, and runs them."""
