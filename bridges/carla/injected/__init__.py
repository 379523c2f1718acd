"""Only what must lie alone in a folder on PYTHONPATH: the sitecustomize of `realmaster inject`."""
