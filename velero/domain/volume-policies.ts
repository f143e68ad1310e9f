// Whether a volume policy may keep File System Backup from a volume that a pod gives to it (Velero 1.18.3: internal/resourcepolicies,
// internal/volumehelper). The action of the first policy that fits the volume decides alone: only `fs-backup` lets File System Backup have it.
// Which one fits is not worked out here: a text in which no action can be another one is enough to rely on, and all others are in doubt.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, ConfigMap } from '#shared/api/types.ts'

/** Velero writes here the name of the policies of its server, which come after those of the Backup. */
const SERVER_POLICIES = 'velero.io/global-backup-volume-policy-configmap'

/** The ConfigMaps of Velero's namespace that hold them, as users have named them. */
export function policyNames(backup: Backup): unknown[] {
  const { resourcePolicy } = backup.spec ?? {}
  const server = backup.metadata.annotations?.[SERVER_POLICIES]
  return [...(resourcePolicy ? [resourcePolicy.name] : []), ...(server === undefined ? [] : [server])]
}

/** True: no volume is kept from File System Backup by it. */
export function isFileSystemAlone(map: ConfigMap, backup: Backup): boolean {
  const texts: unknown[] = Object.values(map.data ?? {})
  const [text] = texts
  return texts.length === 1 && typeof text === 'string' && hasNoOtherAction(text) && isOlder(map, backup)
}

/** Escapes, aliases and tags of YAML, by which a word may stand there in other letters. */
const HIDDEN = /[\\&*!]/
/** They leave out pods, through which File System Backup comes to volumes. */
const FILTERS = /filter|exclude/i
const KEY = /\btype\b/g
const FILE_SYSTEM = /\btype["']?\s*:\s*["']?fs-backup["']?(?=[\s,}]|$)/g

/** By the letters alone, comments included: each word `type` begins an action `fs-backup`. */
function hasNoOtherAction(text: string): boolean {
  const count = (what: RegExp) => text.match(what)?.length ?? 0
  return !HIDDEN.test(text) && !FILTERS.test(text) && count(KEY) === count(FILE_SYSTEM)
}

/** Velero has read it when the Backup began, and does not see what was written since. */
function isOlder({ metadata }: KubeObject, backup: Backup): boolean {
  const { creationTimestamp, managedFields = [] } = metadata as KubeObject['metadata'] & { managedFields?: unknown }
  const startMs = Date.parse(String(backup.status?.startTimestamp))
  const writes = Array.isArray(managedFields) ? managedFields.map((each) => each?.time) : [undefined]
  return [creationTimestamp, ...writes].every((time) => Date.parse(String(time)) < startMs)
}
