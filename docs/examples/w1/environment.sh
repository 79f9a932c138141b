#!/usr/bin/env bash
# The Azure half of the walkthrough's environment, by az. Run it where az is signed in:
#
#     docs/examples/w1/environment.sh [GROUP [LOCATION]]
#
# The same environment as azuredeploy.json and as scenario.yaml make; a second run changes nothing.
set -euo pipefail

group=${1:-azcli}
location=${2:-westeurope}
cluster=azcli-aks identity=azcli-umi namespace=azcli account=azcli-sa

az group create --name "$group" --location "$location" --output none
# az refuses to create a cluster that is there.
if ! az aks show --resource-group "$group" --name "$cluster" --output none 2>/dev/null; then
  az aks create --resource-group "$group" --name "$cluster" --location "$location" --dns-name-prefix azcli \
    --node-count 1 --node-vm-size Standard_DS2_v2 --no-ssh-key --enable-oidc-issuer --enable-workload-identity \
    --output none
fi
az identity create --resource-group "$group" --name "$identity" --location "$location" --output none

issuer=$(az aks show --resource-group "$group" --name "$cluster" --query oidcIssuerProfile.issuerUrl --output tsv)
az identity federated-credential create --resource-group "$group" --identity-name "$identity" --name "$identity-fi" \
  --issuer "$issuer" --subject "system:serviceaccount:$namespace:$account" --audiences api://AzureADTokenExchange --output none

principal=$(az identity show --resource-group "$group" --name "$identity" --query principalId --output tsv)
scope=$(az group show --name "$group" --query id --output tsv)
az role assignment create --role Reader --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal \
  --scope "$scope" --output none

client=$(az identity show --resource-group "$group" --name "$identity" --query clientId --output tsv)
printf '%s=%s\n' clusterName "$cluster" clientId "$client" namespace "$namespace" serviceAccount "$account" resourceGroup "$group"
