// The volume policies of a Backup, which Velero's File System Backup applies before it looks at pods.

import { isObjectName } from '#shared/api/names.ts'
import type { Backup } from '#shared/api/types.ts'
import { isFileSystemAlone, policyNames } from '../domain/volume-policies.ts'
import type { ActionDeps } from './deps.ts'

/** The first ConfigMap, as `<namespace>/<name>`, that may keep File System Backup from a volume; undefined: there is none. */
export async function doubtfulPolicyOf(
  { cluster, veleroNamespace }: ActionDeps,
  backup: Backup,
): Promise<string | undefined> {
  for (const name of policyNames(backup)) {
    const map = isObjectName(name) ? await cluster.read('ConfigMap', veleroNamespace, name) : undefined
    if (map === undefined || !isFileSystemAlone(map, backup)) return `${veleroNamespace}/${String(name).slice(0, 253)}`
  }
  return undefined
}
