import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDisk, MemoryDiskContent } from '#shared/adapters/memory/disk.ts'
import { KiB } from '#shared/kernel/units.ts'
import { bytesOf, EngineWorld } from '#test/support/engine-world.ts'

const test = suite('engine: round trip')

test('what was backed up comes back', async () => {
  const world = await EngineWorld.create()
  const content = new MemoryDiskContent(300 * KiB + 512, 4 * KiB)
  const disk = new MemoryDisk(content)
  disk.write(0, randomBytes(100 * KiB))
  disk.write(200 * KiB, Buffer.alloc(20 * KiB, 'abc'))
  disk.write(300 * KiB, randomBytes(512))
  const root = await world.backup(content, 's1')
  const target = new MemoryDiskContent(content.capacityBytes)
  const outcome = await world.restoreSlice(target, root)
  assert.is(outcome.state, 'done')
  assert.ok(bytesOf(target).equals(bytesOf(content)))
  assert.equal(world.warnings, [])
})

test.run()
