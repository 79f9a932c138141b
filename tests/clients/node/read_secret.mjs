import { createHash } from "node:crypto";
import { DefaultAzureCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";

const vault = new SecretClient(process.env.VAULT_URL, new DefaultAzureCredential());
const secret = await vault.getSecret(process.env.SECRET_NAME);
const digest = createHash("sha256").update(secret.value).digest("hex").slice(0, 8);
console.log(`read ${secret.name}: sha256:${digest}`);
