// vSphere for a function: credentials from the documented Secret, read again whenever a login fails, so that they may be rotated.

import type { StepDeps, VolumeDeps } from '#shared/controllers/deps.ts'
import { DEFAULT_VSPHERE_SECRET, requireVSphereSecret } from '#shared/domain/secret-purposes.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { readVSphereSecret, type VSphereConfig } from '#shared/providers/vsphere/config.ts'
import { createVolumeService } from '#shared/providers/vsphere/service.ts'

const CONFIG_MAP = 'velero-vsphere-plugin-config'

export function wireVolumes(deps: StepDeps): VolumeDeps {
  const loadConfig = () => loadVSphereConfig(deps)
  const volumes = createVolumeService({ loadConfig, clock: deps.clock })
  return { ...deps, volumes, clusterId: () => clusterId(deps, loadConfig) }
}

/**
 * The Secret that `vsphere_secret_name` and `vsphere_secret_namespace` of the Velero Plugin for vSphere's ConfigMap name, else the
 * default one.
 */
export async function loadVSphereConfig(deps: StepDeps): Promise<VSphereConfig> {
  const config = (await deps.cluster.read('ConfigMap', deps.settings.veleroNamespace, CONFIG_MAP))?.data ?? {}
  const name = config['vsphere_secret_name'] ?? DEFAULT_VSPHERE_SECRET
  const namespace = config['vsphere_secret_namespace'] ?? deps.settings.veleroNamespace
  const secret = await deps.cluster.read('Secret', namespace, name)
  if (secret === undefined) {
    throw new RetryableError(
      'SecretMissing',
      `Secret ${namespace}/${name} with the vSphere configuration does not exist`,
    )
  }
  const data: Record<string, string> = secret.data ?? {}
  requireVSphereSecret(name, data)
  return readVSphereSecret(data)
}

async function clusterId(deps: StepDeps, loadConfig: () => Promise<VSphereConfig>): Promise<string> {
  const id = deps.settings.clusterId ?? (await loadConfig()).clusterId
  if (id !== '') return id
  throw new TerminalError(
    'ClusterIdMissing',
    'no cluster id: set DORMOUSE_CLUSTER_ID, or cluster-id under [Global] of the vSphere configuration',
  )
}
