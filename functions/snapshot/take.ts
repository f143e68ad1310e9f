// The parts of taking a snapshot: the FCD snapshot itself, and the Upload that follows. Each part finds what an earlier run made.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import type { PersistentVolume, Snapshot } from '#shared/api/types.ts'
import { deadlineOf } from '#shared/controllers/deadline.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import {
  findSnapshot,
  pickSnapshot,
  pollUntilDone,
  removeLocalSnapshot,
  removeSnapshot,
} from '#shared/controllers/local-snapshot.ts'
import { isMadeFor } from '#shared/controllers/mirror.ts'
import { requireAllowed } from '#shared/controllers/repository-permit.ts'
import { requirePresent } from '#shared/controllers/storage-location.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { formatDiskId, parseClaimSnapshotId, parseDiskId } from '#shared/domain/ids.ts'
import { isUploadOf } from '#shared/domain/removal.ts'
import { isTakenAlone, NO_OLDER_SNAPSHOT_ANNOTATION } from '#shared/domain/revertible.ts'
import { isSnapshotOver, seeSnapshot } from '#shared/domain/snapshot.ts'
import { CLAIM_ANNOTATION, SNAPSHOT_UID_LABEL } from '#shared/domain/upload.ts'
import { BACKUP_ANNOTATION, DEADLINE_ANNOTATION } from '#shared/domain/velero.ts'
import { formatRecord, recordOf, VOLUME_ANNOTATION } from '#shared/domain/volume-record.ts'
import { DISK_LABEL, diskLabel, WAITING_SINCE_ANNOTATION, waitsSince } from '#shared/domain/waited-in-vain.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError, DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { FcdSnapshot, TaskRef } from '#shared/ports/volumes.ts'
import { namesOf } from './proof.ts'
import { isOverdue, pollToldTask } from './told-task.ts'
import { diskOfClaim } from './volume.ts'

/** The waits double from the first to the last and add up to about four seconds. */
const FIRST_LOOK_MS = 300
const LAST_LOOK_MS = 2400

/** `takenAlone`: it is certain that no older snapshot of the disk existed when this one was taken. */
export type DiskSnapshot = { fcdId: string; snapshotId: string; takenAlone?: boolean }

const SNAPSHOTTING = { phase: 'New', reason: 'Snapshotting', message: 'vCenter is taking the disk snapshot' } as const

/** If the repository would not accept the backup, the Snapshot fails before a disk snapshot or an Upload is made for it. */
export async function requireRepository(deps: VolumeDeps, snapshot: Snapshot): Promise<void> {
  const namespaces = [snapshot.metadata.namespace ?? '']
  const repository = await requireAllowed(deps, snapshot.spec.backupRepository, namespaces)
  if (repository !== undefined) await requirePresent(deps, repository, 'write')
}

/** Returns the FCD snapshot that has this object's name. undefined: its task still runs and is recorded in the status. */
export async function ensureSnapshot(
  deps: VolumeDeps,
  lease: WorkLease<'Snapshot'>,
  fcdId: string,
): Promise<DiskSnapshot | undefined> {
  const names = await namesOf(deps, lease.latest())
  const before = await deps.volumes.listSnapshots(fcdId)
  const found = pickSnapshot(before, names)
  // The run that started it may have died. What that run saw before is not recorded, because users can write the status.
  if (found !== undefined) return { fcdId, snapshotId: found }
  const told: TaskRef | undefined = lease.latest().status?.task
  if (told === undefined) return await takeNow(deps, lease, fcdId, names, before)
  if ((await pollToldTask(deps, told, lease.signal)) === 'running') return undefined
  return { fcdId, snapshotId: (await findFresh(deps, fcdId, names, told)).snapshotId }
}

/**
 * `before`: the disk's snapshots right before this one. Only if the task begins and ends in this request is it known which snapshots
 * existed at that time.
 */
async function takeNow(
  deps: VolumeDeps,
  lease: WorkLease<'Snapshot'>,
  fcdId: string,
  names: readonly [string, string],
  before: readonly FcdSnapshot[],
): Promise<DiskSnapshot | undefined> {
  const task = await startSnapshot(deps, lease, fcdId, names[0])
  const state = await pollUntilDone(deps, task, lease.signal)
  if (state.state === 'running') return undefined
  const { snapshotId, all } = await findFresh(deps, fcdId, names, task)
  return { fcdId, snapshotId, takenAlone: isTakenAlone(before, all, state.result) }
}

/**
 * Only the name proves ownership: the task may come from the status, and belong to any object. vCenter may list a new snapshot a moment
 * after its task is done. Throws RetryableError `TaskNotFound`; the next try starts another task.
 */
async function findFresh(
  deps: VolumeDeps,
  fcdId: string,
  names: readonly string[],
  { task }: TaskRef,
): Promise<{ snapshotId: string; all: FcdSnapshot[] }> {
  for (let waitMs = FIRST_LOOK_MS; ; waitMs *= 2) {
    const all = await deps.volumes.listSnapshots(fcdId)
    const snapshotId = pickSnapshot(all, names)
    if (snapshotId !== undefined) return { snapshotId, all }
    if (waitMs > LAST_LOOK_MS) break
    await deps.clock.sleep(waitMs)
  }
  throw new RetryableError('TaskNotFound', `${task} is over, and disk ${fcdId} has no snapshot of this Snapshot's name`)
}

async function startSnapshot(
  deps: VolumeDeps,
  lease: WorkLease<'Snapshot'>,
  fcdId: string,
  name: string,
): Promise<TaskRef> {
  const task = await deps.volumes.startSnapshot(fcdId, name)
  const startTimestamp = lease.latest().status?.startTimestamp ?? rfc3339(deps.clock.nowMs())
  try {
    await lease.patchStatus({ ...SNAPSHOTTING, task, volumeID: formatDiskId(fcdId), startTimestamp })
  } catch (error) {
    if (isTooLate(error))
      await takeBack(deps, lease.latest(), fcdId, task).catch((left: unknown) =>
        deps.log.warn(
          { err: left, fcdId },
          'could not remove a disk snapshot that was begun too late; the orphan sweep removes it',
        ),
      )
    throw error
  }
  return task
}

/**
 * A function that paused for longer than its Lease may begin a disk snapshot after the next holder has ended the work. No function would
 * look for that disk snapshot again, so it is removed here. It stays if the object is still in progress, because its work may find the disk
 * snapshot by name and continue with it.
 */
async function takeBack(deps: VolumeDeps, { metadata }: KubeObject, fcdId: string, task: TaskRef): Promise<void> {
  const { signal } = new AbortController() // the work lease's own signal has aborted with the Lease
  const state = await pollUntilDone(deps, task, signal)
  if (state.state === 'running') throw new RetryableError('Snapshotting', 'vCenter is still taking it')
  if (state.result === undefined) return
  const now = await deps.cluster.read('Snapshot', metadata.namespace, metadata.name)
  if (now !== undefined && now.metadata.uid === metadata.uid && mayGoOnWith(now, state.result)) return
  await removeSnapshot(deps, fcdId, state.result, signal)
}

/** Another process has the Lease, or the object is gone. */
function isTooLate(error: unknown): boolean {
  return error instanceof DormouseError && ['LeaseLost', 'Gone'].includes(error.reason)
}

function mayGoOnWith(snapshot: Snapshot, snapshotId: string): boolean {
  const named = snapshot.status?.snapshotID
  if (typeof named === 'string' && named !== '') return parseClaimSnapshotId(named).disk.snapshotId === snapshotId
  const { phase, localMode } = seeSnapshot(snapshot)
  return !isSnapshotOver(phase, localMode)
}

/**
 * Repeatable: the name contains the disk snapshot's id, which the caller has proved. The Upload gets copies of everything that it needs
 * from the Snapshot and its volume, because these may be gone or edited later. Throws TerminalError `NotPermitted` if the Upload with this
 * name was made for something else.
 */
export async function ensureUpload(
  deps: VolumeDeps,
  snapshot: Snapshot,
  disk: DiskSnapshot,
  volume: PersistentVolume | undefined,
): Promise<void> {
  const now = rfc3339(deps.clock.nowMs())
  const label = diskLabel(disk.fcdId)
  const since = label === undefined ? undefined : await diskWaitsSince(deps, label)
  try {
    await deps.cluster.create('Upload', {
      apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
      kind: 'Upload',
      metadata: {
        name: `upload-${disk.snapshotId}`,
        namespace: deps.settings.veleroNamespace,
        labels: {
          'velero.io/exclude-from-backup': 'true',
          [SNAPSHOT_UID_LABEL]: snapshot.metadata.uid ?? '',
          ...(label === undefined ? {} : { [DISK_LABEL]: label }),
        },
        annotations: {
          ...annotationsOf(deps, snapshot, volume),
          ...(since === undefined ? {} : { [WAITING_SINCE_ANNOTATION]: since }),
          ...(disk.takenAlone === true ? { [NO_OLDER_SNAPSHOT_ANNOTATION]: disk.snapshotId } : {}),
        },
      },
      spec: {
        snapshotID: formatDiskId(disk.fcdId, disk.snapshotId),
        backupRepository: snapshot.spec.backupRepository,
        backupTimestamp: now,
        snapshotReference: `${snapshot.metadata.namespace}/${snapshot.metadata.name}`,
      },
      status: { phase: 'New', nextRetryTimestamp: now, progress: {} },
    })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    await requireMadeFor(deps, snapshot, disk)
  }
}

async function diskWaitsSince(deps: VolumeDeps, label: string): Promise<string | undefined> {
  const labelSelector = `${DISK_LABEL}=${label}`
  return waitsSince(await deps.cluster.list('Upload', { namespace: deps.settings.veleroNamespace, labelSelector }))
}

async function requireMadeFor(deps: VolumeDeps, snapshot: Snapshot, disk: DiskSnapshot): Promise<void> {
  const name = `upload-${disk.snapshotId}`
  const found = await deps.cluster.read('Upload', deps.settings.veleroNamespace, name)
  // An Upload that is gone by now is created again like any other missing Upload.
  if (found === undefined || (isMadeFor(found, snapshot) && isUploadOf(found, disk))) return
  throw new TerminalError('NotPermitted', `Upload ${name} was made for something else than this Snapshot`)
}

/**
 * Whether an id from the status may be accepted although neither its disk snapshot nor its Upload exists any more: the disk must belong to
 * the claim right now, and no Upload with another id was made for this Snapshot. Otherwise a user who makes up ids would get an Upload for
 * each.
 */
export async function mayHaveBeenOwn(deps: VolumeDeps, snapshot: Snapshot, { fcdId }: DiskSnapshot): Promise<boolean> {
  if ((await diskOfClaim(deps, snapshot)) !== fcdId) return false
  const labelSelector = `${SNAPSHOT_UID_LABEL}=${snapshot.metadata.uid}`
  const made = await deps.cluster.list('Upload', { namespace: deps.settings.veleroNamespace, labelSelector })
  return made.length === 0
}

function annotationsOf(
  deps: VolumeDeps,
  snapshot: Snapshot,
  volume: PersistentVolume | undefined,
): Record<string, string> {
  const deadlineMs = deadlineOf(deps.log, snapshot)
  const claim = snapshot.spec?.resourceHandle?.name
  const backup = snapshot.metadata.annotations?.[BACKUP_ANNOTATION]
  return {
    ...(deadlineMs === undefined ? {} : { [DEADLINE_ANNOTATION]: rfc3339(deadlineMs) }),
    ...(isObjectName(claim) ? { [CLAIM_ANNOTATION]: claim } : {}),
    ...(isObjectName(backup) ? { [BACKUP_ANNOTATION]: backup } : {}),
    ...(volume === undefined ? {} : { [VOLUME_ANNOTATION]: formatRecord(recordOf(volume)) }),
  }
}

/** The disk that was recorded with the task, and the disk of the claim: a user may have written the first. */
async function disksOf(deps: VolumeDeps, snapshot: Snapshot): Promise<string[]> {
  const found = [readDisk(snapshot.status?.volumeID), readDisk(`ivd:${await diskOfClaim(deps, snapshot)}`)]
  return [...new Set(found.filter((fcdId) => fcdId !== undefined))]
}

/** undefined: it is not a disk id. */
function readDisk(id: unknown): string | undefined {
  try {
    return parseDiskId(String(id ?? '')).fcdId
  } catch (error) {
    if (error instanceof TerminalError) return undefined
    throw error
  }
}

async function isStillTaken(deps: VolumeDeps, snapshot: Snapshot, signal: AbortSignal): Promise<boolean> {
  const task: TaskRef | undefined = snapshot.status?.task
  if (task === undefined || isOverdue(deps, snapshot)) return false
  return (await pollToldTask(deps, task, signal)) === 'running'
}

/** Removes a disk snapshot that was made but never recorded in the status. */
export async function removeTaken(deps: VolumeDeps, snapshot: Snapshot, signal: AbortSignal): Promise<void> {
  for (const fcdId of await disksOf(deps, snapshot)) {
    if ((await deps.volumes.describe(fcdId)) === undefined) continue
    if (await isStillTaken(deps, snapshot, signal))
      throw new RetryableError('Snapshotting', 'vCenter is still taking the disk snapshot; it is removed then')
    const found = await findSnapshot(deps, fcdId, await namesOf(deps, snapshot))
    if (found !== undefined) await removeLocalSnapshot(deps, fcdId, found, signal)
  }
}
