"""The steps behind build.py: each makes one thing, says what it does, and does nothing twice.

Not part of the installed package.
"""
