"""What `lazify` returns: the lazy class, its instances, their attributes, pickles and documentation.

In: a recipe. Out: a class whose constructor has the lazified signature. Its instances are lazy until the first call.
"""
