"""The first call: a lazy instance becomes the real module, or stays as it was if anything raises.

In: a lazy instance and the arguments of a call. Out: what the real module returns.
"""
