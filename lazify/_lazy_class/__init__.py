"""What `lazify` returns: the lazy class, its instances, their pickles and their documentation.

In: a recipe. Out: a class whose constructor is the lazified one.
"""
