// What a claim asks for is only a minimum. A claim that was bound to a larger volume is restored onto a disk of the backup's size.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { BACKUP_ANNOTATION, RESTORE_ANNOTATION, RESTORE_UID_LABEL } from '#shared/domain/velero.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { KiB, SECOND_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aSnapshot, aVolume, aWaitingClaim, isDone, SIZE_BYTES } from './objects.ts'
import { ruleClaims } from './quota.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 12)
const BAD: FaultPlan = { drop: 0.3, double: 0.3, die: 0.05 }
const AWAITED = 'dormouse-awaited'

/** A claim that is bound by name to a volume of twice its size. */
async function backedUp(world: World, storage = '320Ki'): Promise<LooseObject> {
  world.volumes.write(aVolume(world, 'data'), 64 * KiB, noiseOf('data', 64 * KiB))
  const claim = world.cluster.peek('PersistentVolumeClaim', 'app', 'data') as LooseObject
  await world.cluster.patch('PersistentVolumeClaim', claim, { spec: { resources: { requests: { storage } } } })
  aSnapshot(world, 'snap-1', 'data')
  const asked = world.cluster.peek('Snapshot', 'app', 'snap-1') as LooseObject
  await world.cluster.patch('Snapshot', asked, { metadata: { annotations: { [BACKUP_ANNOTATION]: 'daily' } } })
  const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap-1')
  await world.run(() => isDone(snapshot()) && world.cluster.peekAll('Upload').every(isDone))
  return snapshot() as LooseObject
}

const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1') as LooseObject

/** `restore`: `spec` of the Restore that a waiting claim is made for. Without it, only the tenant says that there is a restore. */
async function ask(
  world: World,
  snapshot: LooseObject,
  awaits: string | undefined,
  restore: object | 'none' = {},
): Promise<void> {
  const clone = aClone(world, 'clone-1', snapshot, { awaits })
  if (awaits === undefined) return
  const metadata = restore === 'none' ? {} : { metadata: markOf(world, restore) }
  aWaitingClaim(world, await world.cluster.patch('CloneFromSnapshot', clone, metadata))
}

function markOf(world: World, spec: object): object {
  const restore = world.cluster.seed('Restore', {
    apiVersion: 'velero.io/v1',
    kind: 'Restore',
    metadata: { name: 'back', namespace: 'velero' },
    spec: { backupName: 'daily', namespaceMapping: { app: 'restored' }, ...spec },
    status: { phase: 'InProgress' },
  })
  return { labels: { [RESTORE_UID_LABEL]: restore.metadata.uid }, annotations: { [RESTORE_ANNOTATION]: 'back' } }
}

async function untilOver(world: World): Promise<void> {
  await world.run(() => isDone(cloneIn(world)) && world.cluster.peekAll('Download').every(isDone))
  await world.run(() => world.heldLeases.length === 0)
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
}

for (const awaits of [undefined, AWAITED]) {
  const who = awaits === undefined ? 'a claim that the restore makes' : "a claim of Velero's"
  for (const [seed, plan] of [
    [0, NO_FAULTS] as const,
    ...Array.from({ length: SEEDS }, (_, n) => [n + 1, BAD] as const),
  ])
    test(`seed ${seed}: ${who} that asks for less than the backup gets a disk of the backup's size`, async () => {
      const world = new World(seed, plan)
      const snapshot = await backedUp(world)
      const disks = world.volumes.diskIds.length
      await ask(world, snapshot, awaits)
      await untilOver(world)
      assert.is(cloneIn(world)['status'].phase, 'Completed', world.describe())
      const claim = world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')
      assert.is(claim?.['status']?.phase, 'Bound')
      const volume = world.cluster.peek('PersistentVolume', undefined, claim?.['spec'].volumeName ?? '')
      const facts = await world.volumes.describe(volume?.['spec']?.csi?.volumeHandle ?? '')
      assert.is(facts?.capacityBytes, SIZE_BYTES)
      await world.run(() => world.volumes.diskIds.length === disks + 1)
      if (plan === NO_FAULTS) assert.is(world.rescues, 0)
    })

  test(`${who}: a driver that makes too small a disk in spite of all ends the restore by name, after one more disk`, async () => {
    const world = new World(5, NO_FAULTS)
    const snapshot = await backedUp(world)
    const before = [...world.volumes.diskIds]
    let made = 0
    const create = world.volumes.createDisk.bind(world.volumes)
    world.volumes.createDisk = (_bytes, options) => {
      if (++made > 4) throw new Error('there is no end of disks')
      return create(320 * KiB, options)
    }
    await ask(world, snapshot, awaits)
    await untilOver(world)
    await world.run(() => world.volumes.diskIds.length === before.length)
    assert.equal([cloneIn(world)['status'].phase, cloneIn(world)['status'].reason], ['Failed', 'TargetTooSmall'])
    assert.is(made, 2)
  })

  test(`${who}: cancelled while the disk is exchanged, it leaves nothing`, async () => {
    const world = new World(6, NO_FAULTS)
    const snapshot = await backedUp(world)
    const before = [...world.volumes.diskIds]
    await ask(world, snapshot, awaits)
    const isTooSmall = ({ status }: LooseObject & { status?: { reason?: string } }) =>
      status?.reason === 'TargetTooSmall'
    while (!world.cluster.peekAll('Download').some(isTooSmall)) await world.turn()
    await world.cluster.patch('CloneFromSnapshot', cloneIn(world), { spec: { cloneCancel: true } })
    await untilOver(world)
    await world.run(() => world.volumes.diskIds.length === before.length)
    assert.is(cloneIn(world)['status'].phase, 'Canceled')
  })
}

const UNCOUNTED: [string, object | 'none', string][] = [
  ['without any Restore', 'none', 'data'],
  ['with a Restore of another Backup', { backupName: 'weekly' }, 'data'],
  ['with a Restore that leaves the namespace out', { includedNamespaces: ['other'] }, 'data'],
  ['under another name than the backup has', {}, 'other'],
]
for (const [what, restore, name] of UNCOUNTED)
  test(`a tenant's own waiting claim ${what} gets no disk that is larger than a quota counts`, async () => {
    const world = new World(8, NO_FAULTS)
    const snapshot = await backedUp(world)
    const before = [...world.volumes.diskIds]
    const stored = decodeClaimMetadata(snapshot['status'].metadata)
    const renamed = encodeClaimMetadata({ ...stored, metadata: { ...stored.metadata, name } })
    const own = { ...snapshot, status: { ...snapshot['status'], metadata: renamed } }
    await ask(world, own, AWAITED, restore)
    await untilOver(world)
    await world.run(() => world.volumes.diskIds.length === before.length)
    assert.equal([cloneIn(world)['status'].phase, cloneIn(world)['status'].reason], ['Failed', 'TargetTooSmall'])
    assert.is(world.cluster.peek('PersistentVolumeClaim', 'restored', name)?.['status']?.phase, 'Pending')
  })

test('a quota that has no room for a moment while the disk is exchanged is waited for, however old the restore is', async () => {
  const world = new World(9, NO_FAULTS)
  const snapshot = await backedUp(world)
  // The first disk is provisioned late, and the quota has room for the second a minute after the first has gone.
  const roomAtMs: number[] = []
  const waitsMs = [170 * SECOND_MS, 60 * SECOND_MS]
  ruleClaims(world, 'restored', ({ spec }) => {
    const size = spec.resources.requests.storage === '320Ki' ? 0 : 1
    roomAtMs[size] ??= world.clock.nowMs() + waitsMs[size]!
    return world.clock.nowMs() < roomAtMs[size] ? new TerminalError('QuotaExceeded', 'exceeded quota') : undefined
  })
  await ask(world, snapshot, undefined)
  await untilOver(world)
  assert.is(cloneIn(world)['status'].phase, 'Completed', world.describe())
  assert.is(roomAtMs.length, 2)
})

test('a claim that asks for as much as its backup gets one disk', async () => {
  const world = new World(7, NO_FAULTS)
  const snapshot = await backedUp(world, '640Ki')
  const disks = world.volumes.diskIds.length
  let made = 0
  world.cluster.onWrite((kind, seen) => {
    if (kind === 'Download' && seen === undefined) made++
  })
  await ask(world, snapshot, undefined)
  await untilOver(world)
  assert.equal([made, world.volumes.diskIds.length], [1, disks + 1])
})

test.run()
