"""Perception study: small networks trained on renders, realized frames and photographs."""
