"""Once per class: which constructor parameters are dropped, and the rule for each.

In: a module class, and `exclude` as the user wrote it. Out: a frozen `Recipe`.
"""
