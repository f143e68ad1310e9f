// Whether a volume policy may keep File System Backup from a volume that a pod gives to it (Velero 1.18.3: internal/resourcepolicies,
// internal/volumehelper). The action of the first policy that matches the volume decides: only `fs-backup` lets File System Backup take it.
// This module does not work out which policy matches: it relies on a text only if no action in it can be another one.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, ConfigMap } from '#shared/api/types.ts'

/** Velero writes here the name of its server's policies, which apply after those of the Backup. */
const SERVER_POLICIES = 'velero.io/global-backup-volume-policy-configmap'

/** The ConfigMaps of Velero's namespace that hold the policies, as users have named them. */
export function policyNames(backup: Backup): unknown[] {
  const { resourcePolicy } = backup.spec ?? {}
  const server = backup.metadata.annotations?.[SERVER_POLICIES]
  return [...(resourcePolicy ? [resourcePolicy.name] : []), ...(server === undefined ? [] : [server])]
}

/** True: no policy in it keeps File System Backup from a volume. */
export function isFileSystemAlone(map: ConfigMap, backup: Backup): boolean {
  const texts: unknown[] = Object.values(map.data ?? {})
  const [text] = texts
  return texts.length === 1 && typeof text === 'string' && hasNoOtherAction(text) && isOlder(map, backup)
}

/** Escapes, aliases and tags of YAML, with which a word may be spelled in other letters. */
const HIDDEN = /[\\&*!]/
/** They exclude pods, and File System Backup finds volumes through pods. */
const FILTERS = /filter|exclude/i
const KEY = /\btype\b/g
const FILE_SYSTEM = /\btype["']?\s*:\s*["']?fs-backup["']?(?=[\s,}]|$)/g

/** By the text alone, comments included: each word `type` is followed by the action `fs-backup`. */
function hasNoOtherAction(text: string): boolean {
  const count = (what: RegExp) => text.match(what)?.length ?? 0
  return !HIDDEN.test(text) && !FILTERS.test(text) && count(KEY) === count(FILE_SYSTEM)
}

/** Velero has read the ConfigMap when the Backup began, and does not see later changes. */
function isOlder({ metadata }: KubeObject, backup: Backup): boolean {
  const { creationTimestamp, managedFields = [] } = metadata as KubeObject['metadata'] & { managedFields?: unknown }
  const startMs = Date.parse(String(backup.status?.startTimestamp))
  const writes = Array.isArray(managedFields) ? managedFields.map((each) => each?.time) : [undefined]
  return [creationTimestamp, ...writes].every((time) => Date.parse(String(time)) < startMs)
}
