// What the sealed root of a backup says of its volume, as the download function has read it: written onto the Download, in Velero's namespace,
// for the clone function, which opens no repository.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Download } from '#shared/api/types.ts'
import { parseJsonObject } from './json-object.ts'
import { readRecord, type VolumeRecord } from './volume-record.ts'

/** On a Download, JSON. */
export const BACKED_UP_ANNOTATION = 'dormouse.dev/backed-up'

/** `claim`: `<namespace>/<name>`; `backup`: of Velero. An earlier version has told neither. */
export type BackedUp = { capacityBytes: number; claim?: string; backup?: string; volume?: VolumeRecord }

/** `about` as the root has it: a volume that makes no sense is left out. */
export function formatBackedUp(
  capacityBytes: number,
  { claim, backup, volume }: { claim?: string | undefined; backup?: string | undefined; volume?: unknown },
): string {
  const record = readRecord(volume)
  const told: BackedUp = {
    capacityBytes,
    ...(claim === undefined ? {} : { claim }),
    ...(backup === undefined ? {} : { backup }),
    ...(record === undefined ? {} : { volume: record }),
  }
  return JSON.stringify(told)
}

/** undefined: its root was not opened yet, or by an earlier version. */
export function backedUpOf({ metadata }: KubeObject): BackedUp | undefined {
  const said = parseJsonObject(metadata.annotations?.[BACKED_UP_ANNOTATION])
  const { capacityBytes } = said ?? {}
  if (!Number.isSafeInteger(capacityBytes) || Number(capacityBytes) <= 0) return undefined
  const volume = readRecord(said?.['volume'])
  const { claim, backup } = said ?? {}
  return {
    capacityBytes: Number(capacityBytes),
    ...(typeof claim === 'string' ? { claim } : {}),
    ...(typeof backup === 'string' ? { backup } : {}),
    ...(volume === undefined ? {} : { volume }),
  }
}

/** Bytes that the backup needs of a disk; undefined: the Download has not ended because its disk was too small. */
export function neededBytes(download: Download | undefined): number | undefined {
  const { phase, reason } = download?.status ?? {}
  if (download === undefined || phase !== 'Failed' || reason !== 'TargetTooSmall') return undefined
  return backedUpOf(download)?.capacityBytes
}
