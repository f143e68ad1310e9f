// Decides which disk snapshots in vCenter have no owner any more. In doubt a snapshot stays: a lost snapshot is worse than a leaked one.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { PersistentVolume, Snapshot, Upload } from '#shared/api/types.ts'
import { parseDiskId, unwrapToDisk } from './ids.ts'
import { isKeptInVcenter } from './retention.ts'
import { isOver } from './sweep.ts'
import { CSI_DRIVER } from './volume.ts'

const INTENT_PREFIX = 'dormouse/'
/** Suffix of a snapshot that is the backup itself (local mode): it outlives its object, and only a DeleteSnapshot removes it. */
const KEEP = '/keep'

/** The name of the disk snapshot of this object in vSphere, known before it is made (docs/design/0001-shape.md#names). */
export function snapshotDescription(clusterId: string, objectUid: string, keep = false): string {
  return `${INTENT_PREFIX}${clusterId}/${objectUid}${keep ? KEEP : ''}`
}

/**
 * The UID of the Snapshot that a disk snapshot of exactly this cluster was made for. undefined: another cluster or program made it, and
 * Dormouse never reads or removes it, whatever a user asks for.
 */
export function snapshotUidIn(description: string | undefined, clusterId: string): string | undefined {
  const prefix = `${INTENT_PREFIX}${clusterId}/`
  const name = description?.startsWith(prefix) ? description.slice(prefix.length) : ''
  const uid = name.endsWith(KEEP) ? name.slice(0, -KEEP.length) : name
  return /^[0-9A-Za-z-]+$/.test(uid) ? uid : undefined
}

/** The object's UID, for a snapshot of exactly this cluster that may be removed; undefined: it is not ours, or must be kept. */
function removableUid(description: string, clusterId: string): string | undefined {
  return description.endsWith(KEEP) ? undefined : snapshotUidIn(description, clusterId)
}

export type ListedSnapshot = { snapshotId: string; description: string; createdMs: number }

export type Owners = {
  clusterId: string
  snapshots: Snapshot[]
  uploads: Upload[]
}

/** Snapshots of this cluster that are old enough for their owners to be checked. */
export function candidates(
  snapshots: ListedSnapshot[],
  clusterId: string,
  nowMs: number,
  ageMs: number,
): ListedSnapshot[] {
  return snapshots.filter(
    ({ description, createdMs }) => removableUid(description, clusterId) !== undefined && nowMs - createdMs >= ageMs,
  )
}

/**
 * Those of one disk's `old` snapshots that have no owner. `all`: every snapshot of the disk, because a duplicate that is too young to be
 * removed may still be the one that an object continues with.
 */
export function orphansOf(old: ListedSnapshot[], all: ListedSnapshot[], owners: Owners): ListedSnapshot[] {
  const busy = new Set(owners.uploads.filter((upload) => !isOver(upload)).flatMap(snapshotNamedBy))
  return old.filter((each) => {
    if (busy.has(each.snapshotId)) return false
    const uid = removableUid(each.description, owners.clusterId)
    const owner = owners.snapshots.find(({ metadata }) => metadata.uid === uid)
    if (owner === undefined || (isOver(owner) && !isKeptInVcenter(owner))) return true
    const doubles = all.filter(({ description }) => description === each.description)
    return winnerOf(owner, doubles) !== each.snapshotId
  })
}

/** Among duplicates, the one that the status names wins, else the oldest (as the snapshot function finds it). */
function winnerOf(owner: Snapshot, doubles: ListedSnapshot[]): string | undefined {
  const [named] = snapshotNamedBy(owner)
  if (named !== undefined && doubles.some(({ snapshotId }) => snapshotId === named)) return named
  return [...doubles].sort((a, b) => a.createdMs - b.createdMs)[0]?.snapshotId
}

function snapshotNamedBy(object: Snapshot | Upload): string[] {
  const text = object.kind === 'Snapshot' ? object.status?.snapshotID : object.spec?.snapshotID
  const id = safely(() => unwrapToDisk(String(text ?? '')).snapshotId)
  return id === undefined ? [] : [id]
}

/**
 * `ofVolumes`: disks of this cluster's own driver. `named`: disks that objects name, where users can write anything. Each disk once,
 * ascending.
 */
type RecordedDisks = { ofVolumes: string[]; named: string[] }
type LastDisks = { ofVolumes: string; named: string }

export function formatLastDisks({ ofVolumes = '', named = '' }: Partial<LastDisks>): string {
  return `${ofVolumes} ${named}`
}

/** Any process may have written the text. A wrong value only makes the search begin at another disk. */
export function parseLastDisks(text: string | undefined): LastDisks {
  const [ofVolumes = '', named = ''] = (text ?? '').split(' ', 2)
  return { ofVolumes, named }
}

/** The fields of an object that name disks. Users can write anything there. */
export type Naming = {
  spec?: { snapshotID?: unknown }
  status?: { snapshotID?: unknown; volumeID?: unknown }
}

/** Disks of this cluster: those of its own driver's volumes, and those that our objects name. */
export function recordedDisks(volumes: PersistentVolume[], objects: readonly KubeObject[]): RecordedDisks {
  const ofVolumes = volumes
    .filter((volume) => volume.spec?.csi?.driver === CSI_DRIVER)
    .map((volume) => String(volume.spec.csi?.volumeHandle ?? ''))
  const ofObjects = (objects as readonly Naming[]).flatMap(({ spec, status }) => [
    safely(() => unwrapToDisk(String(spec?.snapshotID ?? '')).fcdId),
    safely(() => unwrapToDisk(String(status?.snapshotID ?? '')).fcdId),
    safely(() => parseDiskId(String(status?.volumeID ?? '')).fcdId),
  ])
  const first = new Set(diskIdsOf(ofVolumes))
  const others = [...new Set(diskIdsOf(ofObjects))].filter((id) => !first.has(id))
  return { ofVolumes: [...first], named: others }
}

/** Four disks of volumes, then one that users name, and so on, so that neither group delays the other. */
const VOLUMES_IN_A_ROW = 4

/**
 * All disks, in each group those behind `last` first: otherwise, a search that is always cut off would never reach the end. `last`: the
 * last disk of each group in the previous run.
 */
export function inTurns({ ofVolumes, named }: RecordedDisks, last: LastDisks): string[] {
  const volumes = startBehind(ofVolumes, last.ofVolumes)
  const others = startBehind(named, last.named)
  const turns: string[] = []
  for (let turn = 0; turns.length < volumes.length + others.length; turn++) {
    const at = turn * VOLUMES_IN_A_ROW
    turns.push(...volumes.slice(at, at + VOLUMES_IN_A_ROW), ...others.slice(turn, turn + 1))
  }
  return turns
}

function startBehind(disks: readonly string[], last: string): string[] {
  const at = disks.findIndex((id) => id > last)
  return at <= 0 ? [...disks] : [...disks.slice(at), ...disks.slice(0, at)]
}

function diskIdsOf(ids: (string | undefined)[]): string[] {
  const disks = ids.map((id) => safely(() => parseDiskId(`ivd:${id ?? ''}`).fcdId))
  return disks.filter((id) => id !== undefined).sort()
}

/** Ids in users' objects may be any text. An invalid id names no disk. */
function safely<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
