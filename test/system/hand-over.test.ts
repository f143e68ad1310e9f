// The restored volume is handed over only when it is whole: the claim's phase, recorded throughout, was never Bound before.

import { randomUUID } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '#shared/api/kinds.ts'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { type Backup, backUp, claimRepository, restore, typeOf } from '#test/environment/main-job.ts'
import { NODE_NAME } from '#test/environment/seed.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'

const MIB = 2 ** 20
const SIZE_BYTES = 48 * MIB
const ENDS = ['Completed', 'Failed', 'Canceled']

const handOver = suite('the hand-over')
let environment: Environment
let repository: string

async function aBackup(name: string): Promise<{ volume: Volume; backup: Backup }> {
  const volume = await environment.createVolume({ namespace: 'shop', name, sizeBytes: SIZE_BYTES })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise(name, 24 * MIB) }])
  return { volume, backup: await backUp(environment, { namespace: 'shop', name }, repository, { timeoutMs: 60_000 }) }
}

/** A clone of `backup` in `namespace`, at its end. */
async function cloneEnd(backup: Backup, namespace: string): Promise<KubeObject> {
  await environment.createNamespace(namespace)
  const name = randomUUID()
  const { snapshotID, metadata } = backup.snapshot['status']
  const spec = {
    snapshotID,
    metadata,
    apiGroup: '',
    kind: 'PersistentVolumeClaim',
    backupRepository: repository,
    cloneCancel: false,
  }
  await environment.api.create({ ...typeOf('CloneFromSnapshot'), metadata: { name, namespace }, spec })
  const isOver = (object: KubeObject | undefined) => ENDS.includes(object?.['status']?.phase)
  return (await environment.waitFor('CloneFromSnapshot', namespace, name, isOver, 120_000)).object
}

handOver.before(async () => {
  environment = await startEnvironment({ envOf: { download: { FAKE_VDDK_MBPS: '6' } } })
  repository = await claimRepository(environment)
})
/** What a node's kubelet would say. */
async function makeNodeReady(): Promise<void> {
  const now = new Date().toISOString().replace(/\.\d+Z/, 'Z')
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'KubeletReady',
    message: '',
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  }
  const node = { apiVersion: 'v1', kind: 'Node', name: NODE_NAME }
  await environment.api.patch(node, { status: { conditions: [ready] } }, 'status')
}

handOver.after(async () => {
  await environment.stop()
})

handOver('the claim does not exist before every byte is written, and is Bound only after the download', async () => {
  const { volume, backup } = await aBackup('orders')
  const claims = await environment.record('PersistentVolumeClaim', 'copy')
  const downloads = await environment.record('Download', 'velero')
  const copy = await restore(environment, backup, 'copy', { timeoutMs: 60_000 })
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))

  const name = copy.clone['status'].downloadName
  const moving = downloads.of(name).filter(({ object }) => object['status']?.phase === 'InProgress')
  assert.ok(moving.length >= 3, `${moving.length} states: the recording covers a download that took its time`)
  const completed = downloads.of(name).find(({ object }) => object['status']?.phase === 'Completed')
  const bound = claims.of('orders').find(({ object }) => object['status']?.phase === 'Bound')
  const created = claims.of('orders').find(({ deleted }) => !deleted)
  assert.ok(completed !== undefined && bound !== undefined && created !== undefined)
  assert.ok(created.atMs >= completed.atMs, 'the claim was created before the download was completed')
  assert.ok(bound.atMs >= completed.atMs, 'the claim was bound before the download was completed')
  const staging = claims.seen.filter(({ object }) => object.metadata.name.startsWith('dormouse-'))
  assert.ok(
    staging.some(({ object }) => object['status']?.phase === 'Bound'),
    'the data went into a staged disk',
  )
  assert.ok(staging.at(-1)?.deleted, 'the staging claim is gone')
  downloads.stop()
  claims.stop()
})

handOver('row 24: a class that waits for its first consumer is provisioned for a node', async () => {
  await makeNodeReady()
  const { volume, backup } = await aBackup('letters')
  const { snapshot } = backup
  const stored = decodeClaimMetadata(snapshot['status'].metadata)
  stored['spec'].storageClassName = 'vsphere-wait'
  const waiting = {
    ...backup,
    snapshot: { ...snapshot, status: { ...snapshot['status'], metadata: encodeClaimMetadata(stored) } },
  }
  const copy = await restore(environment, waiting, 'letters-copy', { timeoutMs: 60_000 })
  assert.is(copy.volume.claim['spec'].storageClassName, 'vsphere-wait')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
})

handOver('a claim that exists is never touched', async () => {
  const { volume, backup } = await aBackup('ledger')
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('newer', MIB) }])
  const before = await sha256(volume.file)
  const clone = await cloneEnd(backup, 'shop')
  assert.is(clone['status'].phase, 'Failed')
  assert.is(clone['status'].reason, 'TargetExists')
  assert.is(await sha256(volume.file), before)
  await environment.waitFor(
    'PersistentVolumeClaim',
    'shop',
    `dormouse-${clone.metadata.uid}`,
    (object) => object === undefined,
  )
})

handOver.run()
