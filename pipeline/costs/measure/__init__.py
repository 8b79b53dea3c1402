"""Figures of this hardware: the stages' own code, timed for a few steps on a few pictures."""
