// Collects what a slice needs before it can move data: the repository, the disk, the parent backup, the areas to read.

import { isObjectName } from '#shared/api/names.ts'
import type { Upload } from '#shared/api/types.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { snapshotReference } from '#shared/controllers/mirror.ts'
import { requireAllowed } from '#shared/controllers/repository-permit.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { namespaceOf } from '#shared/domain/authority.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { snapshotUidIn } from '#shared/domain/orphans.ts'
import { hasOlder, NO_OLDER_SNAPSHOT_ANNOTATION } from '#shared/domain/revertible.ts'
import { CLAIM_ANNOTATION } from '#shared/domain/upload.ts'
import { BACKUP_ANNOTATION } from '#shared/domain/velero.ts'
import { readRecord, VOLUME_ANNOTATION } from '#shared/domain/volume-record.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type {
  BackupAbout,
  BackupSummary,
  BlockFacts,
  RepositoryAccess,
  SourcePoint,
  UploadRequest,
} from '#shared/ports/mover.ts'
import type { VolumeFacts } from '#shared/ports/volumes.ts'

/** `withAreas` returns the same request after it has asked vCenter for the changed areas that `request` leaves out as 'not asked'. */
export type ReadyUpload = { state: 'ready'; request: UploadRequest; withAreas: () => Promise<UploadRequest> }

type PreparedUpload = { state: 'sealed'; root: string } | ReadyUpload

/** Every choice of the first slice (session, parent) is recorded in the Upload before it is used; later slices reuse it. */
export async function prepareUpload(deps: TransferDeps, lease: WorkLease<'Upload'>): Promise<PreparedUpload> {
  const upload = lease.latest()
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload.spec.snapshotID)
  await requireRepository(deps, upload)
  const access = await deps.access(upload.spec.backupRepository ?? '', 'write')
  const sealed = await deps.repositories.find(access, fcdId, snapshotId)
  if (sealed !== undefined) {
    await requireOwnBackup(deps, upload, sealed.about)
    return await alreadySealed(deps, upload, access, sealed.root)
  }

  const facts = { ...(await requireVolume(deps, fcdId)), ...recordedSize(upload) }
  const { about, source } = await describeBackup(deps, lease, facts, snapshotId)
  const point = { sourceId: source.diskId, snapshotId, createdMs: about.createdMs }
  const { session, parent, isNew } = await begin(deps, lease, access, point, facts)
  const changes = changesSince(facts, parent)
  const ask = async () => (changes === undefined ? undefined : await changedAreas(deps, facts, snapshotId, changes))
  const request: UploadRequest = {
    repository: access,
    disk: { access: await deps.volumes.diskAccess(fcdId), fcdId, snapshotId },
    session,
    slice: Number(lease.latest().status?.slice ?? 1),
    sliceMs: deps.settings.sliceMs,
    capacityBytes: facts.capacityBytes,
    // A later slice continues by the plan in its checkpoint. Asking vCenter at each slice would cost hundreds of times what one backup
    // needs.
    changedAreas: isNew || changes === undefined ? await ask() : 'not asked',
    parentRoot: parent?.root,
    about,
    source,
  }
  return { state: 'ready', request, withAreas: async () => ({ ...request, changedAreas: await ask() }) }
}

/**
 * Runs at each slice, before anything is opened: a Snapshot may name a repository that does not exist yet, and a permission may be
 * withdrawn. An Upload without a reference was made by an operator.
 */
async function requireRepository(deps: TransferDeps, upload: Upload): Promise<void> {
  const reference = snapshotReference(upload)
  if (reference !== undefined) await requireAllowed(deps, upload.spec.backupRepository ?? '', [reference.namespace])
}

/**
 * The run that sealed the backup may have died before it removed the session's checkpoints. Abandoning the session keeps the backup and
 * removes them.
 */
async function alreadySealed(
  deps: TransferDeps,
  upload: Upload,
  access: RepositoryAccess,
  root: string,
): Promise<PreparedUpload> {
  const session = upload.status?.session
  if (hasText(session)) await deps.repositories.abandon(access, session)
  return { state: 'sealed', root }
}

/**
 * The Upload may have been made for an id whose disk snapshot is gone. The backup sealed under that id may belong to another namespace or
 * cluster.
 */
async function requireOwnBackup(deps: TransferDeps, upload: Upload, about: BackupAbout): Promise<void> {
  const isOwn =
    namespaceOf(about) === snapshotReference(upload)?.namespace && about.clusterId === (await deps.clusterId())
  if (isOwn) return
  const { snapshotID } = upload.spec
  throw new TerminalError('NotPermitted', `the backup of ${snapshotID} was made for another namespace or cluster`)
}

/**
 * vCenter reports the size of the disk as it is now, in whole MiB. The disk snapshot is as large as the disk was when it was taken, so a
 * size that an earlier slice found takes precedence.
 */
function recordedSize(upload: Upload): { capacityBytes?: number } {
  const { session, volumeBytes } = upload.status ?? {}
  if (!hasText(session) || volumeBytes === undefined) return {}
  return Number.isSafeInteger(volumeBytes) && volumeBytes > 0 ? { capacityBytes: volumeBytes } : {}
}

async function requireVolume(deps: TransferDeps, fcdId: string): Promise<VolumeFacts> {
  const facts = await deps.volumes.describe(fcdId)
  if (facts === undefined)
    throw new TerminalError(
      'VolumeNotFound',
      `no configured vCenter knows disk ${fcdId}: it was deleted, or its vCenter is not in the configuration Secret`,
    )
  return facts
}

async function describeBackup(
  deps: TransferDeps,
  lease: WorkLease<'Upload'>,
  facts: VolumeFacts,
  snapshotId: string,
): Promise<{ about: BackupAbout; source: BlockFacts }> {
  const upload = lease.latest()
  const snapshots = await deps.volumes.listSnapshots(facts.fcdId)
  const local = snapshots.find((snapshot) => snapshot.snapshotId === snapshotId)
  if (local === undefined)
    throw new TerminalError(
      'SnapshotNotFound',
      `disk ${facts.fcdId} has no snapshot ${snapshotId}: it was removed before it was uploaded`,
    )
  const clusterId = await deps.clusterId()
  if (snapshotUidIn(local.description, clusterId) === undefined)
    throw new TerminalError(
      'NotPermitted',
      `snapshot ${snapshotId} of disk ${facts.fcdId} was made by another cluster or program: make a Snapshot of the claim`,
    )
  const backup = upload.metadata.annotations?.[BACKUP_ANNOTATION]
  const volume = readRecord(upload.metadata.annotations?.[VOLUME_ANNOTATION])
  const changeId = await deps.volumes.changeId(facts.fcdId, snapshotId)
  const about: BackupAbout = {
    clusterId,
    createdMs: local.createdMs,
    claim: await claimName(deps, upload),
    ...(backup === undefined ? {} : { backup }),
  }
  const source: BlockFacts = {
    diskId: facts.fcdId,
    snapshotId,
    changeId,
    revertible: await isRevertible(lease, hasOlder(snapshots, local), snapshotId),
    ...(volume === undefined ? {} : { volume }),
  }
  return { about, source }
}

/**
 * The observation from when the disk snapshot was taken counts: a revert to an older snapshot and the removal of that snapshot leave no
 * trace. A slice may only withdraw the observation, and it does so for later slices too.
 */
async function isRevertible(lease: WorkLease<'Upload'>, hasOlderNow: boolean, snapshotId: string): Promise<boolean> {
  const wasAlone = lease.latest().metadata.annotations?.[NO_OLDER_SNAPSHOT_ANNOTATION] === snapshotId
  if (wasAlone && hasOlderNow)
    await lease.patch({ metadata: { annotations: { [NO_OLDER_SNAPSHOT_ANNOTATION]: null } } })
  return !wasAlone || hasOlderNow
}

/** The namespace owns the backup and comes from the Upload alone. An Upload from an earlier version does not contain the claim's name. */
async function claimName(deps: TransferDeps, upload: Upload): Promise<string> {
  const reference = snapshotReference(upload)
  if (reference === undefined) return ''
  const { namespace, name } = reference
  const told = upload.metadata.annotations?.[CLAIM_ANNOTATION]
  if (told !== undefined) return `${namespace}/${told}`
  const snapshot = await deps.cluster.read('Snapshot', namespace, name)
  const claim: unknown = snapshot?.spec?.resourceHandle?.name
  return `${namespace}/${isObjectName(claim) ? claim : ''}`
}

/** `isNew`: no slice has used this session. */
type Beginning = { session: string; parent: BackupSummary | undefined; isNew: boolean }

/**
 * Chooses the session and the backup that it starts from once, and records them before the first use. A parent that was deleted since is
 * replaced by another at no cost: the session continues from its checkpoint without the parent, or, without a checkpoint, begins from the
 * other one. A fenced session never seals; the error handler then removes it from the status, and a new one is chosen here.
 */
async function begin(
  deps: TransferDeps,
  lease: WorkLease<'Upload'>,
  access: RepositoryAccess,
  point: SourcePoint,
  facts: VolumeFacts,
): Promise<Beginning> {
  const status = lease.latest().status ?? {}
  const backups = await deps.repositories.backupsOf(access, facts.fcdId)
  const recorded = backups.find((backup) => backup.root === status.parentRoot)
  const before = hasText(status.session) ? status.session : undefined
  if (before !== undefined && (recorded !== undefined || !hasText(status.parentRoot)))
    return { session: before, parent: recorded, isNew: false }
  const parent = parentOf(backups.filter((backup) => backup.source.capacityBytes === facts.capacityBytes))
  const parentRoot = parent?.root ?? null
  if (before !== undefined) {
    await lease.patch({ status: { parentRoot } })
    return { session: before, parent, isNew: false }
  }
  const attempt = `${lease.latest().metadata.uid}/${status.slice ?? 1}`
  const session = await deps.repositories.newSessionId(access, point, attempt)
  await lease.patch({ status: { session, parentRoot, volumeBytes: facts.capacityBytes } })
  return { session, parent, isNew: true }
}

/**
 * The newest backup with a usable change id, else the newest: data that the change id does not cover is read and recognised by its content.
 */
function parentOf(fitting: readonly BackupSummary[]): BackupSummary | undefined {
  return fitting.find((backup) => changeIdOf(backup) !== undefined) ?? fitting[0]
}

/**
 * undefined: the backup has no change id, or the disk may have been reverted since to a snapshot that is older than the backup. After a
 * revert, change tracking uses the same epochs again and does not report the differences from the backup. This cannot be detected later,
 * because the snapshot may be gone. If no older snapshot existed when the backup was made, no revert can have gone back behind it.
 */
function changeIdOf({ source }: BackupSummary): string | undefined {
  return source.revertible === false ? source.changeId : undefined
}

function hasText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** The change id from which vCenter can report changes. undefined: it cannot, and the disk's allocated areas must be read instead. */
function changesSince(facts: VolumeFacts, parent: BackupSummary | undefined): string | undefined {
  return facts.changedBlockTracking && parent !== undefined ? changeIdOf(parent) : undefined
}

/** undefined: vCenter cannot report changes, as in changesSince. */
async function changedAreas(
  deps: TransferDeps,
  facts: VolumeFacts,
  snapshotId: string,
  changeId: string,
): Promise<Extent[] | undefined> {
  try {
    return await deps.volumes.changedAreas(facts.fcdId, snapshotId, changeId, facts.capacityBytes)
  } catch (error) {
    if (!(error instanceof TerminalError) || error.reason !== 'ChangeTrackingLost') throw error
    deps.log.warn({ reason: error.reason }, `reading all allocated areas of disk ${facts.fcdId}: ${error.message}`)
    return undefined
  }
}
