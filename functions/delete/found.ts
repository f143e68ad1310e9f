// Everything that exists of the backup that a DeleteSnapshot names: its Upload, its disk snapshot, its roots, and who owns the disk.

import { isObjectName } from '#shared/api/names.ts'
import type { DeleteSnapshot, Upload } from '#shared/api/types.ts'
import type { RepositoryDeps, VolumeDeps } from '#shared/controllers/deps.ts'
import { requireAllowed } from '#shared/controllers/repository-permit.ts'
import { type Actor, actorOf } from '#shared/domain/authority.ts'
import { type Found, isUploadAtWork, isUploadOf, needsVolume } from '#shared/domain/removal.ts'
import { isDiskIn, isMigrated, volumesOfDisk } from '#shared/domain/volume.ts'
import type { FoundRoot } from '#shared/ports/mover.ts'

export type DeleteDeps = VolumeDeps & RepositoryDeps
export type DiskSnapshot = { fcdId: string; snapshotId: string }
type FoundFor = Found & { actor: Actor }

/** Read again each time before something is removed. */
export async function findAll(deps: DeleteDeps, request: DeleteSnapshot, disk: DiskSnapshot): Promise<FoundFor> {
  const actor = actorOf(request, deps.settings.veleroNamespace)
  const upload = await findUpload(deps, disk)
  const clusterId = await deps.clusterId()
  // Operators may stop every upload, even while vCenter or the bucket is unreachable.
  if (actor.kind === 'operator' && isUploadAtWork(upload))
    return { actor, clusterId, upload, roots: [], description: undefined, isOwnDisk: false }
  const description = await describe(deps, disk)
  const roots = await findRoots(deps, request, actor, disk)
  const found = { actor, clusterId, upload, roots, description }
  return { ...found, isOwnDisk: needsVolume(actor, found) && (await isDiskOf(deps, actor, disk)) }
}

export async function findUpload(deps: DeleteDeps, disk: DiskSnapshot): Promise<Upload | undefined> {
  const upload = await deps.cluster.read('Upload', deps.settings.veleroNamespace, `upload-${disk.snapshotId}`)
  return upload !== undefined && isUploadOf(upload, disk) ? upload : undefined
}

async function describe(deps: DeleteDeps, { fcdId, snapshotId }: DiskSnapshot): Promise<string | undefined> {
  if ((await deps.volumes.describe(fcdId)) === undefined) return undefined
  const all = await deps.volumes.listSnapshots(fcdId)
  return all.find((each) => each.snapshotId === snapshotId)?.description
}

/** For a namespace, only repositories that it may use are opened. */
async function findRoots(
  deps: DeleteDeps,
  request: DeleteSnapshot,
  actor: Actor,
  { fcdId, snapshotId }: DiskSnapshot,
): Promise<FoundRoot[]> {
  const repository = request.spec.backupRepository
  if (repository === '') return []
  if (actor.kind !== 'operator') await requireAllowed(deps, repository, [actor.namespace])
  return await deps.repositories.rootsOf(await deps.access(repository, 'write'), fcdId, snapshotId)
}

/** Only operators make PersistentVolumes, and Kubernetes binds them. So the claim that a volume names counts, while that claim exists. */
async function isDiskOf(deps: DeleteDeps, actor: Actor, { fcdId }: DiskSnapshot): Promise<boolean> {
  if (actor.kind === 'operator') return true
  const all = await deps.cluster.list('PersistentVolume')
  const migrations = all.some(isMigrated) ? await deps.cluster.list('CnsVSphereVolumeMigration') : []
  const volumes = volumesOfDisk(fcdId, all, migrations)
  const names = volumes.map((volume) => volume.spec.claimRef?.name).filter(isObjectName)
  const read = (name: string) => deps.cluster.read('PersistentVolumeClaim', actor.namespace, name)
  return isDiskIn(actor.namespace, volumes, await Promise.all(names.map(read)))
}
