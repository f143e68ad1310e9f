// Kinds that do not belong in a backup, because their objects would be wrong or harmful in a restore. The list comes from the ConfigMap of
// the Velero Plugin for vSphere. By default an object of a listed kind is left out with a warning; it fails the backup only if the user has
// configured that.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { ConfigMap } from '#shared/api/types.ts'
import { BLOCKED_MODE_KEY } from './names.ts'

export type BlockedKinds = {
  /** `<plural>.<group>`, sorted. */
  resources: string[]
  strict: boolean
}

const OWN_GROUPS = ['backupdriver.cnsdp.vmware.com', 'datamover.cnsdp.vmware.com']

/** Without a ConfigMap: Dormouse's own work objects, and the CSI driver's records of attached volumes. */
const DEFAULTS = [
  'backuprepositories.backupdriver.cnsdp.vmware.com',
  'backuprepositoryclaims.backupdriver.cnsdp.vmware.com',
  'clonefromsnapshots.backupdriver.cnsdp.vmware.com',
  'deletesnapshots.backupdriver.cnsdp.vmware.com',
  'snapshots.backupdriver.cnsdp.vmware.com',
  'downloads.datamover.cnsdp.vmware.com',
  'uploads.datamover.cnsdp.vmware.com',
  'cnsnodevmattachments.cns.vmware.com',
  'cnsregistervolumes.cns.vmware.com',
  'cnsvolumemetadatas.cns.vmware.com',
]

const RESOURCE = /^[a-z0-9]{1,63}(\.[a-z0-9-]{1,63}){0,10}$/
/** Claims and their volumes are handled by this plugin itself. */
const NEVER = ['persistentvolumeclaims', 'persistentvolumes']

/** `list`: the ConfigMap of blocked resources ("true" blocks, "false" allows); `config`: the plugin's own ConfigMap. */
export function blockedKinds(list: ConfigMap | undefined, config: ConfigMap | undefined): BlockedKinds {
  const data: Record<string, unknown> = list?.data ?? {}
  const words = { ...Object.fromEntries(DEFAULTS.map((resource) => [resource, 'true'])), ...data }
  const resources = Object.entries(words)
    .filter(([resource, word]) => word === 'true' && RESOURCE.test(resource) && !NEVER.includes(resource))
    .map(([resource]) => resource)
    .sort()
  return { resources, strict: config?.data?.[BLOCKED_MODE_KEY] === 'strict' }
}

type BlockedDecision = { kind: 'skip'; level: 'info' | 'warn'; message: string } | { kind: 'fail'; message: string }

/** For an item of a kind on the list. Dormouse's own work objects need no backup: there is no warning and no failure. */
export function decideBlocked(item: KubeObject, strict: boolean): BlockedDecision {
  const [group = ''] = item.apiVersion.split('/')
  const what = `${item.kind} of ${group} ${item.metadata.namespace ?? ''}/${item.metadata.name}`
  if (OWN_GROUPS.includes(group)) return { kind: 'skip', level: 'info', message: `${what} is left out: a work order` }
  const message = `${what} is on the list of blocked resources`
  return strict ? { kind: 'fail', message } : { kind: 'skip', level: 'warn', message: `${message}: it is left out` }
}
