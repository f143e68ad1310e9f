// Access modes are a set: their order changes nothing in a backup, in a new claim or in a restore.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { diskModes, joinedModes, writerMode } from '#shared/domain/access-modes.ts'
import { requireDisk } from '#shared/domain/volume.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const modes = suite('access modes')
const [RWO, ROX, RWX, RWOP] = ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod']

/** All orders of a set. */
function ordersOf(set: string[]): string[][] {
  if (set.length < 2) return [set]
  return set.flatMap((first) => ordersOf(set.filter((one) => one !== first)).map((rest) => [first, ...rest]))
}

const aVolume = (accessModes: unknown): LooseObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'pv' },
  spec: { accessModes, csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'fcd-1' } },
})

modes('a volume that one node writes to is backed up, in whatever order its modes stand', () => {
  for (const set of [[RWO], [RWOP], [RWO, ROX], [RWO, RWX], [RWO, ROX, RWX]])
    for (const order of ordersOf(set as string[])) assert.is(requireDisk(aVolume(order), 'pv'), 'fcd-1', `${order}`)
})

modes('a volume with other access modes is refused, in any order of its modes', () => {
  for (const set of [[ROX], [RWX], [ROX, RWX], [], undefined, 'ReadWriteOnce', null]) {
    for (const order of Array.isArray(set) ? ordersOf(set as string[]) : [set])
      assert.throws(
        () => requireDisk(aVolume(order), 'pv'),
        (error: unknown) => error instanceof TerminalError && error.reason === 'AccessModeUnsupported',
        `${order}`,
      )
  }
})

modes('the refusal names all modes', () => {
  assert.throws(() => requireDisk(aVolume([ROX, RWX]), 'pv'), /pv is ReadOnlyMany, ReadWriteMany: only ReadWriteOnce/)
})

modes('a new disk is asked for with the one mode that makes a disk', () => {
  for (const order of ordersOf([RWO, ROX, RWX] as string[])) assert.equal(diskModes(order), [RWO])
  assert.equal(diskModes([RWOP]), [RWOP])
  for (const none of [undefined, [], [ROX], 'x']) assert.equal(diskModes(none), [RWO])
  assert.is(writerMode([ROX, RWO]), RWO)
})

modes('sets are joined, and ReadWriteOncePod stays alone', () => {
  assert.equal(joinedModes([ROX], [RWO], undefined), [RWO, ROX])
  assert.equal(joinedModes([ROX, RWO], [RWO], [RWX, ROX]), [RWO, ROX, RWX])
  assert.equal(joinedModes([RWOP], [RWOP], [RWO]), [RWOP])
  assert.equal(joinedModes([RWO], [RWO], [RWOP]), [RWO])
  assert.equal(joinedModes([RWO, 'Odd'], ['x']), [RWO])
})

modes.run()
