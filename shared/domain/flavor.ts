// Vanilla, Supervisor or guest cluster: from the Velero Plugin for vSphere's ConfigMap, else from the CSI controller's environment, else
// vanilla.

import type { ConfigMap, Deployment } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

type Flavor = 'VANILLA' | 'SUPERVISOR' | 'GUEST'

/** Values of CLUSTER_FLAVOR in the container `vsphere-csi-controller`. */
const CSI_FLAVORS: Record<string, Flavor> = { WORKLOAD: 'SUPERVISOR', GUEST_CLUSTER: 'GUEST', VANILLA: 'VANILLA' }
const FLAVORS: readonly string[] = ['VANILLA', 'SUPERVISOR', 'GUEST']

/** `pluginConfig`: ConfigMap velero-vsphere-plugin-config; `csiController`: Deployment vsphere-csi-controller. Either may be absent. */
export function detectFlavor(pluginConfig: ConfigMap | undefined, csiController: Deployment | undefined): Flavor {
  const named = pluginConfig?.data?.['cluster_flavor']
  if (named !== undefined && named !== '') {
    if (FLAVORS.includes(named)) return named as Flavor
    throw new TerminalError(
      'ClusterFlavorInvalid',
      `cluster_flavor is ${JSON.stringify(named)} in ConfigMap velero-vsphere-plugin-config: write one of ${FLAVORS.join(', ')}`,
    )
  }
  const containers = csiController?.spec?.template?.spec?.containers ?? []
  const container = containers.find((each) => each.name === 'vsphere-csi-controller')
  const variable = container?.env?.find((each) => each.name === 'CLUSTER_FLAVOR')
  return CSI_FLAVORS[variable?.value ?? 'VANILLA'] ?? 'VANILLA'
}

/** Disks of a guest cluster belong to its Supervisor and cannot be reached from inside. */
export function requireOwnDisks(flavor: Flavor): void {
  if (flavor !== 'GUEST') return
  throw new TerminalError(
    'GuestClusterUnsupported',
    'this is a guest cluster: its disks belong to the Supervisor, and the guest relay that asks for them is not part of this release',
  )
}
