// Finds credentials: a kubeconfig file that was named, else the pod's service account, else the user's own kubeconfig.

import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { type Access, createAgent } from './access.ts'

export type AccessOptions = {
  /** Path of a kubeconfig file; else the variable KUBECONFIG. */
  kubeconfig?: string
  /** Where the kubelet mounts the service account. */
  serviceAccountDir?: string
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount'

/**
 * In a pod the mounted service account is read right here; a kubeconfig file is left to the Kubernetes client with all its
 * ways to log in. The sum behind it, on Node 24 with a warm compile cache: loading the client's KubeConfig (with undici,
 * the generated API and the OpenID client behind it, 1.2 MB bundled) takes 55 ms and 13 MiB of a cold start, and these
 * lines take less than 1 ms.
 */
export async function findAccess(options: AccessOptions = {}): Promise<Access> {
  const { kubeconfig, serviceAccountDir = SERVICE_ACCOUNT_DIR } = options
  const { KUBECONFIG, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = process.env
  if (kubeconfig !== undefined || KUBECONFIG || !host) {
    const { accessFromKubeConfig } = await import('./kubeconfig.ts')
    return await accessFromKubeConfig(kubeconfig)
  }
  return await accessFromPod(host, port, serviceAccountDir)
}

async function accessFromPod(host: string, port: string, dir: string): Promise<Access> {
  const ca = await readFile(`${dir}/ca.crt`)
  return {
    server: new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`),
    agent: createAgent({ ca }),
    // The kubelet replaces the file long before the token ends; reading it costs less than remembering when it was read.
    headers: async () => ({ authorization: `Bearer ${(await readFile(`${dir}/token`, 'utf8')).trim()}` }),
  }
}
