// Writes kubeconfig files: for the user, for the adapters, and one per function with the token of its ServiceAccount.

import { writeFile } from 'node:fs/promises'

type KubeconfigFacts = { server: string; caPem: string; token: string; user: string; namespace?: string }

export async function writeKubeconfig(file: string, facts: KubeconfigFacts): Promise<void> {
  const { server, caPem, token, user, namespace } = facts
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'dormouse',
    clusters: [
      {
        name: 'dormouse',
        cluster: { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') },
      },
    ],
    users: [{ name: user, user: { token } }],
    contexts: [
      {
        name: 'dormouse',
        context: { cluster: 'dormouse', user, ...(namespace === undefined ? {} : { namespace }) },
      },
    ],
  }
  // JSON is YAML, and every client of a kubeconfig reads it.
  await writeFile(file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
}
