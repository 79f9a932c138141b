"""Microsoft.Resources/deployments: templates, and what becomes of them."""
