// How objects end on the real API: records after their time, orphans in vCenter, deletions whose clean-up fails.

import { randomUUID } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import type { VolumeService } from '#shared/ports/volumes.ts'
import { readVSphereConfig } from '#shared/providers/vsphere/config.ts'
import { createVolumeService } from '#shared/providers/vsphere/service.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { aSnapshot, type Backup, backUp, claimRepository, remove, restore, typeOf } from '#test/environment/main-job.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sumOf } from './support/metrics.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
/** The cluster id in the environment's vSphere configuration. */
const CLUSTER = 'dormouse-environment'
const RECORDS: KindName[] = ['Snapshot', 'Upload', 'Download', 'CloneFromSnapshot', 'DeleteSnapshot']

const ends = suite('ends')
let environment: Environment
let repository: string
let volume: Volume
let backup: Backup
let vcenter: VolumeService

ends.before(async () => {
  environment = await startEnvironment({
    env: {
      DORMOUSE_RECORD_RETENTION_SECONDS: '6',
      DORMOUSE_ORPHAN_AGE_SECONDS: '1',
      DORMOUSE_SNAPSHOT_TIMEOUT_SECONDS: '1',
      DORMOUSE_FINALIZER_DEADLINE_SECONDS: '4',
      DORMOUSE_BACKOFF_UNIT_SECONDS: '1',
    },
    pingEveryMs: { 'dormouse-sweep': 0, 'dormouse-orphans': 0 },
    // The counts of a sweep are lost with its instance.
    idleMs: 120_000,
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 4 * MIB) }])
  const config = readVSphereConfig(environment.vcenter.configText(), () => undefined)
  vcenter = createVolumeService({ loadConfig: async () => config, clock: systemClock })
})
ends.after(async () => {
  await vcenter.close()
  await environment.stop()
})

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const isDone = (object: LooseObject | undefined) => object?.metadata.labels?.['dormouse.dev/step'] === 'done'

async function names(kind: KindName): Promise<string[]> {
  return (await environment.api.list(typeOf(kind).apiVersion, kind)).map(({ metadata }) => metadata.name)
}

/** Takes a disk snapshot with that description, as a run that died may have left it. Returns its id. */
async function leave(description: string): Promise<string> {
  const task = await vcenter.startSnapshot(volume.fcdId, description)
  for (;;) {
    const state = await vcenter.pollTask(task)
    if (state.state === 'done') return state.result ?? ''
    await pause(50)
  }
}

async function snapshotIds(): Promise<string[]> {
  return (await environment.vcenter.disk(volume.fcdId))!.snapshots.map(({ id }) => id).sort()
}

ends('row 52: records go after their time, succeeded and failed, and the backup stays', async () => {
  backup = await backUp(environment, CLAIM, repository)
  await restore(environment, backup, 'copy')
  const doomed = await backUp(environment, CLAIM, repository)
  await remove(environment, doomed)
  await environment.api.create(aSnapshot('wrong', { namespace: 'shop', name: 'nothing' }, repository))
  await environment.waitFor('Snapshot', 'shop', 'wrong', (seen) => seen?.['status']?.phase === 'SnapshotFailed')
  await environment.api.create(aSnapshot('local', CLAIM, ''))
  await environment.waitFor('Snapshot', 'shop', 'local', isDone)
  for (const kind of RECORDS) assert.ok((await names(kind)).length >= 1, kind)
  await pause(7000)
  await environment.ping('dormouse-sweep')
  const left = await Promise.all(RECORDS.map(async (kind) => [kind, await names(kind)]))
  assert.equal(Object.fromEntries(left), {
    Snapshot: ['local'],
    Upload: [],
    Download: [],
    CloneFromSnapshot: [],
    DeleteSnapshot: [],
  })
  await restore(environment, backup, 'copy-2')
})

ends('a phase that was set by hand gets a time, and its record goes when that is over', async () => {
  const name = 'by-hand'
  await environment.api.create({
    ...typeOf('Upload'),
    metadata: { name, namespace: 'velero', labels: { 'dormouse.dev/step': 'done' } },
    spec: { snapshotID: `ivd:${volume.fcdId}:${volume.fcdId}`, backupRepository: repository },
    status: { phase: 'Canceled' },
  })
  await environment.ping('dormouse-sweep')
  const stamped = await environment.api.get({ ...typeOf('Upload'), namespace: 'velero', name })
  assert.match(stamped?.['status'].completionTimestamp, /Z$/)
  await pause(7000)
  await environment.ping('dormouse-sweep')
  assert.is(await environment.api.get({ ...typeOf('Upload'), namespace: 'velero', name }), undefined)
})

ends(
  'an orphan of this cluster goes; other clusters, other programs and backups in vCenter are never touched',
  async () => {
    const [kept] = await snapshotIds()
    const leaked = await leave(`dormouse/${CLUSTER}/${randomUUID()}`)
    const others = [
      await leave(`dormouse/another-cluster/${randomUUID()}`),
      await leave(`dormouse/${CLUSTER}/${randomUUID()}/keep`),
      await leave('by hand'),
    ]
    await pause(1500)
    await environment.ping('dormouse-sweep')
    assert.equal(await snapshotIds(), [kept, leaked, ...others].sort(), 'the sweep of each minute asks no vCenter')
    await environment.ping('dormouse-orphans')
    assert.equal(await snapshotIds(), [kept, ...others].sort())
    const events = await environment.api.list('v1', 'Event', 'shop')
    const told = events.filter((event) => event['reason'] === 'OrphanRemoved')
    assert.equal(
      told.map((event) => event['involvedObject'].name),
      ['orders'],
    )
    const [text] = await environment.metricsOf('sweep')
    assert.is(sumOf(text!, 'dormouse_sweep_ended_total', { what: 'orphan' }), 1)
  },
)

ends('the backup that is kept in vCenter outlives its object', async () => {
  const before = await snapshotIds()
  await environment.api.delete({ ...typeOf('Snapshot'), namespace: 'shop', name: 'local' })
  await environment.waitFor('Snapshot', 'shop', 'local', (seen) => seen === undefined)
  await pause(1500)
  await environment.ping('dormouse-orphans')
  assert.equal(await snapshotIds(), before)
})

ends(
  'with vCenter away a deletion is let go at its deadline, says so, and what it left goes when vCenter is back',
  async () => {
    await environment.vcenter.delay('VslmCreateSnapshot', 2000)
    await environment.createNamespace('short')
    const other = await environment.createVolume({ namespace: 'short', name: 'lived', sizeBytes: 4 * MIB })
    await environment.api.create(aSnapshot('stuck', { namespace: 'short', name: 'lived' }, repository))
    await environment.waitFor('Snapshot', 'short', 'stuck', (seen) => seen?.['status']?.task !== undefined)
    await environment.vcenter.addFault({ method: 'VslmDeleteSnapshot', fault: 'FileLocked', times: 1000 })
    await environment.api.delete({ ...typeOf('Snapshot'), namespace: 'short', name: 'stuck' })
    await pause(6000)
    await environment.ping('dormouse-sweep')
    await pause(2000)
    await environment.ping('dormouse-sweep')
    await environment.waitFor('Snapshot', 'short', 'stuck', (seen) => seen === undefined)
    const events = await environment.api.list('v1', 'Event', 'short')
    const [told] = events.filter((event) => event['reason'] === 'FinalizerReleased')
    assert.is(told?.['type'], 'Warning')
    const left = async () => (await environment.vcenter.disk(other.fcdId))!.snapshots
    assert.is((await left()).length, 1)
    await environment.vcenter.clearFaults()
    // If an Upload was made meanwhile, it still owns the snapshot and the sweep wakes it; otherwise the snapshot is an orphan.
    for (let look = 0; look < 30 && (await left()).length > 0; look++) {
      await environment.ping('dormouse-sweep')
      await environment.ping('dormouse-orphans')
      await pause(500)
    }
    assert.equal(await left(), [])
  },
)

ends.run()
