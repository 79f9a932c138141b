variable "subscription_id" {
  description = "The subscription that gets the environment."
  type        = string
}

variable "location" {
  description = "Where everything is."
  type        = string
  default     = "westeurope"
}

variable "resource_group" {
  description = "The name of the resource group, which is made."
  type        = string
  default     = "azcli"
}

variable "cluster_name" {
  description = "The name of the managed cluster."
  type        = string
  default     = "azcli-aks"
}

variable "node_count" {
  description = "How many nodes the cluster has."
  type        = number
  default     = 1

  validation {
    condition     = var.node_count >= 1 && var.node_count <= 100
    error_message = "A cluster has from 1 to 100 nodes here."
  }
}

variable "node_vm_size" {
  description = "The size of each node's virtual machine."
  type        = string
  default     = "Standard_DS2_v2"
}

variable "identity_name" {
  description = "The name of the managed identity that the pods act as."
  type        = string
  default     = "azcli-umi"
}

variable "namespace" {
  description = "The Kubernetes namespace of the service account. kubectl makes it; see README.md."
  type        = string
  default     = "azcli"
}

variable "service_account" {
  description = "The Kubernetes service account whose pods act as the identity. kubectl makes it; see README.md."
  type        = string
  default     = "azcli-sa"
}

variable "role" {
  description = "The role that the identity gets on the resource group."
  type        = string
  default     = "Reader"
}
