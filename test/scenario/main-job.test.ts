// The main job under seeded orders, lost and doubled events, and deaths at any write: it always ends right.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '#shared/api/kinds.ts'
import { CLONE_NEXT, type ClonePhase } from '#shared/domain/clone.ts'
import { DOWNLOAD_NEXT, type DownloadPhase } from '#shared/domain/download.ts'
import { SNAPSHOT_NEXT, type SnapshotPhase } from '#shared/domain/snapshot.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { UPLOAD_NEXT, type UploadPhase } from '#shared/domain/upload.ts'
import { KiB } from '#shared/kernel/units.ts'
import { FAIR, type Weather, World } from './world.ts'

const SIZE_BYTES = 640 * KiB
const BAD: Weather = { drop: 0.3, double: 0.3, die: 0.04 }
const SEEDS = Number(process.env['SEEDS'] ?? 20)

type Volume = { claim: KubeObject; fcdId: string }

function aVolume(world: World, name: string): Volume {
  const claim = world.cluster.seed('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'app', labels: { app: 'db' } },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '640Ki' } },
      storageClassName: 'fast',
      volumeName: `pv-${name}`,
    },
    status: { phase: 'Bound' },
  })
  const fcdId = world.volumes.createDisk(SIZE_BYTES, { cbt: true })
  world.createVolume(`pv-${name}`, claim, fcdId)
  return { claim, fcdId }
}

function aSnapshot(world: World, name: string, claim: string): void {
  world.cluster.seed('Snapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name, namespace: 'app' },
    spec: { resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: claim }, backupRepository: 'br' },
  })
}

function aClone(world: World, name: string, snapshot: KubeObject): void {
  world.cluster.seed('CloneFromSnapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'CloneFromSnapshot',
    metadata: { name, namespace: 'restored' },
    spec: {
      snapshotID: snapshot['status'].snapshotID,
      metadata: snapshot['status'].metadata,
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository: 'br',
      cloneCancel: false,
    },
  })
}

function snapshot(world: World, name: string): KubeObject {
  const found = world.cluster.peek('Snapshot', 'app', name)
  assert.ok(found, `Snapshot ${name} is gone`)
  return found
}

const isDone = (object: KubeObject | undefined) => object?.metadata.labels?.[STEP_LABEL] === 'done'

function diskBytes(world: World, fcdId: string): Buffer {
  const disk = world.volumes.openDisk(fcdId)
  const bytes = Buffer.alloc(disk.capacityBytes)
  disk.read(0, bytes)
  disk.close()
  return bytes
}

/** After every write: phases move only along their tables, and no target claim is Bound before its download is whole. */
function guard(world: World): string[] {
  const broken: string[] = []
  const tables: Record<string, Record<string, readonly string[]>> = {
    Upload: UPLOAD_NEXT satisfies Record<UploadPhase, readonly string[]>,
    Snapshot: SNAPSHOT_NEXT satisfies Record<SnapshotPhase, readonly string[]>,
    Download: DOWNLOAD_NEXT satisfies Record<DownloadPhase, readonly string[]>,
    CloneFromSnapshot: CLONE_NEXT satisfies Record<ClonePhase, readonly string[]>,
  }
  world.cluster.onWrite((kind, before, after) => {
    const from = before?.['status']?.phase ?? 'New'
    const to = after?.['status']?.phase ?? 'New'
    const table = tables[kind]
    if (
      table !== undefined &&
      before !== undefined &&
      after !== undefined &&
      from !== to &&
      table[from]?.includes(to) !== true
    )
      broken.push(`${kind} ${from} -> ${to}`)
    if (kind === 'Upload' && after?.['status']?.phase === 'Completed') {
      const root = world.vault.roots.get(after['status'].root)
      if (root?.kind !== 'backup') broken.push('Completed, but no backup is sealed')
    }
    if (
      kind === 'PersistentVolumeClaim' &&
      after?.metadata.namespace === 'restored' &&
      !after.metadata.name.startsWith('dormouse-') &&
      to === 'Bound'
    ) {
      const whole = world.cluster.peekAll('Download').some((download) => download['status'].phase === 'Completed')
      if (!whole) broken.push('a claim was bound before its download was whole')
    }
  })
  return broken
}

function assertNothingLeft(world: World, fcdId: string): void {
  assert.equal(world.volumes.snapshotsOf(fcdId), [], 'no local snapshot is left')
  const held = world.cluster.peekAll('Lease').filter((lease) => lease['spec']?.holderIdentity)
  assert.equal(
    held.map((lease) => lease.metadata.name),
    [],
    'no Lease is held',
  )
  for (const kind of ['Snapshot', 'Upload', 'CloneFromSnapshot', 'Download'] as const) {
    for (const object of world.cluster.peekAll(kind))
      assert.is(object.metadata.finalizers, undefined, `${kind} ${object.metadata.name} keeps a finalizer`)
  }
}

async function backUpAndRestore(world: World): Promise<void> {
  const broken = guard(world)
  const { fcdId } = aVolume(world, 'data')
  world.volumes.write(fcdId, 64 * KiB, world.random.bytes(64 * KiB))
  const first = diskBytes(world, fcdId)
  aSnapshot(world, 'snap-1', 'data')
  await world.run(
    () => isDone(world.cluster.peek('Snapshot', 'app', 'snap-1')) && world.cluster.peekAll('Upload').every(isDone),
  )
  assert.is(snapshot(world, 'snap-1')['status'].phase, 'Uploaded', world.describe())

  world.volumes.write(fcdId, 256 * KiB, world.random.bytes(32 * KiB))
  aClone(world, 'clone-1', snapshot(world, 'snap-1'))
  await world.run(
    () =>
      isDone(world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')) &&
      world.cluster.peekAll('Download').every(isDone),
  )
  await world.run(() => world.cluster.peekAll('Lease').every((lease) => !lease['spec']?.holderIdentity))

  const clone = world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')
  assert.is(clone?.['status'].phase, 'Completed', world.describe())
  const restored = world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')
  assert.is(restored?.['status'].phase, 'Bound')
  assert.is(restored?.metadata.labels?.['app'], 'db')
  const restoredFcd: string = clone?.['status'].resourceHandle.name.slice('ivd:'.length)
  assert.ok(diskBytes(world, restoredFcd).equals(first), 'the restored bytes are those of the first backup')
  assert.equal(broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world, fcdId)
}

test('in fair weather the events alone do it: no rescue', async () => {
  const world = new World(1, FAIR)
  await backUpAndRestore(world)
  assert.is(world.rescues, 0)
})

test('with no event at all the sweep does it, and counts its rescues', async () => {
  const world = new World(2, FAIR)
  world.eventsOn = false
  await backUpAndRestore(world)
  assert.ok(world.rescues >= 4, `${world.rescues} rescues`)
})

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`seed ${seed}: lost, doubled and reordered events, and deaths at any write`, async () => {
    const world = new World(seed, BAD)
    await backUpAndRestore(world)
  })
}

test.run()
