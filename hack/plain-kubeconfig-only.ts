// Replaces shared/adapters/kube/kubeconfig.ts in Velero's plugin.

import { TerminalError } from '#shared/kernel/errors.ts'

export async function accessFromKubeConfig(): Promise<never> {
  const how = 'kubectl config view --raw --minify --flatten -o json'
  const words = `the plugin reads a kubeconfig file only as JSON with a token or a client certificate: ${how}`
  throw new TerminalError('InvalidSettings', `no service account was found, and ${words}`)
}
