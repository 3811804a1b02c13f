"""This project's models: one public module, one model (its name is the module's). Modules that begin with `_` are shared parts.

A package of the same name that someone else installed is not this one: run the project from its root folder.
"""
