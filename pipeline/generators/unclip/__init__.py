"""Stable unCLIP, as it is."""
