// The credentials that workloads name themselves, what they show of a refusal, and a vault client over a revocation.
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { ClientAssertionCredential, WorkloadIdentityCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";

const { AZURE_TENANT_ID: tenant, AZURE_CLIENT_ID: client, AZURE_FEDERATED_TOKEN_FILE: file } = process.env;
const name = process.env.SECRET_NAME;
const assertion = () => readFile(file, "utf8");
const claimsOf = ({ token }) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

const workload = new WorkloadIdentityCredential();
const vault = new SecretClient(process.env.VAULT_URL, workload);
console.log("workload identity:", (await vault.getSecret(name)).name);

const asserting = new ClientAssertionCredential(tenant, client, assertion);
console.log("client assertion:", (await new SecretClient(process.env.VAULT_URL, asserting).getSecret(name)).name);
const claims = claimsOf(await asserting.getToken("https://vault.azure.net/.default"));
console.log("audience:", claims.aud, "identity:", claims.appid === client && claims.xms_mirid.includes("/resourcegroups/"));

const stranger = new ClientAssertionCredential(tenant, client, async () => (await assertion()).replace(/\.[^.]*$/, ".AAAA"));
try {
  await stranger.getToken("https://vault.azure.net/.default");
} catch (error) {
  console.log("forged:", error.name, /AADSTS\d+/.exec(error.message)[0]);
}

execFileSync(process.env.PYTHON, ["-m", "podpass", "lab", "revoke", client]);
console.log("after a revocation:", (await vault.getSecret(name)).name);
