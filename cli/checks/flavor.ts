// Do the disks belong to this cluster or to a Supervisor?

import { detectFlavor, requireOwnDisks } from '#shared/domain/flavor.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { type Finding, ok, problemOf } from '../finding.ts'

export async function checkFlavor(deps: { cluster: Cluster; namespace: string }): Promise<Finding[]> {
  try {
    const [config, controller] = await Promise.all([
      deps.cluster.read('ConfigMap', deps.namespace, 'velero-vsphere-plugin-config'),
      deps.cluster.read('Deployment', 'vmware-system-csi', 'vsphere-csi-controller'),
    ])
    const flavor = detectFlavor(config, controller)
    requireOwnDisks(flavor)
    return [ok('flavor', '', `this is a ${flavor.toLowerCase()} cluster`)]
  } catch (error) {
    return [problemOf('flavor', '', error)]
  }
}
