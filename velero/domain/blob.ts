// The Snapshot inside of a backup: an annotation of the stored claim with the Snapshot's JSON in padded base64, in the form of the Velero
// Plugin for vSphere. Restore and delete need only this annotation, in any cluster.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import type { PersistentVolumeClaim, Snapshot } from '#shared/api/types.ts'
import { isClaimSnapshotId } from '#shared/domain/ids.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import { BACKUP_NAME_LABEL, BLOB_ANNOTATION, VERSION_ANNOTATION } from './names.ts'

/** More than the largest Snapshot (its metadata field alone may take 1.5 MiB), base64 included. */
const MAX_BLOB_CHARS = 4 * MiB

/** Of the CSI driver: they describe a moment in time, and some clusters refuse them on a new claim. */
const HEALTH_ANNOTATIONS = [
  'volumehealth.storage.kubernetes.io/health',
  'volumehealth.storage.kubernetes.io/health-timestamp',
]

/** Annotations that must not reach the live claim of a restore. All others are kept. */
const OWN_ANNOTATIONS = [BLOB_ANNOTATION, VERSION_ANNOTATION]

export type StoredSnapshot = {
  namespace: string
  name: string
  uid: string
  labels: Record<string, string>
  phase: string
  reason: string
  message: string
  backupRepository: string
  /** undefined: the disk snapshot had not been taken when the blob was written. */
  snapshotID: string | undefined
  metadata: string | undefined
}

/** The claim as the backup stores it. */
export function withBlob(
  claim: PersistentVolumeClaim,
  snapshot: Snapshot,
  pluginVersion: string,
): PersistentVolumeClaim {
  return withAnnotations(claim, {
    ...withoutKeys(claim.metadata.annotations, HEALTH_ANNOTATIONS),
    [BLOB_ANNOTATION]: encodeBlob(snapshot),
    [VERSION_ANNOTATION]: pluginVersion,
  })
}

/** The claim as a restore may create it, and as a backup stores it that took no snapshot of it. */
export function withoutBlob(claim: PersistentVolumeClaim): PersistentVolumeClaim {
  const gone = [...HEALTH_ANNOTATIONS, ...OWN_ANNOTATIONS]
  return withAnnotations(claim, withoutKeys(claim.metadata.annotations, gone))
}

/**
 * False: an earlier restore left the blob on the claim, and it names another backup's data. `backupLabel`: the Backup's name as
 * labels hold it.
 */
export function isBlobOf(stored: StoredSnapshot, backupLabel: string): boolean {
  return stored.labels[BACKUP_NAME_LABEL] === backupLabel
}

/** Without managedFields, which record the writer of each field and are longer than all the rest. */
export function encodeBlob(snapshot: Snapshot): string {
  const { managedFields, ...metadata } = snapshot.metadata as KubeObject['metadata'] & { managedFields?: unknown }
  return Buffer.from(JSON.stringify({ ...snapshot, metadata }), 'utf8').toString('base64')
}

/** undefined: the claim's disk was not backed up by this plugin. TerminalError `SnapshotBlobInvalid`. */
export function storedSnapshot(claim: PersistentVolumeClaim): StoredSnapshot | undefined {
  const blob = claim.metadata.annotations?.[BLOB_ANNOTATION]
  return blob === undefined ? undefined : decodeBlob(blob)
}

/** The fields that can be read: for a comparison only. */
export function peekBlob(claim: PersistentVolumeClaim): StoredSnapshot | undefined {
  try {
    return storedSnapshot(claim)
  } catch (error) {
    if (error instanceof TerminalError) return undefined
    throw error
  }
}

/** Accepts blobs of Dormouse and of the Velero Plugin for vSphere. Any other form is refused: the blob comes from a bucket. */
export function decodeBlob(blob: string): StoredSnapshot {
  const { kind, metadata, spec, status } = parse(blob)
  if (kind !== 'Snapshot') throw invalid(`it holds the kind ${JSON.stringify(kind)?.slice(0, 80)}`)
  const { namespace, name, uid, labels } = recordOf(metadata)
  if (!isNamespaceName(namespace) || !isObjectName(name)) throw invalid('its Snapshot has no usable name')
  const { backupRepository } = recordOf(spec)
  if (backupRepository !== '' && !isObjectName(backupRepository)) throw invalid('it names no repository')
  const { phase, reason, message, snapshotID, metadata: claim } = recordOf(status)
  if (textOf(snapshotID) !== '' && !isClaimSnapshotId(snapshotID)) throw invalid('its snapshotID cannot be read')
  return {
    namespace,
    name,
    uid: textOf(uid),
    labels: Object.fromEntries(Object.entries(recordOf(labels)).map(([key, value]) => [key, textOf(value)])),
    phase: textOf(phase),
    reason: textOf(reason),
    message: textOf(message),
    backupRepository,
    snapshotID: textOf(snapshotID) || undefined,
    metadata: textOf(claim) || undefined,
  }
}

function parse(blob: string): Record<string, unknown> {
  if (blob.length > MAX_BLOB_CHARS) throw invalid(`it is longer than ${MAX_BLOB_CHARS} characters`)
  try {
    return recordOf(JSON.parse(Buffer.from(blob, 'base64').toString('utf8')))
  } catch (error) {
    throw invalid('it is no JSON in base64', error)
  }
}

function invalid(why: string, cause?: unknown): TerminalError {
  return new TerminalError('SnapshotBlobInvalid', `annotation ${BLOB_ANNOTATION} cannot be used: ${why}`, { cause })
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function withAnnotations(claim: PersistentVolumeClaim, annotations: Record<string, string>): PersistentVolumeClaim {
  const { annotations: _, ...metadata } = claim.metadata
  const kept = Object.keys(annotations).length === 0 ? {} : { annotations }
  return { ...claim, metadata: { ...metadata, ...kept } }
}

function withoutKeys(map: Record<string, string> | undefined, keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => !keys.includes(key)))
}
