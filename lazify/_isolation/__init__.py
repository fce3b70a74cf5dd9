"""Trial runs: a module is built and called to learn from it, and everything it can reach is afterwards as before.

In: a class, constructor arguments, a call. Out: how far the run came, and the sizes at which it failed.
"""
