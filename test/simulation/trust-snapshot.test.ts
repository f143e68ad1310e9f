// Whatever a user writes into a Snapshot's status or into a claim: no backup contains others' data, and nothing of others is removed.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { formatClaimSnapshotId, formatDiskId, unwrapToDisk } from '#shared/domain/ids.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { HOUR_MS, KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aBackup, aSnapshot, aVolume, isDone } from './objects.ts'
import { allowing, World } from './world.ts'

const trust = suite('a status that was written by hand')

const B = 'tenant-b'
const FOREIGN = { vcenter: 'vc', task: 'task-4711' }
const MADE_UP = ['Snapshotted', 'Uploading', 'UploadFailed', 'CleanupAfterUploadFailed', 'Canceling']

type Disk = { fcdId: string; snapshotId: string }

/** Tenant b's own volume, and its Snapshot, whose status says what tenant b likes. */
function forge(world: World, status: object): string {
  const fcdId = aVolume(world, 'spy', B)
  world.volumes.write(fcdId, 0, noiseOf('spy', 64 * KiB))
  aSnapshot(world, 'forged', 'spy', 'br', B)
  const { namespace, name } = spy(world).metadata
  const seen = { metadata: { namespace, name } } as LooseObject
  void world.cluster.patchStatus('Snapshot', seen, status)
  return fcdId
}

const idOf = (disk: Disk) => formatClaimSnapshotId({ namespace: B, claim: 'spy', disk })
const spy = (world: World) => world.cluster.peek('Snapshot', B, 'forged') as LooseObject
const uploadsFor = (world: World, namespace: string) =>
  world.cluster.peekAll('Upload').filter((each) => each['spec']?.snapshotReference?.startsWith(`${namespace}/`))

async function set(world: World, kind: KindName, object: LooseObject, spec: object): Promise<void> {
  const { namespace, name } = object.metadata
  await world.cluster.patch(kind, { metadata: { namespace, name } } as LooseObject, { spec })
}

/** Checks that every backup that names tenant b is of tenant b's own disk. */
function assertOwnOnly(world: World, fcdId: string): void {
  const theirs = [...world.bucket.backups.values()].filter(({ about }) => about.claim.startsWith(`${B}/`))
  assert.equal(
    [...new Set(theirs.map(({ source }) => source['diskId']))].filter((id) => id !== fcdId),
    [],
  )
  for (const upload of uploadsFor(world, B)) assert.is(unwrapToDisk(upload['spec'].snapshotID).fcdId, fcdId)
}

for (const phase of MADE_UP) {
  trust(`${phase} with the disk snapshot of app's local backup reads, uploads and removes nothing of it`, async () => {
    const world = await allowing(new World(1, NO_FAULTS), [])
    const app = aVolume(world, 'data')
    world.volumes.write(app, 0, noiseOf('secret', 64 * KiB))
    aSnapshot(world, 'local', 'data', '')
    await world.run(() => isDone(world.cluster.peek('Snapshot', 'app', 'local')))
    const kept = unwrapToDisk(world.cluster.peek('Snapshot', 'app', 'local')?.['status']?.snapshotID)
    const volumeID = formatDiskId(app)
    const fcdId = forge(world, { phase, snapshotID: idOf(kept), volumeID, uploadName: 'x', metadata: 'x' })
    await world.run(() => isDone(spy(world)) && world.isQuiet())
    assert.is(spy(world)['status'].phase, 'Uploaded', 'its own disk was backed up')
    assert.is(unwrapToDisk(spy(world)['status'].snapshotID).fcdId, fcdId)
    assertOwnOnly(world, fcdId)
    assert.equal(
      world.volumes.snapshotsOf(app).map(({ snapshotId }) => snapshotId),
      [kept.snapshotId],
    )
    assert.equal(world.errors, [])
  })

  trust(`${phase} with it, cancelled: it stays`, async () => {
    const world = await allowing(new World(2, NO_FAULTS), [])
    for (const description of [
      snapshotDescription('another-cluster', 'u-1'),
      'by hand',
      snapshotDescription('test', 'u-2'),
    ]) {
      const app = aVolume(world, `data-${world.volumes.diskIds.length}`)
      const snapshotId = world.volumes.takeSnapshotNow(app, description)
      if (world.cluster.peek('Snapshot', B, 'forged') === undefined)
        forge(world, { phase, snapshotID: idOf({ fcdId: app, snapshotId }), volumeID: formatDiskId(app) })
      else {
        const seen = { metadata: { namespace: B, name: 'forged' } } as LooseObject
        await world.cluster.patchStatus('Snapshot', seen, { phase, snapshotID: idOf({ fcdId: app, snapshotId }) })
        await world.cluster.patch('Snapshot', seen, { metadata: { labels: { 'dormouse.dev/step': 'snapshot' } } })
      }
      await set(world, 'Snapshot', spy(world), { snapshotCancel: true })
      await world.run(() => isDone(spy(world)))
      assert.is(spy(world)['status'].phase, 'Canceled')
      assert.is(world.volumes.snapshotsOf(app).length, 1, description)
    }
    assert.equal(world.cluster.peekAll('Upload'), [])
  })
}

trust("with app's running upload: it is neither cancelled nor shown", async () => {
  for (const cancelled of [false, true]) {
    const world = await allowing(new World(3, NO_FAULTS), [])
    const app = aVolume(world, 'data')
    world.volumes.write(app, 0, noiseOf('secret', 384 * KiB))
    aSnapshot(world, 'snap', 'data')
    const theirs = () => world.cluster.peek('Snapshot', 'app', 'snap') as LooseObject
    while (theirs()['status']?.phase !== 'Uploading') await world.turn()
    const { snapshotID, uploadName } = theirs()['status']
    const fcdId = forge(world, { phase: 'Uploading', snapshotID, uploadName, volumeID: formatDiskId(app) })
    if (cancelled) await set(world, 'Snapshot', spy(world), { snapshotCancel: true })
    await world.run(() => isDone(spy(world)) && isDone(theirs()) && world.isQuiet())
    assert.is(theirs()['status'].phase, 'Uploaded', world.describe())
    assert.is(uploadsFor(world, 'app').length, 1)
    assert.is(spy(world)['status'].phase, cancelled ? 'Canceled' : 'Uploaded')
    assertOwnOnly(world, fcdId)
  }
})

trust("with app's sealed backup, whose record is gone: it is not shown as its own", async () => {
  const world = await allowing(new World(4, NO_FAULTS), [])
  const { snapshotID } = (await aBackup(world))['status']
  await world.cluster.delete('Upload', world.cluster.peekAll('Upload')[0] as LooseObject)
  const fcdId = forge(world, { phase: 'Uploading', snapshotID })
  await world.run(() => isDone(spy(world)) && world.isQuiet())
  assert.is(spy(world)['status'].phase, 'Uploaded', 'its own disk was backed up')
  assert.is(unwrapToDisk(spy(world)['status'].snapshotID).fcdId, fcdId)
  assertOwnOnly(world, fcdId)
})

trust("an Upload that names app's sealed backup for another namespace does not take it for its own", async () => {
  const world = await allowing(new World(4, NO_FAULTS), [])
  const { fcdId, snapshotId } = unwrapToDisk((await aBackup(world))['status'].snapshotID)
  await world.cluster.delete('Upload', world.cluster.peekAll('Upload')[0] as LooseObject)
  world.cluster.seed('Upload', {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Upload',
    metadata: { name: `upload-${snapshotId}`, namespace: 'velero' },
    spec: {
      snapshotID: formatDiskId(fcdId, snapshotId),
      backupRepository: 'br',
      backupTimestamp: '2026-11-26T11:00:00Z',
      snapshotReference: `${B}/forged`,
    },
  })
  const read = () => world.cluster.peek('Upload', 'velero', `upload-${snapshotId}`)
  await world.run(() => isDone(read()))
  assert.equal([read()?.['status']?.phase, read()?.['status']?.reason], ['UploadFailedAfterRetry', 'NotPermitted'])
  assert.is(world.bucket.backups.size, 1)
})

for (const [whose, most] of [
  ['own', 1],
  ["nobody's", 0],
] as const)
  trust(`invented ids, of a disk that is ${whose}, do not make an Upload each`, async () => {
    const world = await allowing(new World(3, NO_FAULTS), [])
    const own = forge(world, {})
    const open = world.volumes.openDisk.bind(world.volumes)
    // The harness looks up the disk of each Upload.
    world.volumes.openDisk = (...[id, snapshotId, ...more]) =>
      snapshotId?.startsWith('50000000') === true ? open(own, undefined) : open(id, snapshotId, ...more)
    const fcdId = whose === 'own' ? own : '11111111-0000-4000-8000-000000000000'
    const seen = { metadata: { namespace: B, name: 'forged' } } as LooseObject
    for (let i = 1; i <= 5; i++) {
      const snapshotID = idOf({ fcdId, snapshotId: `50000000-0000-4000-8000-${String(i).padStart(12, '0')}` })
      await world.cluster.patchStatus('Snapshot', seen, { phase: 'Snapshotted', snapshotID, uploadName: '' })
      await world.cluster.patch('Snapshot', seen, { metadata: { labels: { 'dormouse.dev/step': 'snapshot' } } })
      await world.run(() => isDone(spy(world)) && world.isQuiet())
    }
    const madeUp = uploadsFor(world, B).filter(({ metadata }) => metadata.name.startsWith('upload-50000000'))
    assert.ok(madeUp.length <= most, `${madeUp.length} Uploads`)
    assertOwnOnly(world, own)
  })

trust(
  'an Upload of the same name that was made for something else is none of its own, and the Snapshot says so',
  async () => {
    const world = await allowing(new World(18, NO_FAULTS), [])
    const fcdId = forge(world, {})
    world.cluster.onEvent({ kind: 'Snapshot' }, () => {
      const id = spy(world)?.['status']?.snapshotID
      if (id === undefined || world.cluster.peekAll('Upload').length > 0) return
      const disk = unwrapToDisk(id)
      world.cluster.seed('Upload', {
        apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
        kind: 'Upload',
        metadata: { name: `upload-${disk.snapshotId}`, namespace: 'velero', labels: { 'dormouse.dev/step': 'done' } },
        spec: {
          snapshotID: formatDiskId(fcdId, disk.snapshotId),
          backupRepository: 'br',
          backupTimestamp: '2026-11-26T11:00:00Z',
          snapshotReference: 'app/another',
        },
        status: { phase: 'Canceled' },
      })
    })
    await world.run(() => isDone(spy(world)))
    assert.is(spy(world)['status'].reason, 'NotPermitted')
    assert.equal(world.volumes.snapshotsOf(fcdId), [])
  },
)

trust("a task that is somebody else's proves no disk snapshot", async () => {
  const world = await allowing(new World(5, NO_FAULTS), [])
  const app = aVolume(world, 'data')
  const task = await world.volumes.startSnapshot(app, snapshotDescription('test', 'u-2'))
  const [{ snapshotId } = { snapshotId: '' }] = world.volumes.snapshotsOf(app)
  const fcdId = forge(world, { phase: 'New', task, volumeID: formatDiskId(app) })
  await world.run(() => isDone(spy(world)) && world.isQuiet())
  assert.is(spy(world)['status'].phase, 'Uploaded', world.describe())
  assertOwnOnly(world, fcdId)
  assert.is(world.volumes.snapshotsOf(app)[0]?.snapshotId, snapshotId)
})

/** Messages of vCenter about a task that Dormouse has not started. */
function saysOfForeignTask(world: World, say: () => { state: 'running'; percent: number }): string[] {
  const polled: string[] = []
  const pollTask = world.volumes.pollTask.bind(world.volumes)
  world.volumes.pollTask = async (task) => {
    if (task.task !== FOREIGN.task) return await pollTask(task)
    polled.push(task.task)
    return say()
  }
  return polled
}

for (const Fault of [TerminalError, RetryableError])
  trust(`what vCenter says about a task that is somebody else's is not shown (${Fault.name})`, async () => {
    const world = await allowing(new World(15, NO_FAULTS), [])
    const polled = saysOfForeignTask(world, () => {
      throw new Fault('TaskFailed', 'NoPermission on disk of VM payroll-db-7')
    })
    const shown: unknown[] = []
    world.cluster.onEvent({ kind: 'Snapshot' }, () => void shown.push(spy(world)?.['status']))
    forge(world, { phase: 'New', task: FOREIGN })
    await world.run(() => isDone(spy(world)) && world.isQuiet())
    assert.is(spy(world)['status'].phase, 'Uploaded')
    assert.ok(polled.length > 0)
    assert.not.match(JSON.stringify([shown, world.cluster.peekAll('Event')]), /payroll/)
  })

for (const startTimestamp of ['2999-01-01T00:00:00Z', '1999-01-01T00:00:00Z', 'x', undefined])
  trust(
    `a task that runs for ever occupies no function, and ends by the time limit (began: ${startTimestamp})`,
    async () => {
      const world = await allowing(new World(16, NO_FAULTS), [])
      const polled = saysOfForeignTask(world, () => ({ state: 'running', percent: 1 }))
      forge(world, { phase: 'New', task: FOREIGN, startTimestamp })
      const from = world.clock.nowMs()
      await world.run(() => isDone(spy(world)))
      assert.is(spy(world)['status'].reason, 'SnapshotTimedOut')
      assert.ok(world.clock.nowMs() - from < 1.1 * HOUR_MS)
      assert.ok(polled.length < 6 * 60, `a few looks a minute: ${polled.length} in an hour`)
    },
  )

trust('a cancel waits for a task that runs for ever no longer than the time limit', async () => {
  const world = await allowing(new World(17, NO_FAULTS), [])
  saysOfForeignTask(world, () => ({ state: 'running', percent: 1 }))
  forge(world, { phase: 'New', task: FOREIGN, startTimestamp: '2999-01-01T00:00:00Z' })
  await set(world, 'Snapshot', spy(world), { snapshotCancel: true })
  const from = world.clock.nowMs()
  await world.run(() => isDone(spy(world)))
  assert.is(spy(world)['status'].phase, 'Canceled')
  assert.ok(world.clock.nowMs() - from < 1.1 * HOUR_MS)
})

trust('a task at a vCenter that nobody configured is forgotten, and another one is begun', async () => {
  const world = await allowing(new World(6, NO_FAULTS), [])
  forge(world, { phase: 'New', task: { vcenter: 'evil.example', task: 'task-1' } })
  await world.run(() => isDone(spy(world)) && world.isQuiet())
  assert.is(spy(world)['status'].phase, 'Uploaded', world.describe())
})

trust("a claim that says it is bound to app's volume is not backed up", async () => {
  const world = await allowing(new World(7, NO_FAULTS), [])
  const app = aVolume(world, 'data')
  world.cluster.seed('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'spy', namespace: B },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'never', volumeName: 'pv-data' },
    status: { phase: 'Bound' },
  })
  aSnapshot(world, 'forged', 'spy', 'br', B)
  await world.run(() => isDone(spy(world)))
  assert.equal([spy(world)['status'].phase, spy(world)['status'].reason], ['SnapshotFailed', 'VolumeOfAnotherClaim'])
  assert.equal(world.volumes.snapshotsOf(app), [])
})

trust('a claim of the same name as the one that the volume was bound to is another claim', async () => {
  const world = await allowing(new World(8, NO_FAULTS), [])
  const app = aVolume(world, 'data')
  const volume = world.cluster.peek('PersistentVolume', undefined, 'pv-data') as LooseObject
  await world.cluster.patch('PersistentVolume', volume, {
    spec: { claimRef: { uid: 'of-an-earlier-one' }, persistentVolumeReclaimPolicy: 'Retain' },
  })
  aSnapshot(world, 'snap', 'data')
  const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap')
  await world.run(() => isDone(snapshot()))
  assert.is(snapshot()?.['status']?.reason, 'VolumeOfAnotherClaim')
  assert.equal(world.volumes.snapshotsOf(app), [])
})

trust(
  'the root names the claim, and the Backup that the plugin named, as they were when the Upload was made',
  async () => {
    const world = await allowing(new World(9, NO_FAULTS), [])
    aVolume(world, 'data')
    aSnapshot(world, 'snap', 'data')
    const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap') as LooseObject
    const annotations = { 'dormouse.dev/velero-backup': 'nightly' }
    await world.cluster.patch('Snapshot', snapshot(), { metadata: { annotations } })
    while (world.cluster.peekAll('Upload').length === 0) await world.turn()
    await set(world, 'Snapshot', snapshot(), { resourceHandle: { name: 'another' } })
    await world.cluster.patch('Snapshot', snapshot(), {
      metadata: { annotations: { 'dormouse.dev/velero-backup': 'x' } },
    })
    await world.run(() => isDone(snapshot()))
    const [root] = [...world.bucket.backups.values()]
    assert.equal([root?.about.claim, root?.about.backup], ['app/data', 'nightly'])
  },
)

trust('a repository that is named after the check, and is not for the namespace, gets no backup', async () => {
  const world = await allowing(new World(13, NO_FAULTS), [])
  world.cluster.seed('BackupRepository', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'BackupRepository',
    metadata: { name: 'for-app' },
    allowedNamespaces: ['app'],
  })
  const fcdId = aVolume(world, 'spy', B)
  aSnapshot(world, 'forged', 'spy', '', B)
  await world.run(() => isDone(spy(world)))
  await set(world, 'Snapshot', spy(world), { backupRepository: 'for-app' })
  const due = { labels: { 'dormouse.dev/step': 'snapshot' } }
  await world.cluster.patch('Snapshot', spy(world), { metadata: due })
  await world.run(() => isDone(spy(world)))
  const { phase, reason } = spy(world)['status']
  assert.equal([phase, reason], ['UploadFailedAfterRetry', 'NamespaceNotAllowed'])
  assert.equal(world.cluster.peekAll('Upload'), [])
  assert.is(world.volumes.snapshotsOf(fcdId).length, 1, 'the backup in vCenter is kept')
})

trust('a repository that is named while the disk snapshot is taken is not used either', async () => {
  const world = await allowing(new World(14, NO_FAULTS), [])
  aVolume(world, 'spy', B)
  aSnapshot(world, 'forged', 'spy', 'br', B)
  world.volumes.onCall = ({ method }, moment) => {
    if (method !== 'startSnapshot' || moment !== 'before') return
    void set(world, 'Snapshot', spy(world), { backupRepository: 'for-app' })
  }
  while (world.cluster.peekAll('Upload').length === 0) await world.turn()
  assert.is(world.cluster.peekAll('Upload')[0]?.['spec'].backupRepository, 'br')
  assert.is(spy(world)['spec'].backupRepository, 'for-app')
})

trust('an Upload outside of the Velero namespace is not looked at', async () => {
  const world = await allowing(new World(10, NO_FAULTS), [])
  const app = aVolume(world, 'data')
  const snapshotId = world.volumes.takeSnapshotNow(app, snapshotDescription('test', 'u-2'))
  world.cluster.seed('Upload', {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Upload',
    metadata: { name: `upload-${snapshotId}`, namespace: B },
    spec: {
      snapshotID: formatDiskId(app, snapshotId),
      backupRepository: 'br',
      backupTimestamp: '2026-11-26T11:00:00Z',
      snapshotReference: `${B}/forged`,
    },
  })
  for (let turns = 0; turns < 200; turns++) await world.turn()
  await world.drain()
  assert.is(world.cluster.peekAll('Upload')[0]?.['status'], undefined)
  assert.equal([world.bucket.backups.size, world.volumes.snapshotsOf(app).length], [0, 1])
})

trust("an Upload by hand of another program's disk snapshot ends by name, and the disk snapshot stays", async () => {
  const world = await allowing(new World(11, NO_FAULTS), [])
  const app = aVolume(world, 'data')
  const snapshotId = world.volumes.takeSnapshotNow(app, 'before the upgrade')
  const upload = world.cluster.seed('Upload', {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Upload',
    metadata: { name: 'by-hand', namespace: 'velero' },
    spec: {
      snapshotID: formatDiskId(app, snapshotId),
      backupRepository: 'br',
      backupTimestamp: '2026-11-26T11:00:00Z',
      snapshotReference: 'app/nobody',
    },
  })
  const read = () => world.cluster.peek('Upload', 'velero', upload.metadata.name)
  await world.run(() => isDone(read()))
  assert.equal([read()?.['status']?.phase, read()?.['status']?.reason], ['UploadFailedAfterRetry', 'NotPermitted'])
  assert.equal([world.bucket.backups.size, world.volumes.snapshotsOf(app).length], [0, 1])
})

trust.run()
