"""Before the first call: what is done to a lazy instance waits, what is asked of it is answered from a preview.

In: operations on a lazy instance (`train`, `to`, hooks, attributes). Out: the same operations, to be replayed on the
real module; placeholders for its parameters, which become the real ones.
"""
