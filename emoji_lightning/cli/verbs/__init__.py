"""The verbs that are not Lightning's: their options, and the library calls that they make.

Nothing heavy is imported before the options are known to be right, so that help and errors come at once.
"""
