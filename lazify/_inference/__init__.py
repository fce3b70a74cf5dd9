"""Values of the inferred parameters: from the arguments of a call, by rules or by trial runs, or from a checkpoint.

In: a recipe, the constructor arguments given, a call or saved tensors. Out: a value for each inferred parameter.
"""
