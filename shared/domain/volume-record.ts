// The properties of a PersistentVolume that a backup records besides the data, and that a restored volume needs as well. The record never
// contains the disk, the driver or Secrets: the new volume has its own.

import type { PersistentVolume } from '#shared/api/types.ts'
import { knownModes } from './access-modes.ts'
import { isKeptKey, isLabelValue, keptAnnotation } from './kept-keys.ts'
import { type NodeAffinity, nodeAffinityOf } from './node-affinity.ts'

/** On an Upload that the snapshot function made, JSON: the volume as it was when its disk snapshot was taken. */
export const VOLUME_ANNOTATION = 'dormouse.dev/volume'

/** Stored in the sealed root (docs/format/bytes.md): fields may be added, but never change. */
export type VolumeRecord = {
  /** undefined: the volume named none, and the driver used its default. */
  fsType?: string
  readOnly?: true
  mountOptions?: string[]
  reclaimPolicy?: 'Delete' | 'Retain'
  accessModes?: string[]
  labels?: Record<string, string>
  annotations?: Record<string, string>
  nodeAffinity?: NodeAffinity
}

const MAX_OPTIONS = 64
const MAX_OPTION_CHARS = 1024
/**
 * The limits for all labels together, and for all annotations together. Entries that exceed the limit are left out, in the order of the
 * keys.
 */
const MAX_LABELS_CHARS = 8 * 1024
const MAX_ANNOTATIONS_CHARS = 16 * 1024
const MAX_RECORD_CHARS = 64 * 1024

/** Older than `spec.mountOptions`. If it is present, the kubelet uses only this annotation. */
const MOUNT_OPTIONS_ANNOTATION = 'volume.beta.kubernetes.io/mount-options'
const FS_TYPE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/
/** Printable and without commas, because the kubelet joins the options with commas. */
const OPTION = /^[^\p{C}\p{Z},]+$/u

export function recordOf({ metadata, ...volume }: PersistentVolume): VolumeRecord {
  const spec = volume.spec ?? {}
  const { fsType, readOnly }: { fsType?: string; readOnly?: boolean } = spec.csi ?? spec.vsphereVolume ?? {}
  const older = metadata.annotations?.[MOUNT_OPTIONS_ANNOTATION]
  return cleaned({
    fsType,
    readOnly,
    mountOptions: older === undefined ? spec.mountOptions : older.split(','),
    reclaimPolicy: spec.persistentVolumeReclaimPolicy,
    accessModes: spec.accessModes,
    labels: metadata.labels,
    annotations: metadata.annotations,
    nodeAffinity: spec.nodeAffinity,
  })
}

export function formatRecord(record: VolumeRecord): string {
  return JSON.stringify(record)
}

/**
 * undefined: there is none, or it is invalid. Any process with write access to the repository may have written it, so unknown forms are
 * left out.
 */
export function readRecord(value: unknown): VolumeRecord | undefined {
  const said = typeof value === 'string' ? parsed(value) : value
  return isMap(said) ? cleaned(said) : undefined
}

function cleaned(said: Record<string, unknown>): VolumeRecord {
  const { fsType, readOnly, reclaimPolicy } = said
  const found = {
    fsType: typeof fsType === 'string' && FS_TYPE.test(fsType) ? fsType : undefined,
    readOnly: readOnly === true ? (true as const) : undefined,
    mountOptions: optionsOf(said['mountOptions']),
    reclaimPolicy: reclaimPolicy === 'Delete' || reclaimPolicy === 'Retain' ? reclaimPolicy : undefined,
    accessModes: unlessEmpty(knownModes(said['accessModes'])),
    labels: entriesOf(said['labels'], MAX_LABELS_CHARS, (key, text) => isKeptKey(key) && isLabelValue(text)),
    annotations: entriesOf(said['annotations'], MAX_ANNOTATIONS_CHARS, keptAnnotation),
    nodeAffinity: nodeAffinityOf(said['nodeAffinity']),
  }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined))
}

function optionsOf(value: unknown): string[] | undefined {
  if (!Array.isArray(value)) return undefined
  const isOption = (one: unknown): one is string =>
    typeof one === 'string' && one.length <= MAX_OPTION_CHARS && OPTION.test(one)
  return unlessEmpty(value.slice(0, MAX_OPTIONS).filter(isOption))
}

function unlessEmpty(list: string[]): string[] | undefined {
  return list.length === 0 ? undefined : list
}

function entriesOf(
  value: unknown,
  maxChars: number,
  isKept: (key: string, text: string) => boolean,
): Record<string, string> | undefined {
  if (!isMap(value)) return undefined
  const kept: [string, string][] = []
  let chars = 0
  for (const [key, text] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (typeof text !== 'string' || !isKept(key, text)) continue
    if (chars + key.length + text.length > maxChars) continue
    chars += key.length + text.length
    kept.push([key, text])
  }
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parsed(text: string): unknown {
  try {
    return text.length > MAX_RECORD_CHARS ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
