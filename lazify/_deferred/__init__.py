"""Before the first call: operations on a lazy instance are recorded, and its parameters are shown in a preview.

In: operations on a lazy instance (`train`, `to`, hooks, attributes). Out: the same operations, to be replayed on the
real module; placeholders for its parameters, which become the real ones.
"""
