"""Microsoft.Resources/deployments: templates, and what becomes of them.

`requests` reads what is asked for, `templates` and `parameters` check its shape, `program` evaluates it with the
functions of `language`; `resources` and `dependencies` say what there is to make in which order, all of which
`preparing` puts together. `rehearsal` tries a plan out in a transaction that is taken back, for preflight and what-if.
`running` carries it out: each resource is one request of the caller's, with the caller's rights. `service` keeps all
of them going, `calls` is the API.

Missing: linked templates, template specs, rollback on error, stacks, scripts, extensions; scopes above a subscription.
Secure values live only in the process: a deployment with secure parameters that a stop of the lab interrupts fails.

Contract: the 2025-04-01 version of the API, and the reference of template syntax and template functions.
"""
