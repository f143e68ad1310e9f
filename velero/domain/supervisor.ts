// Fields that a Supervisor cluster has written into its objects and that would be wrong in a restored one (the lists are the Velero
// Plugin for vSphere's).

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/types.ts'

/** The Supervisor creates these itself, so neither is restored. */
export const SUPERVISOR_OWN = [
  'images.imagecontroller.vmware.com',
  'nsxlbmonitors.vmware.com',
  'nsxloadbalancermonitors.vmware.com',
]

/** The annotation of a vSphere Pod that names its VM. */
const POD_VM = 'vmware-system-vm-uuid'
const OF_THE_OLD_VM = [
  'kubernetes.io/psp',
  'mac',
  'vlan',
  'vmware-system-ephemeral-disk-uuid',
  'vmware-system-image-references',
  'vmware-system-vm-moid',
  POD_VM,
  'vmware-system-network',
  'nsx.vmware.com/attachment',
  'nsx.vmware.com/mac',
]

export function isSupervisorOwn({ apiVersion, kind }: KubeObject): boolean {
  const [group = ''] = apiVersion.split('/')
  return SUPERVISOR_OWN.includes(`${kind.toLowerCase()}s.${group}`)
}

/** Removes the annotations of the old VM; a Pod of another kind of cluster is unchanged. */
export function withoutOldVm(pod: Pod): Pod {
  const { name, namespace, labels, annotations } = pod.metadata
  if (annotations?.[POD_VM] === undefined) return pod
  const kept = Object.fromEntries(Object.entries(annotations).filter(([key]) => !OF_THE_OLD_VM.includes(key)))
  return {
    ...pod,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      annotations: kept,
    },
  }
}
