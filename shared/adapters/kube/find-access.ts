// Finds credentials: an explicitly named kubeconfig file, else the pod's service account, else the user's own kubeconfig.

import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { type Access, createAgent } from './access.ts'
import { accessFromPlainKubeconfig } from './plain-kubeconfig.ts'

export type AccessOptions = {
  /** Path of a kubeconfig file; else the variable KUBECONFIG. */
  kubeconfig?: string
  /** Where the kubelet mounts the service account. */
  serviceAccountDir?: string
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount'

/**
 * A pod's service account and plain files are read here; everything else is read by the Kubernetes client, which supports all ways
 * to log in. The reason is the cold start, measured on Node 24 with a warm compile cache, beside the 25 ms of CPU time and
 * 42 MiB of `node -e 0`: the client's KubeConfig with undici, the generated API and OpenID Connect behind it takes 55 ms
 * and 16 MiB bundled as it is, 30 ms and 10 MiB as hack/bundling.ts bundles it; the code here takes less than 1 ms.
 */
export async function findAccess(options: AccessOptions = {}): Promise<Access> {
  const { kubeconfig, serviceAccountDir = SERVICE_ACCOUNT_DIR } = options
  const { KUBECONFIG, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = process.env
  const file = kubeconfig ?? KUBECONFIG
  if (!file && host) return await accessFromPod(host, port, serviceAccountDir)
  const plain = file ? await accessFromPlainKubeconfig(file) : undefined
  return plain ?? (await (await import('./kubeconfig.ts')).accessFromKubeConfig(kubeconfig))
}

async function accessFromPod(host: string, port: string, dir: string): Promise<Access> {
  const caPem = await readFile(`${dir}/ca.crt`, 'utf8')
  const server = new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`)
  return {
    server,
    agent: createAgent(server, { caPem }),
    // The kubelet replaces the file long before the token expires; reading it costs less than tracking when it was read.
    headers: async () => ({ authorization: `Bearer ${(await readFile(`${dir}/token`, 'utf8')).trim()}` }),
  }
}
