"""What the commands of AKS pod identity decide, over documents of Resource Manager; it needs no Azure CLI."""
