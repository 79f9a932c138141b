"""The template expression language: text in brackets that stands for a value.

Pure: an expression is parsed into nodes, and evaluated over the functions that its place offers. Function, parameter
and property names are found without regard to letter case, as Azure finds them.
Contract: Azure Resource Manager's reference of template syntax and template functions.
"""
