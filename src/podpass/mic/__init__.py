"""The controller of pod identity in standard mode: which pod has which identity, and on which machines it must be.

It keeps an AzureAssignedIdentity for each pod and identity, and puts identities onto the scale sets and virtual
machines whose nodes need them. Behaviour is that of MIC of Azure/aad-pod-identity 1.8.17 with the faults that section 9
of the contract lists mended. Contract: pod identity, section 2.
"""
