// Slices whose time is over before they have read anything, because the store was slow: each of them makes progress all the same.

import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { bytesOf, EngineWorld, type UploadOptions } from '#test/support/engine-world.ts'

const VOLUME = 512 * KiB
/** Four chunks each. */
const BATCHES = VOLUME / (16 * KiB)

async function aVolume() {
  const world = await EngineWorld.create()
  const content = new MemoryDiskContent(VOLUME, 4 * KiB)
  new MemoryDisk(content).write(0, randomBytes(VOLUME))
  return { world, content }
}

const test = suite('engine: slices without time')

for (const [mode, options] of [
  ['Allocated', {}],
  ['Everything', { tellsAllocation: false }],
] as const satisfies [string, Partial<UploadOptions>][]) {
  test(`an upload (${mode}) moves one batch in each slice, and ends`, async () => {
    const { world, content } = await aVolume()
    const session = await world.newSession('s1')
    let done = 0
    for (let slice = 1; ; slice++) {
      assert.ok(slice <= BATCHES + 1, `no end after ${slice} slices: ${done} bytes`)
      const outcome = await world.uploadSlice({ content, session, snapshotId: 's1', slice, sliceMs: 0, ...options })
      if (outcome.state === 'sealed') {
        const target = new MemoryDiskContent(VOLUME)
        await world.restoreSlice(target, outcome.root)
        assert.ok(bytesOf(target).equals(bytesOf(content)))
        return
      }
      assert.is(outcome.bytesBefore, done)
      assert.ok(outcome.progress.bytesDone > done, `slice ${slice}: ${outcome.progress.bytesDone} bytes, after ${done}`)
      done = outcome.progress.bytesDone
    }
  })
}

test('an upload that its caller stops reads nothing more', async () => {
  const { world, content } = await aVolume()
  const session = await world.newSession('s1')
  await world.uploadSlice({ content, session, snapshotId: 's1', sliceMs: 0, signal: AbortSignal.abort() })
  assert.is(world.bytesRead, 0)
})

test.run()
