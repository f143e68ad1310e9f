// Between the two volume objects of a restored disk, only the Download records the disk. Whatever ends the restore there, the disk is not lost:
// it is deleted, or the Download stays until it can be.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { handOverOf } from '#shared/domain/staged-volume.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { HOUR_MS, MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { endTornOut } from '../../functions/sweep/torn-out.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aSnapshot, aVolume, aWaitingClaim, isDone } from './objects.ts'
import { World } from './world.ts'

const AWAITED = 'dormouse-awaited'
const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')
const downloadIn = (world: World) => world.cluster.peekAll('Download')[0] as LooseObject

/** A restore whose volume needs a second object, just before its hand-over. `create`: called before each creation of a PersistentVolume. */
async function aRestore(awaits: string | undefined, create: (world: World, volume: LooseObject) => void) {
  const world = new World(1, NO_FAULTS)
  const fcdId = aVolume(world, 'data')
  const volume = world.cluster.peek('PersistentVolume', undefined, 'pv-data') as LooseObject
  await world.cluster.patch('PersistentVolume', volume, { spec: { csi: { fsType: 'xfs' } } })
  aSnapshot(world, 'snap-1', 'data')
  const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap-1')
  await world.run(() => isDone(snapshot()) && world.cluster.peekAll('Upload').every(isDone))
  const clone = aClone(world, 'clone-1', snapshot() as LooseObject, { awaits })
  if (awaits !== undefined) aWaitingClaim(world, clone)
  while (downloadIn(world)?.['status']?.phase !== 'Completed') await world.turn()
  const through = world.cluster.create.bind(world.cluster)
  world.cluster.create = async <Name extends KindName>(kind: Name, object: KindTypes[Name]) => {
    if (kind === 'PersistentVolume') create(world, object)
    return await through(kind, object)
  }
  return { world, before: [fcdId] }
}

async function untilOver(world: World): Promise<LooseObject['status']> {
  await world.run(() => isDone(cloneIn(world)))
  await world.run(() => world.heldLeases.length === 0)
  assert.equal(world.broken, [])
  assertNothingLeft(world)
  return cloneIn(world)?.['status']
}

async function assertDiskGone(world: World, before: readonly string[]): Promise<void> {
  await world.run(() => world.volumes.diskIds.length === before.length)
  assert.equal(world.volumes.diskIds, before)
  assert.is(handOverOf(downloadIn(world)), undefined)
}

for (const awaits of [undefined, AWAITED]) {
  const who = awaits === undefined ? 'a claim that the restore makes' : "a claim of Velero's"
  for (const reason of ['AdmissionDenied', 'InvalidObject'])
    test(`${who}: its second volume object is refused (${reason}) for what the backup says: after an hour the disk goes`, async () => {
      const { world, before } = await aRestore(awaits, (_, volume) => {
        if (volume['spec'].csi.fsType === 'xfs') throw new TerminalError(reason, 'no xfs here')
      })
      const sinceMs = world.clock.nowMs()
      const status = await untilOver(world)
      assert.equal([status.phase, status.reason], ['Failed', reason])
      assert.ok(world.clock.nowMs() - sinceMs > HOUR_MS, 'somebody has an hour to change the rule')
      await assertDiskGone(world, before)
    })

  test(`${who}: as long as every volume object is refused, the Download stays and records the disk`, async () => {
    let isShut = true
    const { world, before } = await aRestore(awaits, () => {
      if (isShut) throw new TerminalError('AdmissionDenied', 'no volumes')
    })
    const sinceMs = world.clock.nowMs()
    await world.run(() => world.clock.nowMs() - sinceMs > 2 * HOUR_MS)
    assert.is(isDone(cloneIn(world)), false)
    assert.ok(handOverOf(downloadIn(world)) !== undefined && downloadIn(world).metadata.finalizers?.length === 1)
    isShut = false
    assert.is((await untilOver(world)).phase, 'Completed', world.describe())
    assert.is(world.volumes.diskIds.length, before.length + 1)
  })

  test(`${who}: a rule that is changed within the hour lets the restore be whole`, async () => {
    let isShut = true
    const { world } = await aRestore(awaits, () => {
      if (isShut) throw new TerminalError('AdmissionDenied', 'no volumes')
    })
    const sinceMs = world.clock.nowMs()
    await world.run(() => world.clock.nowMs() - sinceMs > 30 * MINUTE_MS)
    isShut = false
    assert.is((await untilOver(world)).phase, 'Completed', world.describe())
  })
}

test('deleted without its finalizer while a finalizer holds the first volume object: the sweep waits until that is gone, and the disk goes', async () => {
  const { world, before } = await aRestore(AWAITED, () => undefined)
  const staged = () => world.cluster.peekAll('PersistentVolume').find(({ metadata }) => metadata.name !== 'pv-data')
  const metadata = { finalizers: ['example.com/held'] }
  await world.cluster.patch('PersistentVolume', staged() as LooseObject, { metadata })
  await world.run(() => staged()?.metadata.deletionTimestamp !== undefined && world.heldLeases.length === 0)
  await world.cluster.patch('CloneFromSnapshot', cloneIn(world) as LooseObject, { metadata: { finalizers: [] } })
  await world.cluster.delete('CloneFromSnapshot', cloneIn(world) as LooseObject)
  const end = async () => await endTornOut(world.sweepDeps(), downloadIn(world), new Map())
  const stays = await end().catch((error) => error)
  assert.is(stays.reason, 'VolumeObjectStays')
  await world.cluster.patch('PersistentVolume', staged() as LooseObject, { metadata: { finalizers: [] } })
  assert.is(await end(), true)
  await assertDiskGone(world, before)
})

test('a claim of the target’s name that is made between the two volume objects ends the restore, and the disk goes', async () => {
  let died = false
  const { world, before } = await aRestore(undefined, ({ cluster }) => {
    if (died) return
    died = true
    cluster.seed('PersistentVolumeClaim', {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace: 'restored' },
      spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'never', resources: { requests: { storage: '4Ki' } } },
      status: { phase: 'Pending' },
    })
    throw new RetryableError('KubernetesUnavailable', '503', { origin: 'api' })
  })
  const status = await untilOver(world)
  assert.equal([status.phase, status.reason], ['Failed', 'TargetExists'])
  await assertDiskGone(world, before)
})

test.run()
