"""Networks, one module each: build(width) gives a module from pictures to features.

It has `feature_size`, and `kaiming_linear`, which says whether linear layers behind it start Kaiming-normal.
"""
