"""AAD Pod Identity's objects as values, and the rules that its two components share.

What MIC writes NMI reads; both read what users write. Contract: pod identity, sections 1, 2.3 and 9.
"""
