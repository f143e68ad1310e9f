// Who may delete what: a tenant's DeleteSnapshot may name any id, and removes only what was made for the tenant's namespace.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ON_BEHALF_OF_ANNOTATION } from '#shared/domain/authority.ts'
import { formatClaimSnapshotId, unwrapToDisk } from '#shared/domain/ids.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { BACKUP_ANNOTATION } from '#shared/domain/velero.ts'
import { HOUR_MS, KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aBackup, aDelete, aSnapshot, aVolume, isDone } from './objects.ts'
import { CLUSTER_ID } from './processes.ts'
import { seedOf } from './velero.ts'
import { allowing, World } from './world.ts'

const trust = suite('who may delete')

const UID = '11111111-0000-4000-8000-000000000000'
const OTHERS = {
  'a snapshot of another program': 'before the upgrade',
  'a snapshot of another cluster': snapshotDescription('another-cluster', UID),
  'a backup that another cluster keeps in vCenter': snapshotDescription('another-cluster', UID, true),
}

/** A backup that another cluster has made. */
const THEIR_ABOUT = { clusterId: 'another', claim: 'app/data', backup: 'nightly' }
const THEIR_IDS = { diskId: UID, snapshotId: UID }

/** A Snapshot with this id, as a DeleteSnapshot needs it. */
function named(fcdId: string, snapshotId: string): LooseObject {
  const snapshotID = formatClaimSnapshotId({ namespace: 'tenant-b', claim: 'x', disk: { fcdId, snapshotId } })
  return { status: { snapshotID } } as unknown as LooseObject
}

async function ask(
  world: World,
  target: LooseObject,
  namespace: string,
  onBehalfOf?: string,
  backup?: string,
): Promise<LooseObject> {
  const name = `d-${world.cluster.peekAll('DeleteSnapshot').length}`
  aDelete(world, name, target, namespace)
  const read = () => world.cluster.peek('DeleteSnapshot', namespace, name) as LooseObject
  const annotations = {
    ...(onBehalfOf === undefined ? {} : { [ON_BEHALF_OF_ANNOTATION]: onBehalfOf }),
    ...(backup === undefined ? {} : { [BACKUP_ANNOTATION]: backup }),
  }
  await world.cluster.patch('DeleteSnapshot', read(), { metadata: { annotations } })
  await world.run(() => isDone(read()))
  assert.equal(world.errors, [])
  return read()['status']
}

function assertRefused(status: LooseObject, text?: string): void {
  assert.equal([status['phase'], status['reason']], ['Failed', 'NotPermitted'], status['message'])
  const removed = status['conditions'].find(({ type }: { type: string }) => type === 'Removed')
  assert.equal([removed.status, removed.reason], ['False', 'NotPermitted'])
  if (text !== undefined) assert.match(status['message'], text)
}

const bucketOf = ({ bucket }: World) => bucket.keyList.join()
const snapshotsOf = ({ volumes }: World) => volumes.diskIds.flatMap((fcdId) => volumes.snapshotsOf(fcdId))

trust("another namespace's backup stays, and the refusal has its reason and its Event", async () => {
  const world = await allowing(new World(1, NO_FAULTS), [])
  const backup = await aBackup(world)
  const before = bucketOf(world)
  assertRefused(await ask(world, backup, 'tenant-b'), 'it is no backup of namespace tenant-b')
  assertRefused(await ask(world, backup, 'velero', 'tenant-b'))
  assert.is(bucketOf(world), before)
  const events = world.cluster.peekAll('Event').filter(({ reason }) => reason === 'NotPermitted')
  assert.is(events.length, 2)
})

trust('a namespace, its delegate and an operator may delete its backup', async () => {
  for (const [namespace, onBehalfOf] of [['app'], ['velero', 'app'], ['velero']] as [string, string?][]) {
    const world = await allowing(new World(2, NO_FAULTS), [])
    const status = await ask(world, await aBackup(world), namespace, onBehalfOf)
    assert.is(status['phase'], 'Completed', status['message'])
    assert.is(world.bucket.backups.size, 0)
  }
})

for (const [what, description] of Object.entries(OTHERS)) {
  trust(`${what} stays, whoever asks, also on the asker's own disk`, async () => {
    for (const [owner, namespace, onBehalfOf] of [
      ['app', 'tenant-b'],
      ['tenant-b', 'tenant-b'],
      ['tenant-b', 'velero', 'tenant-b'],
    ] as [string, string, string?][]) {
      const world = await allowing(new World(3, NO_FAULTS), [])
      const fcdId = aVolume(world, 'data', owner)
      const snapshotId = world.volumes.takeSnapshotNow(fcdId, description)
      assertRefused(await ask(world, named(fcdId, snapshotId), namespace, onBehalfOf), 'the disk snapshot stays')
      assert.is(snapshotsOf(world).length, 1)
    }
    const world = await allowing(new World(3, NO_FAULTS), [])
    const fcdId = aVolume(world, 'data')
    const status = await ask(world, named(fcdId, world.volumes.takeSnapshotNow(fcdId, description)), 'velero')
    assert.is(status['phase'], 'Completed')
    assert.match(status['message'], 'the disk snapshot stays, as another cluster or program has made it')
    assert.is(snapshotsOf(world).length, 1)
  })
}

trust(
  'a backup of another cluster is for Velero, while it deletes the Backup that the root names, and for operators',
  async () => {
    for (const [isAllowed, namespace, onBehalfOf, backup] of [
      [false, 'app'],
      [false, 'app', 'app', 'nightly'],
      [false, 'velero', 'app'],
      [false, 'velero', 'app', ''],
      [false, 'velero', 'app', 'weekly'],
      [true, 'velero', 'app', 'nightly'],
      [true, 'velero'],
    ] as [boolean, string, string?, string?][]) {
      const world = await allowing(new World(4, NO_FAULTS), [])
      await aBackup(world)
      const [own] = world.bucket.backups.keys()
      const theirs = world.bucket.plantRoot(own as string, THEIR_ABOUT, THEIR_IDS)
      const status = await ask(world, named(UID, UID), namespace, onBehalfOf, backup)
      if (!isAllowed) assertRefused(status, 'another cluster has made it')
      else assert.is(status['phase'], 'Completed', status['message'])
      assert.is(world.bucket.backups.has(theirs), !isAllowed)
      assert.is(world.bucket.backups.has(own as string), true)
    }
  },
)

trust("a Snapshot's status that was written by hand makes the sweep delete nothing of another cluster", async () => {
  const world = await allowing(new World(4, NO_FAULTS), ['app'])
  await aBackup(world)
  const [own] = world.bucket.backups.keys()
  const theirs = world.bucket.plantRoot(own as string, THEIR_ABOUT, THEIR_IDS)
  const backup = seedOf(world, 'Backup', 'nightly', {})
  await world.cluster.patch('Backup', backup, { status: { phase: 'Completed' } })
  const snapshotID = formatClaimSnapshotId({
    namespace: 'app',
    claim: 'data',
    disk: { fcdId: UID, snapshotId: UID },
  })
  world.cluster.seed('Snapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: {
      name: 'forged',
      namespace: 'app',
      labels: { 'velero.io/backup-uid': backup.metadata.uid as string, 'dormouse.dev/step': 'done' },
      annotations: { [BACKUP_ANNOTATION]: 'nightly', 'dormouse.dev/velero-operation': 'requested' },
    },
    spec: { resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: 'data' }, backupRepository: 'br' },
    status: { phase: 'Uploaded', snapshotID },
  })
  const from = world.clock.nowMs()
  await world.run(() => world.clock.nowMs() - from > HOUR_MS)
  const [asked] = world.cluster.peekAll('DeleteSnapshot')
  assertRefused(asked?.['status'], 'another cluster has made it')
  assert.ok(world.bucket.backups.has(theirs))
})

for (const where of ['app', 'spy'])
  trust(
    `a volume of earlier times, of ${where}, does not let its namespace delete what the disk's new owner keeps`,
    async () => {
      const world = await allowing(new World(5, NO_FAULTS), [])
      const fcdId = aVolume(world, 'data')
      const now = world.cluster.peek('PersistentVolume', undefined, 'pv-data') as LooseObject
      // An operator has moved the disk to another namespace by a second volume object (Retain, static).
      world.cluster.seed('PersistentVolume', {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'pv-old' },
        spec: { ...now['spec'], claimRef: { namespace: 'spy', name: 'old', uid: 'gone' } },
        status: { phase: 'Released' },
      })
      aSnapshot(world, 'local', 'data', '')
      await world.run(() => isDone(world.cluster.peek('Snapshot', 'app', 'local')))
      const { snapshotId } = unwrapToDisk(world.cluster.peek('Snapshot', 'app', 'local')?.['status']?.snapshotID)
      assertRefused(await ask(world, named(fcdId, snapshotId), where), 'the disk snapshot stays')
      assert.is(snapshotsOf(world).length, 1)
      const status = await ask(world, named(fcdId, snapshotId), 'velero')
      assert.is(status['phase'], 'Completed')
      assert.is(snapshotsOf(world).length, 0)
    },
  )

trust('a deletion that is permitted only in part removes nothing', async () => {
  const world = await allowing(new World(5, NO_FAULTS), [])
  const backup = await aBackup(world)
  const [own] = world.bucket.backups.keys()
  world.bucket.plantRoot(own as string, { claim: 'tenant-b/data' })
  const before = bucketOf(world)
  for (const namespace of ['app', 'tenant-b']) assertRefused(await ask(world, backup, namespace))
  assert.is(bucketOf(world), before)
})

trust('a root that cannot be read can be deleted only by operators', async () => {
  const world = await allowing(new World(6, NO_FAULTS), [])
  const backup = await aBackup(world)
  const [root] = world.bucket.backups.keys()
  const object = world.bucket.objects.get(root as string) as { body: Uint8Array; modifiedMs: number }
  const body = Uint8Array.from(object.body, (byte, at) => (at === 100 ? byte ^ 1 : byte))
  world.bucket.objects.set(root as string, { ...object, body })
  assertRefused(await ask(world, backup, 'app'), 'only operators can delete it')
  assert.is(world.bucket.objects.get(root as string)?.body, body)
  assert.is((await ask(world, backup, 'velero'))['phase'], 'Completed')
  assert.is.not(world.bucket.objects.get(root as string)?.body, body)
})

async function untilUploading(world: World, namespace = 'app'): Promise<LooseObject> {
  world.volumes.write(aVolume(world, 'data', namespace), 0, noiseOf('data', 384 * KiB))
  aSnapshot(world, 'snap', 'data', 'br', namespace)
  const snapshot = () => world.cluster.peek('Snapshot', namespace, 'snap') as LooseObject
  while (snapshot()['status']?.phase !== 'Uploading') await world.turn()
  return snapshot()
}

trust("another namespace's running upload is not stopped", async () => {
  const world = await allowing(new World(7, NO_FAULTS), [])
  const snapshot = await untilUploading(world)
  assertRefused(await ask(world, snapshot, 'tenant-b'), 'the disk snapshot and its upload stay')
  await world.run(() => world.isQuiet())
  assert.is(world.cluster.peekAll('Upload')[0]?.['status']?.phase, 'Completed')
  assert.is(world.bucket.backups.size, 1)
})

trust('a running upload of the asking namespace is stopped first', async () => {
  const world = await allowing(new World(8, NO_FAULTS), [])
  const status = await ask(world, await untilUploading(world), 'app')
  assert.is(status['phase'], 'Completed', status['message'])
  assert.is(world.cluster.peekAll('Upload')[0]?.['status']?.phase, 'Canceled')
  assert.equal([world.bucket.backups.size, snapshotsOf(world).length], [0, 0])
})

trust('an id without an object behind it does not fence a running session of others', async () => {
  const world = await allowing(new World(9, NO_FAULTS), [])
  const snapshot = await untilUploading(world)
  const [upload] = world.cluster.peekAll('Upload')
  // The session is another cluster's: its Upload and its disk are not visible from here.
  await world.cluster.patch('Upload', upload as LooseObject, { metadata: { finalizers: null } })
  await world.cluster.delete('Upload', world.cluster.peekAll('Upload')[0] as LooseObject)
  for (const fcdId of world.volumes.diskIds) world.volumes.deleteDisk(fcdId)
  await ask(world, snapshot, 'tenant-b')
  assert.equal(
    world.bucket.keyList.filter((key) => key.startsWith('roots/')),
    [],
    'no tombstone',
  )
})

trust(
  'a backup that is kept in vCenter is for the namespace that its disk belongs to, also when its Snapshot is gone',
  async () => {
    for (const namespace of ['tenant-b', 'app']) {
      const world = await allowing(new World(10, NO_FAULTS), [])
      aVolume(world, 'data')
      aSnapshot(world, 'local', 'data', '')
      const snapshot = () => world.cluster.peek('Snapshot', 'app', 'local')
      await world.run(() => isDone(snapshot()))
      const kept = snapshot() as LooseObject
      await world.cluster.delete('Snapshot', kept)
      await world.run(() => snapshot() === undefined)
      assert.is(snapshotsOf(world)[0]?.description, snapshotDescription(CLUSTER_ID, kept.metadata.uid ?? '', true))
      const status = await ask(world, kept, namespace)
      if (namespace === 'app') assert.is(status['phase'], 'Completed', status['message'])
      else assertRefused(status)
      assert.is(snapshotsOf(world).length, namespace === 'app' ? 0 : 1)
    }
  },
)

trust('a repository that does not allow the namespace is not opened for it', async () => {
  const world = await allowing(new World(11, NO_FAULTS), [])
  const backup = await aBackup(world)
  await allowing(world, ['app'])
  const status = await ask(world, backup, 'tenant-b')
  assert.equal([status['phase'], status['reason']], ['Failed', 'NamespaceNotAllowed'])
  assert.is(world.bucket.backups.size, 1)
})

trust.run()
