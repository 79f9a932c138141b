"""What `--help` says."""

from knack.help_files import helps

helps["aks pod-identity"] = """
type: group
short-summary: Manage the pod identities of a managed Kubernetes cluster.
long-summary: The cluster needs the add-on of pod identity; `az aks update --enable-pod-identity` puts it there.
"""
helps["aks pod-identity add"] = """
type: command
short-summary: Give the pods of a namespace an identity.
long-summary: Makes the cluster Managed Identity Operator of the identity where it is not.
examples:
  - name: Add a pod identity.
    text: az aks pod-identity add -g MyGroup --cluster-name MyCluster --namespace my-app --name my-pod-identity --identity-resource-id $IDENTITY_ID
  - name: Add one that pods ask for with a label of their own choice.
    text: az aks pod-identity add -g MyGroup --cluster-name MyCluster --namespace my-app --name my-pod-identity --identity-resource-id $IDENTITY_ID --binding-selector my-selector
"""
helps["aks pod-identity delete"] = """
type: command
short-summary: Take a pod identity away.
long-summary: The role assignment that adding it may have made stays.
examples:
  - name: Delete a pod identity.
    text: az aks pod-identity delete -g MyGroup --cluster-name MyCluster --namespace my-app --name my-pod-identity
"""
helps["aks pod-identity list"] = """
type: command
short-summary: Show a cluster with its pod identities.
examples:
  - name: List the pod identities of a cluster.
    text: az aks pod-identity list -g MyGroup --cluster-name MyCluster --output table
"""
helps["aks pod-identity exception"] = """
type: group
short-summary: Manage which pods reach the metadata service itself.
"""
helps["aks pod-identity exception add"] = """
type: command
short-summary: Except the pods of a namespace that carry one of these labels.
examples:
  - name: Add an exception.
    text: az aks pod-identity exception add -g MyGroup --cluster-name MyCluster --namespace my-app --name trusted --pod-labels app=trusted
"""
helps["aks pod-identity exception update"] = """
type: command
short-summary: Replace the labels of an exception.
examples:
  - name: Replace them.
    text: az aks pod-identity exception update -g MyGroup --cluster-name MyCluster --namespace my-app --name trusted --pod-labels app=other
"""
helps["aks pod-identity exception delete"] = """
type: command
short-summary: Delete an exception.
examples:
  - name: Delete it.
    text: az aks pod-identity exception delete -g MyGroup --cluster-name MyCluster --namespace my-app --name trusted
"""
helps["aks pod-identity exception list"] = """
type: command
short-summary: Show a cluster with its exceptions.
examples:
  - name: List the exceptions of a cluster.
    text: az aks pod-identity exception list -g MyGroup --cluster-name MyCluster --output table
"""
