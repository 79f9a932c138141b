"""What a write goes through before it is stored: built-in steps, limits, policies, and the webhooks of others.

`chain` has their order. `selection` and `conditions` say for which writes a webhook or policy is; `webhooks` calls the
former: `review` is what is sent, `client` sends it.
Contract: Kubernetes API surface, sections 2.11, 3.1 to 3.3 and 4.6.
"""
