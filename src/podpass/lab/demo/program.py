"""What the demonstration's pod runs: stock Azure SDK code with the vault's public host name and nothing else."""

import hashlib
import os

from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

vault = SecretClient(os.environ["VAULT_URL"], DefaultAzureCredential())
secret = vault.get_secret(os.environ["SECRET_NAME"])
digest = hashlib.sha256((secret.value or "").encode()).hexdigest()[:8]
print(f"read secret {secret.name!r} from {secret.properties.vault_url}: sha256:{digest}")
