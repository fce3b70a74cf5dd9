"""Recipes: which constructor parameters of a module class are dropped, and the rule for each. One recipe per class.

In: a module class, and `exclude` as the user wrote it. Out: a frozen `Recipe`.
"""
