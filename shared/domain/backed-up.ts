// What the sealed root of a backup says about its volume. The download function reads it and writes it onto the Download, in Velero's
// namespace, for the clone function, which opens no repository.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Download } from '#shared/api/types.ts'
import { parseJsonObject } from './json-object.ts'
import { readRecord, type VolumeRecord } from './volume-record.ts'

/** On a Download, JSON. */
export const BACKED_UP_ANNOTATION = 'dormouse.dev/backed-up'

/** `claim`: `<namespace>/<name>`; `backup`: the Velero Backup. An earlier version wrote neither. */
type BackedUp = { capacityBytes: number; claim?: string; backup?: string; volume?: VolumeRecord }

/** `about` as in the root. An invalid volume record is left out. */
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

/** undefined: the root was not opened yet, or an earlier version opened it. */
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

/** Bytes that the backup needs on a disk. undefined: the Download has not failed with a disk that was too small. */
export function neededBytes(download: Download | undefined): number | undefined {
  const { phase, reason } = download?.status ?? {}
  if (download === undefined || phase !== 'Failed' || reason !== 'TargetTooSmall') return undefined
  return backedUpOf(download)?.capacityBytes
}
