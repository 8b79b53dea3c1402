"""Figures of the hardware at hand: the stages' own code, timed for a few steps on a few pictures."""
