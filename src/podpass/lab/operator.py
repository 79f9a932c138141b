"""The lab's operator: an application that may do everything in the lab's subscriptions and holds no secret.

It trusts the service account podpass-system/operator by a federated credential, so whoever may create tokens for that
account (the lab's kubeconfig may) can act as the operator: az login --federated-token "$(kubectl create token …)".
"""

OPERATOR_NAMESPACE = "podpass-system"
OPERATOR_SERVICE_ACCOUNT = "operator"
OPERATOR_SUBJECT = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_SERVICE_ACCOUNT}"
OPERATOR_CREDENTIAL = "lab-cluster"
OPERATOR_ROLE = "Owner"
