"""The live loop: capture, chunks, engine, delivery, figures."""
