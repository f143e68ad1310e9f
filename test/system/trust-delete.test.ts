// Two tenants, two clusters and another program at one vCenter and one bucket, on the real API with the functions' own rights: what a
// tenant requests by an id, a status or a claim touches only the tenant's own objects, and each refusal gives its reason.

import { randomUUID } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatClaimSnapshotId, formatDiskId } from '#shared/domain/ids.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import type { VolumeService } from '#shared/ports/volumes.ts'
import { readVSphereConfig } from '#shared/providers/vsphere/config.ts'
import { createVolumeService } from '#shared/providers/vsphere/service.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { aSnapshot, type Backup, backUp, claimRepository, restore, typeOf } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const MIB = 2 ** 20
const APP = { namespace: 'app', name: 'data' }
const SPY = { namespace: 'tenant-b', name: 'spy' }

const trust = suite('who may delete')
let environment: Environment
let vcenter: VolumeService
/** Repositories over one bucket: one for `app` and the namespace that it restores into, the other open to all. */
let forApp: string
let shared: string
let app: Volume
let spy: Volume
let backup: Backup
/** A backup of `app` that is kept in vCenter. */
let kept: LooseObject

trust.before(async () => {
  environment = await startEnvironment({ env: { DORMOUSE_DUE_SECONDS: '1' }, pingEveryMs: { 'dormouse-sweep': 2000 } })
  forApp = await claimRepository(environment, { allowedNamespaces: ['app', 'app-again'] })
  shared = await claimRepository(environment)
  app = await environment.createVolume({ ...APP, sizeBytes: 8 * MIB })
  spy = await environment.createVolume({ ...SPY, sizeBytes: 8 * MIB })
  for (const volume of [app, spy])
    await writePieces(volume.file, [{ offsetBytes: 0, data: noise(volume.fcdId, 2 * MIB) }])
  const config = readVSphereConfig(environment.vcenter.configText(), () => undefined)
  vcenter = createVolumeService({ loadConfig: async () => config, clock: systemClock })
  backup = await backUp(environment, APP, forApp)
  await environment.api.create(aSnapshot('local', APP, ''))
  kept = (await environment.waitFor('Snapshot', APP.namespace, 'local', isDone)).object
})
trust.after(async () => {
  await vcenter.close()
  await environment.stop()
})

const isDone = (object: LooseObject | undefined) => object?.metadata.labels?.['dormouse.dev/step'] === 'done'

/** A disk snapshot that another program has made. */
async function leave({ fcdId }: Volume, description: string): Promise<string> {
  const task = await vcenter.startSnapshot(fcdId, description)
  for (;;) {
    const state = await vcenter.pollTask(task)
    if (state.state === 'done') return state.result ?? ''
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function snapshotIds({ fcdId }: Volume): Promise<string[]> {
  return (await environment.vcenter.disk(fcdId))!.snapshots.map(({ id }) => id).sort()
}

function idOf(volume: Volume, snapshotId: string): string {
  return formatClaimSnapshotId({ namespace: SPY.namespace, claim: 'x', disk: { fcdId: volume.fcdId, snapshotId } })
}

async function ask(namespace: string, snapshotID: string, backupRepository: string, annotations = {}) {
  const name = `delete-${randomUUID()}`
  const spec = { snapshotID, backupRepository }
  await environment.api.create({ ...typeOf('DeleteSnapshot'), metadata: { name, namespace, annotations }, spec })
  const { object } = await environment.waitFor('DeleteSnapshot', namespace, name, isDone)
  return object
}

async function assertRefused(request: LooseObject, reason: string): Promise<void> {
  assert.equal([request['status'].phase, request['status'].reason], ['Failed', reason], request['status'].message)
  const events = await environment.api.list('v1', 'Event', request.metadata.namespace)
  const told = events.filter((event) => event['involvedObject'].name === request.metadata.name)
  assert.equal(
    told.map((event) => [event['type'], event['reason']]),
    [['Warning', reason]],
  )
}

trust("another namespace's backups stay, in the bucket and in vCenter, and each refusal has its reason", async () => {
  const before = await snapshotIds(app)
  const { snapshotID } = backup.snapshot['status']
  await assertRefused(await ask('tenant-b', snapshotID, forApp), 'NamespaceNotAllowed')
  await assertRefused(await ask('tenant-b', snapshotID, shared), 'NotPermitted')
  const onBehalfOf = { 'dormouse.dev/on-behalf-of': 'tenant-b' }
  await assertRefused(await ask('velero', snapshotID, forApp, onBehalfOf), 'NamespaceNotAllowed')
  await assertRefused(await ask('velero', snapshotID, shared, onBehalfOf), 'NotPermitted')
  await assertRefused(await ask('tenant-b', kept['status'].snapshotID, ''), 'NotPermitted')
  assert.equal(await snapshotIds(app), before)
})

trust('disk snapshots of other programs and of other clusters stay, also on the own disk', async () => {
  const names = [
    'before the upgrade',
    `dormouse/another-cluster/${randomUUID()}`,
    `dormouse/another/${randomUUID()}/keep`,
  ]
  for (const volume of [app, spy])
    for (const name of names) {
      const snapshotId = await leave(volume, name)
      await assertRefused(await ask('tenant-b', idOf(volume, snapshotId), ''), 'NotPermitted')
      const byOperator = await ask('velero', idOf(volume, snapshotId), '')
      assert.is(byOperator['status'].phase, 'Completed')
      assert.match(byOperator['status'].message, 'the disk snapshot stays')
      assert.ok((await snapshotIds(volume)).includes(snapshotId), name)
    }
})

trust("a forged status makes no backup of others' data, and removes nothing of others", async () => {
  const before = await snapshotIds(app)
  const { snapshotID } = kept['status']
  for (const [name, phase, cancel] of [
    ['uploads', 'Snapshotted', false],
    ['removes', 'Canceling', true],
  ] as const) {
    const ref = { ...typeOf('Snapshot'), namespace: SPY.namespace, name }
    await environment.api.create({
      ...aSnapshot(name, SPY, shared),
      metadata: { name, namespace: SPY.namespace, labels: { 'dormouse.dev/step': 'done' } },
    })
    await environment.api.patch(ref, { status: { phase, snapshotID, volumeID: formatDiskId(app.fcdId) } }, 'status')
    const labels = { 'dormouse.dev/step': 'snapshot' }
    await environment.api.patch(ref, { metadata: { labels }, spec: { snapshotCancel: cancel } })
    const isOver = (seen: LooseObject | undefined) => ['Uploaded', 'Canceled'].includes(seen?.['status']?.phase)
    const { object } = await environment.waitFor('Snapshot', SPY.namespace, name, isOver)
    assert.is(object['status'].phase, cancel ? 'Canceled' : 'Uploaded')
  }
  const uploads = await environment.api.list(typeOf('Upload').apiVersion, 'Upload')
  const theirs = uploads.filter((upload) => upload['spec'].snapshotReference.startsWith(`${SPY.namespace}/`))
  assert.ok(theirs.length >= 1)
  for (const upload of theirs) assert.match(upload['spec'].snapshotID, spy.fcdId)
  assert.equal(await snapshotIds(app), before)
})

trust("a claim that names another's volume is not backed up, whatever its status says", async () => {
  const claim = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...APP })
  const { accessModes, resources, storageClassName, volumeName } = claim!['spec']
  const ref = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: SPY.namespace, name: 'thief' }
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: SPY.namespace, name: 'thief' },
    spec: { accessModes, resources, storageClassName, volumeName },
  })
  await environment.api.patch(ref, { status: { phase: 'Bound' } }, 'status')
  const before = await snapshotIds(app)
  await environment.api.create(aSnapshot('stolen', { ...SPY, name: 'thief' }, shared))
  const { object } = await environment.waitFor('Snapshot', SPY.namespace, 'stolen', isDone)
  assert.is(object['status'].phase, 'SnapshotFailed')
  // Kubernetes may take the claim's reference back before a function reads it.
  assert.ok(['VolumeOfAnotherClaim', 'ClaimNotBound'].includes(object['status'].reason), object['status'].reason)
  assert.equal(await snapshotIds(app), before)
})

trust('a namespace deletes its own: in the bucket, and in vCenter also when the Snapshot is gone', async () => {
  const own = await backUp(environment, APP, forApp)
  const removed = await ask('app', own.snapshot['status'].snapshotID, forApp)
  assert.is(removed['status'].phase, 'Completed', removed['status'].message)
  assert.match(removed['status'].message, 'the backup is removed')
  await environment.api.delete({ ...typeOf('Snapshot'), namespace: 'app', name: 'local' })
  await environment.waitFor('Snapshot', 'app', 'local', (seen) => seen === undefined)
  const before = await snapshotIds(app)
  const local = await ask('app', kept['status'].snapshotID, '')
  assert.is(local['status'].phase, 'Completed', local['status'].message)
  assert.is((await snapshotIds(app)).length, before.length - 1)
})

trust('the backup that other tenants asked to delete is still whole', async () => {
  const copy = await restore(environment, backup, 'app-again')
  assert.is(await sha256(copy.volume.file), await sha256(app.file))
})

trust.run()
