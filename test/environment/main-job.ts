// What a user does, by the API alone: claim a repository, back up, restore, delete. Used by the system tests.

import { randomUUID } from 'node:crypto'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Environment } from './environment.ts'
import { VELERO_NAMESPACE } from './options.ts'
import { CREDENTIALS_SECRET, REPOSITORY_SECRET } from './seed.ts'
import { type Volume, volumeOf } from './storage/volume.ts'

export type Progress = {
  totalBytes?: number
  bytesDone?: number
  bytesRead?: number
  bytesSent?: number
  bytesStored?: number
}
export type Backup = {
  snapshot: LooseObject
  upload: LooseObject
  /** Phases of the Snapshot in the order seen. */
  phases: string[]
  progress: Progress
  seconds: number
}
export type Restore = { clone: LooseObject; volume: Volume; phases: string[]; seconds: number }
type Waiting = { timeoutMs?: number }

const LABELS = { 'velero.io/exclude-from-backup': 'true' }
const MINUTE_MS = 60_000
/** The phase is final: no retry follows. */
const SNAPSHOT_ENDS = ['Uploaded', 'SnapshotFailed', 'UploadFailedAfterRetry', 'CleanupAfterUploadFailed', 'Canceled']
const CLONE_ENDS = ['Completed', 'Failed', 'Canceled']

/** Returns the name of the BackupRepository when it is ready. It allows all namespaces of the environment unless `allowedNamespaces` is set. */
export async function claimRepository(
  environment: Environment,
  options: Waiting & { name?: string; prefix?: string; allowedNamespaces?: string[] } = {},
): Promise<string> {
  const { name = `brc-${randomUUID()}`, prefix = '', allowedNamespaces, timeoutMs = MINUTE_MS } = options
  await environment.api.create({
    ...typeOf('BackupRepositoryClaim'),
    metadata: { name, namespace: VELERO_NAMESPACE, labels: LABELS },
    allowedNamespaces: allowedNamespaces ?? [],
    repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
    repopsitoryParameters: { ...repositoryParameters(environment), prefix },
  })
  const isReady = (claim: LooseObject | undefined) =>
    condition(claim, 'Ready') === 'True' && claim?.['backupRepository']
  const { object } = await environment.waitFor(
    'BackupRepositoryClaim',
    VELERO_NAMESPACE,
    name,
    (claim) => Boolean(isReady(claim)),
    timeoutMs,
  )
  if (allowedNamespaces === undefined) await environment.group.share(object['backupRepository'])
  else environment.group.keep(object['backupRepository'])
  return object['backupRepository']
}

export function repositoryParameters({ s3 }: Environment): Record<string, string> {
  return {
    region: s3.region,
    bucket: s3.bucket,
    s3Url: s3.shownUrl,
    s3ForcePathStyle: 'true',
    credentialSecretName: CREDENTIALS_SECRET,
    encryptionSecretName: REPOSITORY_SECRET,
    ...(s3.caPem === undefined ? {} : { caCert: Buffer.from(s3.caPem).toString('base64') }),
  }
}

/** Creates a Snapshot of the claim and waits until it is `Uploaded`; any other end is an error. */
export async function backUp(
  environment: Environment,
  claim: { namespace: string; name: string },
  repository: string,
  { timeoutMs = 5 * MINUTE_MS }: Waiting = {},
): Promise<Backup> {
  const startMs = performance.now()
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, claim, repository))
  const isOver = (snapshot: LooseObject | undefined) => SNAPSHOT_ENDS.includes(snapshot?.['status']?.phase)
  const ended = await environment.waitFor('Snapshot', claim.namespace, name, isOver, timeoutMs)
  const { object: snapshot, phases } = ended
  const seconds = (performance.now() - startMs) / 1000
  requirePhase(snapshot, 'Uploaded')
  const upload = await uploadOf(environment, snapshot)
  return { snapshot, upload, phases, progress: upload['status']?.progress ?? {}, seconds }
}

/** Creates a CloneFromSnapshot in `namespace` and waits until its claim is bound; any end but `Completed` is an error. */
export async function restore(
  environment: Environment,
  backup: Pick<Backup, 'snapshot'>,
  namespace: string,
  { timeoutMs = 5 * MINUTE_MS }: Waiting = {},
): Promise<Restore> {
  await environment.createNamespace(namespace)
  const isElsewhere = backup.snapshot.metadata.namespace !== namespace
  if (isElsewhere) await environment.group.share(backup.snapshot['spec'].backupRepository)
  const startMs = performance.now()
  const name = randomUUID()
  const { spec, status } = backup.snapshot as LooseObject & Record<'spec' | 'status', Record<string, string>>
  await environment.api.create({
    ...typeOf('CloneFromSnapshot'),
    metadata: { name, namespace, labels: LABELS },
    spec: {
      snapshotID: status['snapshotID'],
      metadata: status['metadata'],
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository: spec['backupRepository'],
      cloneCancel: false,
    },
  })
  const isOver = (clone: LooseObject | undefined) => CLONE_ENDS.includes(clone?.['status']?.phase)
  const ended = await environment.waitFor('CloneFromSnapshot', namespace, name, isOver, timeoutMs)
  const { object: clone, phases } = ended
  const seconds = (performance.now() - startMs) / 1000
  requirePhase(clone, 'Completed')
  const claimName: string = backup.snapshot['spec'].resourceHandle.name
  return { clone, volume: await volumeOf(environment, namespace, claimName), phases, seconds }
}

/** Creates a DeleteSnapshot for the backup and waits for its end. */
export async function remove(
  environment: Environment,
  backup: Pick<Backup, 'snapshot'>,
  { timeoutMs = MINUTE_MS }: Waiting = {},
): Promise<void> {
  const name = `delete-${randomUUID()}`
  await environment.api.create({
    ...typeOf('DeleteSnapshot'),
    metadata: { name, namespace: VELERO_NAMESPACE, labels: LABELS },
    spec: {
      snapshotID: backup.snapshot['status'].snapshotID,
      backupRepository: backup.snapshot['spec'].backupRepository,
    },
  })
  const isOver = (object: LooseObject | undefined) => ['Completed', 'Failed'].includes(object?.['status']?.phase)
  const { object } = await environment.waitFor('DeleteSnapshot', VELERO_NAMESPACE, name, isOver, timeoutMs)
  requirePhase(object, 'Completed')
}

export function aSnapshot(name: string, claim: { namespace: string; name: string }, repository: string): LooseObject {
  return {
    ...typeOf('Snapshot'),
    metadata: { name, namespace: claim.namespace, labels: LABELS },
    spec: {
      resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: claim.name },
      backupRepository: repository,
    },
  }
}

/** The Upload that moved a Snapshot's data. */
export async function uploadOf(environment: Environment, snapshot: LooseObject): Promise<LooseObject> {
  const [, , nested = ''] = (snapshot['status'].snapshotID as string).split(':')
  const [, , fcdSnapshot] = Buffer.from(nested, 'base64').toString().split(':')
  const name = `upload-${fcdSnapshot}`
  const upload = await environment.api.get({ ...typeOf('Upload'), namespace: VELERO_NAMESPACE, name })
  if (upload === undefined) throw new Error(`no Upload ${name} for Snapshot ${snapshot.metadata.name}`)
  return upload
}

export function typeOf(kind: KindName): { apiVersion: string; kind: string } {
  return { apiVersion: KINDS[kind].apiVersion, kind }
}

function condition(object: LooseObject | undefined, type: string): string | undefined {
  const conditions: { type: string; status: string }[] = object?.['status']?.conditions ?? []
  return conditions.find((one) => one.type === type)?.status
}

function requirePhase(object: LooseObject, wanted: string): void {
  const { phase, reason, message } = object['status']
  if (phase === wanted) return
  throw new Error(`${object.kind} ${object.metadata.name} ended as ${phase}, want ${wanted}: ${reason}: ${message}`)
}
