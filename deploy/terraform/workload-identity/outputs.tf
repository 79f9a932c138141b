output "cluster_name" {
  description = "The name of the managed cluster."
  value       = azurerm_kubernetes_cluster.this.name
}

output "client_id" {
  description = "What the service account's annotation azure.workload.identity/client-id has to say."
  value       = azurerm_user_assigned_identity.this.client_id
}

output "namespace" {
  description = "The namespace that the identity trusts."
  value       = var.namespace
}

output "service_account" {
  description = "The service account that the identity trusts."
  value       = var.service_account
}

output "resource_group" {
  description = "The resource group that holds everything."
  value       = azurerm_resource_group.this.name
}
