// A cluster beside another one: tenants and an operator with real ServiceAccounts, repositories in the bucket that both use, and backups of its
// own.

import { randomUUID } from 'node:crypto'
import * as assert from 'uvu/assert'
import type { Condition } from '#shared/api/kinds.ts'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import type { Environment } from '#test/environment/environment.ts'
import {
  aSnapshot,
  type Backup,
  backUp,
  claimRepository,
  restore,
  typeOf,
  uploadOf,
} from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { endOf } from './bad-input.ts'
import { type ForeignWorld, foreignWorld } from './foreign-world.ts'
import { anOperator, aPlainTenant, aTenant, type Tenant } from './tenants.ts'
import { startWithPlugin } from './velero.ts'

const MIB = 2 ** 20
/** The same name in each cluster, so that only the cluster tells whose an object is. */
export const NAMESPACE = 'app'
/** The namespace into which a cluster restores its own backups. */
export const COPY = 'copy'

export type Cluster = {
  id: string
  environment: Environment
  /** A tenant with the sample role; one with much more; and an operator in the Velero namespace. */
  plain: Tenant
  hostile: Tenant
  operator: Tenant
  /** `named`, `open` and `group` are over the prefix that both clusters use; `own` is over a prefix of its own. */
  repositories: { named: string; open: string; group: string; own: string }
  volume: Volume
  /** Backups in the shared repository, in its own one, and in vCenter. */
  sealed: LooseObject
  apart: LooseObject
  kept: LooseObject
}

/** The orphan sweep removes what is older than a second; prune keeps data of unfinished backups for the shortest possible time. */
export async function startCluster(id: string, beside?: Environment): Promise<Environment> {
  return await startWithPlugin({
    clusterId: id,
    faults: beside === undefined,
    ...(beside === undefined ? {} : { beside: beside.parts }),
    env: { DORMOUSE_SESSION_IDLE_HOURS: '1', DORMOUSE_DUE_SECONDS: '1' },
    envOf: { sweep: { DORMOUSE_ORPHAN_AGE_SECONDS: '1', DORMOUSE_SNAPSHOT_TIMEOUT_SECONDS: '1' } },
    pingEveryMs: { 'dormouse-orphans': 0 },
    idleMs: 120_000,
  })
}

export async function settle(id: string, environment: Environment): Promise<Cluster> {
  const [plain, hostile, operator] = [
    await aPlainTenant(environment, NAMESPACE),
    await aTenant(environment, NAMESPACE),
    await anOperator(environment),
  ]
  const prefix = 'shared'
  const [named, open, group, own] = await Promise.all([
    claimRepository(environment, { prefix, allowedNamespaces: [NAMESPACE] }),
    claimRepository(environment, { prefix, allowedNamespaces: [] }),
    claimRepository(environment, { prefix, allowedNamespaces: [NAMESPACE, COPY] }),
    claimRepository(environment, { prefix: id, allowedNamespaces: [] }),
  ])
  const volume = await aVolume(environment, `orders-${id}`, `orders of ${id}`)
  const claim = volume.claim.metadata as { namespace: string; name: string }
  await environment.api.create(aSnapshot('kept', claim, ''))
  const isKept = (object: LooseObject | undefined) => object?.['status']?.phase === 'Snapshotted'
  const kept = (await environment.waitFor('Snapshot', NAMESPACE, 'kept', isKept)).object
  const sealed = await settledBackup(environment, claim, named)
  const apart = await settledBackup(environment, claim, own)
  const repositories = { named, open, group, own }
  return { id, environment, plain, hostile, operator, repositories, volume, sealed, apart, kept }
}

/** Their disks do not change any more. */
async function settledBackup(environment: Environment, claim: { namespace: string; name: string }, repository: string) {
  const { metadata } = (await backUp(environment, claim, repository)).snapshot
  return await endOf(environment, 'Snapshot', claim.namespace, metadata.name)
}

export function endTalks(cluster: Cluster | undefined): void {
  for (const { api } of [cluster?.plain, cluster?.hostile, cluster?.operator].filter((one) => one !== undefined))
    api.close()
}

/** 8 MiB of data; the same seed makes the same content. */
export async function aVolume(environment: Environment, name: string, words: string): Promise<Volume> {
  const volume = await environment.createVolume({ namespace: NAMESPACE, name, sizeBytes: 8 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise(words, 3 * MIB) }])
  return volume
}

export async function backUpOf(cluster: Cluster, { claim }: Volume): Promise<Backup> {
  const { name } = claim.metadata
  return await backUp(cluster.environment, { namespace: NAMESPACE, name }, cluster.repositories.named)
}

export function deletion(namespace: string, id: string, repository: string, annotations = {}): LooseObject {
  const spec = { snapshotID: id, backupRepository: repository }
  return { ...typeOf('DeleteSnapshot'), metadata: { name: `delete-${randomUUID()}`, namespace, annotations }, spec }
}

type Stored = { snapshotID: string; metadata: string }

export function clone(namespace: string, { snapshotID, metadata }: Stored, repository: string, more = {}): LooseObject {
  const spec = { snapshotID, metadata, apiGroup: '', kind: 'PersistentVolumeClaim', backupRepository: repository }
  return {
    ...typeOf('CloneFromSnapshot'),
    metadata: { name: randomUUID(), namespace },
    spec: { ...spec, cloneCancel: false, ...more },
  }
}

/** An Upload as the snapshot function would make it. */
export function upload(namespace: string, disk: string, repository: string, reference = ''): LooseObject {
  const spec = { snapshotID: disk, backupRepository: repository, backupTimestamp: new Date().toISOString() }
  return {
    ...typeOf('Upload'),
    metadata: { name: `upload-${randomUUID()}`, namespace },
    spec: { ...spec, ...(reference === '' ? {} : { snapshotReference: reference }) },
  }
}

/** `ivd:<disk>:<snapshot>` in a Snapshot's id. */
export function diskIn(snapshotID: string): string {
  return Buffer.from(snapshotID.split(':')[2] ?? '', 'base64').toString()
}

/** The stored claim, under another name. */
export function renamed({ metadata }: { metadata: string }, name: string): string {
  const stored = decodeClaimMetadata(metadata)
  return encodeClaimMetadata({ ...stored, metadata: { ...stored.metadata, name } })
}

export function watch({ id, environment, volume }: Cluster): Promise<ForeignWorld> {
  const prefixes = ['shared/', `${id}/`]
  return foreignWorld(environment, {
    ...{ namespaces: [NAMESPACE], volumes: [volume.volumeName], disks: [volume.fcdId], prefixes },
  })
}

/** What its clone function has written about the restore that is under way. */
export async function stagedIn({ environment }: Cluster): Promise<object> {
  const clones = await environment.api.list(typeOf('CloneFromSnapshot').apiVersion, 'CloneFromSnapshot', COPY)
  const { downloadName, volumeName, volumeID } = clones[0]?.['status'] ?? {}
  return { phase: 'InProgress', ...(downloadName === undefined ? {} : { downloadName, volumeName, volumeID }) }
}

/** Prunes, and waits until the shared repository reports it. */
export async function pruned({ environment, repositories: { named } }: Cluster, reason: string): Promise<void> {
  await environment.ping('dormouse-maintenance')
  const isPruned = (object: LooseObject | undefined) =>
    object?.['status']?.conditions?.some((one: Condition) => one.type === 'Pruned' && one.reason === reason)
  await environment.waitFor('BackupRepository', undefined, named, isPruned)
}

export async function ended({ environment }: Cluster, name: string): Promise<LooseObject> {
  const isUploaded = (object: LooseObject | undefined) => object?.['status']?.phase === 'Uploaded'
  return (await environment.waitFor('Snapshot', NAMESPACE, name, isUploaded)).object
}

/** From a repository that allows the restore into another namespace of the cluster. */
export function within({ repositories }: Cluster, snapshot: LooseObject): LooseObject {
  return { ...snapshot, spec: { ...snapshot['spec'], backupRepository: repositories.group } } as LooseObject
}

/** The backup is whole in the session that it began with, and reuses what the other cluster has stored. */
export async function assertWhole(own: Cluster, snapshot: LooseObject, { file }: Volume): Promise<void> {
  const { slice, progress } = (await uploadOf(own.environment, snapshot))['status']
  assert.is(slice, 1, 'its session was not given up')
  assert.ok(progress.bytesStored < 2 ** 20, `all but a little is the other's: ${progress.bytesStored}`)
  const copy = await restore(own.environment, { snapshot: within(own, snapshot) }, COPY)
  assert.is(await sha256(copy.volume.file), await sha256(file))
}
