"""CARLA's wire protocol: RPC and streams, one table of layouts per released version."""
