"""CEL, as admission policies, the match conditions of webhooks and the rules of custom resources are written in.

`engine` compiles and evaluates. `functions` are those that Kubernetes has beyond the language, each set of them in a
module of its own. Contract: Kubernetes API surface, section 3.2.
"""
