// The plugin's settings, from the flags of `velero server`, its environment and its pod.

import { text } from '#shared/kernel/env.ts'
import { actionNames } from './domain/names.ts'
import { lastFlag } from './host/arguments.ts'

type PluginSettings = {
  veleroNamespace: string
  /** undefined: KUBECONFIG, else the pod's service account. */
  kubeconfig: string | undefined
  names: ReturnType<typeof actionNames>
}

type Env = Readonly<Record<string, string | undefined>>

/** `podNamespace`: the namespace of the service account, if there is one. */
export function readPluginSettings(
  args: readonly string[],
  env: Env,
  podNamespace: string | undefined,
): PluginSettings {
  return {
    veleroNamespace: lastFlag(args, '--namespace', '-n') || text(env, 'VELERO_NAMESPACE') || podNamespace || 'velero',
    kubeconfig: lastFlag(args, '--kubeconfig') || undefined,
    names: actionNames(text(env, 'DORMOUSE_VELERO_PREFIX')),
  }
}
